"""`keras-optims landscape`: surfaces are what their headings say, trajectories are the optimizers' own, files are whole."""

import base64
import dataclasses
import itertools
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree

import keras
import numpy as np
import pytest
from PIL import Image

import keras_optims
from keras_optims.testing import reference
from tests.tuning.conftest import ROOT, load, one_sentence
from tuning import landscape as package
from tuning.errors import SearchError
from tuning.landscape import landscape
from tuning.landscape.contestants import CORE, contestants
from tuning.landscape.page import MOST_POINTS, _sliders
from tuning.landscape.surfaces import net_plane, sparse_samples, surface
from tuning.landscape.trajectories import Program, run
from tuning.names import SURFACES

BACKEND = keras.backend.backend()
WITH_FORMULA = ("ravine", "plateau", "two_minima", "saddle", "rosenbrock", "beale")
QUICK = tuple(name for name in SURFACES if name != "net")  # that one is trained first
one_backend = pytest.mark.backend("tensorflow")


# -- losses in float64 ----------------------------------------------------------------------------


def read_formula(text):
    """The function of (θ₁, θ₂) that a heading writes: `L = ½(θ₁² + 50 θ₂²)`."""
    letters = {"½": "0.5", "¼": "0.25", "θ₁": "x", "θ₂": "y", "−": "-", "²": "**2", "³": "**3", "⁴": "**4", "σ": "sigmoid"}
    for letter, code in letters.items():
        text = text.replace(letter, f" {code} ")
    tokens = re.findall(r"\d+\.?\d*|\*\*\d|\w+|[-+()]", text.partition("=")[2])
    code = ""
    for before, token in zip(["", *tokens], tokens, strict=False):
        ends_a_factor = before in ("x", "y", ")") or re.fullmatch(r"\*\*\d|\d+\.?\d*", before)
        code += "*" * bool(ends_a_factor and re.match(r"[\w(]", token)) + token
    names = {"exp": math.exp, "sigmoid": lambda z: 1 / (1 + math.exp(-z))}
    return lambda x, y: eval(code, names, {"x": x, "y": y})


def loss_of_samples(theta, features, labels):
    return np.mean(np.log1p(np.exp(-labels.astype("float64") * (features.astype("float64") @ theta))))


def loss_of_net(theta):
    plane = net_plane()
    first, first_bias, second, second_bias = (w.astype("float64") for w in plane.weights(theta))
    scores = np.tanh(plane.inputs @ first + first_bias) @ second + second_bias
    chosen = scores[np.arange(len(scores)), plane.labels]
    return np.mean(np.log(np.sum(np.exp(scores), axis=1)) - chosen)


def loss64(name):
    """The loss of a surface once more, in float64 and from elsewhere than its own code: a function of θ."""
    if name == "sparse":
        return lambda theta: loss_of_samples(theta, *sparse_samples())
    if name == "net":
        return loss_of_net
    formula = read_formula(surface(name).formula)
    return lambda theta: formula(*theta)


def derivative(loss, theta, step=1e-5):
    theta = np.asarray(theta, "float64")
    return np.array([(loss(theta + step * e) - loss(theta - step * e)) / (2 * step) for e in np.eye(2)])


def points_of(its_surface, number=12):
    low, high = np.transpose(its_surface.domain)
    return (low + (high - low) * np.random.default_rng(1).random((number, 2))).astype("float32")


def gradient_at(its_surface, theta, step=0):
    """The gradient that an optimizer sees at a step: what gradient descent with η = 1 subtracts."""
    descent = keras_optims.GradientDescent(1.0)
    if step == 0:
        weights = run(descent, its_surface, theta, steps=1).weights
    else:
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay([step - 1, step], [0.0, 1.0, 0.0])
        weights = run(keras_optims.GradientDescent(schedule), its_surface, theta, steps=step + 1).weights
    return weights[0].astype("float64") - weights[-1]


