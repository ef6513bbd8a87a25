"""The seed of each training; importing this needs NumPy alone."""

from __future__ import annotations

import numpy as np


def execution_seed(search_seed: int, trial: int, execution: int) -> int:
    """The seed of an execution, in [0, 2**32); `trial`: whose training it is, of one that continues another the first of them."""
    return int(np.random.SeedSequence([search_seed, trial, execution]).generate_state(1)[0])
