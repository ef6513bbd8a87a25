"""Finding and reading MNIST, Fashion-MNIST, CIFAR-10 and a text in the forms in which people have them on disk.

Where they are looked for: in the folder that is named (`data_dir`, else the environment variable KERAS_OPTIMS_DATA) and
nowhere else; else where Keras caches its data sets; else in ./data, where torchvision's users keep theirs; else
`keras.datasets` downloads them. Nothing that is read is executed: npz files without pickles, CIFAR-10's pickles
through an unpickler that knows three names of NumPy.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import pathlib
import pickle
import sys
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tuning.errors import SearchError, one_line

Images = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # (x, y) to train, (x, y) to test; uint8

ENVIRONMENT_VARIABLE = "KERAS_OPTIMS_DATA"


def load_mnist(data_dir=None) -> Images:
    """MNIST: images uint8 of shape (n, 28, 28), labels uint8 of shape (n,)."""
    forms = {"mnist.npz": _read_npz, "MNIST/raw": _read_idx, "mnist": _read_idx}
    return _load(
        "MNIST",
        forms,
        data_dir,
        download=lambda keras: keras.datasets.mnist.load_data(),
        remedy="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz as mnist.npz",
    )


def load_fashion_mnist(data_dir=None) -> Images:
    """Fashion-MNIST: images uint8 of shape (n, 28, 28), labels uint8 of shape (n,)."""
    forms = {"fashion-mnist": _read_idx, "FashionMNIST/raw": _read_idx}
    return _load(
        "Fashion-MNIST",
        forms,
        data_dir,
        download=lambda keras: keras.datasets.fashion_mnist.load_data(),
        remedy="the four *-ubyte.gz files of https://storage.googleapis.com/tensorflow/tf-keras-datasets/ in fashion-mnist/",
    )


def load_cifar10(data_dir=None) -> Images:
    """CIFAR-10: images uint8 of shape (n, 32, 32, 3), labels int32 of shape (n,)."""
    forms = {
        "cifar-10-batches-py": _read_cifar_folder,
        "cifar-10-batches-py-target_archive": _read_cifar_archive,  # Keras's name for its download
        "cifar-10-python.tar.gz": _read_cifar_archive,
    }
    return _load(
        "CIFAR-10",
        forms,
        data_dir,
        download=_download_cifar10,
        remedy="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz as cifar-10-python.tar.gz",
    )


_SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def load_shakespeare(data_dir=None) -> bytes:
    """1.1 MB of Shakespeare's plays, ASCII, 65 different characters (Karpathy 2015, char-rnn, data/tinyshakespeare/input.txt)."""

    def download(keras):
        path = keras.utils.get_file("tinyshakespeare.txt", _SHAKESPEARE, file_hash=_SHAKESPEARE_SHA256, hash_algorithm="sha256")
        return pathlib.Path(path).read_bytes()

    forms = {"tinyshakespeare.txt": pathlib.Path.read_bytes, "tinyshakespeare/input.txt": pathlib.Path.read_bytes}
    remedy = f"{_SHAKESPEARE} as tinyshakespeare.txt"
    return _load("tinyshakespeare", forms, data_dir, download=download, remedy=remedy, check=_check_text)


def _load(name: str, forms: dict[str, Callable], data_dir, download: Callable, remedy: str, check: Callable | None = None) -> Any:
    source = "--data-dir" if data_dir is not None else ENVIRONMENT_VARIABLE
    named = data_dir if data_dir is not None else os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        folder = pathlib.Path(named).expanduser()
        if not folder.is_dir():
            raise SearchError(f"{source} must name a folder with data sets; received {str(named)!r}, which is not one.")
        found = _find(folder, forms)
        if found is None:
            raise SearchError(
                f"{name} is not in {folder} (named by {source}), where {' or '.join(forms)} was expected: put {remedy} there."
            )
        return _read(name, *found, check or _check)
    folders = [_keras_cache(), pathlib.Path("data")]
    for folder in folders:
        found = _find(folder, forms)
        if found is not None:
            return _read(name, *found, check or _check)
    import keras

    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras draws its progress bar on stdout
            return download(keras)
    except Exception as error:
        raise SearchError(
            f"{name} is neither in {' nor in '.join(map(str, folders))}, and downloading it failed ({one_line(error)}): "
            f"put {remedy} into a folder and name that with --data-dir or {ENVIRONMENT_VARIABLE}."
        ) from error


