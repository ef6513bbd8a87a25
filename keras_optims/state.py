"""Saved state, matched by name: the slot's and that of the model's variable it belongs to.

Keras numbers the variables of an optimizer and assigns by number, so state can land on the wrong variable, or be dropped with no
more than a warning. Here each entry has a name, and state that does not fit is an error that says how it does not.

Names of layers that Keras made up differ from one process to the next (`dense_3` here, `dense` there), and so does the outer
model's. So where the names as they are do not match, they are compared without the outer model's name and with the made-up
numbers replaced by their rank: `dense_3, dense_7` and `dense, dense_1` name the same two layers.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
import re
import zipfile
from collections.abc import Collection, Mapping
from typing import Any

import h5py  # which Keras requires
import numpy as np
from keras import ops

from keras_optims.dtypes import is_half

_SEPARATOR = "|"  # a "/" would open a group in an HDF5 file


@dataclasses.dataclass
class LoadedState:
    """What became of each entry of a saved state, by name: a number's (`beta_1`) or a slot's (`velocity/dense/kernel`).

    Args:
        taken: the entries that the optimizer has now.
        fresh: what the optimizer has and the saved state has not, or has in another shape; it is as it was.
        left_out: what was saved and has no place in the optimizer, or has another shape there.
    """

    taken: list[str] = dataclasses.field(default_factory=list)
    fresh: list[str] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)

    def __str__(self):
        return f"taken: {_listed(self.taken)}\nfresh: {_listed(self.fresh)}\nleft out: {_listed(self.left_out)}"


@dataclasses.dataclass
class PendingState:
    """State that waits for the optimizer to be built.

    Args:
        saved: the arrays by their names.
        partial: whether it need not fit.
        loaded: what to tell once it is taken.
    """

    saved: dict[str, np.ndarray]
    partial: bool = False
    loaded: LoadedState = dataclasses.field(default_factory=LoadedState)


def save(named_variables, store):
    """Writes the variables into a dict-like store."""
    for key, variable in zip(_keys(named_variables), (v for _, v in named_variables), strict=True):
        half = is_half(variable.dtype)  # which files know only by way of a convention of Keras's
        store[key] = ops.convert_to_numpy(ops.cast(variable, "float32") if half else variable)


def read(store) -> dict[str, np.ndarray]:
    """The content of a store as arrays in memory."""
    return {key: np.asarray(store[key]) for key in store.keys()}  # noqa: SIM118 (Keras's store iterates over nothing)


def read_source(source: Any) -> dict[str, np.ndarray]:
    """The state in a `.keras` or `.weights.h5` file, or in a dict that `save_own_variables` has filled.

    Raises:
        ValueError: there is no state of an optimizer, or none that can be read.
    """
    if isinstance(source, Mapping):
        for key in source:
            if not isinstance(key, str):
                raise ValueError(f"The names in a dict with an optimizer's state must be texts; received {key!r}.")
        return read(source)
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            "The source of an optimizer's state must be the path of a .keras or .weights.h5 file, an optimizer of keras_optims, "
            f"or a dict; received {source!r}."
        )
    path = os.fspath(source)
    if not os.path.exists(path):
        raise ValueError(f"There is no file {path!r} to load the optimizer's state from.")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                return _read_hdf5(file)
        with h5py.File(path) as file:
            return _read_hdf5(file)
    except Exception as error:  # what h5py, zipfile and the decompressors raise on damaged files is of a dozen kinds
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(
            f"The file {path!r} holds no state of an optimizer that can be read; it must be written by model.save(...) or "
            f"model.save_weights(...) of a compiled model: {reason}"
        ) from None


def _read_hdf5(file):
    wrapped = "optimizer/inner_optimizer/vars"  # in a LossScaleOptimizer
    group = file[wrapped if wrapped in file else "optimizer/vars"]
    for key, entry in group.items():
        if not isinstance(key, str) or not isinstance(entry, h5py.Dataset):
            raise TypeError(f"{key!r} is not the name of a data set")
    return read(group)


def load(
    named_variables, saved: dict[str, np.ndarray], name: str, partial: bool = False, made_by_build: Collection[str] = ()
) -> LoadedState:
    """Assigns the saved arrays to the variables.

    Args:
        named_variables: ((slot's name, path of the model's variable or None), variable) of all that there is to assign.
        saved: the arrays by their names.
        name: the optimizer's, for errors.
        partial: take what fits and leave the rest as it is.
        made_by_build: the names of numbers that an optimizer has once it is built, and not before.

    Raises:
        ValueError: names or shapes differ, and `partial` is false; nothing is assigned then.
    """
    if saved and all(key.isdecimal() for key in saved):
        raise ValueError(
            f"The saved state does not fit the optimizer {name!r}: it is numbered, so it was saved by an optimizer of Keras. "
            "Load it into that one, and give that one to keras_optims.from_keras."
        )
    keys = _keys(named_variables)
    variables = dict(zip(keys, (v for _, v in named_variables), strict=True))
    pairs = _pairs_that_fit(variables, saved) if partial else _all_pairs(variables, saved, name, made_by_build)
    for key, saved_key in pairs.items():
        variables[key].assign(saved[saved_key])
    return LoadedState(
        taken=[_shown(key) for key in pairs],
        fresh=[_shown(key) for key in keys if key not in pairs],
        left_out=[_shown(key) for key in saved if key not in pairs.values()],
    )


def _all_pairs(variables, saved, name, made_by_build) -> dict[str, str]:
    """Name here -> name in the saved state, of all that is here and all that is there."""
    if _is_of_the_beginning(variables, saved, made_by_build):
        return {key: key for key in saved}
    pairs = {key: key for key in variables}
    if set(variables) != set(saved):
        for own, theirs in itertools.product(_forms(list(variables)), _forms(list(saved))):
            if set(own.values()) == set(theirs.values()):
                by_form = {form: key for key, form in theirs.items()}
                pairs = {key: by_form[form] for key, form in own.items()}
                break
        else:
            raise ValueError(
                f"The saved state does not fit the optimizer {name!r}: missing from it: "
                f"{_listed(map(_shown, _slots_first(set(variables) - set(saved))))}; without a place in the optimizer: "
                f"{_listed(map(_shown, _slots_first(set(saved) - set(variables))))}. "
                "To take what fits and leave the rest, call optimizer.load_state(source, partial=True)."
            )
    for key, saved_key in pairs.items():
        if tuple(variables[key].shape) != saved[saved_key].shape:
            raise ValueError(
                f"The saved state does not fit the optimizer {name!r}: {_shown(key)} has shape {tuple(variables[key].shape)}, "
                f"but shape {saved[saved_key].shape} was saved. To take what fits and leave the rest, call "
                "optimizer.load_state(source, partial=True)."
            )
    return pairs


def _is_of_the_beginning(variables, saved, made_by_build) -> bool:
    """Whether the state was saved before the optimizer was built, so that it has no slots, and theirs are as new here."""
    no_steps = all(
        "iteration" in of and tuple(of["iteration"].shape) == () and int(ops.convert_to_numpy(of["iteration"])) == 0
        for of in (variables, saved)
    )
    return no_steps and set(saved) == {key for key in variables if _SEPARATOR not in key and key not in made_by_build}


def _pairs_that_fit(variables, saved) -> dict[str, str]:
    """Name here -> name in the saved state, of all that is in both, in the same shape.

    The names count as they are, if there is any slot of which they hold. Made-up names may be another layer's by chance: so a
    layer one of whose variables has another shape is left out altogether.
    """
    candidates = [{key: key for key in variables if key in saved}]
    for own, theirs in itertools.product(_forms(list(variables)), _forms(list(saved))):
        by_form = {form: key for key, form in theirs.items()}
        candidates.append({key: by_form[form] for key, form in own.items() if form in by_form})
    for pairs in candidates:
        misfits = {_layer(key) for key, other in pairs.items() if tuple(variables[key].shape) != saved[other].shape}
        pairs = {key: other for key, other in pairs.items() if _layer(key) not in misfits}
        if any(_SEPARATOR in key for key in pairs):
            return pairs
    return {key: key for key in variables if _SEPARATOR not in key and key in saved and saved[key].shape == ()}


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


def _layer(key: str) -> str:
    """The path of the layer whose variable this slot belongs to; of a number, itself."""
    slot, *path = key.split(_SEPARATOR)
    return _SEPARATOR.join(path[:-1] or path) or slot


def _forms(keys: list[str]) -> list[dict[str, str]]:
    """Each key with the numbers at the end of names replaced by their rank: with all names, and without those of outer models.

    An outer model's name is one that all paths begin with; a layer's name is not left out, so something must be left beside it.
    """
    split = {key: key.split(_SEPARATOR) for key in keys}
    paths = {key: tuple(parts[1:]) for key, parts in split.items() if len(parts) > 1}
    forms = [_ranked(paths)]
    while _have_an_outer_model(list(paths.values())):
        paths = {key: path[1:] for key, path in paths.items()}
        forms.append(_ranked(paths))
    return [{key: f"{split[key][0]}{_SEPARATOR}{form[key]}" if key in form else key for key in keys} for form in forms]


def _have_an_outer_model(paths: list[tuple[str, ...]]) -> bool:
    lengths = [len(path) for path in paths]
    return len({path[0] for path in paths}) == 1 and min(lengths) > 1 and max(lengths) > 2


def _ranked(paths: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Each path with the numbers at the end of its names replaced by their rank."""
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
    return {key: ranked[path] for key, path in paths.items()}


def _slots_first(keys):
    return sorted(keys, key=lambda key: (_SEPARATOR not in key, key))


def _listed(names, most: int = 5) -> str:
    names = list(names)
    shown = ", ".join(names[:most]) or "nothing"
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _shown(key: str) -> str:
    return key.replace(_SEPARATOR, "/")
