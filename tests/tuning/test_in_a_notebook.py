"""What a notebook shows: results, optimizers and a running search, as HTML in which names are text."""

import html.parser
import re

import pytest
from rich.text import Text

import keras_optims
from tests.models import compiled, dense_model
from tests.tuning.hand_made import CONFIG, HOSTILE, MIXED, add_trial, make_comparison, make_search
from tuning import Store
from tuning.console.notebook import as_html
from tuning.results.comparison import Comparison
from tuning.results.search import SearchResult

pytestmark = pytest.mark.backend("tensorflow")

CELLS = [
    "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'; import tuning, keras_optims",
    "result = tuning.search('adam', problem='digits_mlp', trials=3, epochs=2, train_samples=256, jit='off', directory='found')",
    "result",
    "result.best",
]


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def read(page):
    """(the tags of a page, its text)."""
    parser = Tags()
    parser.feed(page)
    return set(parser.tags), parser.text


ALLOWED = {"div", "b", "code", "table", "thead", "tbody", "tr", "th", "td", "pre", "span"}


def test_results_are_tables_in_which_names_are_text(tmp_path):
    mixed = SearchResult.load(make_search(tmp_path / "mixed", MIXED))
    tags, text = read(mixed._repr_html_())
    assert tags <= ALLOWED
    for part in (mixed.best.line, "learning_rate", f"{mixed.count('diverged')} diverged", str(tmp_path / "mixed")):
        assert part in text
    best = mixed.best
    assert repr(best).startswith(f"TrialRecord({best.number}, completed, {best.score:.6g}, learning_rate=")
    assert len(repr(best)) < 200
    tags, text = read(best._repr_html_())
    assert tags <= ALLOWED
    assert f"Trial {best.number}" in text

    with Store.create(tmp_path / "hostile", {**CONFIG, "space": None, "problem": HOSTILE}, {}) as store:
        add_trial(store, 0, "completed", 0.5, values={HOSTILE: HOSTILE})
        add_trial(store, 1, "failed", values={HOSTILE: HOSTILE}, message=HOSTILE)
    hostile = SearchResult.load(tmp_path / "hostile")
    for shown in (hostile, *hostile.trials):
        tags, text = read(shown._repr_html_())
        assert tags <= ALLOWED
        assert HOSTILE in text
    tags, text = read(as_html(Text(HOSTILE, style="red")))
    assert tags == {"pre", "span"}
    assert HOSTILE in text.replace("\n", "")


def test_a_comparison_is_a_table(tmp_path):
    comparison = Comparison.load(make_comparison(tmp_path / "comparison"))
    comparison.content["problem"] = HOSTILE
    tags, text = read(comparison._repr_html_())
    assert tags <= ALLOWED
    assert HOSTILE in text
    for entry in comparison.optimizers:
        assert entry["line"] in text


def test_optimizers_and_what_they_explain_are_tables():
    rule = keras_optims.Rule("bias", weight_decay=None, learning_rate_multiplier=0.5)
    optimizer = keras_optims.AdamW(0.01, rules=[rule])
    tags, text = read(optimizer._repr_html_())
    assert tags <= ALLOWED
    assert "not built yet" in text
    for part in (
        repr(optimizer),
        "η",
        "learning_rate0.01",
        "rules[0].learning_rate_multiplier0.5",
        "decay rate of the first moment",
    ):
        assert part in text
    assert "clipnorm" not in text
    compiled(optimizer, model := dense_model())
    optimizer.build(model.trainable_variables)
    optimizer.beta_1 = 0.5
    assert "beta_10.5" in read(optimizer._repr_html_())[1]
    assert "0 updates" in read(optimizer._repr_html_())[1]
    explained = optimizer.explain()
    tags, text = read(explained._repr_html_())
    assert tags <= ALLOWED
    assert all(line.variable in text and line.why in text for line in explained)
    momentum = keras_optims.SGD(keras_optims.schedules.Cosine(0.1, 10), momentum=0.9)
    assert "Cosine(" in read(momentum._repr_html_())[1]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A notebook with a search, run."""
    nbclient = pytest.importorskip("nbclient", reason="The extra notebook is not installed.")
    import nbformat

    folder = tmp_path_factory.mktemp("notebook")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("KERAS_BACKEND", "tensorflow")
        client = nbclient.NotebookClient(made, timeout=200, resources={"metadata": {"path": str(folder)}})
        client.execute()
    return made


def test_a_search_in_a_notebook_is_one_output_that_ends_with_all_trials(notebook):
    _, search, result, best = notebook.cells
    (shown,) = (output for output in search.outputs if output.output_type == "display_data")
    text = read(shown.data["text/html"])[1]
    assert "3/3" in text
    assert "Adam on digits_mlp" in text
    assert re.search(r"best: 0\.\d+ in trial \d", text)
    assert [output.text for output in search.outputs if output.get("name") == "stderr"] == []
    assert "text/html" in result.outputs[0].data
    assert result.outputs[0].data["text/plain"].startswith("SearchResult(found, 3 trials, best")
    assert best.outputs[0].data["text/plain"].startswith("TrialRecord(")
