"""Finding and reading data sets: in the forms in which people have them, and with one clear sentence when something is wrong."""

import gzip
import os
import pickle
import tarfile

import numpy as np
import pytest

from tuning import SearchError
from tuning.problems import PROBLEMS, datasets, make_problem


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch, request):
    """No environment, no caches, no network, and a current directory without data; but for the tests of the real data."""
    if request.node.get_closest_marker("data"):
        return
    monkeypatch.delenv("KERAS_OPTIMS_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def no_network(*args, **kwargs):
        raise OSError("no network in this test")

    import keras

    for name in ("mnist", "fashion_mnist", "cifar10"):
        monkeypatch.setattr(getattr(keras.datasets, name), "load_data", no_network)


def images(count, *shape):
    return (np.arange(count * int(np.prod(shape))) % 251).astype(np.uint8).reshape(count, *shape)


def labels(count):
    return (np.arange(count) % 10).astype(np.uint8)


def write_npz(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x_train=images(20, 28, 28), y_train=labels(20), x_test=images(10, 28, 28), y_test=labels(10))


def write_idx(folder, zipped=True):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", 20), ("t10k", 10)):
        for kind, array in (("images-idx3", images(count, 28, 28)), ("labels-idx1", labels(count))):
            content = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
            if zipped:
                (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
            else:
                (folder / f"{prefix}-{kind}-ubyte").write_bytes(content)


def write_cifar(folder):
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = {b"data": images(4, 3072), b"labels": [0, 1, 2, 9]}
        (folder / name).write_bytes(pickle.dumps(batch))


FORMS = {
    "mnist.npz": (datasets.load_mnist, write_npz),
    "MNIST/raw": (datasets.load_mnist, write_idx),
    "mnist": (datasets.load_mnist, write_idx),
    "fashion-mnist": (datasets.load_fashion_mnist, write_idx),
    "FashionMNIST/raw": (datasets.load_fashion_mnist, write_idx),
    "cifar-10-batches-py": (datasets.load_cifar10, write_cifar),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("where", ["argument", "environment", "keras cache", "./data"])
def test_data_are_found(form, where, tmp_path, monkeypatch):
    folder = {"keras cache": tmp_path / "keras" / "datasets", "./data": tmp_path / "here" / "data"}.get(where, tmp_path / "mine")
    load, write = FORMS[form]
    write(folder / form)
    if where == "environment":
        monkeypatch.setenv("KERAS_OPTIMS_DATA", str(folder))
    (x, y), (x_test, y_test) = load(folder if where == "argument" else None)
    if "cifar" in form:
        assert x.shape == (20, 32, 32, 3)
        # The first row of pixels of the red plane of image 1 of the first batch.
        assert x[1, 0, :, 0].tolist() == images(4, 3072)[1, :32].tolist()
        assert x[1, 0, :, 2].tolist() == images(4, 3072)[1, 2048:2080].tolist()
        assert y.tolist() == [0, 1, 2, 9] * 5
        assert len(x_test) == len(y_test) == 4
    else:
        assert (x == images(20, 28, 28)).all()
        assert y.tolist() == labels(20).tolist()
        assert len(x_test) == len(y_test) == 10
    assert x.dtype == np.uint8


def test_idx_files_may_be_unpacked(tmp_path):
    write_idx(tmp_path / "MNIST" / "raw", zipped=False)
    (x, _), _ = datasets.load_mnist(tmp_path)
    assert (x == images(20, 28, 28)).all()


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-batches-py-target_archive"])
def test_cifar_is_read_from_its_archive(name, tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-py")
    (tmp_path / "data").mkdir()
    with tarfile.open(tmp_path / "data" / name, "w:gz") as archive:
        archive.add(tmp_path / "cifar-10-batches-py", "cifar-10-batches-py")
    (x, y), _ = datasets.load_cifar10(tmp_path / "data")
    assert x.shape == (20, 32, 32, 3)
    assert y[3] == 9


@pytest.mark.parametrize("load", [datasets.load_mnist, datasets.load_fashion_mnist, datasets.load_cifar10])
def test_missing_data_say_what_to_fetch_and_where_to_put_it(load, tmp_path):
    with pytest.raises(SearchError) as raised:
        load(None)
    for word in ("keras/datasets", "https://", "--data-dir", "KERAS_OPTIMS_DATA", "no network in this test"):
        assert word in str(raised.value)


@pytest.mark.parametrize("load", [datasets.load_mnist, datasets.load_fashion_mnist, datasets.load_cifar10])
def test_a_named_folder_is_the_only_place(load, tmp_path, monkeypatch):
    write_npz(tmp_path / "keras" / "datasets" / "mnist.npz")
    write_idx(tmp_path / "keras" / "datasets" / "fashion-mnist")
    write_cifar(tmp_path / "keras" / "datasets" / "cifar-10-batches-py")
    (tmp_path / "mine").mkdir()
    with pytest.raises(SearchError, match=r"mine \(named by --data-dir\)"):
        load(tmp_path / "mine")
    monkeypatch.setenv("KERAS_OPTIMS_DATA", str(tmp_path / "mine"))
    with pytest.raises(SearchError, match=r"mine \(named by KERAS_OPTIMS_DATA\)"):
        load(None)
    monkeypatch.setenv("KERAS_OPTIMS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(SearchError, match="must name a folder"):
        load(None)


def spoil(path, how):
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "other":
        path.write_bytes(b"<html>404 Not Found</html>")
    elif how == "one byte":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :])


@pytest.mark.parametrize("how", ["truncated", "empty", "other"])
@pytest.mark.parametrize("form", ["mnist.npz", "mnist", "fashion-mnist", "cifar-10-batches-py"])
def test_damaged_data_are_one_clear_sentence(form, how, tmp_path):
    load, write = FORMS[form]
    write(tmp_path / form)
    path = tmp_path / form
    spoil(path if path.is_file() else sorted(path.iterdir())[0], how)
    with pytest.raises(SearchError, match="damaged") as raised:
        load(tmp_path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_flipped_byte_in_a_compressed_file_is_noticed(tmp_path):
    write_npz(tmp_path / "mnist.npz")
    np.savez_compressed(tmp_path / "mnist.npz", **np.load(tmp_path / "mnist.npz"))
    spoil(tmp_path / "mnist.npz", "one byte")
    with pytest.raises(SearchError, match="damaged"):
        datasets.load_mnist(tmp_path)


def test_a_missing_part_is_named(tmp_path):
    write_idx(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(SearchError, match=r"t10k-labels-idx1-ubyte\.gz is missing"):
        datasets.load_mnist(tmp_path)
    write_cifar(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(SearchError, match="data_batch_3 is missing"):
        datasets.load_cifar10(tmp_path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_in_a_pickle_is_executed(tmp_path):
    write_cifar(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps({b"data": Bomb(), b"labels": []}))
    with pytest.raises(SearchError, match="mkdir"):
        datasets.load_cifar10(tmp_path)
    np.savez(tmp_path / "mnist.npz", x_train=np.array([Bomb()], dtype=object))
    with pytest.raises(SearchError, match="damaged"):
        datasets.load_mnist(tmp_path)
    assert not os.path.exists("exploded")


# -- the real data --------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "train"),
    [
        ("mnist_mlp", (28, 28, 1), 49_984),
        ("fashion_mnist_2c2d", (28, 28, 1), 49_920),
        ("cifar10_cnn", (32, 32, 3), 40_000),
        ("cifar10_resnet20", (32, 32, 3), 39_936),
    ],
)
def test_the_real_sets_split_without_overlap(name, shape, train, data_dir):
    problem = make_problem(name, data_dir)
    data = problem.load()
    assert data.train[0].shape == (train, *shape)
    assert data.validation[0].shape == (10_000, *shape)
    assert data.test[0].shape == (10_000, *shape)
    assert train % problem.batch_size == 0
    hashes = [{hash(image.tobytes()) for image in part[0]} for part in (data.train, data.validation)]
    assert len(hashes[0] & hashes[1]) <= 50  # some images are in the published sets twice
    for part in (data.train, data.validation, data.test):
        labels = part[1].argmax(axis=1) if part[1].ndim == 2 else part[1]
        assert np.bincount(labels).min() > 0.08 * len(part[1])
    again = make_problem(name, data_dir).load(train_samples=1000)
    assert len(again.train[0]) == 1000 // problem.batch_size * problem.batch_size
    assert (again.train[0][:100] == data.train[0][:100]).all()


@pytest.mark.data
def test_the_text_is_cut_into_pieces_that_follow_each_other(data_dir):
    data = make_problem("shakespeare_gpt", data_dir).load(batch_size=1)
    assert [part[0].shape for part in (data.train, data.validation, data.test)] == [(7842, 128), (435, 128), (435, 128)]
    assert (data.train[0].dtype, data.train[0].max(), data.train[1].max()) == (np.uint8, 64, 64)
    for x, y in (data.train, data.validation, data.test):
        assert (x[:, 1:] == y[:, :-1]).all()  # what follows a character is the next one
        assert (x[1:, 0] == y[:-1, -1]).all()
    with open(data_dir / "tinyshakespeare.txt", "rb") as file:
        text = file.read()
    characters = sorted(set(text))
    assert bytes(characters[number] for number in data.train[0][:2].ravel()) == text[:256]
    assert bytes(characters[number] for number in data.validation[0][0]) == text[int(0.9 * len(text)) :][:128]


def test_a_text_that_is_not_the_published_one_is_refused(tmp_path):
    (tmp_path / "tinyshakespeare.txt").write_text("To be or not to be")
    with pytest.raises(SearchError, match="18 bytes that are not those of the published file"):
        make_problem("shakespeare_gpt", tmp_path).load()


def test_every_built_in_problem_is_listed_with_a_description():
    cifar10 = ["cifar10_cnn", "cifar10_3c3d", "cifar10_resnet20"]
    mnist = ["mnist_mlp", "mnist_cnn", "mnist_2c2d", "fashion_mnist_2c2d"]
    assert list(PROBLEMS) == ["digits_mlp", *mnist, *cifar10, "shakespeare_gpt"]
    for name in PROBLEMS:
        problem = make_problem(name)
        assert problem.name == name
        assert problem.objective == ("val_loss" if name == "shakespeare_gpt" else "val_accuracy")
