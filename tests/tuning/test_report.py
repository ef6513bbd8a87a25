"""The report: what it says, that it needs nothing but itself, and that nothing in a search can break it."""

import base64
import dataclasses
import gzip
import hashlib
import html.parser
import json
import os
import pathlib
import re
import time

import pytest

from tests.tuning.conftest import load, one_sentence
from tests.tuning.hand_made import CONFIG, HOSTILE, MIXED, add_trial, make_comparison, make_hostile, make_population, make_search
from tuning import SearchError, Store, write_report
from tuning.report import figure
from tuning.report.curves import learning_curves
from tuning.report.importance import importance
from tuning.report.parallel import parallel
from tuning.report.population import line_of, population
from tuning.report.progress import best_so_far, budget, working_clock
from tuning.report.reproduction import snippet
from tuning.report.response import divergence, maps, sensitivity
from tuning.results.comparison import confirmed_epochs
from tuning.results.search import SearchResult
from tuning.space.axes import Axis, axes_of, number
from tuning.store.lock import Lock
from tuning.training.seed import execution_seed

pytestmark = pytest.mark.backend("tensorflow")  # what reads a store uses no backend; once is enough


class Page(html.parser.HTMLParser):
    """What a browser would find: the elements with their attributes, the texts, the figures."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts, self._script = [], [], None
        self.scripts = []
        self.feed(path.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._script = dict(attrs) if tag in ("script", "style") else None

    def handle_endtag(self, tag):
        self._script = None

    def handle_data(self, data):
        if self._script is None:
            self.texts.append(data)
        else:
            self.scripts.append((self._script, data))

    @property
    def data(self):
        """What the page's scripts draw."""
        (found,) = [data for attrs, data in self.scripts if attrs.get("id") == "data"]
        return json.loads(gzip.decompress(base64.b64decode(found)))

    @property
    def figures(self):
        data = self.data
        found = {name: figure for name, entry in data["figures"].items() for figure in entry["choices"].values()}
        for trace in [trace for one in found.values() for trace in one["data"] if isinstance(trace.get("text"), list)]:
            trace["text"] = [data["texts"][number] for number in trace["text"]]
        return found


def report(directory):
    return Page(write_report(directory))


def test_the_report_says_what_was_found_and_how_to_get_it_again(tmp_path):
    page = report(make_search(tmp_path / "search", MIXED))
    best = SearchResult.load(tmp_path / "search").best
    for words in (
        *("adam on digits_mlp", best.line, CONFIG["command"], "19 of 20", "η learning_rate", "β₁ beta_1", "Abacus 9"),
        *("RuntimeError: no luck", "Traceback of trial 16", "2 of 19 trials diverged", "3.15.1", "search.sqlite"),
        *(f"seed={1000 + 10 * best.number}", "tuning.train(", "±"),
    ):
        assert words in page.text, words
    headings = [tag for tag, _ in page.tags if tag in ("h1", "h2")]
    assert headings.count("h1") == 1
    assert headings.count("h2") == 12
    for _, attributes in page.tags:
        if attributes.get("role") == "img":
            assert len(attributes["aria-label"]) > 20
    assert [tag for tag, _ in page.tags].count("table") == [tag for tag, _ in page.tags].count("caption") == 4


def test_every_figure_is_one_that_plotly_knows_and_every_axis_has_a_title(tmp_path):
    import plotly.graph_objects as go

    figures = report(make_search(tmp_path / "search", MIXED)).figures
    figures |= {f"compared {name}": one for name, one in report(make_comparison(tmp_path / "comparison")).figures.items()}
    figures |= {f"of members {name}": one for name, one in report(make_population(tmp_path / "population")).figures.items()}
    assert len(figures) >= 22
    for one in figures.values():
        go.Figure(one)  # raises for an attribute that plotly.js does not have
        if one["data"][0]["type"] == "parcoords":
            assert all(dimension["label"] for dimension in one["data"][0]["dimensions"])
            continue
        assert one["layout"]["xaxis"]["title"]["text"]
        assert one["layout"]["yaxis"].get("title") or one["layout"]["yaxis"].get("type") == "category" or "ticktext" in str(one)