def _find(folder: pathlib.Path, forms: dict[str, Callable]) -> tuple[pathlib.Path, Callable] | None:
    for name, read in forms.items():
        path = folder / name
        if path.is_file() if path.suffix or read is _read_cifar_archive else path.is_dir() and any(path.iterdir()):
            return path, read
    return None


def _keras_cache() -> pathlib.Path:
    home = os.environ.get("KERAS_HOME")
    return (pathlib.Path(home) if home else pathlib.Path.home() / ".keras") / "datasets"


def _read(name: str, path: pathlib.Path, read: Callable, check: Callable) -> Any:
    try:
        content = read(path)
        check(content)
        return content
    except SearchError:
        raise
    except PermissionError as error:
        raise SearchError(f"{name} in {path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # what NumPy, gzip, zipfile, tarfile and pickle raise on garbage is of a dozen kinds
        raise SearchError(f"{name} in {path} is damaged or incomplete ({one_line(error)}): fetch it again.") from error


def _check(images: Images) -> None:
    for x, y in images:
        if len(x) != len(y) or len(x) == 0:
            raise ValueError(f"{len(x)} images, {len(y)} labels")
        if x.dtype != np.uint8 or not (y.min() >= 0 and y.max() <= 9):
            raise ValueError("images must be bytes and labels 0 to 9")


def _check_text(text: bytes) -> None:
    if hashlib.sha256(text).hexdigest() != _SHAKESPEARE_SHA256:
        raise ValueError(f"{len(text):,} bytes that are not those of the published file")


def _read_npz(path: pathlib.Path) -> Images:
    with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
        images = (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
    for x, _ in images:
        if x.ndim != 3 or x.shape[1:] != (28, 28):
            raise ValueError(f"images of shape {x.shape}")
    return images


def _read_idx(folder: pathlib.Path) -> Images:
    def part(prefix):
        return _idx(folder, f"{prefix}-images-idx3-ubyte", 3), _idx(folder, f"{prefix}-labels-idx1-ubyte", 1)

    return part("train"), part("t10k")


def _idx(folder: pathlib.Path, name: str, dimensions: int) -> np.ndarray:
    """An array of bytes in the IDX format: 0, 0, 8 (for bytes), the number of dimensions, each size in 4 bytes, the data."""
    plain, zipped = folder / name, folder / f"{name}.gz"
    if zipped.is_file():
        with gzip.open(zipped) as file:
            content = file.read()
    elif plain.is_file():
        content = plain.read_bytes()
    else:
        raise SearchError(f"{zipped.name} is missing in {folder}.")
    start = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) < start:
        raise ValueError(f"{name} does not begin as an IDX file of {dimensions} dimensions")
    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).astype(int))
    if len(content) != start + int(np.prod(shape)):
        raise ValueError(f"{name} has {len(content)} bytes for the shape {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


_CIFAR_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))


def _read_cifar_folder(folder: pathlib.Path) -> Images:
    def files(names) -> Iterator[bytes]:
        for name in names:
            if not (folder / name).is_file():
                raise SearchError(f"{name} is missing in {folder}.")
            yield (folder / name).read_bytes()

    return _cifar_arrays(files(_CIFAR_TRAIN)), _cifar_arrays(files(["test_batch"]))


def _read_cifar_archive(path: pathlib.Path) -> Images:
    with tarfile.open(path) as archive:

        def files(names) -> Iterator[bytes]:
            for name in names:
                member = archive.extractfile(f"cifar-10-batches-py/{name}")
                if member is None:
                    raise ValueError(f"{name} is not a file")
                yield member.read()

        return _cifar_arrays(files(_CIFAR_TRAIN)), _cifar_arrays(files(["test_batch"]))


def _cifar_arrays(batches: Iterator[bytes]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for content in batches:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        images.append(np.asarray(batch[b"data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(np.asarray(batch[b"labels"], np.int32))
    return np.concatenate(images), np.concatenate(labels)


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled NumPy arrays and refuses everything else, so that a prepared file cannot run code."""

    _NAMES = {  # noqa: RUF012
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    }

    def find_class(self, module, name):
        if (module, name) not in self._NAMES:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return self._NAMES[module, name]


def _download_cifar10(keras) -> Images:
    (x, y), (x_test, y_test) = keras.datasets.cifar10.load_data()
    return (x, y[:, 0].astype(np.int32)), (x_test, y_test[:, 0].astype(np.int32))
