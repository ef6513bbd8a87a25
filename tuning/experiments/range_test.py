"""`keras-optims range-test`: an optimizer's hyperparameter is swept within one training of a problem's model."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from tuning.errors import SearchError, missing_packages_explained, one_line
from tuning.experiments.plan import Plan

FORMS = (".svg", ".png")


@dataclasses.dataclass(frozen=True)
class RangeTested:
    """What a range test has found.

    Args:
        sweep: a `keras_optims.callbacks.sweep.Sweep`.
        title: of what it is, on what.
        problem: the problem's name.
        optimizer: the optimizer's name.
    """

    sweep: Any
    title: str
    problem: str
    optimizer: str

    def draw(self, path: pathlib.Path) -> None:
        """Writes the picture."""
        from tuning.store.files import replacing

        with missing_packages_explained("A picture"):
            try:
                figure = self.sweep.figure()
            except ImportError as error:
                raise SearchError("A picture needs the package matplotlib: pip install 'keras-optims[pictures]'.") from error
        figure.axes[0].set_title(self.title, fontsize=11)
        with replacing(path) as part:
            figure.savefig(part, format=path.suffix[1:].lower(), dpi=150)

    def keep(self, directory: pathlib.Path) -> pathlib.Path:
        """Keeps it in the directory of a search, for the search's report; the file."""
        from tuning.results.range_tests import keep

        return keep(directory, self.optimizer, self.title, self.sweep.to_json())


def checked_picture(path: str | os.PathLike) -> pathlib.Path:
    """The path of a picture that can be written, or `SearchError`."""
    found = pathlib.Path(path)
    if found.suffix.lower() not in FORMS:
        raise SearchError(f"The file's suffix says how it is drawn, one of {', '.join(FORMS)}; received {str(path)!r}.")
    if not found.absolute().parent.is_dir():
        raise SearchError(f"{found} cannot be written: there is no folder {found.absolute().parent}.")
    return found


def range_test(plan: Plan, steps: int | None = None) -> RangeTested:
    """Makes the test.

    Args:
        plan: of it one optimizer, the problem, `search` with at most one name and its range, `fix`, `seed`, `train_samples` and
            `data_dir`.
        steps: how many values are tried.

    Raises:
        SearchError: something of these is wrong, or data is missing.
    """
    with missing_packages_explained("A range test"):
        import keras_optims
        from tuning.problems import make_problem
        from tuning.space.optimizers import tunable
        from tuning.training.problem_model import compiled, fit_arguments
        from tuning.training.warm import reseed, seed_everything

    name, low, high, scale = _swept(plan)
    what = tunable(plan.optimizers[0])
    made = make_problem(plan.problem, plan.data_dir)
    data = made.load(plan.train_samples)
    arguments = dict(plan.fix or {})
    unknown = [each for each in arguments if each not in what.declared]
    if unknown:
        raise SearchError(f"--fix {unknown[0]}: {what.name} has {', '.join(what.declared)}; received {unknown[0]!r}.")
    if name in arguments:
        raise SearchError(f"{name} is swept, so it cannot be fixed; received --fix {name}={arguments[name]}.")
    declared = what.hyperparameters.get(name)
    if declared is not None and what.is_ours:
        # Any number turns on what is off by default, such as weight decay; all values are those of the sweep.
        usual = declared.default if declared.search is None else declared.search.low
        arguments[name] = high if high is not None else usual
    try:
        seed_everything(plan.seed % 2**32)
        model = compiled(made, what.cls(**arguments))
        reseed(plan.seed % 2**32)
        fitted = fit_arguments(made.batch_size, data)
        test = keras_optims.RangeTest(name, low, high, scale, steps=steps)
        sweep = test.run(model, **{key: value for key, value in fitted.items() if not key.startswith("validation")})
    except SearchError:
        raise
    except (TypeError, ValueError) as error:
        raise SearchError(one_line(error).partition(": ")[2]) from error
    return RangeTested(sweep, f"{what.cls.__name__} on {made.name}", made.name, str(plan.optimizers[0]))


def _swept(plan: Plan) -> tuple[str, float | None, float | None, str | None]:
    """(name, low, high, scale) of what is swept."""
    if len(plan.search or {}) > 1:
        raise SearchError(f"A range test sweeps one hyperparameter; received --search of {', '.join(plan.search or {})}.")
    for name, wanted in (plan.search or {}).items():
        if wanted is None:
            return name, None, None, None
        if not isinstance(wanted, tuple):
            form = "--search NAME=LOW:HIGH[:SCALE]"
            raise SearchError(f"A range test sweeps from LOW to HIGH: {form}; received {name}={wanted!r}.")
        return name, wanted[0], wanted[1], wanted[2] if len(wanted) == 3 else None
    return "learning_rate", None, None, None
