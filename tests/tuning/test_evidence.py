"""Which optimizer: the tables of real trainings, what the pages say of them, and the scripts that make both."""

import collections
import dataclasses
import math
import shutil
import sqlite3

import pytest

import keras_optims
from scripts import (
    evidence,
    evidence_cost,
    evidence_defaults,
    evidence_pages,
    evidence_pictures,
    evidence_problems,
    evidence_text,
    ranges,
)
from scripts.evidence_results import Edge, Evidence
from scripts.evidence_runs import OPTIMIZERS
from scripts.evidence_tables import Cost, Setup, Training, Trial, read, write
from scripts.searches import BEST, DEFAULT, axes, default_setting
from tuning.errors import SearchError
from tuning.results.search import SearchResult

pytestmark = pytest.mark.backend("tensorflow")

TABLES = Evidence.read()


# -- the tables that are kept ----------------------------------------------------------------------


def test_all_optimizers_of_the_package_are_compared():
    assert set(OPTIMIZERS) == set(keras_optims.OPTIMIZERS) - {"sgd"}
    assert TABLES.optimizers == OPTIMIZERS
    assert TABLES.problems[:2] == ["digits_mlp", "mnist_mlp"]


def test_each_setting_was_trained_with_the_same_seeds_which_no_search_had():
    for problem in TABLES.problems:
        seeds = {
            tuple(line.seed for line in TABLES.lines(problem, name, kind)) for name in OPTIMIZERS for kind in (BEST, DEFAULT)
        }
        assert len(seeds) == 1
        assert len(set(*seeds)) == TABLES.setups[problem].seeds >= 10


def test_the_searches_had_equal_budgets():
    trained, diverged = collections.Counter(), set()
    lines = {(line.problem, line.optimizer, line.number): line for line in TABLES.trials}
    for (problem, name, _), line in lines.items():
        trained[problem, name] += line.epochs - (0 if line.continues is None else lines[problem, name, line.continues].epochs)
        diverged |= {(problem, name)} if line.state == "diverged" else set()
    for problem in TABLES.problems:
        setup = TABLES.setups[problem]
        for name in OPTIMIZERS:
            if (problem, name) not in diverged:  # those have trained fewer epochs than they were to
                assert setup.budget - setup.epochs < trained[problem, name] <= setup.budget


def test_every_setting_lies_in_the_ranges_that_are_kept_with_the_tables():
    assert list(TABLES.axes) == OPTIMIZERS
    defaults = {name: default_setting(name) for name in OPTIMIZERS}
    for line in TABLES.trials:
        axes = TABLES.axes[line.optimizer]
        assert list(line.setting) == list(axes)
        outside = [
            name for name, value in line.setting.items() if not 0.9999 * axes[name].low <= value <= 1.0001 * axes[name].high
        ]
        assert not outside or line.setting == pytest.approx(defaults[line.optimizer])


def test_accuracies_are_shares_of_the_test_samples():
    for line in TABLES.trainings:
        setup = TABLES.setups[line.problem]
        assert (line.test is None) == (line.state != "completed")
        if setup.metric == "accuracy" and line.test is not None:
            assert line.test * setup.test == pytest.approx(round(line.test * setup.test), abs=0.02)
            assert line.validation == pytest.approx(max(line.curve), abs=1e-5)


def test_bytes_of_state_are_those_of_the_formulas():
    memory = {name: TABLES.bytes_per_weight(name) for name in OPTIMIZERS}
    assert [memory[name] for name in ("gradient_descent", "momentum", "lion", "adam", "adan")] == [0, 4, 4, 8, 16]
    assert memory["adafactor"] < 4 < memory["muon"] + 0.5
    assert memory["soap"] > 8


def test_the_pages_say_what_the_tables_say():
    texts = evidence_pages.all_renewed(TABLES)
    assert evidence_pages.PAGES.keys() < texts.keys()
    assert {"gradient_descent.md", "adagrad.md", "lion.md"} < {page.name for page in texts}
    assert [page.name for page, text in texts.items() if page.read_text() != text] == []


