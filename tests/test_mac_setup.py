"""Setting up the GPU of a Mac, as far as another machine can tell: what the extra `metal` installs where, and the script for it.

Nothing in here runs on a Mac's GPU. The resolver is told to resolve for a Mac; the script meets a Mac whose commands are stubs.
"""

import configparser
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = pathlib.Path(__file__).parents[1]
PINS = {
    "tensorflow": "==2.19.1",
    "tensorflow-metal": "==1.2.0",
    "keras": "<3.16,>=3.15",
    "numpy": "<2.2,>=1.26",
    "protobuf": "<6",
}
NEWER_PYTHON = "keras-optims==0+tensorflow.metal.needs.python.3.11.or.3.12"

pytestmark = pytest.mark.backend("tensorflow")  # nothing in here depends on the backend


# -- what the extra says --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def setup():
    parser = configparser.RawConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def required(setup, extra, platform, machine, python):
    """The requirements of an extra that hold on a machine, as text without their markers."""
    found = [Requirement(line) for line in setup["options.extras_require"][extra].strip().splitlines() if line[0] != "#"]
    environment = {"sys_platform": platform, "platform_machine": machine, "python_version": python}
    return {str(each).partition(";")[0] for each in found if each.marker is None or each.marker.evaluate(environment)}


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_apple_silicon_gets_the_versions_that_work_together(setup, python):
    assert required(setup, "metal", "darwin", "arm64", python) == {name + pin for name, pin in PINS.items()}


def test_a_newer_python_on_apple_silicon_gets_nothing_but_the_reason(setup):
    for python in ("3.13", "3.14"):
        assert required(setup, "metal", "darwin", "arm64", python) == {NEWER_PYTHON}


@pytest.mark.parametrize(
    ("platform", "machine", "tensorflow"),
    [
        ("linux", "x86_64", "tensorflow>=2.19.1"),
        ("linux", "aarch64", "tensorflow>=2.19.1"),
        ("win32", "AMD64", "tensorflow>=2.19.1"),
        ("darwin", "x86_64", "tensorflow>=2.16.2"),
        ("darwin", "arm64", "tensorflow>=2.19.1"),
    ],
)
def test_every_other_machine_gets_plain_tensorflow(setup, platform, machine, tensorflow):
    for python in ("3.11", "3.13"):
        assert required(setup, "tensorflow", platform, machine, python) == {tensorflow}
        if (platform, machine) != ("darwin", "arm64"):
            assert required(setup, "metal", platform, machine, python) == {"keras-optims[tensorflow]"}


def test_the_tests_on_the_mac_s_tensorflow_run_on_the_versions_of_the_extra():
    """The environment tensorflow-2.19.1, on any machine: all of the extra but the plug-in itself."""
    (packages,) = re.findall(
        r"^ *tensorflow-2\.19\.1\) packages=\((.*)\) ;;$", (ROOT / "scripts/environment.sh").read_text(), re.M
    )
    pinned = {str(Requirement(each)) for each in shlex.split(packages)[1:]}
    assert pinned == {name + pin for name, pin in PINS.items() if name != "tensorflow-metal"}


# -- what the resolver makes of it ----------------------------------------------------------------


def compiled(requirements, *options, cwd):
    """uv's answer to what is to be installed for `requirements`."""
    command = [sys.executable, "-m", "uv", "pip", "compile", str(requirements), *options]
    command += ["--no-header", "--no-annotate", "--quiet", "--no-python-downloads"]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What the package's metadata are made from, in a folder of its own: to make them leaves files there."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    (folder / "six.in").write_text("six\n")
    probe = compiled("six.in", "--no-deps", "--no-cache", cwd=folder)  # a package that every registry has
    assert "No module named uv" not in probe.stderr, "uv is missing: install the extra `dev`."
    if probe.returncode:
        pytest.skip(f"no package registry can be reached: {probe.stderr.splitlines()[-1].strip()}")
    return folder