SLOW_NET = pytest.param("net", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", [*QUICK, SLOW_NET])
def test_a_surface_is_what_its_heading_says(name):
    its_surface, loss = surface(name), loss64(name)
    points = points_of(its_surface)
    np.testing.assert_allclose(its_surface.heights(points), [loss(theta) for theta in points], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", [*(name for name in QUICK if name != "sparse"), SLOW_NET])
def test_gradients_are_the_derivatives(name):
    its_surface, loss = surface(name), loss64(name)
    for theta in points_of(its_surface, 3):
        expected = derivative(loss, theta)
        largest = max(abs(expected).max(), abs(theta).max())  # float32 loses digits in the subtraction
        np.testing.assert_allclose(gradient_at(its_surface, theta), expected, atol=2e-5 * largest)


@pytest.mark.parametrize("step", [0, 1, 43])
def test_each_step_of_the_sparse_surface_sees_its_own_sample(step):
    features, labels = (of_samples[step % 40][None] for of_samples in sparse_samples())
    theta = np.array([0.3, -0.7], "float32")
    expected = derivative(lambda theta: loss_of_samples(theta, features, labels), theta)
    np.testing.assert_allclose(gradient_at(surface("sparse"), theta, step), expected, atol=1e-6)


@one_backend
def test_one_sample_in_ten_has_the_rare_feature():
    features, _ = sparse_samples()
    np.testing.assert_array_equal(features.mean(axis=0), np.array([1, 0.1], "float32"))


@one_backend
def test_the_surfaces_are_those_that_are_listed():
    for name in QUICK:
        its_surface = surface(name)
        assert its_surface.name == name
        assert set(its_surface.learning_rates) == set(CORE)
        assert its_surface.contains(np.array(its_surface.start))
        _, _, heights = its_surface.map(31)
        assert np.isfinite(heights).all()
        assert not its_surface.logarithmic or heights.min() >= 0
    with pytest.raises(SearchError, match=r"The surface must be one of ravine, .*, net; received 'moon'\."):
        surface("moon")


@one_backend
@pytest.mark.parametrize("name", QUICK)
def test_the_minima_are_minima(name):
    its_surface, loss = surface(name), loss64(name)
    assert its_surface.minima
    for minimum in its_surface.minima:
        assert its_surface.contains(np.array(minimum))
        np.testing.assert_allclose(derivative(loss, minimum), 0, atol=1e-6)
        around = [np.add(minimum, 0.01 * np.array([math.cos(a), math.sin(a)])) for a in np.linspace(0, 2 * math.pi, 16)]
        assert loss(np.array(minimum)) < min(map(loss, around))


@pytest.mark.slow
def test_the_net_is_a_keras_model_at_the_weights_of_the_plane():
    plane, theta = net_plane(), (0.4, -0.3)
    plane.model.set_weights(plane.weights(theta))
    evaluated = plane.model.evaluate(plane.inputs, plane.labels, batch_size=len(plane.inputs), verbose=0)
    plane.model.set_weights(plane.trained)
    trained = plane.model.evaluate(plane.inputs, plane.labels, batch_size=len(plane.inputs), verbose=0)
    np.testing.assert_allclose(surface("net").heights([theta, (0, 0)]), [evaluated, trained], rtol=1e-4)
    assert trained < 0.02  # of −ln ⅒ = 2.3 before
    kernels, directions = plane.trained[::2], (plane.first[::2], plane.second[::2])
    for of_direction in directions:
        for kernel, direction in zip(kernels, of_direction, strict=True):
            np.testing.assert_allclose(np.linalg.norm(direction, axis=0), np.linalg.norm(kernel, axis=0), rtol=1e-5)
    assert not any(bias.any() for direction in (plane.first, plane.second) for bias in direction[1::2])


# -- trajectories ---------------------------------------------------------------------------------

RUNS = [
    (keras_optims.GradientDescent, reference.gradient_descent, {"learning_rate": 0.03}),
    (keras_optims.Momentum, reference.momentum, {"learning_rate": 0.01, "momentum": 0.8, "nesterov": True}),
    (
        keras_optims.Adagrad,
        reference.adagrad,
        {"learning_rate": 0.5, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
    ),
    (keras_optims.RMSprop, reference.rmsprop, {"learning_rate": 0.05, "rho": 0.8, "momentum": 0.3, "epsilon": 1e-3}),
    (keras_optims.Adam, reference.adam, {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-7}),
]


@pytest.mark.parametrize(("cls", "twin", "arguments"), RUNS, ids=[cls.__name__ for cls, _, _ in RUNS])
def test_trajectories_are_those_of_the_float64_twins(cls, twin, arguments):
    its_surface, loss = surface("ravine"), loss64("ravine")
    trajectory = run(cls(**arguments), its_surface, steps=40)
    assert trajectory.weights.shape == (41, 2)
    np.testing.assert_array_equal(trajectory.weights[0], np.array(its_surface.start, "float32"))
    gradients = [derivative(loss, theta) for theta in trajectory.weights[:-1]]
    path = twin(gradients, its_surface.start, **arguments)
    np.testing.assert_allclose(trajectory.weights[1:], path, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(trajectory.losses, [loss(theta) for theta in trajectory.weights], rtol=1e-5, atol=1e-9)


def test_keras_optimizers_run_beside_ours():
    shown = landscape(["adam:learning_rate=0.1", "keras:adam:learning_rate=0.1", "keras:nadam"], "plateau", steps=30)
    ours, keras_own, nadam = shown.trajectories
    np.testing.assert_allclose(keras_own.weights, ours.weights, rtol=1e-4, atol=1e-5)
    assert np.abs(nadam.weights - ours.weights).max() > 0.01
    assert [contestant.title for contestant in shown.contestants] == ["Adam", "Keras Adam", "Keras Nadam"]
    assert type(shown.contestants[1].make()).__mro__[-1] is object
    assert isinstance(shown.contestants[1].make(), keras.optimizers.Adam)


def test_a_program_runs_other_settings_without_being_compiled_again():
    its_surface = surface("ravine")
    program = Program(keras_optims.Adam(0.1, beta_2=0.99), its_surface, 20)
    first = program.run()
    other = program.run((-3.0, 0.5), {"learning_rate": 0.3, "beta_1": 0.5})
    again = program.run()
    np.testing.assert_array_equal(again.weights, first.weights)
    alone = run(keras_optims.Adam(0.3, beta_1=0.5, beta_2=0.99), its_surface, (-3.0, 0.5), steps=20)
    np.testing.assert_allclose(other.weights, alone.weights, rtol=1e-6)
    assert np.abs(other.weights - first.weights).max() > 0.1
    assert program.traces <= 1


@one_backend
def test_a_trajectory_that_leaves_is_drawn_up_to_the_edge_and_the_legend_says_so(tmp_path):
    fast, faster, back = (
        run(cls, surface("ravine"), steps=60)
        for cls in (
            keras_optims.GradientDescent(0.05),
            keras_optims.GradientDescent(1e8),
            keras_optims.Momentum(0.01, momentum=0.97),
        )
    )
    assert (fast.left_at, fast.drawn) == (2, 3)
    inside = surface("ravine").contains(fast.weights)
    assert inside[:2].all()
    assert not inside[2:].any()
    assert faster.left_at == 1
    assert np.isnan(faster.losses[-1])
    assert not np.isfinite(faster.weights[-1]).all()
    assert not surface("ravine").contains(back.weights).all()  # it overshoots, and returns
    assert (back.left_at, back.drawn) == (None, 61)
    names = ["gradient_descent:learning_rate=0.05", "gradient_descent:learning_rate=1e8", "momentum"]
    texts = svg_texts(landscape(names, steps=60).write(tmp_path / "leaving.svg"))
    assert "Gradient descent (η=0.05): leaves the picture at step 2" in texts
    assert "Gradient descent (η=1e8): diverges and leaves the picture at step 1" in texts
    assert "Momentum (η=0.01, γ=0.9)" in texts


@one_backend
def test_a_number_that_is_not_finite_is_not_drawn():
    trajectory = run(keras_optims.GradientDescent(1e38), surface("rosenbrock"), steps=3)
    assert trajectory.left_at == 1
    assert trajectory.drawn == 1
    assert np.isfinite(trajectory.weights[: trajectory.drawn]).all()


MATRIX_METHODS = tuple(keras_optims.FAMILIES["matrix methods"])


@pytest.mark.backend("jax")
@pytest.mark.parametrize("name", [name for name in keras_optims.OPTIMIZERS if name not in MATRIX_METHODS])
def test_each_optimizer_goes_down_the_ravine_at_its_default_learning_rate(name):
    (trajectory,) = landscape([name], "ravine").trajectories
    assert trajectory.left_at is None
    share = {"adadelta": 0.9, "radam": 0.5, "adabelief": 0.5}.get(name, 0.1)  # which take more than 60 steps to find their pace
    assert trajectory.losses[-1] < share * trajectory.losses[0]


@pytest.mark.backend("jax")
@pytest.mark.parametrize("make", [keras_optims.ScheduleFreeSGD, keras_optims.Prodigy])
def test_slots_that_begin_as_the_weights_do_begin_at_the_start(make):
    program = Program(make(0.01), surface("ravine"), 5)
    for start in (None, (1.0, -2.0), None):
        where = np.array(surface("ravine").start if start is None else start, "float32")
        variable = keras.Variable(where, name="theta")
        optimizer, path = make(0.01), [where]
        for _ in range(5):
            gradient = path[-1] * np.array([1, 50], "float32")
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
            path.append(keras.ops.convert_to_numpy(variable))
        np.testing.assert_allclose(program.run(start).weights, path, rtol=1e-5)


@pytest.mark.backend("jax")
@pytest.mark.parametrize("name", [*MATRIX_METHODS, "keras:muon"])
def test_what_is_for_matrices_is_not_drawn_as_something_else(name):
    with pytest.raises(SearchError, match=f"{name} is a method for matrices.*run adam or adamw instead; received '{name}'"):
        landscape(["adam", name])


# -- settings -------------------------------------------------------------------------------------


@one_backend
def test_labels_name_the_optimizer_its_symbols_and_what_was_set():
    names = ("gradient_descent", "momentum", "adagrad", "rmsprop", "adam", "adamw", "keras:sgd", "keras:sgd", "keras:lion")
    settings = [{} for _ in names]
    settings[1] = {"nesterov": True, "momentum": 0.95}
    settings[3] = {"momentum": 0.5, "centered": False}
    settings[7] = {"momentum": 0.5}
    labels = [contestant.label for contestant in contestants(names, {"epsilon": 0.01}, surface("saddle"), settings)]
    assert labels == [
        "Gradient descent (η=0.1)",
        "Momentum (η=0.02, γ=0.95, nesterov)",
        "AdaGrad (η=0.2, ε=0.01)",
        "RMSProp (η=0.02, ρ=0.9, γ=0.5, ε=0.01, centered=false)",
        "Adam (η=0.05, β₁=0.9, β₂=0.999, ε=0.01)",
        "AdamW (η=0.05, λ=0.004, β₁=0.9, β₂=0.999, ε=0.01)",
        "Keras SGD (η=0.1, γ=0)",
        "Keras SGD (η=0.02, γ=0.5)",
        "Keras Lion (η=0.05, β₁=0.9, β₂=0.99)",
    ]


@one_backend
def test_a_setting_of_one_comes_before_that_of_all():
    shown = landscape(["adam", "adam:beta_1=0.5", "momentum"], fix={"beta_1": 0.8, "learning_rate": 0.02}, steps=1)
    assert [dict(contestant.settings) for contestant in shown.contestants] == [
        {"learning_rate": 0.02, "beta_1": 0.8},
        {"learning_rate": 0.02, "beta_1": 0.5},
        {"learning_rate": 0.02},
    ]


# -- the command ----------------------------------------------------------------------------------


@one_backend
@pytest.mark.parametrize("arguments", ["'--list'", "'--surface', 'moon'", "'adam:beta_1'", "'--out', 'picture.bmp'"])
def test_the_list_and_slips_are_answered_without_keras(arguments):
    code = (
        f"import sys, tuning.cli\nstatus = tuning.cli.main(['landscape', {arguments}])\n"
        "assert not {'keras', 'numpy', 'tensorflow', 'matplotlib'} & set(sys.modules)\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    if arguments == "'--list'":
        assert (done.returncode, done.stderr) == (0, "")
        assert [line.split()[0] for line in done.stdout.splitlines()] == list(SURFACES)
    else:
        assert done.returncode == 2, done.stderr
        one_sentence(done.stderr)


@one_backend
def test_without_arguments_the_five_core_optimizers_are_drawn_in_the_ravine(command, tmp_path):
    status, stdout, stderr = command("landscape")
    assert (status, stdout, stderr) == (0, "landscape-ravine.png\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["landscape-ravine.png"]
    with Image.open(tmp_path / "landscape-ravine.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) > 700
        assert picture.text["Title"] == surface("ravine").heading
    shown = landscape()
    assert [contestant.name for contestant in shown.contestants] == list(CORE)


@one_backend
def test_json_has_the_trajectories(command, tmp_path):
    status, stdout, _ = command(
        *("landscape", "momentum:momentum=0.8", "gradient_descent:learning_rate=1e38", "--surface", "saddle"),
        *("--start=-1,0.25", "--steps", 3, "--json"),
    )
    printed = load(stdout)
    assert status == 0
    assert list(tmp_path.iterdir()) == []
    first, diverged = printed.pop("trajectories")
    assert printed == {
        "surface": "saddle",
        "title": surface("saddle").heading,
        "start": [-1.0, 0.25],
        "steps": 3,
        "backend": BACKEND,
        "file": None,
    }
    expected = run(keras_optims.Momentum(0.02, momentum=0.8), surface("saddle"), (-1.0, 0.25), 3)
    np.testing.assert_array_equal(np.array(first.pop("weights"), "float32"), expected.weights)
    np.testing.assert_array_equal(np.array(first.pop("losses"), "float32"), expected.losses)
    assert first == {
        "optimizer": "momentum",
        "class": "keras_optims.Momentum",
        "label": "Momentum (η=0.02, γ=0.8)",
        "settings": {"learning_rate": 0.02, "momentum": 0.8},
        "left_at": None,
    }
    assert diverged["left_at"] == 1
    assert diverged["losses"][-1] is None
    status, stdout, _ = command("landscape", "adam", "--steps", 2, "--json", "--out", "small.svg")
    assert (status, load(stdout)["file"]) == (0, "small.svg")
    assert (tmp_path / "small.svg").is_file()


OUR_ERRORS = {
    ("adams",): "OPTIMIZER must be one of gradient_descent, .*, or keras:NAME of Keras's own; received 'adams'",
    ("keras:momentum",): "received 'keras:momentum'",
    ("keras:optimizer",): "received 'keras:optimizer'",
    ("adam:momentum=0.9",): "adam has no setting 'momentum'; it has learning_rate, beta_1,",
    ("keras:sgd:beta_1=0.9",): "keras:sgd has no setting 'beta_1'; it has learning_rate, momentum,",
    ("adam:beta_1=1.5",): r"beta_1 \(β₁\) must be a number in \[0, 1\)",
    ("adam:beta_1=large",): "beta_1 of adam must be a number, true, false or none; received 'large'",
    ("keras:sgd:momentum=2",): "Keras SGD does not accept",
    ("adam:beta_1=0.5,beta_1=0.6",): "each setting once; received 'adam:beta_1=0.5,beta_1=0.6'",
    ("adam:clipnorm=1,clipvalue=1",): "Only one of clipnorm, clipvalue and global_clipnorm",
    ("--fix", "rho=0.5", "adam"): "--fix rho: none of the optimizers has it",
    ("--fix", "rho"): "--fix takes NAME=VALUE",
    ("--start=9,9",): r"The start must lie on the surface ravine, θ₁ in \[-5, 2\] and θ₂ in \[-1.5, 1.5\]; received 9,9",
    ("--start=nan,0",): "received nan,0",
    ("--start=1",): "--start takes two numbers, X,Y; received '1'",
    ("--out", "folder.png"): "folder.png cannot be written",
    ("--out", "nowhere/picture.png"): "there is no folder .*nowhere",
    ("--out", "picture"): r"one of .png, .svg, .gif, .mp4, .html; received 'picture'",
}


@one_backend
@pytest.mark.parametrize(("arguments", "message"), OUR_ERRORS.items(), ids=lambda value: " ".join(value)[:40])
def test_what_is_wrong_is_one_sentence(command, tmp_path, arguments, message):
    (tmp_path / "folder.png").mkdir()
    status, stdout, stderr = command("landscape", *arguments, "--steps", 1)
    assert (status, stdout) == (2, "")
    assert re.search(message, one_sentence(stderr)), stderr
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@one_backend
def test_a_missing_package_is_named_with_its_extra(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "tuning.landscape.picture", raising=False)
    monkeypatch.delattr(package, "picture", raising=False)
    status, _, stderr = command("landscape", "adam", "--steps", 1)
    assert status == 2
    assert one_sentence(stderr) == "A landscape needs the package matplotlib: pip install 'keras-optims[pictures]'."


# -- files ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """Two optimizers, 12 steps."""
    return landscape(["momentum:momentum=0.7", "keras:rmsprop"], steps=12, command="keras-optims landscape of a test")


def svg_texts(path):
    """What is written in a picture: Matplotlib draws letters as outlines, each text with a comment that has it."""
    return [text.replace("&#x27;", "'") for text in re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))]


@one_backend
def test_an_svg_names_optimizers_symbols_and_axes(small, tmp_path):
    path = small.write(tmp_path / "small.SVG")
    assert xml.etree.ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    texts = svg_texts(path)
    for text in (surface("ravine").heading, "θ₁", "θ₂", "loss L", "step", "Momentum (η=0.01, γ=0.7)"):
        assert text in texts
    assert "Keras RMSProp (η=0.1, ρ=0.9)" in texts
    assert "<dc:date>" not in path.read_text(encoding="utf-8")
    again = small.write(tmp_path / "again.svg")
    assert again.read_bytes() == path.read_bytes()


@one_backend
def test_trajectories_differ_in_more_than_their_colour():
    from tuning.landscape.picture import STILL_DOTS, _drawing

    shown = landscape(["momentum"] * 7, steps=3)
    labels = [contestant.label for contestant in shown.contestants]
    drawing = _drawing(shown.surface, shown.start, labels, shown.trajectories, STILL_DOTS)
    assert [text.get_text() for text in drawing.figure.axes[0].texts] == ["start", "minimum"]
    lines = [one.line for one in drawing.runs]
    assert len({(line.get_color(), str(line._unscaled_dash_pattern), line.get_marker()) for line in lines}) == 7
    assert len({line.get_marker() for line in lines}) == 7
    assert len({line.get_color() for line in lines}) == 6
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == 5
    drawing.runs[0].show(2)
    np.testing.assert_allclose(np.transpose(lines[0].get_data()), shown.trajectories[0].weights[:3])
    np.testing.assert_allclose(drawing.runs[0].head.get_data(), shown.trajectories[0].weights[2][:, None])
    np.testing.assert_allclose(drawing.runs[0].curve.get_data()[1], shown.trajectories[0].losses[:3])


@one_backend
def test_a_gif_moves_and_rests_on_its_last_picture(small, tmp_path):
    with Image.open(small.write(tmp_path / "small.gif")) as film:
        assert film.format == "GIF"
        assert film.n_frames == 13  # the start and each step
        durations, frames = [], []
        for frame in range(film.n_frames):
            film.seek(frame)
            durations.append(film.info["duration"])
            frames.append(np.array(film.convert("RGB"), "int16"))
    assert durations[-1] == 2000
    assert 50 <= durations[0] <= 80
    changed = [np.any(one != other, axis=-1).sum() for one, other in itertools.pairwise(frames)]
    assert all(10 < pixels < 40_000 for pixels in changed)  # of 350,000: the map stays as it is


FAKE_FFMPEG = """#!/bin/sh
for last; do :; done
wc -c > "$last"
echo "$@" >> "$last"
[ -z "$FAKE_FAILS" ] || { echo "no such encoder" >&2; exit 1; }
"""


@pytest.fixture
def fake_ffmpeg(tmp_path, monkeypatch):
    """A program called ffmpeg that writes how many bytes it has read, and what it was called with."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "ffmpeg").write_text(FAKE_FFMPEG)
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@one_backend
@pytest.mark.usefixtures("fake_ffmpeg")
def test_ffmpeg_gets_every_picture_and_the_last_one_for_two_seconds(small, tmp_path, monkeypatch):
    length, command = small.write(tmp_path / "small.mp4").read_text().splitlines()
    width, height = map(int, re.search(r"-s (\d+)x(\d+)", command).groups())
    assert int(length) == width * height * 3 * (13 + 30)
    assert "-r 15 -i -" in command
    monkeypatch.setenv("FAKE_FAILS", "1")
    with pytest.raises(SearchError, match=r"failed\.mp4 cannot be written: ffmpeg says: no such encoder"):
        small.write(tmp_path / "failed.mp4")
    assert not (tmp_path / "failed.mp4").exists()


@one_backend
def test_an_mp4_without_ffmpeg_says_what_to_install(command, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(package.importlib.util, "find_spec", lambda name: None)
    status, _, stderr = command("landscape", "--out", "film.mp4")
    assert status == 2
    assert "needs the program ffmpeg: install it (apt install ffmpeg," in one_sentence(stderr)


def runs_of(path):
    """What a page draws from, with the arrays decoded."""
    text = path.read_text(encoding="utf-8")
    runs = json.loads(re.search(r'<script type="application/json" id="runs">(.*?)</script>', text, flags=re.DOTALL)[1])
    for contestant in runs["contestants"]:
        count = math.prod(len(slider["texts"]) for slider in contestant["sliders"])
        for name, shape in (("weights", (count, -1, 2)), ("losses", (count, -1))):
            contestant[name] = np.frombuffer(base64.b64decode(contestant[name]), "<f4").reshape(shape)
    return runs


@one_backend
def test_the_page_has_the_run_of_each_position_of_the_sliders(tmp_path):
    shown = landscape(["rmsprop:rho=0.85,epsilon=0.001", "keras:sgd:momentum=0.5,learning_rate=0.05"], steps=10)
    path = shown.write(tmp_path / "page.html")
    runs = runs_of(path)
    rmsprop, sgd = runs["contestants"]
    assert [slider["symbol"] for slider in rmsprop["sliders"]] == ["η", "ρ"]
    assert [slider["symbol"] for slider in sgd["sliders"]] == ["η"]
    assert (rmsprop["title"], rmsprop["others"]) == ("RMSProp", ["ε=0.001"])
    assert (sgd["title"], sgd["others"]) == ("Keras SGD", ["γ=0.5"])
    rates, decays = ([float(text) for text in slider["texts"]] for slider in rmsprop["sliders"])
    assert rates == sorted(rates)
    assert len(rates) == 11
    assert 0.1 in rates
    assert decays == [0, 0.5, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999]
    for i, j in ((0, 0), (10, 7), (3, 1)):
        number = i * len(decays) + j
        optimizer = keras_optims.RMSprop(rates[i], rho=decays[j], epsilon=0.001)
        alone = run(optimizer, surface("ravine"), steps=10)
        np.testing.assert_allclose(rmsprop["weights"][number], alone.weights, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(rmsprop["losses"][number], alone.losses, rtol=1e-4, atol=1e-6)
        assert rmsprop["drawn"][number] == alone.drawn
    rates = [float(text) for text in sgd["sliders"][0]["texts"]]
    alone = run(keras.optimizers.SGD(rates[-1], momentum=0.5), surface("ravine"), steps=10)
    np.testing.assert_allclose(sgd["weights"][-1], alone.weights, rtol=1e-5, atol=1e-6)
    assert sgd["notes"][str(len(rates) - 1)] == f"leaves the picture at step {alone.left_at}"
    leaving = ~surface("ravine").contains(sgd["weights"][:, -1])
    assert list(sgd["notes"]) == [str(number) for number in np.flatnonzero(leaving)]
    page = path.read_text(encoding="utf-8")
    starts = re.findall(r'id="slider-(\d)-(\d)" min="0" max="(\d+)" value="(\d+)"', page)
    now = [("0", "0", position_of("0.1", rmsprop)), ("0", "1", "3"), ("1", "0", position_of("0.05", sgd))]
    assert [(number, slider, start) for number, slider, _, start in starts] == now
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page[: page.index("<script>")])
    assert path.stat().st_size < 4e6


def position_of(rate, contestant):
    return str(contestant["sliders"][0]["texts"].index(rate))


@one_backend
def test_the_sliders_are_the_hyperparameters_that_can_be_set():
    names = ["adam:beta_1=0.85", "rmsprop", "rmsprop:momentum=0.3", "keras:adam", "gradient_descent:learning_rate=0"]
    adam, rmsprop, with_momentum, of_keras, still = _sliders(landscape(names, steps=1))
    assert [(slider.symbol, slider.values[slider.start]) for slider in adam] == [("η", 0.2), ("β₁", 0.85), ("β₂", 0.999)]
    assert [slider.values for slider in adam[1:]] == [(0, 0.5, 0.8, 0.85, 0.9, 0.95), (0.9, 0.95, 0.99, 0.999, 0.9999)]
    assert [slider.symbol for slider in rmsprop] == ["η", "ρ"]
    assert [slider.symbol for slider in with_momentum] == ["η", "ρ", "γ"]
    assert still == ()
    ((rates,),) = _sliders(landscape(["gradient_descent:learning_rate=0.0123456"], steps=1))
    assert rates.values[rates.start] == 0.0123456
    assert len(rates.values) == 11
    assert [slider.symbol for slider in of_keras] == ["η"]


@one_backend
def test_a_page_of_many_steps_has_a_coarser_grid():
    shown = landscape(["rmsprop", "momentum"], steps=1)

    def counts(steps):
        return [[len(slider.values) for slider in its] for its in _sliders(dataclasses.replace(shown, steps=steps))]

    assert counts(200) == [[11, 7], [11, 6]]
    assert counts(3000) == [[9, 5], [9, 4]]
    assert counts(14_999) == [[5, 2], [5, 2]]
    assert 15_000 * sum(map(math.prod, counts(14_999))) == MOST_POINTS
    with pytest.raises(SearchError, match=r"holds at most 14999 steps of these 2 optimizers with 20 settings; received 15000"):
        counts(15_000)
