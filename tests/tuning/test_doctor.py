"""`keras-optims doctor`: each check judges a Mac's facts, good and bad; the measurements notice what is wrong."""

import ast
import copy
import json
import pathlib
import re
import subprocess
import sys

import pytest

from tuning import cli
from tuning.doctor import report as reports
from tuning.doctor import surroundings
from tuning.doctor.finding import Check, passes
from tuning.doctor.measuring import STAGES
from tuning.doctor.processes import measured

ROOT = pathlib.Path(__file__).parents[2]
CHECKS = {check.name: check for check in reports.CHECKS}


def covered(kernel, falls=(), falls_once=()):
    return {
        "falls": list(falls),
        "falls_once": list(falls_once),
        "kernel": [kernel] if kernel else [],
        "decisions": 0,
        "has_one": True,
    }


def rows(devices=("GPU", "CPU"), **of):
    return [{**of, "device": device, "error": 1e-6} for device in devices]


MAC = {
    "machine": {
        "system": "Darwin",
        "system_version": "14.5",
        "architecture": "arm64",
        "apple_silicon": True,
        "rosetta": False,
        "python": "3.12.4",
        "python_implementation": "CPython",
        "processor": "Apple M2",
        "cores": 8,
        "memory_gib": 16.0,
    },
    "packages": {
        **dict.fromkeys(surroundings.PACKAGES),
        "keras-optims": "0.1.0",
        "keras": "3.15.1",
        "tensorflow": "2.19.1",
        "tensorflow-metal": "1.2.0",
        "numpy": "2.1.3",
        "protobuf": "5.29.6",
    },
    "starting": {"keras": "3.15.1", "backend": "tensorflow", "version": "2.19.1", "chosen_by": "KERAS_BACKEND", "seconds": 3.0},
    "devices": {"gpus": ["METAL"], "jit": False},
    "kernels": {
        "device": "GPU",
        "optimizers": {"adam": covered("ResourceApplyAdam"), "momentum": covered("ResourceApplyKerasMomentum")},
    },
    "placement": {
        "rows": [
            {"optimizer": "adam", "mode": mode, "device": "/job:localhost/replica:0/task:0/device:GPU:0", "error": None}
            for mode in ("eager", "function")
        ]
    },
    "elementary": {"rows": rows(operation="Sqrt", shape=[512, 512])},
    "optimizers": {
        "rows": [
            row
            for steps in (1, 100)
            for row in rows(optimizer="Adam(epsilon=1e-07)", kernel="ResourceApplyAdam", steps=steps, shape=[7])
        ]
    },
    "forward": {"rows": [row for mode in ("eager", "graph") for row in rows(layer="dense with relu", mode=mode)]},
    "protected": {"rows": [row for mode in ("eager", "graph") for row in rows(layer="dense with relu", mode=mode)]},
    "synchronized": {"GPU": 0.0, "CPU": 0.0},
    "optimizer_speed": {device: {"adam": {"ours": 0.001, "keras": 0.004}} for device in ("GPU", "CPU")},
    "model_speed": {"GPU": {"large": {"ours": 0.004, "keras": 0.02}}, "CPU": {"large": {"ours": 0.02, "keras": 0.03}}},
}

LOADER = "ImportError: dlopen(libmetal_plugin.dylib, 0x6): Library not loaded: @rpath/_pywrap_tensorflow_internal.so"
INTEL = {"architecture": "x86_64", "apple_silicon": False, "processor": "Intel(R) Core(TM) i7"}


def changed(changes):
    """The facts of a good Mac, but for `{"name/key/...": value}`."""
    facts = copy.deepcopy(MAC)
    for path, value in changes.items():
        *way, last = (int(key) if key.isdigit() else key for key in path.split("/"))
        place = facts
        for key in way:
            place = place[key]
        place[last] = value
    return facts


def test_every_check_passes_on_a_mac_that_is_set_up_right():
    assert {check.of(MAC).status for check in reports.CHECKS} == {"pass"}
    assert all(check.why for check in reports.CHECKS)
    assert not any(check.of(MAC).advice for check in reports.CHECKS)


