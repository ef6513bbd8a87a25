"""Which way the update of each variable goes, and why."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Path:
    """The way of one variable's update.

    Attributes:
        name: `"fused"`: one kernel reads and writes each number once. `"grouped"`: the same, for many small variables together.
            `"foreach"`: one kernel for each operation of the formula, over all variables. `"compiled"`: XLA makes one loop of
            the formula. `"formula"`: `update_step`, an operation at a time. `"rows"`: the same on the rows of a sparse gradient.
        why: what computes it, and what keeps it from a faster path.
    """

    name: str
    why: str


BY_ROWS = Path("rows", "its last gradient was sparse: only the rows that the batch used are read and written")


@dataclasses.dataclass(frozen=True)
class ExplainedVariable:
    """One line of `Optimizer.explain()`.

    Attributes:
        variable, shape, dtype: the variable's path, shape and dtype.
        path, why: see `Path`.
        weight_decay: whether it is decayed.
        by_rules: the hyperparameters that rules have set for it, by name; `learning_rate_multiplier` is that of all together.
    """

    variable: str
    shape: tuple[int, ...]
    dtype: str
    path: str
    why: str
    weight_decay: bool
    by_rules: dict[str, Any] = dataclasses.field(default_factory=dict)


class Explanation(list[ExplainedVariable]):
    """What `Optimizer.explain()` returns: a list of `ExplainedVariable`, which prints as a table."""

    def __str__(self) -> str:
        header = ["variable", "shape", "dtype", "path", "decay", "why", "by rules"]
        rows = [
            [
                line.variable,
                _shape(line.shape),
                line.dtype,
                line.path,
                "yes" if line.weight_decay else "no",
                line.why,
                _by_rules(line),
            ]
            for line in self
        ]
        if not any(line.by_rules for line in self):
            header, rows = header[:-1], [row[:-1] for row in rows]
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (header, *rows)
        )

    __repr__ = __str__


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _by_rules(line: ExplainedVariable) -> str:
    return ", ".join(f"{name}={value}" for name, value in line.by_rules.items())
