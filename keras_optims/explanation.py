"""What `Optimizer.explain()` tells."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_optims import kernels
from keras_optims.dtypes import wide
from keras_optims.html_table import html_table
from keras_optims.paths import BY_ROWS
from keras_optims.quantized import StoredSmaller
from keras_optims.stand_in import path_of
from keras_optims.step import Frame


@dataclasses.dataclass(frozen=True)
class ExplainedVariable:
    """One line of `Optimizer.explain()`.

    Attributes:
        variable, shape, dtype: the variable's path, shape and dtype.
        path, why: see `Path`.
        slots: its slots: name → (shape, dtype).
        weight_decay: whether it is decayed.
        by_rules: the hyperparameters that rules have set for it, by name; `learning_rate_multiplier` is that of all together.
    """

    variable: str
    shape: tuple[int, ...]
    dtype: str
    path: str
    why: str
    weight_decay: bool
    slots: dict[str, tuple[tuple[int, ...], str]] = dataclasses.field(default_factory=dict)
    by_rules: dict[str, Any] = dataclasses.field(default_factory=dict)


class Explanation(list[ExplainedVariable]):
    """What `Optimizer.explain()` returns: a list of `ExplainedVariable`, which prints as a table.

    Attributes:
        shared: the state of the whole model: name → value.
        of: the name of the optimizer's class.
    """

    shared: dict[str, Any]
    of: str = "optimizer"

    def _cells(self) -> tuple[list[str], list[list[str]], list[str]]:
        """(the header, the rows, what is shared by all)."""
        header = ["variable", "shape", "dtype", "path", "decay", "slots", "why", "by rules"]
        rows = [
            [
                line.variable,
                _shape(line.shape),
                line.dtype,
                line.path,
                "yes" if line.weight_decay else "no",
                ", ".join(_slot(line, name) for name in line.slots) or "none",
                line.why,
                _by_rules(line),
            ]
            for line in self
        ]
        if not any(line.by_rules for line in self):
            header, rows = header[:-1], [row[:-1] for row in rows]
        numbers = {name: value if isinstance(value, str) else f"{value:.7g}" for name, value in self.shared.items()}
        return header, rows, [f"shared by all: {name} = {number}" for name, number in numbers.items()]

    def __str__(self) -> str:
        header, rows, shared = self._cells()
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        table = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (header, *rows)
        )
        return "\n".join([*table, *shared])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """In a notebook."""
        header, rows, shared = self._cells()
        return html_table(f"{self.of}.explain()", header, rows, shared)


def explained(optimizer) -> Explanation:
    """The explanation of an optimizer that is built."""
    lines = Explanation()
    lines.of = type(optimizer).__name__
    for variable in optimizer.variables_of_the_model():
        settings = optimizer.settings_of(variable)
        formula = settings.formula or optimizer
        with Frame(formula, settings):
            path = BY_ROWS if formula.was_sparse(variable) else kernels.path_of(formula, variable)
        slots = [
            slot
            for each in {id(o): o for o in (formula, optimizer)}.values()
            for slot in each._untracked.slots.all
            if variable in slot
        ]
        lines.append(
            ExplainedVariable(
                variable=path_of(variable),
                shape=tuple(variable.shape),
                dtype=keras.backend.standardize_dtype(variable.dtype),
                path=path.name,
                why=f"{path.why}; slots in {formula.slot_dtype}" if formula.stores_smaller(variable) else path.why,
                weight_decay=formula.decays(variable),
                slots={
                    slot.name: _shape_and_dtype(slot[variable]) for slot in slots if slot.name not in formula._untracked.unsaved
                },
                by_rules=settings.described(),
            )
        )
    lines.shared = {name: _number(variable) for each in optimizer.formulas() for name, variable in each._untracked.shared.items()}
    return lines


def _shape_and_dtype(variable) -> tuple[tuple[int, ...], str]:
    variable = variable.parts[0] if isinstance(variable, StoredSmaller) else variable
    return tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype)


def _number(variable):
    value = ops.convert_to_numpy(variable)
    return value.item() if value.shape == () else f"an array of shape {value.shape}"


def _slot(line, name) -> str:
    """The slot's name, and what differs from the variable."""
    shape, dtype = line.slots[name]
    differs = [] if shape == line.shape else [_shape(shape)]
    differs += [] if dtype == wide(line.dtype) else [dtype]
    return " ".join([name, *differs])


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _by_rules(line: ExplainedVariable) -> str:
    return ", ".join(f"{name}={value}" for name, value in line.by_rules.items())
