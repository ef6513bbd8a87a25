"""The gradient of a table of which a batch has used some rows (an embedding): the rest of it is zero and is not stored."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class RowGradient:
    """Rows of a gradient, each row of the table at most once among those that count.

    Attributes:
        rows: int tensor of shape `(k,)`; the touched rows, as they occurred in the batch, some of them several times.
        sums: tensor of shape `(k, ...)`; the summed gradient of a row at the one occurrence that stands for the row, and zero at
            its other occurrences, so that norms and elementwise functions of it are those of the whole gradient.
        stands: int tensor of shape `(k,)`; for each occurrence the position of the one that stands for its row.
    """

    rows: Any
    sums: Any
    stands: Any


def values_of(gradient):
    """The tensor of a gradient's elements; each that is not zero occurs in it once."""
    return gradient.sums if isinstance(gradient, RowGradient) else gradient


def with_values(gradient, values):
    """The gradient with other elements, zero where they were zero."""
    return dataclasses.replace(gradient, sums=values) if isinstance(gradient, RowGradient) else values
