"""Data that need not fit in memory: what Keras takes in the place of arrays."""

from __future__ import annotations

import math
import sys
from typing import Any

import keras


def is_stream(part: Any) -> bool:
    """Whether it is a `keras.utils.PyDataset`, a `tf.data.Dataset` or a torch `DataLoader`: batches of `(x, y)`.

    Neither TensorFlow nor torch is imported to find out: who has not imported it has none of its objects.
    """
    kinds = [keras.utils.PyDataset]
    if "tensorflow" in sys.modules:
        kinds.append(sys.modules["tensorflow"].data.Dataset)
    if "torch.utils.data" in sys.modules:
        kinds.append(sys.modules["torch.utils.data"].DataLoader)
    return isinstance(part, tuple(kinds))


def batches_of(part: Any) -> float | None:
    """How many batches there are in it; `math.inf` if it never ends, `None` if nobody knows."""
    try:
        if isinstance(part, keras.utils.PyDataset):
            count = part.num_batches
            return math.inf if count is None else count
        if hasattr(part, "cardinality"):  # of TensorFlow: -1 without end, -2 unknown
            count = int(part.cardinality())
            return {-1: math.inf, -2: None}.get(count, count)
        return len(part)
    except (NotImplementedError, TypeError):
        return None
