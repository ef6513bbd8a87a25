"""The notebook: it runs, what it says is so, and the outputs that it is kept with are those of this version."""

import pathlib
import re
import time

import pytest

pytest.importorskip("nbclient", reason="The extra notebook is not installed.")
import nbformat
from matplotlib import font_manager

from scripts import run_notebook

pytestmark = pytest.mark.backend("tensorflow")

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def kept():
    """The notebook as it is kept."""
    return nbformat.read(run_notebook.NOTEBOOK, as_version=4)


def code_cells(notebook):
    return {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}


def printed(cell):
    """What a cell put out as text; of a picture, and of a table beside its text, only the kind."""
    return [output.text if output.output_type == "stream" else sorted(output.data) for output in cell.outputs]


def accuracies(cell):
    """The accuracies that a cell printed, by the first word of their lines."""
    text = "".join(output.text for output in cell.outputs)
    return {name: float(value) for name, value in re.findall(r"^(\w+) .*accuracy (0\.\d+)", text, flags=re.MULTILINE)}


def test_the_notebook_is_kept_as_a_run_left_it(kept):
    nbformat.validate(kept)
    cells = code_cells(kept).values()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) > 10
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []


def test_the_notebook_holds_nothing_of_the_machine_that_ran_it(kept):
    assert kept.metadata == run_notebook.METADATA
    assert {name for cell in kept.cells for name in cell.metadata} <= {"alt", "tags"}
    for cell in kept.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)
    assert re.findall(r"(?<![\w.])/(?:\w+/)+|[A-Z]:\\\\|20\d\d-\d\d", nbformat.writes(kept)) == []


def test_the_notebook_is_small_and_its_pictures_are_described(kept):
    assert run_notebook.NOTEBOOK.stat().st_size < 600_000
    for name, cell in code_cells(kept).items():
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert len(cell.metadata.get("alt", "")) > 40, name


def test_links_of_the_notebook_lead_somewhere(kept):
    text = "\n".join(cell.source for cell in kept.cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\(([^)#:]+)", text)
    assert len(targets) > 5
    assert [target for target in targets if not (run_notebook.NOTEBOOK.parent / target).is_file()] == []


@pytest.mark.slow
@pytest.mark.data
def test_the_notebook_runs_in_less_than_five_minutes(kept, data_dir, tmp_path, monkeypatch):
    """Without a word on stderr, and with what it is kept with: to the letter where no training on MNIST is behind it."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    font_manager.fontManager  # Matplotlib says so if it has to look for the fonts first  # noqa: B018
    begun = time.monotonic()
    fresh = run_notebook.executed(tmp_path)
    assert time.monotonic() - begun < 300

    before, after = code_cells(kept), code_cells(fresh)
    stderr = {name: output.text for name in after for output in after[name].outputs if output.get("name") == "stderr"}
    assert stderr == {}
    exact = [name for name in after if "varies" not in after[name].metadata.get("tags", [])]
    assert {name: printed(after[name]) for name in exact} == {name: printed(before[name]) for name in exact}
    kinds = {name: [output.output_type for output in cell.outputs] for name, cell in before.items()}
    assert {name: [output.output_type for output in cell.outputs] for name, cell in after.items()} == kinds

    for name in ("baseline-run", "best", "final-run"):
        assert accuracies(after[name]) == pytest.approx(accuracies(before[name]), abs=0.01), name
    found = accuracies(after["final-run"])
    assert found["tuned"] > 0.977 > found["default"]