def resolved(source, platform, python):
    """name -> version of all that the extra `metal` installs on a platform."""
    options = ("--extra", "metal", "--python-platform", platform, "--python-version", python, "--no-build-isolation")
    done = compiled("setup.cfg", *options, cwd=source)
    assert done.returncode == 0, done.stderr
    lines = [line.partition(" ;")[0].split("==") for line in done.stdout.splitlines()]
    return {name: Version(version) for name, version in lines}


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_on_apple_silicon_the_extra_resolves_to_the_versions_that_work_together(source, python):
    found = resolved(source, "aarch64-apple-darwin", python)
    for name, pin in PINS.items():
        assert found[name] in Requirement(name + pin).specifier, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "python"),
    [("x86_64-unknown-linux-gnu", "3.13"), ("aarch64-unknown-linux-gnu", "3.12"), ("x86_64-pc-windows-msvc", "3.11")],
)
def test_on_linux_and_windows_the_extra_resolves_to_the_newest_tensorflow(source, platform, python):
    found = resolved(source, platform, python)
    assert "tensorflow-metal" not in found
    assert found["tensorflow"] >= Version("2.21")
    assert found["keras"] >= Version("3.10")


@pytest.mark.slow
def test_on_an_intel_mac_the_extra_resolves_to_the_last_tensorflow_that_runs_there(source):
    found = resolved(source, "x86_64-apple-darwin", "3.12")
    assert "tensorflow-metal" not in found
    assert found["tensorflow"] == Version("2.16.2")
    assert found["keras"] >= Version("3.10")


@pytest.mark.slow
def test_on_apple_silicon_a_newer_python_is_told_what_is_wrong(source):
    with pytest.raises(AssertionError, match=re.escape(NEWER_PYTHON.removeprefix("keras-optims"))):
        resolved(source, "aarch64-apple-darwin", "3.13")


# -- the script, on a Mac of stubs ----------------------------------------------------------------

TOOLS = ("bash", "cat", "cp", "dirname", "env", "ls", "mkdir", "sed")  # all else that the script may call is a stub


class Mac:
    """A folder that is the whole PATH: a few real tools, and stubs that play a Mac and write down what was called.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder):
        self.bin, self.calls_file, self.venv = folder / "bin", folder / "calls", folder / "environment"
        self.bin.mkdir()
        self.environment = {"PATH": str(self.bin), "HOME": str(folder)}
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.stub("uname", 'case $1 in -s) echo Darwin ;; -m) echo "${MACHINE:-arm64}" ;; esac')
        self.stub("sysctl", "exit 1")
        self.stub("sw_vers", "echo 15.6.1")

    def stub(self, name, body, folder=None):
        """An executable that notes its call, then does what `body` says. Its path."""
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{shlex.quote(str(self.calls_file))}\n{body}\n')
        path.chmod(0o755)
        return path

    def python(self, name="python3.12", version=(3, 12), machine="arm64", folder=None, doctor=0):
        """A Python that answers what it is asked as one of this version and machine would; its environments have a doctor."""
        answer = f"import platform, sys; platform.machine = lambda: {machine!r}; sys.version_info = {version!r}"
        inside = self.bin.parent / f"python of an environment of {name}"
        command = self.bin.parent / f"doctor of {name}"
        body = f"""
            case "$1 $2" in
              "-c "*) exec {shlex.quote(sys.executable)} -I -S -c "{answer}; $2" ;;
              --version*) echo Python {version[0]}.{version[1]}.0 ;;
              "-m venv")
                mkdir -p "$4/bin"
                echo made >"$4/pyvenv.cfg"
                cp {shlex.quote(str(inside))} "$4/bin/python" ;;
              "-m pip") [ "$3" != install ] || cp {shlex.quote(str(command))} "${{0%/*}}/keras-optims" ;;
            esac"""
        self.stub(inside.name, body, inside.parent)
        self.stub(command.name, f"echo the findings; exit {doctor}", command.parent)
        inside.write_text(inside.read_text().replace(f'"{inside.name} ', '"environment '))
        command.write_text(command.read_text().replace(f'"{command.name} ', '"keras-optims '))
        return self.stub(name, body, folder)

    def set_up(self, *arguments, **changes):
        """Runs the script: (exit status, stdout, stderr)."""
        command = ["bash", str(ROOT / "scripts/setup_mac.sh"), *(arguments or ("--directory", str(self.venv)))]
        environment = self.environment | changes
        done = subprocess.run(
            command,
            env=environment,
            executable=self.bin / "bash",
            cwd=self.bin.parent,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    @property
    def calls(self):
        """What was called, without the questions of what machine and Python this is."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [
            line for line in lines if not re.match(r"uname|sysctl|sw_vers|\S+ (-c|--version)|environment -m pip --version", line)
        ]


