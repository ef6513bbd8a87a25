"""What the documents say is true: their Python runs, their links lead somewhere, their tables are complete."""

import re

import keras
import pytest

import keras_optims
import tuning
from keras_optims.hyperparameter import Option
from tests.pages import PAGES, ROOT, indented_blocks, is_command, python_blocks


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if python_blocks(page)], ids=lambda page: page.name)
def test_python_of_a_page_runs(page, tmp_path, forks):
    """All blocks of a page, in one program, from an empty folder."""
    (tmp_path / "page.py").write_text("\n".join(python_blocks(page)))
    returncode, output = forks.run(tmp_path, "page.py")
    assert returncode == 0, output


@pytest.mark.parametrize(
    ("name", "backend"),
    [pytest.param(name, on, marks=pytest.mark.backend(on)) for name, on in (("performance", "tensorflow"), ("rules", "jax"))],
)
def test_what_a_page_shows_is_what_its_python_prints(name, backend, capsys):
    page = ROOT / f"docs/{name}.md"
    keras.backend.clear_session()  # the names of layers begin anew
    exec(python_blocks(page)[0], {})
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    (shown,) = (block for block in indented_blocks(page) if not is_command(block[0]))
    for line in shown:
        assert line == "..." or line.split() in printed


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
    listed = re.findall(r"^\| `(\w+)` \| \[(\w+)\]\((\S+)\)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert listed == [
        (name, cls.__name__, cls.__module__.replace(".", "/") + ".py") for name, cls in keras_optims.OPTIMIZERS.items()
    ]


def row(name, declared):
    """What the table of an optimizer's page says of an argument."""
    if isinstance(declared, Option) and isinstance(declared.default, bool):
        return [f"`{name}`", "", f"`{declared.default}`", "`True`, `False`", ""]
    if isinstance(declared, Option) and declared.choices:
        choices = [*([None] if declared.optional else []), *declared.choices]
        default, *allowed = ("`None`" if each is None else f'`"{each}"`' for each in (declared.default, *choices))
        return [f"`{name}`", "", default, ", ".join(allowed), ""]
    symbol, search = getattr(declared, "symbol", ""), getattr(declared, "search", None)
    looks_in = ""
    if search is not None and search.by_default:
        scale = {"log": "log", "log1m": f"log in 1−{symbol}"}[search.scale]
        looks_in = f"{search.low:g} to {search.high:g}, {scale}"
    default = "`None`" if declared.default is None else f"{declared.default:g}"
    allowed = f"`None`, {declared.domain}" if declared.default is None else str(declared.domain)
    return [f"`{name}`", symbol, default, allowed, looks_in]


@pytest.mark.parametrize("name", keras_optims.OPTIMIZERS)
def test_the_page_of_an_optimizer_lists_what_it_declares(name):
    cls = keras_optims.OPTIMIZERS[name]
    declared = {**cls.hyperparameters(), **cls.options()}
    common = {**keras_optims.Optimizer.hyperparameters(), **keras_optims.Optimizer.options()}
    own = [row(argument, value) for argument, value in declared.items() if common.get(argument) is not value]
    text = (ROOT / f"docs/optimizers/{name}.md").read_text()
    listed = [[cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| `.*", text, flags=re.MULTILINE)]
    assert sorted(listed) == sorted(own)


def test_the_pages_of_the_api_have_all_public_names():
    text = "\n".join(page.read_text() for page in ROOT.glob("docs/api/*.md"))
    listed = set(re.findall(r"^::: ([\w.]+)$", text, flags=re.MULTILINE))
    ours = {
        f"keras_optims.{name}" for name in keras_optims.__all__ if name not in ("FAMILIES", "OPTIMIZERS", "metal", "schedules")
    }
    ours |= {f"keras_optims.schedules.{name}" for name in keras_optims.schedules.__all__}
    theirs = {f"{getattr(tuning, name).__module__}.{name}" for name in tuning.__all__}
    ours = ours - {"keras_optims.sam"} | {"keras_optims.sam.sam"}  # a function in a module of its own name
    checks = {f"keras_optims.testing.{name}" for name in ("check_optimizer", "parametrize_with_checks")}
    assert listed >= ours | theirs | checks


def test_each_backend_trains_a_model(forks, tmp_path):
    """The script that shows it ends well, and has a line for each; without names, which takes longer, for all."""
    names = ["adam", "ftrl"]
    returncode, output = forks.run(tmp_path, ROOT / "scripts/train_each.py", *names)
    assert returncode == 0, output
    lines = [line.split() for line in output.splitlines() if line.startswith(f"{keras.backend.backend()}  ")]
    assert [line[1] for line in lines] == names
