"""All that a training is at the end of an epoch: the same training goes on from it, here or in another process.

A snapshot is a cache of a deterministic computation: what goes on from it computes what the training computes that never
stopped, bit for bit on a CPU. If it is lost, or is of another training, that is trained again from its beginning.

In it are the variables of model and optimizer (weights, seed generators, slots, step counter, averages, live hyperparameters),
the generators that are of neither, and the curve, from which follows at which epoch the order of the samples goes on. What it
cannot know is the state of a user's callbacks, and randomness that is not Keras's, such as that of `tf.random`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
import zlib
from typing import Any

import keras
import numpy as np

from tuning.training import epochs, keras_seam
from tuning.training.curve import Curve
from tuning.training.keeping import BestEpoch, State, put_state, state_of
from tuning.training.live import without_numbers

_DAMAGE = (LookupError, OSError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


class OtherTrainingError(Exception):
    """A snapshot is not of the training that is to go on from it."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A training at the end of an epoch.

    Args:
        curve: its metrics after each epoch.
        state: of model and optimizer.
        best: the best epoch so far, from 0, and the state there; `None`: unknown.
        generators: name -> state of those that are of no model.
        beginning: what `beginning` says of the training.
    """

    curve: list[dict[str, float]]
    state: State
    best: tuple[int, State] | None
    generators: dict[str, np.ndarray]
    beginning: str | None

    @property
    def epoch(self) -> int:
        """How many epochs were trained: the number of the next one."""
        return len(self.curve)

    def restore(self, model: keras.Model, changing: bool = False) -> None:
        """Puts a model that is about to train, and the generators, into this state.

        Args:
            model: built.
            changing: whether live numbers change while it trains, see `beginning`.

        Raises:
            OtherTrainingError: the model begins another training.
        """
        if self.beginning is None or beginning(model, changing) != self.beginning:
            raise OtherTrainingError
        put_state(model, self.state)
        put_generators(self.generators)

    def content(self) -> bytes:
        """As the content of an `.npz` file, without anything pickled."""
        best = [] if self.best is None or self.best[0] == self.epoch - 1 else self.best[1]
        arrays = [*self.state, *best, *self.generators.values()]
        header = {
            "curve": self.curve,
            "beginning": self.beginning,
            "best": None if self.best is None else self.best[0],
            "counts": [len(self.state), len(best)],
            "generators": list(self.generators),
            "arrays": [[array.dtype.name, array.shape] for array in arrays],
        }
        parts = {str(i): np.frombuffer(array.tobytes(), np.uint8) for i, array in enumerate(arrays)}
        file = io.BytesIO()
        np.savez(file, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **parts)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def read(cls, content: bytes) -> Snapshot | None:
        """The snapshot with this content; `None` if it is damaged."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                header = json.loads(file["header"].tobytes())
                arrays = [
                    np.frombuffer(file[str(i)].tobytes(), np.dtype(dtype)).reshape(shape)
                    for i, (dtype, shape) in enumerate(header["arrays"])
                ]
            first, second = header["counts"]
            state, best = arrays[:first], arrays[first : first + second]
            return cls(
                curve=header["curve"],
                state=state,
                best=None if header["best"] is None else (header["best"], best or state),
                generators=dict(zip(header["generators"], arrays[first + second :], strict=True)),
                beginning=header["beginning"],
            )
        except _DAMAGE:
            return None


def beginning(model: keras.Model, changing: bool = False) -> str | None:
    """By which a training is known before its first step: variables, optimizer and the hyperparameters that it was given.

    A schedule that is of the whole training, for one, makes one of more epochs another training. `None`: it cannot be known, as
    something of the optimizer has no configuration.

    Args:
        model: built.
        changing: whether live numbers change while it trains: then they do not count, and all else of the model does.
    """
    try:
        config: Any = {name: value for name, value in model.optimizer.get_config().items() if name != "name"}
        if changing:
            config = without_numbers(model)
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None
    variables = [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]
    described = [config, [[list(variable.shape), variable.dtype] for variable in variables]]
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=lambda value: type(value).__name__).encode()).hexdigest()


def generators() -> dict[str, np.ndarray]:
    """The states of the generators that are of no model."""
    states = {"keras": np.array(keras.ops.convert_to_numpy(keras_seam.global_generator().state.value))}
    if keras.backend.backend() == "torch":
        import torch

        states["torch"] = torch.get_rng_state().numpy()
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state().numpy()
        if torch.backends.mps.is_available():
            states["mps"] = torch.mps.get_rng_state().numpy()
    return states


def put_generators(states: dict[str, np.ndarray]) -> None:
    """Puts them into states."""
    keras_seam.global_generator().state.assign(states["keras"])
    if keras.backend.backend() == "torch":
        import torch

        put = {"torch": torch.set_rng_state}
        if torch.cuda.is_available():
            put["cuda"] = torch.cuda.set_rng_state
        if torch.backends.mps.is_available():
            put["mps"] = torch.mps.set_rng_state
        for name in put.keys() & states.keys():
            put[name](torch.from_numpy(states[name].copy()))


class Continuation(keras.callbacks.Callback):
    """Takes a training up where a snapshot left it, and takes one of its end. It is to be the last callback.

    Args:
        begin: where it is taken up; `None`: it begins.
        leaves: whether one of its end is wanted.
        curve: of this training.
        keeping: what holds its best epoch, or nothing.
        changing: whether live numbers change while it trains.
    """

    def __init__(self, begin: Snapshot | None, leaves: bool, curve: Curve, keeping: list[BestEpoch], changing: bool = False):
        super().__init__()
        self._begin, self._leaves, self._curve, self._keeping = begin, leaves, curve, keeping
        self._changing = changing
        self._beginning: str | None = None
        self.taken: Snapshot | None = None  # at the end of the last epoch, before averages take the place of weights

    def on_train_begin(self, logs=None):
        """Takes it up, after all generators have been seeded."""
        self._beginning = beginning(self.model, self._changing)
        if self._begin is not None:
            self._begin.restore(self.model, self._changing)

    def on_epoch_end(self, epoch, logs=None):
        """Takes the snapshot, if this was the last epoch, and the order of samples is ours."""
        if self._leaves and epoch + 1 == self.params["epochs"] and epochs.left_to_keras(self.model) is None:
            self.taken = taken(self._curve, state_of(self.model), self._keeping, self._beginning)


def taken(curve: Curve, state: State, keeping: list[BestEpoch], beginning: str | None) -> Snapshot | None:
    """The snapshot of a training in this state; `None` if it diverged, was stopped, or cannot be known again."""
    if curve.diverged or curve.stopped or beginning is None:
        return None
    best = next(((held.epoch, held.state) for held in keeping if held.epoch is not None and held.state is not None), None)
    return Snapshot(list(curve.epochs), state, best, generators(), beginning)