BAD = [
    # check, what is different, status, a part of what was found, a part of what to do
    ("processor", {"machine/architecture": "x86_64", "machine/rosetta": True}, "fail", "under Rosetta", "native Python"),
    ("processor", {f"machine/{name}": value for name, value in INTEL.items()}, "warn", "Intel Mac", "on the CPU"),
    ("macOS", {"machine/system_version": "12.0.1"}, "fail", "macOS 12.0.1", "Update macOS"),
    ("macOS", {"machine/system_version": "11.7"}, "fail", "macOS 11.7", "12.1 or newer"),
    ("python", {"machine/python": "3.13.1"}, "fail", "3.13.1, for which there is no tensorflow-metal", "3.12 or 3.11"),
    ("python", {"machine/python": "3.10.9"}, "fail", "3.10.9", "3.12 or 3.11"),
    ("versions", {"packages/tensorflow": "2.21.0"}, "fail", "does not load with this TensorFlow", "setup_mac.sh"),
    ("versions", {"packages/tensorflow": "2.20.0"}, "fail", "does not load with this TensorFlow", "keras-optims[metal]"),
    ("versions", {"packages/tensorflow": "2.15.0"}, "fail", "does not load with this TensorFlow", "keras-optims[metal]"),
    ("versions", {"packages/tensorflow": "2.18.1", "packages/tensorflow-metal": "1.1.0"}, "fail", "#81987", "setup_mac.sh"),
    ("versions", {"packages/tensorflow": None}, "fail", "TensorFlow is not", "keras-optims[metal]"),
    ("versions", {"packages/tensorflow-metal": None}, "warn", "without the plug-in", "keras-optims[metal]"),
    ("versions", {"packages/tensorflow-macos": "2.15.0"}, "fail", "outdated and collides", "pip uninstall tensorflow-macos"),
    ("versions", {"packages/tensorflow": "2.18.1"}, "warn", "not the tried versions of tensorflow", "keras-optims[metal]"),
    ("versions", {"packages/keras": "3.16.0", "packages/protobuf": "6.1"}, "warn", "of keras, protobuf", "keras-optims[metal]"),
    ("import", {"starting": {"problem": LOADER}}, "fail", "_pywrap_tensorflow_internal", "TensorFlow 2.19.1 is the newest"),
    ("import", {"starting": {"problem": "ended by SIGILL"}}, "fail", "SIGILL", "native Python"),
    ("import", {"starting": {"problem": "No module named 'tensorflow'"}}, "fail", "No module", "keras-optims[metal]"),
    ("import", {"starting": {"problem": "No module named 'jax'"}}, "fail", "No module", "keras-optims[jax]"),
    ("import", {"starting": {"problem": "Unable to import backend : theano"}}, "fail", "theano", "must name 'tensorflow', 'jax'"),
    ("import", {"starting": {"problem": "Segmentation fault"}}, "fail", "Segmentation fault", "Reinstall"),
    ("backend", {"starting/backend": "jax"}, "warn", "JAX trains on the CPU", "KERAS_BACKEND=tensorflow"),
    ("backend", {"starting/backend": "torch"}, "warn", "MPS", "KERAS_BACKEND=tensorflow"),
    ("GPU", {"devices/gpus": []}, "fail", "though tensorflow-metal is installed", "setup_mac.sh"),
    ("GPU", {"devices/gpus": [], "packages/tensorflow-metal": None}, "warn", "trains on the CPU", "keras-optims[metal]"),
    ("jit", {"devices/jit": True}, "fail", "with XLA", "jit_compile=False"),
    (
        "kernels",
        {"kernels/optimizers/adam": covered("ResourceApplyAdam", falls=["Sqrt float32"])},
        "fail",
        "no kernel on the GPU for adam: Sqrt float32",
        "Send this report",
    ),
    (
        "kernels",
        {"kernels/optimizers/adam": covered("ResourceApplyAdam", falls_once=["AddV2 int64"])},
        "fail",
        "adam: AddV2 int64",
        "Send this report",
    ),
    ("kernels", {"kernels/optimizers/adam": covered(None)}, "warn", "but adam without a fused one", "Send this report"),
    (
        "placement",
        {"placement/rows/0/error": "InvalidArgumentError: Cannot assign a device"},
        "fail",
        "1 of 2 steps leave the GPU: adam (eager): InvalidArgumentError",
        "Send this report",
    ),
    (
        "placement",
        {"placement/rows/1/device": "/device:CPU:0"},
        "fail",
        "adam (function): the weights are on",
        "Send this report",
    ),
    ("operations", {"elementary/rows/0/error": 0.01}, "fail", "wrong: Sqrt, on the GPU, shape (512, 512), by 1.0e-02", "CPU"),
    ("optimizers", {"optimizers/rows/2/error": 0.3}, "fail", "wrong: ResourceApplyAdam in Adam(epsilon=1e-07), step 100", "CPU"),
    ("optimizers", {"optimizers/rows/0/error": None}, "fail", "by values that are no numbers (of 4)", "CPU"),
    ("forward pass", {"forward/rows/2/error": 0.7}, "fail", "all are right", "keras_optims.metal.protect()"),
    (
        "forward pass",
        {"forward/rows/2/error": 0.7, "protected/rows/2/error": 0.6},
        "fail",
        "wrong: dense with relu, graph, on the GPU, by 7.0e-01; with the plug-in's graph fusion off also",
        "set_visible_devices([], 'GPU')",
    ),
    ("forward pass", {"protected/rows/2/error": None}, "warn", "no numbers", "Leave protect() out"),
    ("synchronization", {"synchronized/GPU": 0.2}, "fail", "different weights on the GPU (2.0e-01)", "CPU"),
    (
        "speed of a step",
        {"optimizer_speed/GPU/adam/ours": 0.005},
        "warn",
        "on the GPU, times as fast as Keras's: adam 0.80",
        "idle machine",
    ),
    (
        "GPU or CPU",
        {"model_speed/GPU/large/ours": 0.04},
        "warn",
        "large: the GPU is slower than the CPU, 40.0 ms against 20.0 ms a step",
        "on the CPU: all nets measured",
    ),
    ("speed of training", {"model_speed/GPU/large/ours": 0.04}, "warn", "large 40.0 ms (0.50 times as fast as", "idle machine"),
]