def test_a_report_needs_nothing_but_itself(tmp_path):
    path = write_report(make_search(tmp_path / "search", MIXED))
    assert path.stat().st_size < 1e6
    page = Page(path)
    (packed,) = [data for attributes, data in page.scripts if attributes.get("id") == "plotly"]
    plotly = gzip.decompress(base64.b64decode(packed))
    assert b"* plotly.js v" in plotly
    digest = base64.b64encode(hashlib.sha256(plotly).digest()).decode()
    for tag, attributes in page.tags:
        assert not {"src", "srcset", "action", "data"} & attributes.keys(), tag
        assert attributes.get("href", "#").startswith(("#", "data:,"))
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = [attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy.split(";")[1]
    assert f"'sha256-{digest}'" in policy.split(";")[1]


def test_nothing_from_a_search_is_inserted_unescaped(tmp_path):
    page = report(make_hostile(tmp_path / "search"))
    assert [tag for tag, _ in page.tags].count("script") == 6  # the theme, the data, plotly.js, the page, choosing, the trials
    assert not {tag for tag, _ in page.tags} & {"b", "i", "img"}
    assert all("example.org" not in attributes.get("href", "") for _, attributes in page.tags)
    assert "49" not in page.text.split("Best setting")[0]
    assert " ".join(HOSTILE.split()) in page.text
    for raw in [data for attributes, data in page.scripts if attributes.get("id") in ("data", "plotly")]:
        assert re.fullmatch("[A-Za-z0-9+/=]+", raw)


# Not among them: the ticks of parallel coordinates, which Plotly shows as they are (looked at in the test with a browser).
INTERPRETED = ("text", "name", "hovertemplate", "label", "y", "x")


def texts_of(value, place=""):
    """Every text in a figure that Plotly interprets."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from texts_of(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from texts_of(item, place)
    elif isinstance(value, str) and place in INTERPRETED:
        yield value


def test_nothing_from_a_search_is_html_or_a_template_to_plotly(tmp_path):
    figures = report(make_hostile(tmp_path / "search")).figures
    texts = [text for one in figures.values() for text in texts_of(one)]
    assert any("&lt;script&gt;" in text for text in texts)
    for text in texts:
        assert set(re.findall(r"<[^>]*>", text)) <= {"<br>", "<b>", "</b>", "<extra>", "</extra>"}, text
        assert set(re.findall(r"%{[^}]*}", text)) <= {
            "%{text}",
            "%{x}",
            "%{y}",
            "%{customdata}",
            "%{x:.3g}",
            "%{x:.1f}",
            "%{y:.0f}",
        }
        assert "<b>bold" not in text


@pytest.mark.parametrize(
    ("states", "config"),
    [
        ((), {}),
        (("completed",), {}),
        (("running",), {}),
        (("failed",), {}),
        (("diverged",) * 5, {}),
        (("pruned", "pruned", "completed"), {}),
        (("completed",) * 3, {"direction": "min", "objective": "loss", "command": None, "versions": None, "machine": None}),
        (MIXED, {"problem": "my object", "trials": None}),
    ],
    ids=["no trial", "one", "running", "failed", "all diverged", "pruned", "no command", "own problem"],
)
def test_a_report_of_little(tmp_path, states, config):
    page = report(make_search(tmp_path / "search", states, config))
    if "completed" not in states:
        assert "there is no best setting" in page.text
        assert "learning rates may help" in page.text or "diverged" not in states
    for state in set(states):
        assert state in page.text


def test_a_pruned_trial_may_have_a_score_or_none(tmp_path):
    with Store.create(tmp_path / "search", CONFIG, {}) as store:
        add_trial(store, 0)
        add_trial(store, 1, "pruned", score=0.4, trained=1)
        add_trial(store, 2, "pruned", trained=1)
    page = report(tmp_path / "search")
    assert "Trials that failed or were stopped early" in page.text
    assert "1 of 3" in page.text
    traces = {trace["name"]: trace for trace in figures_of(sensitivity, tmp_path)["data"]}
    assert traces["pruned"]["yaxis"] == "y2"  # the last of the two, without a score


def figures_of(make, tmp_path):
    return make(SearchResult.load(tmp_path / "search")).figure


def test_a_user_s_own_tuner_has_choices_integers_and_values_that_some_trials_lack(tmp_path):
    space = [
        ["Float", {"name": "lr", "min_value": 1e-4, "max_value": 1.0, "sampling": "log"}],
        ["Int", {"name": "units", "min_value": 4, "max_value": 64, "sampling": "linear"}],
        ["Choice", {"name": "activation", "values": ["relu", "tanh"]}],
        ["Boolean", {"name": "dropout"}],
        ["Float", {"name": "rate", "min_value": 0.1, "max_value": 0.5, "sampling": "linear"}],
        ["Fixed", {"name": "fixed", "value": 3}],
    ]
    config = {"space": space, "optimizer": None, "problem": None, "hypermodel": "Mine", "command": None}
    with Store.create(tmp_path / "search", {**CONFIG, **config}, {}) as store:
        for i in range(12):
            values = {"lr": 10.0 ** (-i / 4), "units": 4 + i, "activation": ("relu", "tanh")[i % 2], "dropout": i % 3 == 0}
            add_trial(store, i, values=values | ({"rate": 0.1 + i / 30} if values["dropout"] else {}), score=0.5 + i / 40)
    page = report(tmp_path / "search")
    assert page.text.startswith("Mine in search · keras-optims")
    assert "hp.values.update(" in page.text
    (lines,) = [one["data"][0] for one in page.figures.values() if one["data"][0]["type"] == "parcoords"]
    labels = [dimension["label"] for dimension in lines["dimensions"]]
    assert labels == ["val_accuracy", "lr", "units", "activation", "dropout", "rate"]
    assert lines["dimensions"][3]["ticktext"] == ["relu", "tanh"]
    assert lines["dimensions"][4]["ticktext"] == ["False", "True"]
    assert lines["dimensions"][5]["ticktext"][0] == "not set"


def test_values_lie_on_the_scale_that_was_searched(tmp_path):
    make_search(tmp_path / "search", MIXED)
    (one,) = maps(SearchResult.load(tmp_path / "search"))
    layout = one.figure["layout"]
    assert layout["xaxis"]["ticktext"] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert layout["xaxis"]["tickvals"] == pytest.approx([-4, -3, -2, -1, 0], abs=1e-6)
    assert layout["yaxis"]["ticktext"] == ["0.7", "0.9", "0.97", "0.99"]
    assert layout["yaxis"]["tickvals"][1::2] == pytest.approx([1, 2])
    assert layout["yaxis"]["title"]["text"] == "β₁ beta_1 (log in 1−β₁)"


def test_axes_know_their_place():
    axis = Axis("beta_2", "β₂", scale="log1m", low=0.9, high=0.99999)
    assert axis.position(0.999) == pytest.approx(3)
    assert [text for _, text in axis.ticks()] == ["0.9", "0.99", "0.999", "0.9999", "0.99999"]
    assert Axis("x", scale="log", low=1.0, high=10.0).position(0.0) is None
    assert Axis("x", kind="choice", choices=(1, True, None)).position(True) == 1.0
    assert [text for _, text in Axis("n", kind="int", low=1, high=3).ticks()] == ["1", "2", "3"]
    assert [number(value) for value in (1e-5, 0.0001, 0.999999, 123456789.0, 0.5)] == [
        *("1e-5", "0.0001", "0.999999", "1.23457e8", "0.5"),
    ]
    described = {"name": "a", "min_value": 1e-4, "max_value": 1.0}
    for scale in ({"scale": "log"}, {"sampling": "log"}, {"scale": "log", "sampling": "linear"}):
        (found,) = axes_of({"space": [["Float", {**described, **scale}]]}, {}, [])
        assert (found.scale, found.low, found.high, found.kind) == ("log", 1e-4, 1.0, "float")
    (found,) = axes_of({}, {}, [{"a": 1}, {"a": "word"}, {}])  # nothing is declared, and the trials disagree
    assert found.choices == (1, "word")


def test_the_best_so_far_never_falls_and_pauses_are_left_out(tmp_path):
    make_search(tmp_path / "search", MIXED)
    search = SearchResult.load(tmp_path / "search")
    steps = [best for _, best in best_so_far(search)]
    assert steps == sorted(steps)
    assert steps[-1] == search.best.score
    clock, paused = working_clock([(0.0, 10.0), (5.0, 20.0), (4000.0, 4010.0)])
    assert paused
    assert [clock(time) for time in (0.0, 20.0, 4000.0, 4010.0)] == [0.0, 20.0, 20.0, 30.0]
    assert len(budget(search)) == 3


def test_a_trial_that_runs_has_a_bar_until_now(tmp_path):
    make_search(tmp_path / "search", ("completed", "running"))
    search = SearchResult.load(tmp_path / "search")
    assert not search.is_running
    assert search.heard == search.trials[0].ended  # it was interrupted: nothing was heard of the other one
    search.trials[1] = dataclasses.replace(search.trials[1], begun=time.time() - 20)
    with Lock(tmp_path / "search"):
        assert search.is_running
        bars = {trace["name"]: trace for trace in budget(search)[-1].figure["data"]}
    assert bars["running"]["x"][0] == pytest.approx(20, abs=5)


def test_the_score_s_axis_is_in_sight_however_many_hyperparameters_there_are(tmp_path):
    axes = {f"h{i}": {"low": 0.0, "high": 1.0, "scale": "linear", "symbol": ""} for i in range(12)}
    config = {"space": {**CONFIG["space"], "axes": axes}}
    with Store.create(tmp_path / "search", {**CONFIG, **config}, {}) as store:
        for i in range(6):
            add_trial(store, i, values={name: i / 6 for name in axes}, score=0.5 + i / 40)
    chart = parallel(SearchResult.load(tmp_path / "search"))
    assert chart.figure["data"][0]["dimensions"][0]["label"] == "val_accuracy"
    assert chart.least_width <= 1150  # it fits on a desk
    assert 'class="hint' in (write_report(tmp_path / "search")).read_text()


def test_every_point_knows_its_trial(tmp_path):
    page = report(make_search(tmp_path / "search", MIXED))
    numbers = set(range(len(MIXED)))
    for name, one in page.figures.items():
        for trace in one["data"]:
            if trace["type"] == "parcoords":
                assert len(trace["customdata"]) == len(trace["dimensions"][0]["values"])
            elif name not in ("chart-importance", "chart-divergence-2") and trace.get("name") != "best so far":
                assert len(trace["customdata"]) == len(trace["x"]), name
                assert set(trace["customdata"]) <= numbers | {None}
    rows = [attributes["data-trial"] for tag, attributes in page.tags if tag == "tr" and "data-trial" in attributes]
    assert {f"0.{number}" for number in numbers} <= set(rows)


def test_each_trial_has_a_page(tmp_path):
    make_search(tmp_path / "search", MIXED)
    (search,) = report(tmp_path / "search").data["searches"]
    assert len(search["trials"]) == len(MIXED)
    first, failed, running = search["trials"][0], search["trials"][16], search["trials"][18]
    assert first["line"].startswith("keras_optims.Adam(")
    assert first["curves"]["val_accuracy"][1][0] == 3  # of the second training three epochs
    assert [training[0] for training in first["trainings"]] == [1000, 1001]
    assert "tuning.train(" in first["again"]
    assert failed["message"] == "RuntimeError: no luck"
    assert failed["traceback"].startswith("Traceback")
    assert running["epochs"] == "3 of 3"
    assert ["processor", "Abacus 9"] in search["facts"]
    assert search["axes"] == ["η learning_rate", "β₁ beta_1"]


def test_long_curves_keep_their_ends_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tuning.report.trials.MOST_VALUES", 30)
    make_search(tmp_path / "search", ("completed",) * 2, epochs=10)
    (search,) = report(tmp_path / "search").data["searches"]
    assert search["step"] == 3  # 80 values
    (length, values), _ = search["trials"][0]["curves"]["loss"]
    assert length == 10
    assert values == [1.0, 0.25, round(1 / 7, 5), 0.1]
    make_search(tmp_path / "other", ("completed",) * 2, epochs=11)
    (search,) = report(tmp_path / "other").data["searches"]
    assert search["trials"][0]["curves"]["loss"][0] == [11, [1.0, 0.25, round(1 / 7, 5), 0.1, round(1 / 11, 6)]]


def test_several_searches_stand_side_by_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_search(tmp_path / "a" / "run", MIXED)
    make_search(tmp_path / "b" / "run")
    make_comparison(tmp_path / "compared")
    path = write_report("a/run", "b/run", "compared", "a/run")
    assert path == pathlib.Path("report.html")
    page = Page(path)
    assert [search["name"] for search in page.data["searches"]] == [
        *("adam on digits_mlp in a/run", "adam on digits_mlp in b/run", "adam on digits_mlp in adam"),
        "momentum on digits_mlp",
    ]
    assert page.text.startswith("4 searches side by side")
    assert [attributes["id"] for tag, attributes in page.tags if tag == "section"] == [
        *("overview", "progress", "sensitivity", "search-0", "search-1", "search-2", "search-3")
    ]
    assert {trace.get("meta") for trace in page.figures["chart-curves-2"]["data"]} == {2}
    assert "different objectives" not in page.text
    make_search(tmp_path / "both" / "one", ("completed",) * 2)
    make_search(tmp_path / "both" / "other", ("completed",) * 2)
    path = write_report("both")  # a folder with searches in it
    assert path == pathlib.Path("both/report.html")
    assert Page(path).text.startswith("2 searches side by side")
    make_search(tmp_path / "c", ("completed",) * 3, {"direction": "min", "objective": "loss"})
    page = Page(write_report("a/run", "c", output="two.html"))
    assert "different objectives, loss (min), val_accuracy (max)" in page.text
    assert "chart-progress" not in page.figures


def test_importance_finds_what_matters_and_does_not_guess(tmp_path):
    pytest.importorskip("optuna")
    make_search(tmp_path / "many", ("completed",) * 24)
    found = importance(SearchResult.load(tmp_path / "many"))
    shares = {trace["name"]: dict(zip(trace["text"], trace["x"], strict=True)) for trace in found.chart.figure["data"]}
    assert set(shares) == {"fANOVA", "PED-ANOVA"}
    for share in shares.values():
        assert share["η learning_rate"] > 60
        assert sum(share.values()) == pytest.approx(100, abs=0.1)
    make_search(tmp_path / "few", ("completed",) * 9 + ("diverged",) * 9)
    few = importance(SearchResult.load(tmp_path / "few"))
    assert few.chart is None
    assert "Too few trials to tell: 9 completed" in few.note


def test_divergence_is_counted_by_learning_rate(tmp_path):
    with Store.create(tmp_path / "search", CONFIG, {}) as store:
        for i in range(16):
            rate = 10 ** (-4 + i / 4)
            add_trial(store, i, "diverged" if rate > 0.01 else "completed", values={"learning_rate": rate, "beta_1": 0.9})
    plane, share = divergence(SearchResult.load(tmp_path / "search"))
    assert [len(trace["x"]) for trace in plane.figure["data"]] == [9, 7]
    assert share.figure["data"][0]["y"][0] == 0
    assert share.figure["data"][0]["y"][-1] == 100


def test_hyperband_curves_have_their_own_lengths_and_all_trials_compete(tmp_path):
    with Store.create(tmp_path / "search", CONFIG, {}) as store:
        add_trial(store, 0, score=0.99, epochs=1)
        add_trial(store, 1, score=0.7, epochs=9)
        add_trial(store, 2, score=0.8, epochs=9)
    search = SearchResult.load(tmp_path / "search")
    assert [best for _, best in best_so_far(search)] == [0.99, 0.99, 0.99]
    assert [trial.number for trial in search.ranking()] == [0, 2, 1]
    assert sorted(len(trace["x"]) for trace in learning_curves(search).figure["data"]) == [1, 9, 9]
    assert confirmed_epochs(search, search.best) == CONFIG["epochs"]  # of all that are compared
    report(tmp_path / "search")


def test_hundreds_of_trials_make_a_small_page(tmp_path, monkeypatch):
    monkeypatch.setattr("tuning.report.importance.MOST_TRIALS", 20)  # the rest of its time is linear
    with Store.create(tmp_path / "search", CONFIG, {}) as store, store._transaction():
        for number in range(400):
            values = {"learning_rate": 10 ** (-4 * (number * 0.618 % 1)), "beta_1": 0.9}
            store._connection.execute(
                "INSERT INTO trials (number, state, hyperparameters, epochs, score, begun, ended, oracle_trial) "
                "VALUES (?, 'completed', ?, 30, ?, ?, ?, '{}')",
                (number, json.dumps(values), 0.5 + 0.3 * (number * 0.414 % 1), 1000.0 + number, 1001.0 + number),
            )
            store._connection.executemany(
                "INSERT INTO epochs VALUES (?, 0, ?, ?, ?)",
                [
                    (number, i, metric, 1 / (i + 1 + number % 7))
                    for i in range(30)
                    for metric in ("loss", "val_loss", "val_accuracy")
                ],
            )
    path = write_report(tmp_path / "search")
    assert path.stat().st_size < 2e6
    drawn = learning_curves(SearchResult.load(tmp_path / "search"))
    assert "197 of the other 395 trials are left out" in drawn.description


def test_parallel_coordinates_draw_the_best_last(tmp_path):
    make_search(tmp_path / "search", MIXED)
    scores = figures_of(parallel, tmp_path)["data"][0]["line"]["color"]
    assert scores == sorted(scores)


def test_the_numbers_of_a_population_are_drawn_with_who_went_on_from_whom(tmp_path):
    search = SearchResult.load(make_population(tmp_path / "population"))
    chart = population(search)
    assert chart.choices == {}  # the other number never changed
    assert f"trial {search.best.number}, the best one" in chart.description
    members, copies, best, points = chart.figure["data"]
    assert copies["x"] == [2, 2, None, 4, 4, None]
    assert copies["customdata"] == [1, 7, None, 5, 10, None]
    assert members["x"][:6] == [0, 2, None, 0, 2, None]
    assert len([x for x in members["x"] if x is None]) == 12
    assert [number for number in best["customdata"] if number is not None] == [
        number for trial in line_of(search, search.best) for number in (trial.number, trial.number)
    ]
    assert points["customdata"] == list(range(12))
    assert population(SearchResult.load(make_search(tmp_path / "other"))) is None
    page = report(tmp_path / "population")
    assert "Population" in page.text
    assert "4 members, intervals of 2 epochs" in page.text
    schedule = search.trials[10].line
    assert "learning_rate=keras_optims.schedules.Piecewise([0, " in schedule
    assert f"values=[{search.trials[5].hyperparameters['learning_rate']!r}, " in schedule
    compile(snippet(search, search.trials[10]), "snippet", "exec")
    assert schedule in snippet(search, search.trials[10])


def test_the_snippet_is_python(tmp_path):
    make_search(tmp_path / "search", MIXED)
    search = SearchResult.load(tmp_path / "search")
    compile(snippet(search, search.best), "snippet", "exec")
    failed = snippet(search, search.trials[16])
    assert f"seed={execution_seed(7, 16, 0)}" in failed  # it has trained nothing, and is trained again as the search did it
    assert "# trial 16, training 1 of 2" in failed
    assert snippet(search, search.trials[16], which=2) is None


def test_plain_text_stays_plain():
    assert figure.plain("a<b>c</b>&lt; %{x}") == "a&lt;b&gt;c&lt;/b&gt;&amp;lt; &#37;{x}"
    assert len(figure.plain("x" * 500)) == 60


# -- the comparison -------------------------------------------------------------------------------


def test_the_report_of_a_comparison(tmp_path):
    write_report(make_comparison(tmp_path / "comparison") / "adam")
    page = report(tmp_path / "comparison")
    for words in (
        *("adam and momentum on digits_mlp", "Not significant, so these may be equally good", "adam − momentum", "0.2"),
        *("test_accuracy (mean, 95 %)", "[0.9, 0.93]", "keras-optims compare adam momentum", "never used"),
        *("keras_optims.Momentum(learning_rate=0.01)", "Abacus 9", "seed=1000"),
    ):
        assert words in page.text, words
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert [link for link in links if not link.startswith("#trial-")] == ["#content", "adam/report.html"]
    assert len(page.figures) == 4


@pytest.mark.parametrize("what", ["running", "without stores", "no test data"])
def test_the_report_of_an_unfinished_comparison(tmp_path, what):
    directory = make_comparison(tmp_path / "comparison", test=what != "no test data")
    path = directory / "comparison.json"
    comparison = json.loads(path.read_text())
    if what == "running":
        comparison["complete"] = False
        comparison["differences"] = []
        comparison["optimizers"][1].update(validation=None, test=None, line=None, search_score=None)
    if what == "without stores":
        for each in comparison["optimizers"]:
            each.update(directory="../../elsewhere", confirmation="gone")
    path.write_text(json.dumps(comparison))
    text = report(directory).text
    expected = {
        "running": "running, or interrupted",
        "without stores": "Its search is not beside this file",
        "no test data": "There is no test data",
    }
    assert expected[what] in text


def test_a_comparison_is_escaped_as_well(tmp_path):
    directory = make_comparison(tmp_path / "comparison")
    path = directory / "comparison.json"
    comparison = json.loads(path.read_text())
    for each in comparison["optimizers"]:
        each.update(optimizer=HOSTILE, line=HOSTILE)
    comparison.update(problem=HOSTILE, command=HOSTILE, test_metric=HOSTILE, versions={HOSTILE: HOSTILE})
    comparison["differences"][0].update(one=HOSTILE, other=HOSTILE, metric=HOSTILE)
    path.write_text(json.dumps(comparison))
    page = report(directory)
    assert [tag for tag, _ in page.tags].count("script") == 6
    assert not {tag for tag, _ in page.tags} & {"b", "i", "img"}
    for one in page.figures.values():
        for text in texts_of(one):
            assert set(re.findall(r"<[^>]*>", text)) <= {"<br>", "<b>", "</b>", "<extra>", "</extra>"}, text


@pytest.mark.parametrize("content", ["{", "[]", '{"optimizers": [1], "differences": [], "objective": "val_loss"}'])
def test_a_damaged_comparison_is_said(tmp_path, content):
    (tmp_path / "comparison.json").write_text(content)
    with pytest.raises(SearchError, match=r"comparison\.json is (damaged|not the result of a comparison)"):
        write_report(tmp_path)


# -- the command ----------------------------------------------------------------------------------


def test_the_command_prints_the_path(command, tmp_path):
    make_search(tmp_path / "search")
    assert command("report", "search") == (0, f"{os.path.join('search', 'report.html')}\n", "")
    status, stdout, _ = command("report", "search", "--json")
    assert (status, load(stdout)) == (0, {"report": os.path.join("search", "report.html")})


def test_wrong_use_of_the_command(command, tmp_path):
    status, stdout, stderr = command("report", "nowhere")
    assert (status, stdout) == (2, "")
    assert "no search in nowhere" in one_sentence(stderr)
    (make_search(tmp_path / "search") / "report.html").write_text("<p>mine</p>")
    status, _, stderr = command("report", "search")
    assert status == 2
    assert "was not written by this command" in one_sentence(stderr)
    assert (tmp_path / "search" / "report.html").read_text() == "<p>mine</p>"
    assert [path.name for path in (tmp_path / "search").iterdir() if "part" in path.name] == []
