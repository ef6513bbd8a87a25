"""Writes the tables of docs/contract.md: the checks, which of them do not concern which of our optimizers, and which of them
Keras's own fail on TensorFlow, and why.

python scripts/contract_table.py            # runs the contract on each of them, about ten minutes, and writes the page
python scripts/contract_table.py --check    # does the page say what was found? exit status 1 if not
"""

import functools
import os
import pathlib
import re
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

import keras_optims
from keras_optims.testing import CHECKS, check_optimizer

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "contract.md"

_NAMES = "SGD Adam AdamW Adamax Nadam Adagrad Adadelta RMSprop Ftrl Lion Lamb Adafactor Muon ScheduleFreeAdamW"
KERAS = {name: getattr(keras.optimizers, name) for name in _NAMES.split() if hasattr(keras.optimizers, name)}
KERAS["SGD(momentum=0.9)"] = functools.partial(keras.optimizers.SGD, momentum=0.9)

ALL = tuple(KERAS)
_OVERFLOW = "the sum of squares overflows in float32, and the gradients become zero or NaN"
_OWN_WEIGHTS = "the new weights are computed from slots that begin at zero and know nothing of the weights it was given"
_DECAYS_Y = "the weights decay, but not the second copy of them (`momentum`) from which the next ones are computed"
WHY: dict[str, list[tuple[tuple[str, ...], str]]] = {
    "config_is_exact": [(ALL, "the number is read back from a float32 variable")],
    "saved_before_the_first_step": [
        (("ScheduleFreeAdamW",), "its second copy of the weights (`momentum`) is made before the saved weights are read")
    ],
    "state_that_does_not_fit": [(ALL, "`load_own_variables` warns, and keeps the fresh state")],
    "hyperparameters_can_be_set": [(ALL, "they are Python numbers, which the compiled step keeps as they were at its trace")],
    "zero_gradient": [(("Ftrl",), _OWN_WEIGHTS)],
    "empty_variable": [(ALL, "`keras.ops.add` on TensorFlow takes a tensor of shape (0, 3) for a bias of three elements")],
    "float16_variables": [
        (("Adafactor", "ScheduleFreeAdamW"), "slots and arithmetic are float16, in which its ε is 0, and 0/0 is NaN"),
        (ALL, "slots and arithmetic are float16, in which the square of a small gradient is 0 or has few digits"),
    ],
    "bfloat16_variables": [
        (("ScheduleFreeAdamW",), "0.999 is 1 in bfloat16, so that the bias correction divides 0 by 0"),
        (ALL, "0.999 is 1 in bfloat16, so that the bias correction makes every step 0"),
    ],
    "clipping_of_huge_gradients": [(ALL, _OVERFLOW)],
    "weight_decay": [(("Ftrl",), _OWN_WEIGHTS), (("ScheduleFreeAdamW",), _DECAYS_Y)],
    "weight_decay_exclusions": [(("Ftrl",), _OWN_WEIGHTS), (("ScheduleFreeAdamW",), _DECAYS_Y)],
    "weight_decay_exclusions_once_built": [
        (ALL, "the error for it tests an attribute (`_built`) that no optimizer has; the compiled step decays on")
    ],
    "averaged_weights_under_accumulation": [(ALL, "the average moves with each accumulated part")],
}
"""Who fails a check, and why, as Keras's code tells. Where a check has several reasons, the first that names one counts."""


def failures(name: str) -> set[str]:
    """The checks that one of Keras's optimizers fails."""
    return {result.name for result in check_optimizer(KERAS[name]).failed}


def checks_table() -> str:
    """A line for each check."""
    lines = [f"| `{check.name}` | {check.promise} | {check.reason} |" for check in CHECKS.values()]
    return "\n".join(["| check | what must hold | why it matters |", "|---|---|---|", *lines])


def skipped_of_ours() -> dict[str, dict[str, str]]:
    """By class, the checks that are skipped, and why.

    Raises:
        ContractError: one of ours fails a check.
    """
    skipped = {}
    for cls in keras_optims.OPTIMIZERS.values():
        report = check_optimizer(cls)
        report.raise_if_failed()
        skipped[cls.__name__] = {result.name: result.found for result in report.skipped}
    return skipped


def ours_table(skipped: dict[str, dict[str, str]]) -> str:
    """A line for each check that is skipped for one of ours, for each reason; above it, how many there are."""
    lines = []
    for check in CHECKS:
        by_reason: dict[str, list[str]] = {}
        for name, reasons in skipped.items():
            if check in reasons:
                by_reason.setdefault(reasons[check], []).append(f"`{name}`")
        for reason, who in by_reason.items():
            named = "all" if len(who) == len(skipped) else ", ".join(who)
            lines.append(f"| `{check}` | {named} | {reason} |")
    number = sum(len(CHECKS) - len(reasons) for reasons in skipped.values())
    above = f"{len(skipped)} classes, {len(CHECKS)} checks: {number} pass, none fails, and these say nothing of"
    return "\n".join([above, "", "| check | is skipped for | why |", "|---|---|---|", *lines])


def failures_table(failed: dict[str, set[str]]) -> str:
    """A line for each check that fails, for each of its reasons."""
    lines = []
    for check in CHECKS:
        who = [name for name in KERAS if check in failed[name]]
        for known, why in WHY.get(check, []):
            found = [name for name in who if name in known]
            who = [name for name in who if name not in known]
            if found:
                named = "all" if len(found) == len(KERAS) else ", ".join(f"`{name}`" for name in found)
                lines.append(f"| `{check}` | {named} | {why} |")
        if who:
            raise SystemExit(f"{', '.join(who)} fail {check}, and WHY has no reason: find it.")
    return "\n".join(["| check | fails for | why |", "|---|---|---|", *lines])


def documented_failures(name: str) -> set[str]:
    """The checks that one of Keras's optimizers fails as the page says."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", _section(PAGE.read_text(), "failures"), flags=re.MULTILINE)
    return {check for check, who in rows if who == "all" or f"`{name}`" in who.split(", ")}


def versions() -> str:
    """What the table of failures was made with."""
    import tensorflow

    return f"Keras {keras.__version__}, TensorFlow {tensorflow.__version__}"


def _section(page: str, name: str) -> str:
    return page.split(f"<!-- {name} -->\n")[1]


def _with_section(page: str, name: str, text: str) -> str:
    before, _, after = page.split(f"<!-- {name} -->\n")
    return f"<!-- {name} -->\n".join([before, text + "\n", after])


def main() -> int:
    """Writes or checks the page."""
    page = PAGE.read_text()
    failed = {name: failures(name) for name in KERAS}
    new = _with_section(page, "checks", checks_table())
    new = _with_section(new, "ours", ours_table(skipped_of_ours()))
    new = _with_section(new, "failures", failures_table(failed))
    new = _with_section(new, "versions", f"Made with {versions()}.")
    if "--check" in sys.argv[1:]:
        print(f"{PAGE.name} says what was found" if new == page else f"{PAGE.name} is out of date: run {sys.argv[0]}")
        return int(new != page)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
