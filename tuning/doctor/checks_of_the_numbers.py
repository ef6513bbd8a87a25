"""The checks of what is computed, and of how fast."""

from __future__ import annotations

from tuning.doctor.finding import Verdict, check, fails, passes, skips, warns

ON_THE_CPU = "Train on the CPU (tf.config.set_visible_devices([], 'GPU') before anything else), and send this report."

LARGEST_ERROR = 1e-4  # of float32 arithmetic in another order; the largest measured on a CPU is 9e-6
LARGEST_FORWARD_ERROR = 5e-3  # a GPU may multiply matrices with fewer bits (TF32 on CUDA: 1e-3); a wrong ReLU is off by far more
SLOWER = 1.15  # times; what is less is noise
AGAIN = "Run it again on an idle machine; if it stays so, send this report."


@check("operations", "elementary", why="Every formula is made of these; one that is wrong makes every optimizer wrong.")
def operations(elementary: dict) -> Verdict:
    """Each operation gives what NumPy gives in float64."""
    return _accurate(elementary["rows"], lambda row: row["operation"])


@check(
    "optimizers", "optimizers", why="An optimizer is right if its weights are those of its formula, after one step and after 100."
)
def optimizers(optimizers: dict) -> Verdict:
    """Each optimizer gives the weights of its formula in float64."""
    return _accurate(optimizers["rows"], lambda row: f"{row['kernel']} in {row['optimizer']}, step {row['steps']}")


def _accurate(rows: list[dict], what) -> Verdict:
    wrong = [row for row in rows if row["error"] is None or row["error"] > LARGEST_ERROR]
    if wrong:
        worst = max(wrong, key=_error)
        others = f", and {len(wrong) - 1} more of {len(rows)}" if len(wrong) > 1 else f" (of {len(rows)})"
        place = f"on the {worst['device']}, shape {tuple(worst['shape'])}"
        return fails(f"wrong: {what(worst)}, {place}, by {_share(worst)}{others}", ON_THE_CPU)
    devices = " and ".join(dict.fromkeys(row["device"] for row in rows))
    return passes(f"{len(rows)} comparisons with float64 on the {devices}; largest error {_share(max(rows, key=_error))}")


@check(
    "forward pass",
    "forward",
    "protected",
    why="In graphs tensorflow-metal is reported to compute ReLU layers wrongly (keras#21668), and the optimizer gets the blame.",
)
def forward(forward: dict, protected: dict) -> Verdict:
    """Layers give the same eagerly, as a graph, and in NumPy's float64."""
    wrong, wrong_protected = (_wrong_layers(each) for each in (forward, protected))
    if not wrong and not wrong_protected:
        return passes(f"{len(forward['rows'])} comparisons of layers with float64 agree, and with graph fusion off as well")
    if not wrong:
        return warns(f"right, but with graph fusion off wrong: {_listed(wrong_protected)}", "Leave protect() out, and send this.")
    found = f"wrong: {_listed(wrong)}"
    if wrong_protected:
        return fails(f"{found}; with the plug-in's graph fusion off also: {_listed(wrong_protected)}", ON_THE_CPU)
    return fails(
        f"{found}; with the plug-in's graph fusion off all are right",
        "Call keras_optims.metal.protect() right after the imports of every program that trains here, and send this report.",
    )


def _wrong_layers(forward: dict) -> list[dict]:
    return [row for row in forward["rows"] if row["error"] is None or row["error"] > LARGEST_FORWARD_ERROR]


def _listed(rows: list[dict]) -> str:
    return "; ".join(f"{row['layer']}, {row['mode']}, on the {row['device']}, by {_share(row)}" for row in rows)


def _error(row: dict) -> float:
    return float("inf") if row["error"] is None else row["error"]


def _share(row: dict) -> str:
    return "values that are no numbers" if row["error"] is None else f"{row['error']:.1e}"


@check("synchronization", "synchronized", why="Steps that overtake each other on the device train on weights that are outdated.")
def synchronization(synchronized: dict) -> Verdict:
    """Steps in a row give what steps with a wait in between give."""
    wrong = {device: error for device, error in synchronized.items() if error is None or error > LARGEST_ERROR}
    if wrong:
        listed = ", ".join(f"the {device} ({_share({'error': error})})" for device, error in wrong.items())
        return fails(f"200 steps in a row and 200 with a wait after each give different weights on {listed}", ON_THE_CPU)
    return passes(f"200 steps in a row and 200 with a wait after each give the same weights on the {' and '.join(synchronized)}")


@check(
    "speed of a step",
    "optimizer_speed",
    why="These optimizers are there to be faster than Keras's, above all without XLA.",
)
def speed(optimizer_speed: dict) -> Verdict:
    """Our steps are not slower than those of Keras's namesakes."""
    device, measured = next(iter(optimizer_speed.items()))
    ratios = {name: each["keras"] / each["ours"] for name, each in measured.items()}
    found = f"on the {device}, times as fast as Keras's: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    if min(ratios.values()) < 1 / SLOWER:
        return warns(found, AGAIN)
    return passes(found)


@check("speed of training", "model_speed", why="What counts in the end is a whole step: forward, backward and update.")
def training(model_speed: dict) -> Verdict:
    """A training step with our Adam is not slower than with Keras's."""
    device, measured = next(iter(model_speed.items()))
    each = ", ".join(
        f"{name} {_milliseconds(times['ours'])} ({times['keras'] / times['ours']:.2f} times as fast as with Keras's)"
        for name, times in measured.items()
    )
    found = f"a step with Adam on the {device}: {each}"
    if any(times["ours"] > SLOWER * times["keras"] for times in measured.values()):
        return warns(found, AGAIN)
    return passes(found)


@check("GPU or CPU", "model_speed", why="The steps of a small model are too short for a GPU: starting them takes longer.")
def gpu_or_cpu(model_speed: dict) -> Verdict:
    """Which device trains a model faster."""
    if "GPU" not in model_speed:
        return skips("there is only the CPU")
    pairs = {name: (each["ours"], model_speed["CPU"][name]["ours"]) for name, each in model_speed["GPU"].items()}
    found = "; ".join(f"{name}: {_faster(on_gpu, on_cpu)}" for name, (on_gpu, on_cpu) in pairs.items())
    slower = [name for name, (on_gpu, on_cpu) in pairs.items() if on_gpu > on_cpu]
    if not slower:
        return passes(found)
    models = "all nets measured" if len(slower) == len(pairs) else " and ".join(slower)
    return warns(found, f"Build and fit models like these in `with keras.device('cpu:0'):`, on the CPU: {models}.")


def _faster(on_gpu: float, on_cpu: float) -> str:
    if on_gpu <= on_cpu:
        return f"the GPU is {on_cpu / on_gpu:.1f} times as fast as the CPU"
    return f"the GPU is slower than the CPU, {_milliseconds(on_gpu)} against {_milliseconds(on_cpu)} a step"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


CHECKS = (operations, optimizers, forward, synchronization, speed, training, gpu_or_cpu)