@pytest.fixture
def mac(tmp_path):
    return Mac(tmp_path)


def refused(mac, **changes):
    """The message of a script that refuses, after checking that it did so at once and touched nothing."""
    status, stdout, stderr = mac.set_up(**changes)
    assert (status, stdout) == (2, ""), stderr
    assert not mac.venv.exists()
    assert mac.calls == []
    assert stderr.startswith("setup_mac.sh: ")
    return stderr.removeprefix("setup_mac.sh: ")


INSTALL = "environment -m pip install -qq --no-compile --disable-pip-version-check --editable .[metal,tuning]"
elsewhere_only = pytest.mark.skipif(sys.platform == "darwin", reason="a Mac may have a fitting Python where the script looks")


def test_the_environment_is_made_and_the_package_installed_and_the_doctor_called(mac):
    python = mac.python()
    status, stdout, stderr = mac.set_up()
    assert (status, stderr) == (0, "")
    assert mac.calls == [f"python3.12 -m venv --clear {mac.venv}", INSTALL, "keras-optims doctor"]
    assert f"with Python 3.12.0, {python}" in stdout
    assert stdout.index("the findings") < stdout.index("Ready")
    assert stdout.endswith(f"source {mac.venv}/bin/activate\n")


def test_a_second_run_keeps_the_environment(mac):
    mac.python()
    mac.set_up()
    mac.calls_file.unlink()
    status, stdout, stderr = mac.set_up()
    assert (status, stderr) == (0, "")
    assert mac.calls == [INSTALL, "keras-optims doctor"]
    assert f"Keeping {mac.venv}, with Python 3.12.0" in stdout


@pytest.mark.parametrize(("doctor", "meaning"), [(1, "Not ready: a check failed"), (3, "broke off (exit status 3)")])
def test_the_doctor_s_status_is_the_script_s_and_said_in_words(mac, doctor, meaning):
    mac.python(doctor=doctor)
    status, stdout, stderr = mac.set_up()
    assert (status, stderr) == (doctor, "")
    assert meaning in stdout
    assert "Ready" not in stdout
    assert "bin/activate" in stdout
    assert (mac.venv / "bin/python").exists()


def test_what_pip_cannot_install_ends_it_before_the_doctor(mac):
    python = mac.python()
    inside = python.parent.parent / "python of an environment of python3.12"
    inside.write_text(inside.read_text().replace('[ "$3" != install ] ||', '[ "$3" != install ] || exit 1;'))
    status, _, stderr = mac.set_up()
    assert (status, mac.calls[-1]) == (2, INSTALL)
    assert "pip could not install the package" in stderr


def test_an_environment_without_pip_gets_it(mac):
    python = mac.python()
    inside = python.parent.parent / "python of an environment of python3.12"
    inside.write_text(inside.read_text().replace('"-m pip")', '"-m pip") [ "$3" != --version ] || exit 1;'))
    assert mac.set_up()[0] == 0
    assert mac.calls[1:] == ["environment -m ensurepip", INSTALL, "keras-optims doctor"]


def test_the_environment_is_in_the_repository_if_no_folder_is_named(mac, tmp_path):
    """The script is a copy in another repository, so that this one is not touched."""
    mac.python()
    script = tmp_path / "repository/scripts/setup_mac.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "scripts/setup_mac.sh", script)
    subprocess.run([mac.bin / "bash", script], env=mac.environment, cwd=tmp_path, check=True, capture_output=True)
    assert mac.calls[0] == f"python3.12 -m venv --clear {tmp_path}/repository/.venv"


def test_a_folder_is_named_from_where_the_user_is(mac):
    mac.python()
    assert mac.set_up("--directory", "a folder/env")[0] == 0
    assert (mac.bin.parent / "a folder/env/bin/python").exists()


def test_another_system_is_refused(mac):
    mac.stub("uname", "echo Linux")
    assert refused(mac) == "this is not a Mac (but Linux); elsewhere, pip install '.[tensorflow,tuning]' is all it takes.\n"


def test_an_intel_mac_is_refused(mac):
    assert refused(mac, MACHINE="x86_64").startswith(
        "this Mac has an Intel processor, and tensorflow-metal is for Apple silicon only"
    )


@pytest.mark.parametrize("version", ["11.7.10", "12.0.1", "12.0"])
def test_an_old_macos_is_refused(mac, version):
    mac.stub("sw_vers", f"echo {version}")
    assert refused(mac) == f"tensorflow-metal needs macOS 12.1 or newer; this is macOS {version}.\n"