@pytest.mark.parametrize(("name", "changes", "status", "found", "advice"), BAD)
def test_a_check_says_what_is_bad_and_what_to_do(name, changes, status, found, advice):
    finding = CHECKS[name].of(changed(changes))
    assert finding.status == status
    assert found in finding.found
    assert advice in finding.advice


def test_every_check_is_shown_to_notice_something():
    assert {name for name, *_ in BAD} == CHECKS.keys()


LINUX = {
    "machine/system": "Linux",
    "machine/architecture": "x86_64",
    "machine/apple_silicon": False,
    "machine/python": "3.13.1",
    "packages/tensorflow-metal": None,
    "packages/tensorflow": "2.21.0",
    "devices/gpus": [],
    "placement": {"skipped": "there is no GPU here"},
    "model_speed": {"CPU": {"large": {"ours": 0.02, "keras": 0.03}}},
}


@pytest.mark.parametrize(
    ("name", "changes", "status"),
    [
        *((name, {}, "skip" if name in ("macOS", "placement", "GPU or CPU") else "pass") for name in CHECKS),
        ("python", {"machine/python": "3.14.0"}, "warn"),
        ("versions", {"packages/keras": "3.9.2"}, "fail"),
        ("versions", {"packages/tensorflow": None}, "fail"),
        ("import", {"starting": {"problem": "No module named 'tensorflow'"}}, "fail"),
        ("jit", {"devices/jit": True}, "pass"),
        ("backend", {"starting/backend": "jax"}, "pass"),
    ],
)
def test_elsewhere_what_applies_is_checked_and_what_does_not_says_so(name, changes, status):
    finding = CHECKS[name].of(changed({**LINUX, **changes}))
    assert finding.status == status
    assert finding.found


