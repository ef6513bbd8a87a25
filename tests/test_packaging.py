"""What is installed: the metadata, the wheel, and that importing one part does not import the others."""

import configparser
import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

from scripts import smoke_test

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
    extras = {"tensorflow", "jax", "torch", "tuning", "pictures", "ray", "notebook", "metal", "docs", "release", "dev"}
    extras |= {"mlflow", "wandb"}
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


# -- what is published ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tracked():
    """The files that git tracks."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory):
    """The folder with the source distribution, and the wheel that was built from it."""
    pytest.importorskip("build", reason="The extra release is not installed.")
    folder = tmp_path_factory.mktemp("built")
    for name in tracked:  # from a copy: a build leaves its own files in the folder that it builds
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    # With the setuptools that is installed: the release builds with the one that pyproject.toml wants, which is a download.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder / "source"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_wheel_holds_both_packages_and_nothing_else(built, tracked):
    (wheel,) = built.glob("keras_optims-*-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = {name for name in names if ".dist-info/" not in name}
    files = r"(keras_optims|tuning)/.*(\.py|/py\.typed|/templates/.*|/(metal_ops|optimizers)\.json)|.*/py\.typed"
    assert packages == {name for name in tracked if re.fullmatch(files, name)}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_source_distribution_holds_every_file_of_the_repository(built, tracked):
    """So its tests run from it: they read the documents, the scripts and the workflows as well."""
    (archive,) = built.glob("keras_optims-*.tar.gz")
    with tarfile.open(archive) as files:
        names = {member.name.partition("/")[2] for member in files if member.isfile()}
    made = {name for name in names if name == "PKG-INFO" or name.startswith("keras_optims.egg-info/")}
    assert names - made == tracked


@pytest.mark.slow
def test_the_package_index_would_take_both(built):
    files = [path for path in built.iterdir() if path.is_file()]
    assert len(files) == 2
    done = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_smoke_test_wants_a_wheel_and_a_python_that_runs(tmp_path, capsys):
    (tmp_path / "some.whl").touch()
    for words, said in (
        ([str(tmp_path / "none.whl")], "WHEEL must be a file that `python -m build` has made"),
        ([str(tmp_path / "some.whl"), "--python", str(tmp_path / "python")], "is no Python that runs"),
    ):
        with pytest.raises(SystemExit) as ended:
            smoke_test.main(words)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


# -- what is imported -----------------------------------------------------------------------------


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
