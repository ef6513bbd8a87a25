"""The built-in problems are what their docstrings say; a user's own is checked."""

import importlib.util
import json
import pathlib

import keras
import numpy as np
import pytest
from keras import ops

from tuning import Data, Problem, SearchError
from tuning.problems import PROBLEMS, make_problem
from tuning.problems.cifar10 import Augmentation
from tuning.problems.images import images as of_images
from tuning.problems.images import pixels
from tuning.problems.problem import validation_batch_size


def shapes(model):
    return [tuple(weight.shape) for weight in model.trainable_weights]


def test_digits_mlp():
    data = make_problem("digits_mlp").load()
    assert [len(part[0]) for part in (data.train, data.validation, data.test)] == [1056, 360, 360]
    assert (data.train[0].min(), data.train[0].max()) == (0, 1)
    rows = [{tuple(row) for row in part[0].tolist()} for part in (data.train, data.validation, data.test)]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


def test_small_networks():
    assert shapes(make_problem("mnist_mlp").model()) == [(784, 128), (128,), (128, 10), (10,)]
    assert shapes(make_problem("mnist_cnn").model()) == [(3, 3, 1, 16), (16,), (3, 3, 16, 32), (32,), (800, 10), (10,)]
    assert shapes(make_problem("cifar10_cnn").model()) == [(3, 3, 3, 16), (16,), (3, 3, 16, 32), (32,), (1152, 10), (10,)]


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3)])
def test_images_stay_bytes_and_models_scale_them(shape):
    images = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    loaded = (images, np.arange(20, dtype=np.uint8) % 10), (images[:5], np.arange(5, dtype=np.uint8))
    data = of_images(lambda data_dir: loaded, None)
    image = shape if len(shape) == 3 else (*shape, 1)
    assert [part[0].shape for part in (data.train, data.validation, data.test)] == [(count, *image) for count in (16, 4, 5)]
    assert data.test[0].dtype == np.uint8
    np.testing.assert_array_equal(data.test[0].reshape(images[:5].shape), images[:5])
    assert (data.test[1].dtype, data.test[1].tolist()) == (np.int32, list(range(5)))
    given, scaled = pixels(image)
    assert given.dtype == "uint8"
    np.testing.assert_allclose(ops.convert_to_numpy(scaled(data.test[0])), data.test[0] / 255, rtol=1e-6)


def test_resnet20_has_twenty_layers_and_shortcuts_without_weights():
    model = make_problem("cifar10_resnet20").build()
    kernels = [shape for shape in shapes(model) if len(shape) > 1]
    stages = [[(3, 3, size, size)] * 5 for size in (32, 64)]
    wanted = [(3, 3, 3, 16), *[(3, 3, 16, 16)] * 6, (3, 3, 16, 32), *stages[0], (3, 3, 32, 64), *stages[1], (64, 10)]
    assert kernels == wanted
    assert sum(int(np.prod(shape)) for shape in shapes(model)) == 269_722
    small = make_problem("cifar10_resnet20").build({"blocks": 1, "filters": 9})  # of which no half is a whole number
    assert small(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 10)


def test_without_colours_an_augmented_image_is_a_crop_of_the_image_or_its_mirror_image():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(1, 256, (100, 32, 32, 3)).astype("float32")
    out = ops.convert_to_numpy(Augmentation(padding=4, colours=False)._distort(ops.convert_to_tensor(images)))
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    found = set()
    for before, after in zip(padded, out, strict=True):
        for mirrored in (False, True):
            image = after[:, ::-1] if mirrored else after
            found |= {
                (down, right, mirrored)
                for down in range(9)
                for right in range(9)
                if np.allclose(before[down : down + 32, right : right + 32], image)
            }
    assert len(found) > 20
    assert {mirrored for *_, mirrored in found} == {False, True}
    assert {down for down, *_ in found} == set(range(9))


def test_the_transformer_sees_no_character_before_its_turn():
    model = make_problem("shakespeare_gpt").build({"layers": 2, "width": 32, "heads": 2})
    text = np.random.default_rng(0).integers(0, 65, (1, 128), dtype=np.uint8)
    other = text.copy()
    other[0, 70] = (other[0, 70] + 1) % 65
    one, two = (ops.convert_to_numpy(model(each)) for each in (text, other))
    assert one.shape == (1, 128, 65)
    np.testing.assert_allclose(one[0, :70], two[0, :70], atol=1e-6)
    assert (abs(one - two)[0, 70:].max(axis=-1) > 1e-6).all()
    with pytest.raises(SearchError, match="multiple of its heads; received 32 and 3"):
        make_problem("shakespeare_gpt").build({"width": 32, "heads": 3})


@pytest.mark.parametrize("name", ["cifar10_resnet20", "shakespeare_gpt"])
def test_models_with_layers_of_our_own_are_saved_and_loaded(name, tmp_path):
    small = {"blocks": 1, "filters": 4} if "resnet" in name else {"layers": 1, "width": 8, "heads": 2}
    model = make_problem(name).build(small)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    given = np.random.default_rng(0).integers(0, 65, (2, *model.input_shape[1:]), dtype=np.uint8)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(given)), ops.convert_to_numpy(again(given)))


