"""What is installed: the metadata, the wheel, and that importing one part does not import the others."""

import configparser
import importlib.metadata
import pathlib
import re
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def metadata():
    try:
        return importlib.metadata.metadata("keras-optims")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("keras-optims is not installed in this environment")


def requirements():
    """The requirements that the installed package states, each with its marker."""
    return importlib.metadata.requires("keras-optims")


def test_metadata_says_what_it_is(metadata):
    assert metadata["Name"] == "keras-optims"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    extras = {"tensorflow", "jax", "torch", "tuning", "pictures", "ray", "notebook", "metal", "docs", "dev", "mlflow", "wandb"}
    assert set(metadata.get_all("Provides-Extra")) >= extras


def test_the_library_needs_only_keras_and_numpy(metadata):
    always = [requirement for requirement in requirements() if "extra ==" not in requirement]
    assert {re.match(r"[\w-]+", requirement).group() for requirement in always} == {"keras", "numpy"}


def test_the_command_is_the_one_of_tuning(metadata):
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="keras-optims")
    assert command.value == "tuning.cli:main"


def test_pyproject_holds_no_metadata():
    import tomllib

    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system", "tool"}


def test_the_changelog_knows_the_version():
    setup = configparser.RawConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert f"## {setup['metadata']['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.slow
def test_the_wheel_holds_both_packages_and_nothing_else(tmp_path):
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    # From a copy: a build leaves its own files in the folder that it builds.
    for name in tracked.stdout.splitlines():
        if (ROOT / name).is_file():
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "source" / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            tmp_path,
            "./source",
        ],
        cwd=tmp_path,
        check=True,
    )
    (wheel,) = tmp_path.glob("keras_optims-*-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {name for name in names if ".dist-info/" not in name}
    expected = {
        name
        for name in tracked.stdout.splitlines()
        if re.fullmatch(
            r"(keras_optims|tuning)/.*(\.py|/py\.typed|/templates/.*|/(metal_ops|optimizers)\.json)|.*/py\.typed", name
        )
    }
    assert packages == expected
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def imported(code):
    """The names of the top-level modules that a fresh interpreter has imported after `code`."""
    report = "import sys; print('\\n', *sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_optimizers_imports_nothing_but_keras(forks, tmp_path):
    def after_importing(name):
        (tmp_path / "program.py").write_text(f"import {name}\nimport sys\nprint()\nprint(*sys.modules)")
        returncode, output = forks.run(tmp_path, "program.py")
        assert returncode == 0, output
        return {name.partition(".")[0] for name in output.splitlines()[-1].split()}

    beyond_keras = after_importing("keras_optims") - after_importing("keras")
    assert beyond_keras - sys.stdlib_module_names == {"keras_optims"}


@pytest.mark.parametrize(
    "code",
    ["import tuning", "import tuning.cli\nassert tuning.cli.main(['--help']) == 0"],
    ids=["import tuning", "keras-optims --help"],
)
def test_the_search_imports_nothing_heavy_before_it_is_used(code):
    assert not imported(code) & {"keras", "keras_optims", "tensorflow", "jax", "torch", "keras_tuner", "numpy"}