def test_the_page_about_the_mac_lists_all_checks():
    page = (ROOT / "docs" / "mac.md").read_text()
    table = page.partition("| check | fails or warns when |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE) == list(CHECKS)


def test_what_could_not_be_measured_fails_and_what_does_not_apply_is_skipped():
    check = Check("name", "why", ("one", "two"), lambda one, two: passes("both"))
    assert check.of({"one": {}, "two": {}}).found == "both"
    stopped = check.of({"one": {}, "two": {"error": "ended by SIGABRT"}})
    assert (stopped.status, stopped.found) == ("fail", "could not be measured: ended by SIGABRT")
    skipped = check.of({"one": {"skipped": "only on TensorFlow"}, "two": {}})
    assert (skipped.status, skipped.found) == ("skip", "only on TensorFlow")


# -- the measurements -----------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """Measurements of one optimizer, few steps and small variables."""
    from tuning.doctor.measuring import parity, speed
    from tuning.doctor.measuring.settings import SETTINGS

    (adam,) = (
        each for each in SETTINGS if str(each).startswith("Adam(") and "1e-07" in str(each) and "amsgrad=False" in str(each)
    )
    monkeypatch.setattr(parity, "SETTINGS", [adam])
    monkeypatch.setattr(parity, "SHAPES", ((), (7,), (0,)))
    monkeypatch.setattr(parity, "STEPS", (1, 3))
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(speed, "LAYERS", [(3,)])


def test_an_optimizer_is_held_against_its_formula(short):
    from tuning.doctor.measuring import parity

    found = parity.optimizers()["rows"]
    assert [(row["device"], row["steps"]) for row in found] == [("CPU", 1), ("CPU", 3)]
    assert all(0 < row["error"] < 1e-5 for row in found)


def test_the_formulas_are_measured_for_every_optimizer_and_both_epsilons_and_shapes():
    import keras_optims
    from tuning.doctor.measuring import parity
    from tuning.doctor.measuring.settings import SETTINGS

    by_element = {cls for cls in keras_optims.OPTIMIZERS.values() if cls.elementwise}
    assert {setting.make for setting in SETTINGS} == by_element - {keras_optims.Prodigy}  # whose rate is of the whole model
    assert {setting.arguments["epsilon"] for setting in SETTINGS if setting.make is keras_optims.Adam} == {1e-7, 1e-2}
    assert {setting.arguments["nesterov"] for setting in SETTINGS if "nesterov" in setting.arguments} == {False, True}
    assert set(parity.SHAPES) == {(), (1,), (7,), (512, 512), (0,)}
    assert parity.STEPS == (1, 100)


@pytest.mark.backend("tensorflow")
def test_a_wrong_fused_kernel_is_noticed(short, monkeypatch):
    import tensorflow as tf

    from tuning.doctor.measuring import parity

    right = tf.raw_ops.ResourceApplyAdam
    monkeypatch.setattr(tf.raw_ops, "ResourceApplyAdam", lambda beta2, **others: right(beta2=beta2 * 0.99, **others))
    facts = {"optimizers": parity.optimizers()}
    assert CHECKS["optimizers"].of(facts).found.startswith("wrong: ResourceApplyAdam in Adam(")


@pytest.mark.backend("tensorflow")
def test_a_wrong_operation_is_noticed(short, monkeypatch):
    import tensorflow as tf

    from tuning.doctor.measuring import parity

    assert CHECKS["operations"].of({"elementary": parity.elementary()}).status == "pass"
    monkeypatch.setattr(tf, "sqrt", lambda x: x**0.501)
    assert "wrong: Sqrt, on the CPU" in CHECKS["operations"].of({"elementary": parity.elementary()}).found
    monkeypatch.setattr(tf, "sqrt", lambda x: x / tf.zeros_like(x))
    assert "no numbers" in CHECKS["operations"].of({"elementary": parity.elementary()}).found


@pytest.mark.backend("tensorflow")
def test_a_relu_that_is_wrong_in_graphs_only_is_noticed(monkeypatch):
    import tensorflow as tf

    from tuning.doctor.measuring import forward

    right = forward.forward()
    assert CHECKS["forward pass"].of({"forward": right, "protected": right}).status == "pass"
    relu = tf.nn.relu
    monkeypatch.setattr(tf.nn, "relu", lambda x, **_: relu(x) if tf.executing_eagerly() else tf.abs(relu(x) - 0.5))
    finding = CHECKS["forward pass"].of({"forward": forward.forward(), "protected": right})
    assert finding.status == "fail"
    assert "dense with relu, graph, on the CPU" in finding.found
    assert "relu, eager" not in finding.found


@pytest.mark.backend("tensorflow")
def test_kernels_are_looked_up_on_this_machine_and_a_missing_one_is_named(monkeypatch):
    from keras_optims.metal import tracing
    from tuning.doctor.measuring import kernels

    assert CHECKS["kernels"].of({"kernels": kernels.kernels()}).status == "pass"
    registered = tracing.registered_on("CPU")
    monkeypatch.setattr(tracing, "registered_on", lambda device: registered | {"ResourceApplyAdam": set()})
    assert "adam: ResourceApplyAdam" in CHECKS["kernels"].of({"kernels": kernels.kernels()}).found


@pytest.mark.backend("tensorflow")
def test_a_step_that_cannot_stay_on_its_device_is_an_error_of_the_placement():
    from tuning.doctor.measuring import kernels

    assert kernels._placed("adam", "function", "cpu:0")["error"] is None
    assert "GPU" in kernels._placed("adam", "function", "gpu:0")["error"]  # which this machine has not


def test_steps_that_overtake_each_other_are_noticed(monkeypatch):
    from tuning.doctor.measuring import speed

    assert CHECKS["synchronization"].of({"synchronized": speed.synchronized()}).status == "pass"

    class Hasty(speed.CompiledStep):
        """Loses a step now and then, unless somebody waits."""

        def __call__(self, gradients):
            self.number = getattr(self, "number", 0) + 1
            if self.number % 50 or getattr(self, "waited", False):
                super().__call__(gradients)

    monkeypatch.setattr(speed, "CompiledStep", Hasty)
    monkeypatch.setattr(speed, "_wait", lambda step: setattr(step, "waited", True))
    assert CHECKS["synchronization"].of({"synchronized": speed.synchronized()}).status == "fail"


def test_speeds_are_measured_in_seconds_for_ours_and_keras(short, monkeypatch):
    from tuning.doctor.measuring import speed

    small = next(iter(speed._MODELS))
    monkeypatch.setattr(speed, "_MODELS", {small: speed._MODELS[small]})
    (on_cpu,) = speed.optimizers().values()
    assert set(on_cpu) == {"momentum", "adagrad", "rmsprop", "adam"}
    assert speed.models()["CPU"].keys() == {small}
    for each in (*on_cpu.values(), speed.models()["CPU"][small]):
        assert set(each) == {"ours", "keras"}
        assert all(0 < seconds < 10 for seconds in each.values())


def test_medians_are_of_as_many_rounds_in_turn(monkeypatch):
    from tuning.doctor.measuring import speed

    assert speed.ROUNDS >= 25
    calls = []
    speed._medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 1)
    assert calls == ["a", "b"] * (speed.ROUNDS + 2)