@pytest.mark.parametrize("version", ["12.1", "12.7.6", "13.0", "26"])
def test_a_new_enough_macos_goes_on(mac, version):
    mac.stub("sw_vers", f"echo {version}")
    mac.python()
    assert mac.set_up()[0] == 0


@pytest.mark.parametrize("fact", ["sysctl.proc_translated", "hw.optional.arm64"])
def test_a_shell_under_rosetta_goes_on_natively(mac, fact):
    mac.stub("sysctl", f'[ "$1 $2" = "-n {fact}" ] && echo 1')
    mac.stub("arch", 'shift; MACHINE=arm64 exec "$@"')
    mac.python()
    status, stdout, stderr = mac.set_up(MACHINE="x86_64")
    assert (status, stderr) == (0, "")
    assert mac.calls[0] == f"arch -arm64 /bin/bash scripts/setup_mac.sh --directory {mac.venv}"
    assert mac.calls[-1] == "keras-optims doctor"
    assert "under Rosetta" in stdout


@pytest.mark.parametrize("arguments", [("--directory",), ("--directory", ""), ("--fresh",), ("environment",)])
def test_wrong_arguments_are_refused(mac, arguments):
    status, _, stderr = mac.set_up(*arguments)
    assert status == 2
    assert "--directory" in stderr
    assert mac.calls == []


def test_help_is_the_head_of_the_script(mac):
    status, stdout, _ = mac.set_up("--help")
    assert status == 0
    assert "scripts/setup_mac.sh [--directory DIR]" in stdout
    assert "#" not in stdout
    assert mac.calls == []


@elsewhere_only
def test_without_any_python_it_says_how_to_get_one(mac):
    message = refused(mac)
    assert message.startswith("needs a native (arm64) Python 3.11 or 3.12, and found no Python at all.\n")
    assert "brew install python@3.12" in message


@elsewhere_only
def test_each_python_that_does_not_fit_is_listed_with_the_reason(mac, tmp_path):
    intel = mac.python("python3.12", machine="x86_64")
    broken = mac.stub("python3.11", "cat >/dev/null; exit 127")  # it must not swallow the names of those to come
    another = mac.python("python3.11", (3, 11), machine="x86_64", folder=tmp_path / "second")
    newer = mac.python("python3", (3, 13))
    status, _, stderr = mac.set_up(PATH=f"{mac.bin}:{tmp_path / 'second'}:{mac.bin}")
    assert status == 2
    assert [line.strip() for line in stderr.splitlines() if line.startswith("    ")] == [
        f"{intel} is built for x86_64, not arm64: it would run under Rosetta, where TensorFlow does not",
        f"{broken} does not run",
        f"{another} is built for x86_64, not arm64: it would run under Rosetta, where TensorFlow does not",
        f"{newer} is Python 3.13, for which there is no tensorflow-metal",
    ]
    assert not mac.venv.exists()


@pytest.mark.skipif(
    sys.platform == "darwin" or not os.path.exists("/usr/bin/python3"), reason="a machine that is no Mac, with this Python"
)
def test_macos_s_offer_to_install_developer_tools_is_not_run(mac):
    """Here it is an ordinary Python. That xcode-select is missing, or says no, is all that the script has to go by."""
    mac.stub("xcode-select", "exit 2")
    (mac.bin / "python3").unlink(missing_ok=True)
    status, _, stderr = mac.set_up(PATH=f"{mac.bin}:/usr/bin", PYTHON="/usr/bin/python3")
    assert status == 2
    assert "PYTHON=/usr/bin/python3 only offers to install Apple's developer tools" in stderr


@pytest.mark.parametrize("name", ["python3.11", "python3"])
def test_a_fitting_python_behind_others_is_found(mac, name):
    mac.stub("python3.12", "exit 127")  # as pyenv's is, for a version that is not selected
    mac.python(name, (3, 11))
    assert mac.set_up()[0] == 0
    assert f"{name} -m venv --clear {mac.venv}" in mac.calls


