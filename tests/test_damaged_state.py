"""A damaged file is a ValueError of one line that names it, and nothing of it is loaded."""

import io
import random
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_optims
from tests.stepping import state_of


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(keras_optims.Adam(), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def weights_file(model, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("saved") / "model.weights.h5"
    model.save_weights(path)
    return path.read_bytes()


def zipped(content: bytes, **arguments) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **arguments) as archive:
        archive.writestr("model.weights.h5", content)
    return bytearray(buffer.getvalue())


def with_flag(archive: bytearray) -> bytes:
    """The archive, its entry marked as encrypted."""
    for header, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(header) + offset] |= 1
    return bytes(archive)


def with_compression(archive: bytearray, method: int) -> bytes:
    """The archive, its entry said to be compressed in another way."""
    for header, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        archive[archive.index(header) + offset] = method
    return bytes(archive)


def changed(content: bytes, change) -> bytes:
    """The weights file after `change(file)`."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def put(path, value):
    def change(file):
        del file[path]
        if value is dict:
            file.create_group(path)
        elif value is not None:
            file[path] = value

    return lambda content: changed(content, change)


DAMAGE = {
    "an encrypted entry": lambda content: with_flag(zipped(content)),
    "an unknown compression": lambda content: with_compression(zipped(content), 77),
    "compressed by nothing": lambda content: with_compression(zipped(content), zipfile.ZIP_DEFLATED),
    "an archive of something else": lambda content: bytes(zipped(b"something else")),
    "a data set for a group": put("optimizer/vars", 3.0),
    "a group for a data set": put("optimizer/vars/beta_1", dict),
    "a link to nowhere": put("optimizer/vars/beta_1", h5py.SoftLink("/nowhere")),
    "a number for the optimizer": put("optimizer", 3.0),
    "no optimizer": put("optimizer", None),
    "a text": put("optimizer/vars/beta_1", "half"),
    "an iteration of another shape": put("optimizer/vars/iteration", np.zeros((2, 2), "int64")),
    "a heap of another size": lambda content: content.replace(b"HEAP\x00\x00\x00\x00\x58", b"HEAP\x00\x00\x00\x00\x08"),
    "nodes of no tree": lambda content: content.replace(b"SNOD", b"SNOB"),
    "no tree": lambda content: content.replace(b"TREE", b"TREA"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_a_value_error(kind, model, weights_file, tmp_path):
    (tmp_path / "model.keras").write_bytes(DAMAGE[kind](weights_file))
    assert_refused(model, tmp_path / "model.keras")


def assert_refused(model, path):
    optimizer = keras_optims.Adam()
    optimizer.build(model.trainable_variables)
    before = state_of(optimizer)
    with pytest.raises(ValueError, match=r"holds no state|does not fit") as error:
        optimizer.load_state(path)
    assert "\n" not in str(error.value)
    for key, value in state_of(optimizer).items():
        np.testing.assert_array_equal(value, before[key])


def test_damage_at_random_places_is_a_value_error_or_goes_unnoticed(model, weights_file, tmp_path):
    draw, messages = random.Random(3), []
    optimizer = keras_optims.Adam()
    optimizer.build(model.trainable_variables)
    for _ in range(150):
        content = bytearray(weights_file)
        for _ in range(draw.choice([1, 8, 40])):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        if draw.random() < 0.2:
            content = content[: draw.randrange(len(content))]
        if draw.random() < 0.5:
            content = zipped(bytes(content), compression=zipfile.ZIP_DEFLATED)
            content[draw.randrange(len(content))] ^= draw.choice([0, 1, 128])
        (tmp_path / "damaged.keras").write_bytes(content)
        try:
            optimizer.load_state(tmp_path / "damaged.keras", partial=draw.random() < 0.5)
        except ValueError as error:
            messages.append(str(error))
    assert 30 < len(messages) < 150
    assert not any("\n" in message for message in messages)


def test_a_dict_with_other_names_than_texts_is_refused(model):
    optimizer = keras_optims.Adam()
    with pytest.raises(ValueError, match=r"names in a dict .* must be texts; received 1"):
        optimizer.load_state({1: np.zeros(())})
