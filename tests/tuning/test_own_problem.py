"""Problems of one's own: what `keras-optims init` writes works as it is, and is what the page shows."""

import json
import pathlib
import sys

import pytest

from tests import pages
from tests.tuning.conftest import JIT, one_sentence
from tuning.names import KINDS
from tuning.problems.writing import TEMPLATES

PAGE = pages.ROOT / "docs/own_problem.md"


@pytest.fixture
def written(command, monkeypatch):
    """Writes a file of a kind, and imports it anew: kind -> (what `init` printed, its name for --problem)."""
    monkeypatch.syspath_prepend("")

    def write(kind):
        monkeypatch.delitem(sys.modules, "my_problem", raising=False)
        status, stdout, _ = command("init", "my_problem.py", "--kind", kind, "--json")
        assert status == 0
        return json.loads(stdout), "my_problem:make_problem"

    yield write
    sys.modules.pop("my_problem", None)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.backend("torch")] * (kind == "torch")) for kind in KINDS])
def test_what_init_writes_can_be_tuned(kind, written, command):
    printed, problem = written(kind)
    assert printed["file"] == "my_problem.py"
    assert printed["search"].startswith(f"keras-optims tune adam --problem {problem}")
    status, stdout, stderr = command("tune", "adam", "--problem", problem, "--trials", 1, "--epochs", 1, "--jit", JIT, "--json")
    assert status == 0, stderr
    (trial,) = json.loads(stdout)["trials"]
    assert trial["state"] == "completed"


def test_the_page_shows_what_init_writes():
    shown = {*pages.python_blocks(PAGE), *("\n".join(block) + "\n" for block in pages.indented_blocks(PAGE))}
    shown = {text.replace("\n\n\n", "\n\n") for text in shown}  # two empty lines end an indented block
    written = {kind: (TEMPLATES / f"{kind}.py").read_text().replace("\n\n\n", "\n\n") for kind in KINDS}
    assert {kind: written[kind] in shown for kind in KINDS} == dict.fromkeys(KINDS, True)
    assert {path.stem for path in TEMPLATES.iterdir() if path.suffix == ".py"} == set(KINDS)


def test_init_writes_over_a_file_only_with_force(command):
    pathlib.Path("my_problem.py").write_text("mine")
    status, _, stderr = command("init", "my_problem.py")
    assert status == 2
    assert "--force" in one_sentence(stderr)
    assert pathlib.Path("my_problem.py").read_text() == "mine"
    status, stdout, _ = command("init", "my_problem.py", "--force")
    assert (status, stdout) == (0, "my_problem.py\n")
    assert "make_problem" in pathlib.Path("my_problem.py").read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my-problem.py", "name of a Python module"),
        ("class.py", "name of a Python module"),
        ("my_problem", "name of a Python module"),
        ("keras.py", "would hide the module keras"),
        ("random.py", "would hide the module random"),
        ("nowhere/my_problem.py", "cannot be written: No such file"),
    ],
)
def test_init_refuses_a_name_that_cannot_be_imported(name, reason, command):
    status, _, stderr = command("init", name, "--force")
    assert status == 2
    assert reason in one_sentence(stderr)
    assert list(pathlib.Path().iterdir()) == []


def test_a_file_in_the_place_of_a_module_is_answered_with_the_module(command):
    status, _, stderr = command("tune", "adam", "--problem", "my_problem.py:make_problem")
    assert status == 2
    assert "here my_problem:make_problem" in one_sentence(stderr)
