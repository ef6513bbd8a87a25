"""Saved state, matched by name: the slot's and that of the model's variable it belongs to.

Keras numbers the variables of an optimizer and assigns by number, so state can land on the wrong variable, or be dropped with no
more than a warning. Here each entry has a name, and state that does not fit is an error that says how it does not.

Names of layers that Keras made up differ from one process to the next (`dense_3` here, `dense` there), and so does the outer
model's. So where the names as they are do not match, they are compared without the outer model's name and with the made-up
numbers replaced by their rank: `dense_3, dense_7` and `dense, dense_1` name the same two layers.
"""

from __future__ import annotations

import re

import numpy as np
from keras import ops

from keras_optims.working_copy import is_half

_SEPARATOR = "|"  # a "/" would open a group in an HDF5 file


def save(named_variables, store):
    """Writes the variables into a dict-like store."""
    for key, variable in zip(_keys(named_variables), (v for _, v in named_variables), strict=True):
        half = is_half(variable.dtype)  # which files know only by way of a convention of Keras's
        store[key] = ops.convert_to_numpy(ops.cast(variable, "float32") if half else variable)


def read(store) -> dict[str, np.ndarray]:
    """The content of a store as arrays in memory."""
    return {key: np.asarray(store[key]) for key in store.keys()}  # noqa: SIM118 (Keras's store iterates over nothing)


def load(named_variables, saved: dict[str, np.ndarray], name: str):
    """Assigns the saved arrays to the variables.

    Raises:
        ValueError: names or shapes differ; nothing is assigned then.
    """
    keys = _keys(named_variables)
    if set(keys) != set(saved):
        own, theirs = _normalized(keys), _normalized(list(saved))
        if set(own.values()) == set(theirs.values()):
            by_normalized = {normalized: key for key, normalized in theirs.items()}
            saved = {key: saved[by_normalized[normalized]] for key, normalized in own.items()}
    missing, extra = set(keys) - set(saved), set(saved) - set(keys)
    if missing or extra:
        raise ValueError(
            f"The saved state does not fit the optimizer {name!r}: missing from it: {_listed(missing)}; "
            f"without a place in the optimizer: {_listed(extra)}."
        )
    variables = dict(zip(keys, (v for _, v in named_variables), strict=True))
    for key, variable in variables.items():
        if tuple(variable.shape) != saved[key].shape:
            raise ValueError(
                f"The saved state does not fit the optimizer {name!r}: {_shown(key)} has shape {tuple(variable.shape)}, "
                f"but shape {saved[key].shape} was saved."
            )
    for key, variable in variables.items():
        variable.assign(saved[key])


def _keys(named_variables) -> list[str]:
    """A distinct text for each (slot, path of the model's variable or None)."""
    keys: list[str] = []
    taken: set[str] = set()
    for (slot, path), _ in named_variables:
        key = stem = slot if path is None else f"{slot}{_SEPARATOR}{path.replace('/', _SEPARATOR)}"
        number = 1
        while key in taken:  # two variables of one name: only their order tells them apart
            number += 1
            key = f"{stem}#{number}"
        taken.add(key)
        keys.append(key)
    return keys


def _normalized(keys: list[str]) -> dict[str, str]:
    """Each key without the outer model's name, and with numbers at the end of a name replaced by their rank."""
    split = {key: key.split(_SEPARATOR) for key in keys}
    paths = {key: tuple(parts[1:]) for key, parts in split.items() if len(parts) > 1}
    if len({path[0] for path in paths.values()}) == 1 and all(len(path) > 2 for path in paths.values()):
        paths = {key: path[1:] for key, path in paths.items()}
    ranked: dict[tuple[str, ...], str] = {}

    def rank(prefix: tuple[str, ...], originals: set[tuple[str, ...]], depth: int):
        """Renames the parts at `depth` of all paths that begin with `prefix`."""
        here = {path[depth] for path in originals if len(path) > depth}
        numbers: dict[str, list[tuple[int, str]]] = {}
        for part in here:
            match = re.fullmatch(r"(.*?)(?:_(\d+))?", part, flags=re.DOTALL)
            assert match is not None  # it matches every text
            numbers.setdefault(match[1], []).append((int(match[2] or 0), part))
        for stem, found in numbers.items():
            for position, (_, part) in enumerate(sorted(found)):
                below = {path for path in originals if len(path) > depth and path[depth] == part}
                renamed = (*prefix, f"{stem}_{position}")
                for path in below:
                    if len(path) == depth + 1:
                        ranked[path] = _SEPARATOR.join(renamed)
                rank(renamed, {path for path in below if len(path) > depth + 1}, depth + 1)

    rank((), set(paths.values()), 0)
    return {key: f"{split[key][0]}{_SEPARATOR}{ranked[paths[key]]}" if key in paths else key for key in keys}


def _listed(keys: set[str], most: int = 5) -> str:
    """Some of the keys, slots before scalars."""
    ordered = sorted(keys, key=lambda key: (_SEPARATOR not in key, key))
    shown = ", ".join(_shown(key) for key in ordered[:most]) or "nothing"
    return shown if len(keys) <= most else f"{shown} and {len(keys) - most} more"


def _shown(key: str) -> str:
    return key.replace(_SEPARATOR, "/")