@pytest.mark.parametrize("name", ["mnist_2c2d", "fashion_mnist_2c2d"])
def test_2c2d_is_as_deepobs_defines_it(name):
    problem = make_problem(name)
    model = problem.model()
    convolutions = [(5, 5, 1, 32), (32,), (5, 5, 32, 64), (64,)]
    assert shapes(model) == [*convolutions, (7 * 7 * 64, 1024), (1024,), (1024, 10), (10,)]
    for weight in model.trainable_weights:
        values = ops.convert_to_numpy(weight)
        if values.ndim == 1:
            assert (values == np.float32(0.05)).all()
        else:
            # A normal distribution of deviation 0.05 that is cut at two deviations keeps 0.88 of its deviation. On torch Keras
            # draws at most four times for each weight, and keeps the first one where all four are beyond: 4 in a million.
            beyond = (abs(values) > 0.1).mean()
            assert beyond < 2e-5 if keras.backend.backend() == "torch" else beyond == 0
            assert values.std() == pytest.approx(0.88 * 0.05, rel=0.1)
    first, second = (ops.convert_to_numpy(layer.kernel).ravel()[:50] for layer in model.layers if hasattr(layer, "filters"))
    assert not np.allclose(first, second)
    assert problem.batch_size == 128


def test_3c3d_is_as_deepobs_defines_it():
    model = make_problem("cifar10_3c3d").model()
    assert shapes(model) == [
        *((5, 5, 3, 64), (64,), (3, 3, 64, 96), (96,), (3, 3, 96, 128), (128,)),
        *((3 * 3 * 128, 512), (512,), (512, 256), (256,), (256, 10), (10,)),
    ]
    kernels = [weight for weight in model.trainable_weights if len(weight.shape) > 1]
    model(np.zeros((1, 32, 32, 3), "uint8"))
    expected = 0.002 / 2 * sum(float(np.square(ops.convert_to_numpy(kernel)).sum()) for kernel in kernels)
    assert float(ops.convert_to_numpy(sum(model.losses))) == pytest.approx(expected, rel=1e-5)
    convolution, dense = ops.convert_to_numpy(kernels[2]), ops.convert_to_numpy(kernels[3])
    assert convolution.std() == pytest.approx(np.sqrt(2 / (9 * 96 + 9 * 128)), rel=0.05)  # Glorot, normal
    assert abs(dense).max() == pytest.approx(np.sqrt(6 / (1152 + 512)), rel=0.01)  # Glorot, uniform


def pictures(count=256):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_images_are_standardized_one_by_one():
    images = pictures(4)
    images[3] = 7
    out = ops.convert_to_numpy(Augmentation()(images))
    assert out[:3].mean(axis=(1, 2, 3)) == pytest.approx(0, abs=1e-5)
    assert out[:3].std(axis=(1, 2, 3)) == pytest.approx(1, rel=1e-5)
    assert (out[3] == 0).all()
    expected = (images[0] - images[0].mean()) / images[0].std()
    assert out[0] == pytest.approx(expected, abs=1e-4)


def test_images_are_cropped_and_mirrored_when_training():
    layer = Augmentation()
    images = pictures()
    keras.utils.set_random_seed(0)

    def without_colour(part):  # the standardized brightness of a black and white image does not see saturation or contrast
        part = part - part.mean(axis=(1, 2, 3), keepdims=True)
        return part / part.std(axis=(1, 2, 3), keepdims=True)

    images[..., 1] = images[..., 2] = images[..., 0]
    out = without_colour(ops.convert_to_numpy(layer(images, training=True)))
    padded = np.pad(images.astype("float32"), ((0, 0), (2, 2), (2, 2), (0, 0)))
    seen = []
    for i in range(len(images)):
        candidates = {}
        for down in range(5):
            for right in range(5):
                crop = padded[i : i + 1, down : down + 32, right : right + 32]
                candidates[down, right, False] = crop
                candidates[down, right, True] = crop[:, :, ::-1]
        distances = {key: abs(without_colour(crop)[0] - out[i]).max() for key, crop in candidates.items()}
        key = min(distances, key=distances.get)
        assert distances[key] < 1e-3
        seen.append(key)
    assert {key[0] for key in seen} == {key[1] for key in seen} == {0, 1, 2, 3, 4}
    assert 0.4 < np.mean([key[2] for key in seen]) < 0.6


def test_saturation_and_contrast_change_when_training():
    colours = np.zeros((64, 32, 32, 3), np.uint8)
    colours[..., 0], colours[..., 1], colours[..., 2] = 200, 150, 100
    colours[:, ::2] //= 2
    keras.utils.set_random_seed(0)
    out = ops.convert_to_numpy(Augmentation()._distort(ops.cast(colours, "float32")))
    inside = out[:, 8:24, 8:24]  # away from the black that a crop brings in
    contrast = inside[..., 0].max(axis=(1, 2)) - inside[..., 0].min(axis=(1, 2))
    assert contrast.min() < 0.4 * 100
    assert contrast.max() > 1.5 * 100
    spread = inside[..., 0].mean(axis=(1, 2)) - inside[..., 2].mean(axis=(1, 2))
    assert spread.max() / spread.min() > 1.5