@elsewhere_only
def test_the_pythons_of_uv_and_pyenv_are_found(mac, tmp_path):
    managed = mac.python(folder=tmp_path / "uv of a user")
    uv = mac.stub("uv", f'[ "$5" = 3.12 ] && echo {shlex.quote(str(managed))}')
    assert mac.set_up()[0] == 0
    assert "uv python find --managed-python --no-python-downloads 3.12" in mac.calls
    uv.unlink()
    shutil.rmtree(mac.venv)
    mac.python("python3.11", (3, 11), folder=tmp_path / "pyenv/versions/3.11.9/bin")
    mac.stub("pyenv", f"echo {shlex.quote(str(tmp_path / 'pyenv'))}")
    status, stdout, _ = mac.set_up()
    assert status == 0
    assert f"with Python 3.11.0, {tmp_path}/pyenv/versions/3.11.9/bin/python3.11" in stdout


def test_the_python_that_is_named_is_taken_or_refused(mac, tmp_path):
    mac.python()
    newer = mac.python("python3.13", (3, 13), folder=tmp_path / "named")
    message = refused(mac, PYTHON=str(newer))
    assert (
        message
        == f"PYTHON={newer} is Python 3.13, for which there is no tensorflow-metal; it must be a native Python 3.11 or 3.12.\n"
    )
    named = mac.python("mine", (3, 11), folder=tmp_path / "named")
    status, stdout, _ = mac.set_up(PYTHON=str(named))
    assert status == 0
    assert f"with Python 3.11.0, {named}" in stdout


@pytest.mark.parametrize(
    ("version", "machine", "why"), [((3, 13), "arm64", "is Python 3.13"), ((3, 12), "x86_64", "is built for x86_64")]
)
def test_an_environment_that_does_not_fit_is_made_anew(mac, version, machine, why):
    old = mac.python("old", version, machine)
    subprocess.run([old, "-m", "venv", "--clear", mac.venv], env=mac.environment, check=True)
    mac.python()
    status, stdout, _ = mac.set_up()
    assert status == 0
    assert f"The Python of {mac.venv} {why}" in stdout
    assert f"python3.12 -m venv --clear {mac.venv}" in mac.calls


def test_a_folder_that_is_no_environment_is_left_alone(mac):
    mac.python()
    mac.venv.mkdir()
    (mac.venv / "thesis.txt").write_text("years of work")
    status, _, stderr = mac.set_up()
    assert status == 2
    assert "is no virtual environment" in stderr
    assert mac.calls == []
    assert [path.name for path in mac.venv.iterdir()] == ["thesis.txt"]


# -- the job on a public runner -------------------------------------------------------------------


@pytest.fixture(scope="module")
def job():
    import yaml

    (job,) = yaml.safe_load((ROOT / ".github/workflows/macos.yml").read_text())["jobs"].values()
    return job


def scripts_of(job):
    return "\n".join(step.get("run", "") for step in job["steps"])


def test_the_job_runs_on_apple_silicon_with_the_pythons_of_the_plug_in(job):
    name, _, version = job["runs-on"].partition("-")
    assert name == "macos"
    assert int(version) >= 14  # GitHub's images of these names are arm64 from 14 on; Intel's have a suffix
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12"]


def test_the_job_names_what_there_is(job, setup):
    named = re.findall(r"(?:scripts|tests|docs)/[\w./-]+", scripts_of(job))
    assert "scripts/setup_mac.sh" in named
    assert [name for name in named if not (ROOT / name).exists()] == []
    extras = [extra for group in re.findall(r"\.\[([\w,]+)\]", scripts_of(job)) for extra in group.split(",")]
    assert extras
    assert [extra for extra in extras if extra not in setup["options.extras_require"]] == []


def test_pytest_knows_the_options_that_the_job_gives_it(job, tmp_path):
    (line,) = re.findall(r"-m pytest (.*)", scripts_of(job))
    (expression,) = re.findall(r"-m '([^']+)'", line)
    declared = (ROOT / "pyproject.toml").read_text()
    for marker in set(re.findall(r"\w+", expression)) - {"not", "and", "or"}:
        assert re.search(rf'^    "{marker}: ', declared, re.M), marker
    (tmp_path / "test_one.py").write_text("def test_one(): pass\n")
    command = [sys.executable, "-m", "pytest", *shlex.split(line), "--collect-only", "-q", "test_one.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_doctor_s_report_is_kept_even_of_a_job_that_fails(job):
    (upload,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert upload["if"] == "always()"
    for path in upload["with"]["path"].split():
        assert re.search(rf"(>|tee ){re.escape(path)}", scripts_of(job)), path
