"""Which way the update of each variable goes, and why."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Path:
    """The way of one variable's update.

    Attributes:
        name: `"fused"`: one kernel reads and writes each number once. `"grouped"`: the same, for many small variables together.
            `"foreach"`: one kernel for each operation of the formula, over all variables. `"compiled"`: XLA makes one loop of
            the formula. `"blocks"`, `"packed"`: torch runs it on parts of a large variable, and on several small ones end to end.
            `"stacked"`: torch maps it over small variables of one shape. `"formula"`: `update_step`, an operation at a time.
            `"rows"`: the same on the rows of a sparse gradient.
        why: what computes it, and what keeps it from a faster path.
    """

    name: str
    why: str


BY_ROWS = Path("rows", "its last gradient was sparse: only the rows that the batch used are read and written")