# -- the processes --------------------------------------------------------------------------------

STAND_INS = {
    "good": "return {'number': 1}",
    "raises": "raise ValueError('not today')",
    "dies": "import sys; print('a last word', file=sys.stderr); os.abort()",
    "hangs": "import time; time.sleep(60)",
    "prints": "print('noise'); return {'home': str(pathlib.Path.home() / 'x')}",
}


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Stages of our own, in a package that stands before the real one."""
    package = tmp_path / "tuning" / "doctor" / "measuring"
    package.mkdir(parents=True)
    code = "\n".join(f"def {name}():\n    {body}" for name, body in STAND_INS.items())
    (package / "stages.py").write_text(f"import os, pathlib\n{code}\n")
    (package / "__init__.py").write_text(f"STAGES = { ({name: f'stages:{name}' for name in STAND_INS}) }\n")
    for name in ("tuning/__init__.py", "tuning/errors.py", "tuning/doctor/__init__.py", "tuning/doctor/measuring/__main__.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.mark.backend("tensorflow")
def test_a_stage_that_ends_its_process_costs_itself_and_no_other(stand_ins):
    found = dict(measured(["dies", "good", "raises", "hangs", "prints"], seconds=3))
    assert list(found) == ["dies", "good", "raises", "hangs", "prints"]
    assert "SIGABRT" in found["dies"]["error"]
    assert "a last word" in found["dies"]["error"]
    assert found["good"] == {"number": 1}
    assert found["raises"] == {"error": "ValueError: not today"}
    assert found["hangs"]["error"].startswith("no result within 3 s")
    assert found["prints"] == {"home": "~/x"}


def test_after_a_failed_import_nothing_else_is_measured(monkeypatch):
    asked = []

    def loader(stages, seconds=0):
        asked.append(list(stages))
        yield "starting", {"error": LOADER}

    monkeypatch.setattr(reports, "measured", loader)
    report = reports.examine()
    assert len(asked) == 1
    statuses = {finding.check: finding.status for finding in report.findings}
    assert statuses["import"] == "fail"
    assert set(list(statuses.values())[5:]) == {"skip"}
    assert report.failed


def test_findings_come_in_order_and_the_report_holds_every_fact(monkeypatch):
    monkeypatch.setattr(reports, "measured", lambda stages: ((stage, MAC[stage]) for stage in stages))
    monkeypatch.setattr(reports, "machine_facts", lambda: MAC["machine"])
    monkeypatch.setattr(reports, "package_facts", lambda: MAC["packages"])
    came, stages = [], []
    report = reports.examine(came.append, stages.append)
    assert came == report.findings
    assert [finding.check for finding in came] == list(CHECKS)
    assert [stage for stage in stages if stage] == list(STAGES)
    assert report.to_json()["facts"] == MAC
    assert json.loads(json.dumps(report.to_json()))["failed"] is False


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def on_a_mac(monkeypatch):
    def seem(**changes):
        facts = changed(changes)
        monkeypatch.setattr(reports, "measured", lambda stages: ((stage, facts[stage]) for stage in stages))
        monkeypatch.setattr(reports, "machine_facts", lambda: facts["machine"])
        monkeypatch.setattr(reports, "package_facts", lambda: facts["packages"])

    return seem


def test_the_command_prints_each_finding_and_ends_with_0(on_a_mac, capsys):
    on_a_mac()
    assert cli.main(["doctor"]) == 0
    out, _ = capsys.readouterr()
    lines = [line.split() for line in out.splitlines() if line.startswith("pass")]
    assert len(lines) == len(CHECKS)
    assert f"{len(CHECKS)} checks: {len(CHECKS)} passed." in out


def test_a_failed_check_says_why_it_matters_and_what_to_do_and_ends_with_1(on_a_mac, capsys):
    on_a_mac(**{"machine/python": "3.13.1"})
    assert cli.main(["doctor"]) == 1
    out, _ = capsys.readouterr()
    said = " ".join(out.split())
    assert "fail python CPython 3.13.1, for which there is no tensorflow-metal with Keras 3.15 Why it matters:" in said
    assert "What to do: Use Python 3.12 or 3.11." in said


def test_json_alone_is_on_stdout(on_a_mac, capsys):
    on_a_mac()
    assert cli.main(["doctor", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert [check["check"] for check in report["checks"]] == list(CHECKS)
    assert set(report["checks"][0]) == {"check", "status", "found", "why", "advice"}
    assert report["facts"]["packages"]["tensorflow-metal"] == "1.2.0"
    assert "checks:" in err


def test_it_needs_nothing_that_only_a_search_needs():
    """Rich and packaging are there wherever Keras is."""
    outside, inside = set(), set()
    for file in (ROOT / "tuning" / "doctor").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            outside |= {name.partition(".")[0] for name in names}
            inside |= {".".join(name.split(".")[:2]) for name in names if name.startswith("tuning.")}
    allowed = {"tuning", "keras_optims", "keras", "numpy", "rich", "packaging", "tensorflow", "jax", "torch"}
    assert outside - sys.stdlib_module_names <= allowed
    assert inside == {"tuning.doctor", "tuning.errors", "tuning.runtime"}


def test_nothing_heavy_is_imported_before_the_children():
    code = "import sys, tuning.doctor.report\nprint(*{'keras', 'keras_optims', 'tensorflow', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_of_the_system_what_macos_says_is_read(monkeypatch):
    said = {"sw_vers -productVersion": "14.5\n", "sysctl -n hw.optional.arm64": "1\n", "sysctl -n sysctl.proc_translated": "1\n"}

    def run(command, **_):
        return subprocess.CompletedProcess(command, 0, said.get(" ".join(command), ""), "")

    monkeypatch.setattr(surroundings.subprocess, "run", run)
    monkeypatch.setattr(surroundings.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(surroundings.platform, "machine", lambda: "x86_64")
    facts = surroundings.machine_facts()
    assert facts["system_version"] == "14.5"
    assert facts["apple_silicon"]
    assert facts["rosetta"]
    assert CHECKS["processor"].of({"machine": facts}).status == "fail"


@pytest.mark.slow
def test_this_machine_is_healthy():
    done = subprocess.run([sys.executable, "-m", "tuning", "doctor", "--json"], cwd=ROOT, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert [check for check in report["checks"] if check["status"] == "fail"] == []
    assert done.returncode == 0
    assert report["facts"].keys() == {"machine", "packages", *STAGES}