# -- a user's own ---------------------------------------------------------------------------------


def arrays(count=100):
    return np.zeros((count, 3), "float32"), np.zeros(count, "float32")


def own(**changes):
    arguments = {"name": "own", "data": Data(arrays()), "model": lambda: None, "loss": "mse", "batch_size": 16}
    return Problem(**{**arguments, **changes})


def test_validation_data_are_held_out_if_none_are_given():
    x = np.arange(100.0)[:, None]
    first, second = (own(data=Data((x, x[:, 0]))).load() for _ in range(2))
    assert (len(first.train[0]), len(first.validation[0])) == (80, 20)
    assert (first.train[0] == second.train[0]).all()
    assert not set(first.train[1]) & set(first.validation[1])


def test_there_is_no_short_last_batch():
    assert len(own(data=lambda: Data(arrays(100), arrays(10))).load().train[0]) == 96
    assert len(own(data=Data(arrays(100), arrays(10))).load(train_samples=50).train[0]) == 48
    assert len(own(data=Data(arrays(100), arrays(10))).load(train_samples=7).train[0]) == 7
    assert validation_batch_size(10_000, 128) == 1000
    assert validation_batch_size(360, 32) == 360
    assert validation_batch_size(10_007, 128) == 128  # a prime
    assert validation_batch_size(5, 128) == 5


def test_inputs_may_be_nested():
    data = own(data=Data(({"a": np.zeros((50, 2)), "b": np.ones((50, 3))}, np.zeros(50)))).load()
    assert {name: value.shape for name, value in data.train[0].items()} == {"a": (32, 2), "b": (32, 3)}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: own(name=""), ["name"]),
        (lambda: own(data=3), ["data", "int"]),
        (lambda: own(model=keras.Sequential()), ["model", "function"]),
        (lambda: own(direction="up"), ["direction", "'up'"]),
        (lambda: own(batch_size=0), ["batch_size", "0"]),
        (lambda: own(objective=3), ["objective", "val_loss", "3"]),
        (lambda: own(epochs=2.5), ["epochs", "2.5"]),
        (lambda: own(data=lambda: 3).load(), ["tuning.Data", "int"]),
        (lambda: own(data=Data(3)).load(), ["pair (x, y)", "int"]),
        (lambda: own(data=Data((np.zeros(3), np.zeros(4)))).load(), ["equally many", "[3, 4]"]),
        (lambda: own(data=Data(([1, 2], [3, 4]))).load(), ["arrays"]),
        (lambda: own().load(train_samples=1000), ["80", "1000"]),
        (lambda: make_problem("mnist"), ["digits_mlp", "module:function", "'mnist'"]),
        (lambda: make_problem("nowhere:make"), ["no module nowhere"]),
        (lambda: make_problem("json:make"), ["json", "make"]),
        (lambda: make_problem("json:loads"), ["json:loads"]),
    ],
)
def test_a_wrong_problem_is_one_clear_sentence(make, words):
    with pytest.raises(SearchError) as raised:
        make()
    for word in words:
        assert word in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("function", "words"),
    [("make_nothing", ["tuning.Problem", "int"]), ("make_error", ["did not make", "KeyError", "no such file"])],
)
def test_a_function_that_makes_no_problem_is_named(function, words, tiny):
    with pytest.raises(SearchError) as raised:
        make_problem(f"tiny_problem:{function}")
    for word in words:
        assert word in str(raised.value)


def test_published_figures_are_printed_beside_what_is_found(monkeypatch, capsys, tmp_path):
    path = pathlib.Path(__file__).parents[2] / "scripts" / "published_figures.py"
    specification = importlib.util.spec_from_file_location("published_figures", path)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    for training in script.TRAININGS.values():
        assert training["problem"] in PROBLEMS
        assert training["optimizer"]() is not None
        assert max(training["published"]) == training["epochs"]

    def load(self, batch_size):
        x, y = np.zeros((256, 28, 28, 1), np.uint8), np.zeros(256, np.int32)
        return Data((x, y), (x[:64], y[:64]), (x[:8], y[:8]))

    monkeypatch.setattr(Problem, "load", load)
    monkeypatch.setattr(Problem, "build", lambda self: keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)]))
    written = tmp_path / "found.json"
    monkeypatch.setattr(
        "sys.argv", ["", "--only", "fashion_mnist_2c2d, sgd", "--epochs", "1", "--seeds", "2", "--json", str(written)]
    )
    assert script.main() == 0
    rows = [line.split(" | ")[1:5] for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [["0", "1", "1.0000", "0.8545"], ["1", "1", "1.0000", "0.8545"]]
    assert [json.loads(line)["test"] for line in written.read_text().splitlines()] == [1, 1]