def test_a_range_whose_best_values_are_at_an_end_must_be_wider_now(monkeypatch):
    assert TABLES.edges()
    assert "→" in evidence_defaults.ranges(TABLES, False)
    monkeypatch.setattr(evidence_defaults, "axes", TABLES.axes.__getitem__)
    with pytest.raises(evidence_text.NoLongerTrueError, match=r"\[widened\]"):
        evidence_defaults.ranges(TABLES, False)


def test_the_page_of_an_optimizer_has_a_note_where_and_only_where_the_tables_give_reason(monkeypatch):
    noted = evidence_defaults.noted(TABLES)
    assert "adagrad" in noted
    assert "yogi" not in noted
    monkeypatch.setattr(evidence_defaults, "noted", lambda evidence: [*noted, "yogi"])
    with pytest.raises(SearchError, match=r"^yogi.md: A page must have <!-- evidence --> and "):
        evidence_pages.optimizers_renewed(TABLES)
    monkeypatch.setattr(evidence_defaults, "noted", lambda evidence: noted[:-1])
    with pytest.raises(SearchError, match=rf"^{noted[-1]}.md has <!-- evidence -->, but "):
        evidence_pages.optimizers_renewed(TABLES)


def test_the_pages_have_the_picture_of_these_tables(tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "which.png"
    evidence_pictures.draw(TABLES, picture)
    assert picture.read_bytes()[16:24] == evidence_pages.PICTURE.read_bytes()[16:24]  # width and height
    for kind in (BEST, DEFAULT):
        x, y = evidence_pictures.steps(TABLES, "adam", kind)
        assert x == sorted(x)
        assert y == sorted(y)
        assert y[-1] == TABLES.profile("adam", kind, evidence_pictures.POINTS)


# -- what is made of tables ------------------------------------------------------------------------


def setup(problem="digits_mlp", metric="accuracy", near=0.01):
    return Setup(problem, "digits", metric, near, 1056, 360, 360, 32, 4, 1, {}, 16, 3, "tensorflow", "keras 3")


def trainings(optimizer, best, default, problem="digits_mlp", curve=(0.5, 0.9)):
    return [
        Training(problem, optimizer, kind, seed, "diverged" if value is None else "completed", value, value, curve)
        for kind, values in ((BEST, best), (DEFAULT, default))
        for seed, value in enumerate(values)
    ]


def trial(number, score, optimizer="momentum", epochs=1, continues=None, **setting):
    state = "diverged" if score is None else "completed"
    return Trial("digits_mlp", optimizer, number, continues, epochs, state, score, {**default_setting(optimizer), **setting})


def made_up(*lines, trials=(), costs=(), **how):
    searched = ranges.declared(["momentum", "adam"])
    return Evidence([setup(**how)], list(trials), [line for part in lines for line in part], list(costs), searched)


def test_distances_are_points_below_the_best():
    found = made_up(trainings("momentum", [0.91, 0.92, 0.93], [0.5] * 3), trainings("adam", [0.95, 0.96, 0.97], [0.9] * 3))
    assert found.best("digits_mlp") == "adam"
    assert found.gap("digits_mlp", "momentum") == pytest.approx(4)
    assert found.gap("digits_mlp", "momentum", DEFAULT) == pytest.approx(46)
    assert found.profile("momentum", BEST, 3.9) == 0
    assert found.profile("momentum", BEST, 4.1) == 1
    assert found.poor_defaults() == {"momentum": ["digits_mlp"], "adam": ["digits_mlp"]}
    assert found.poor_defaults(points=10) == {"momentum": ["digits_mlp"]}


def test_of_a_loss_less_is_better():
    lines = (
        trainings("momentum", [2.1] * 3, [2.5] * 3, curve=(2.6, 2.4)),
        trainings("adam", [2.0] * 3, [2.5] * 3, curve=(2.7, 2.6)),
    )
    found = made_up(*lines, metric="loss", near=0.02)
    assert found.best("digits_mlp") == "adam"
    assert found.gap("digits_mlp", "momentum") == pytest.approx(5)
    assert found.target("digits_mlp") == 2.5
    assert found.epochs_to_target("digits_mlp", "momentum") == 2
    assert found.epochs_to_target("digits_mlp", "adam") == math.inf


def test_a_setting_of_which_most_trainings_diverge_is_infinitely_far_away():
    found = made_up(trainings("momentum", [0.9, None, None], [0.9, 0.9, None]), trainings("adam", [0.95] * 3, [0.9] * 3))
    assert found.reached("digits_mlp", "momentum") is None
    assert found.gap("digits_mlp", "momentum") == math.inf
    assert found.diverged("digits_mlp", "momentum", DEFAULT) == 1
    assert found.gap("digits_mlp", "momentum", DEFAULT) == pytest.approx(5)


def test_pairs_differ_only_by_more_than_chance_makes_of_as_many():
    near, apart = [0.90, 0.92, 0.91, 0.93], [0.80, 0.821, 0.812, 0.829]
    found = made_up(trainings("momentum", near, near), trainings("adam", near[::-1], near), trainings("lion", apart, near))
    assert len(found.pairs("digits_mlp")) == 3
    assert not found.differs("digits_mlp", "momentum", "adam")
    assert found.differs("digits_mlp", "momentum", "lion")
    assert found.not_worse("digits_mlp") == ["momentum", "adam"]


def test_seconds_to_the_target_are_epochs_times_the_time_of_an_epoch():
    cost = Cost("digits_mlp", "adam", 4810, 38480, 33, 2.0, 1.9, 2.2, 7)
    found = made_up(trainings("adam", [0.95] * 3, [0.9] * 3, curve=(0.5, 0.8, 0.9)), costs=[cost])
    assert found.epochs_to_target("digits_mlp", "adam") == 3
    assert found.seconds_to_target("digits_mlp", "adam") == pytest.approx(3 * 33 * 0.002)
    assert found.bytes_per_weight("adam") == 8


def test_the_share_near_the_best_is_of_the_spread_settings_after_their_first_epochs():
    trials = [trial(0, 0.99, epochs=4), trial(1, 0.80), trial(2, 0.78), trial(3, 0.70), trial(4, None)]
    trials += [trial(5, 0.95, epochs=4, continues=1)]
    found = made_up(trainings("momentum", [0.9] * 3, [0.9] * 3), trials=trials)
    assert found.share_near("digits_mlp", "momentum", 3) == 0.5
    assert found.share_near("digits_mlp", "momentum", 1) == 0.25
    assert found.mean_share_near("momentum", 1) == pytest.approx((0.25, math.sqrt(0.25 * 0.75 / 4)))


def test_an_edge_is_where_the_best_values_are_at_the_end_of_the_range():
    axis, lines = axes("momentum")["learning_rate"], trainings("momentum", [0.9] * 3, [0.9] * 3)
    trials = [trial(0, 0.9, epochs=4), trial(1, 0.99, learning_rate=axis.low), trial(2, 0.95, epochs=4, learning_rate=axis.high)]
    found = made_up(lines, trials=trials)
    assert found.best_setting("digits_mlp", "momentum")["learning_rate"] == axis.high  # of those that trained longest
    assert found.edges() == []  # of one search
    both = [*trials, *(dataclasses.replace(each, problem="mnist_mlp") for each in trials)]
    other = [dataclasses.replace(line, problem="mnist_mlp") for line in lines]
    setups, searched = [setup(), setup("mnist_mlp")], ranges.declared(["momentum"])
    found = Evidence(setups, both, [*lines, *other], [], searched)
    assert found.edges() == [Edge("momentum", "learning_rate", "high", ("digits_mlp", "mnist_mlp"), 2)]
    wider = [dataclasses.replace(line, high=10 * line.high) if line.scale == "log" else line for line in searched]
    assert Evidence(setups, both, [*lines, *other], [], wider).edges() == []  # what was searched counts, not what is declared


def test_with_what_to_start_is_the_smallest_of_the_best_rates_if_such_rates_are_better_than_the_default():
    lines = trainings("momentum", [0.9] * 3, [0.5] * 3, curve=(0.5, 0.5)) + trainings("adam", [0.95] * 3, [0.95] * 3)
    near = [trial(0, 0.8, learning_rate=0.31), trial(1, 0.7, learning_rate=0.2), trial(2, 0.1, learning_rate=0.001)]
    found = made_up(lines, trials=[*near, trial(3, 0.9, epochs=4, continues=0, learning_rate=0.31)])
    assert evidence_defaults.poor(found) == ["momentum"]
    assert evidence_defaults.start(found, "momentum") == 0.3
    assert evidence_defaults.start_is_better(found, "momentum")
    said = evidence_defaults.note(found, "momentum")
    assert "on 1 of 1 problems" in said
    assert "and 40.0 on average. It stays, because it is Keras's. Start with η = 0.3 instead" in said
    worse = [dataclasses.replace(line, score=0.4) if line.continues is None else line for line in found.trials]
    with pytest.raises(evidence_text.NoLongerTrueError, match=r"\[default_of_keras\]"):
        evidence_defaults.note(made_up(lines, trials=worse), "momentum")


def test_a_problem_counts_when_all_optimizers_are_done_there():
    lines = trainings("momentum", [0.9] * 3, [0.9] * 3), trainings("adam", [0.9] * 3, [0.9] * 3)
    more = trainings("adam", [0.9] * 3, [0.9] * 3, problem="mnist_mlp")
    found = Evidence([setup(), setup("mnist_mlp")], [], [*lines[0], *lines[1], *more], [], [])
    assert found.problems == ["digits_mlp"]


def test_a_recommendation_that_the_tables_do_not_support_is_an_error():
    found = made_up(trainings("momentum", [0.8] * 3, [0.8] * 3), trainings("adam", [0.95] * 3, [0.95] * 3))
    with pytest.raises(evidence_text.NoLongerTrueError, match=r"no longer support what \[search_of_several\] in"):
        evidence_text.search_of_several(found, False)


def test_tables_are_read_as_they_were_written(tmp_path):
    cost = Cost("digits_mlp", "adam", 4810, 38480, 33, 2.0, 1.9, 2.2, 7)
    lines = trainings("adam", [0.95, None], [0.9, 0.9], curve=(0.5, 0.8)) + trainings("momentum", [0.9], [0.9])
    for kind, own in (
        (Training, lines[::-1]),
        (Trial, [trial(0, 0.9), trial(1, None, continues=0)]),
        (Cost, [cost]),
        (Setup, [setup()]),
    ):
        write(own, kind, tmp_path)
        assert sorted(map(repr, read(kind, tmp_path))) == sorted(map(repr, own))
    assert [line.optimizer for line in read(Training, tmp_path)] == ["momentum"] * 2 + ["adam"] * 4
    assert read(Cost, tmp_path / "elsewhere") == []
    ranges.write(ranges.declared(OPTIMIZERS), tmp_path)
    assert ranges.read(tmp_path) == ranges.declared(OPTIMIZERS)
    assert ranges.read(tmp_path / "elsewhere") == []


# -- the scripts -----------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """`digits_mlp`, and another that is as large, for the processes of a test."""
    size = evidence_problems.Size("digits", "accuracy", 0.01, 256, 100, 100, 32, epochs=2, min_epochs=1, trainings=2)
    for problem in ("digits_mlp", "mnist_mlp"):
        monkeypatch.setitem(evidence_problems.SIZES, problem, size)


@pytest.mark.slow
def test_the_script_searches_confirms_writes_tables_and_goes_on(tiny, tmp_path, capsys, monkeypatch):
    command = [str(tmp_path / "stores"), "--problem", "digits_mlp", "--optimizer", "adadelta", "adam", "--tables", str(tmp_path)]
    assert evidence.main([*command, "--seeds", "2", "--minutes", "0.0001"]) == 0
    assert "0 of 2 are done" in capsys.readouterr().err
    assert evidence.main([*command, "--seeds", "2"]) == 0
    assert "all is done" in capsys.readouterr().err
    found = Evidence.read(tmp_path)
    assert (found.optimizers, found.problems) == (["adam", "adadelta"], ["digits_mlp"])
    assert [len(found.lines("digits_mlp", "adadelta", kind)) for kind in (BEST, DEFAULT)] == [2, 2]
    assert {len(line.curve) for line in found.trainings} == {2}
    store = SearchResult.load(tmp_path / "stores" / "digits_mlp" / "adam-default")
    assert found.setups["digits_mlp"].budget == 4
    assert store.config["confirms"] == default_setting("adam")
    assert len(store.config["space"]["axes"]) == 3
    before = (tmp_path / "trainings.csv").read_text()
    assert evidence.main([*command, "--seeds", "3"]) == 0
    assert set(before.splitlines()) < set((tmp_path / "trainings.csv").read_text().splitlines())
    (tmp_path / "trainings.csv").unlink()
    assert evidence.main([*command, "--seeds", "2", "--tables-only"]) == 0
    assert (tmp_path / "trainings.csv").read_text() == before
    assert ranges.read(tmp_path) == ranges.declared(["adam", "adadelta"])
    searched_over_other_ranges(tmp_path / "stores", command, monkeypatch, capsys)
    evidence_cost.main(["--problem", "digits_mlp", "--optimizer", "adam", "--rounds", "2", "--tables", str(tmp_path)])
    (cost,) = read(Cost, tmp_path)
    assert (cost.weights, cost.slots, cost.steps) == (4810, 8 * 4810, 8)
    assert 0 < cost.least <= cost.milliseconds <= cost.most
    assert evidence_pages.main(["--tables", str(tmp_path), "--check"]) == 2
    assert "have not done gradient_descent, momentum" in capsys.readouterr().err


def searched_over_other_ranges(stores, command, monkeypatch, capsys):
    """Searches of other ranges are never compared: a new one is refused, and so are tables of both."""

    def wider(optimizers):
        return [
            dataclasses.replace(line, high=0.99999) if line.hyperparameter == "rho" else line for line in declared(optimizers)
        ]

    declared = ranges.declared
    with monkeypatch.context() as patched:
        patched.setattr(ranges, "declared", wider)
        assert evidence.main([*command, "--seeds", "4"]) == 2
        told = capsys.readouterr().err
        assert "rho 0.8 to 0.9999, log1m (in " in told
        assert "rho 0.8 to 0.99999, log1m (by default now). Choose another folder" in told
        assert evidence.main([*command, "--seeds", "2", "--tables-only"]) == 0
    shutil.copytree(stores / "digits_mlp", stores / "mnist_mlp")
    store = sqlite3.connect(stores / "mnist_mlp" / "adadelta" / "search.sqlite")
    with store:
        store.execute("UPDATE search SET config = json_set(config, '$.space.axes.rho.high', 0.99999)")
    store.close()
    capsys.readouterr()
    assert evidence.main([*command, "--seeds", "2", "--tables-only"]) == 2
    assert "adadelta was not searched over the same ranges everywhere: " in capsys.readouterr().err
    shutil.rmtree(stores / "mnist_mlp")


def test_what_is_wrong_on_the_command_line_is_one_sentence(tmp_path, capsys):
    for flags, message in (
        (["--trials", "0"], "must be an int of at least 1; received '0'"),
        (["--minutes", "never"], "must be a number above 0; received 'never'"),
        (["--optimizer", "sdg"], "invalid choice: 'sdg'"),
    ):
        with pytest.raises(SystemExit, match="2"):
            evidence.main(flags)
        assert message in capsys.readouterr().err
    assert evidence.main([str(tmp_path), "--tables-only", "--tables", str(tmp_path)]) == 2
    assert "Nothing is complete in" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        evidence_cost.main(["--rounds", "0"])
