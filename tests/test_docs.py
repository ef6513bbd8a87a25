"""What the documents say is true: their Python runs, their links lead somewhere, their tables are complete."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.forks import Forks

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def forks():
    with Forks(ROOT) as forks:
        yield forks


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=lambda page: page.name)
def test_python_of_a_page_runs(page, tmp_path, forks):
    """All blocks of a page, in one program, from an empty folder."""
    (tmp_path / "page.py").write_text("\n".join(python_blocks(page)))
    returncode, output = forks.run(tmp_path, "page.py")
    assert returncode == 0, output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "returncode"), [("raise ValueError('a' + 'b')", 1), ("import sys; sys.exit(3)", 3), ("print('ab')", 0)]
)
def test_a_page_that_fails_is_noticed(program, returncode, tmp_path, forks):
    (tmp_path / "page.py").write_text(program)
    status, output = forks.run(tmp_path, "page.py")
    assert status == returncode
    assert "ab" in output or returncode == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_readme_lists_all_optimizers():
    import keras_optims

    listed = re.findall(r"^\| `(\w+)` \| \[(\w+)\]\((\S+)\)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert listed == [
        (name, cls.__name__, cls.__module__.replace(".", "/") + ".py") for name, cls in keras_optims.OPTIMIZERS.items()
    ]


def test_each_backend_trains_a_model_with_each_optimizer():
    """The script that shows it ends well, and has a line for each."""
    import keras_optims

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "scripts/train_each.py"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == list(keras_optims.OPTIMIZERS)
