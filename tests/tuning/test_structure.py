"""What a search varies beside the numbers of one optimizer: model, batch size, options, and the optimizer itself."""

import json
import pickle
import types

import keras
import numpy as np
import pytest

import keras_optims
import tuning
from tests.tuning.conftest import JIT, ROOT, load, one_sentence
from tests.tuning.test_space import draw
from tuning.problems import PROBLEMS, make_problem
from tuning.problems.structure import structure_of
from tuning.report.reproduction import snippet
from tuning.results.search import SearchResult
from tuning.space.optimizers import of_keras
from tuning.space.setting import setting_of
from tuning.space.space import Space
from tuning.space.text import parse_fix, parse_search
from tuning.training.problem_model import ProblemModel


def build(units=8, layers=1, activation="relu", bias=True, momentum=0.5, inner=4):
    hidden = [keras.layers.Dense(units, activation=activation, use_bias=bias) for _ in range(layers)]
    return keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1)])


AXES = {
    "units": (4, 64, "log"),
    "layers": (1, 3),
    "activation": ["relu", "gelu"],
    "bias": [True, False],
    "momentum": (0.1, 0.9),
    "inner": tuning.given([2, 4], layers=[2, 3]),
}


def branches(hp):
    """A model function in the way of KerasTuner, with a loop and a branch."""
    kind = hp.Choice("kind", ["wide", "deep"])
    with hp.conditional_scope("kind", ["wide"]):
        width = hp.Int("width", 8, 32, step=8)
    with hp.conditional_scope("kind", ["deep"]):
        depth = hp.Int("depth", 1, 2)
    sizes = [width] if kind == "wide" else [hp.Int(f"units_{i}", 4, 8) for i in range(depth)]
    return keras.Sequential([keras.Input((4,)), *map(keras.layers.Dense, sizes), keras.layers.Dense(1)])


def problem(model=build, axes=AXES, **others):
    x = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")
    data = tuning.Data((x[:68], x[:68, :1]), (x[68:], x[68:, :1]))
    return tuning.Problem("mine", data, model, "mse", (), "val_loss", batch_size=16, epochs=1, axes=axes, **others)


def space_of(optimizer="adam", search=None, fix=None, schedule=None, of=None):
    return Space.of(optimizer, search, fix, schedule, (problem() if of is None else of).structure())


def refused(*arguments, **others):
    with pytest.raises(tuning.SearchError) as raised:
        space_of(*arguments, **others)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# -- the model ------------------------------------------------------------------------------------


def test_the_axes_of_a_problem_stand_beside_those_of_the_optimizer():
    space = space_of("momentum")
    kinds = {name: (axis.kind, axis.low, axis.high, axis.scale) for name, axis in space.axes.items() if axis.is_number}
    assert list(space.axes) == [
        *("learning_rate", "momentum", "units", "layers", "activation", "bias", "problem.momentum", "inner")
    ]
    assert kinds["units"] == ("int", 4, 64, "log")
    assert kinds["problem.momentum"] == ("float", 0.1, 0.9, "linear")
    values = {"learning_rate": 0.1, "momentum": 0.8, "units": 5, "layers": 2, "problem.momentum": 0.3, "inner": 2}
    setting = space.setting(values)
    assert setting.code == "keras_optims.Momentum(learning_rate=0.1, momentum=0.8)"
    assert setting.line == setting.code + "  # units=5, layers=2, momentum=0.3, inner=2"
    assert setting.model == {"units": 5, "layers": 2, "momentum": 0.3, "inner": 2}


def test_a_name_of_two_is_told_apart():
    assert "write momentum.momentum or problem.momentum" in refused("momentum", {"momentum": (0.1, 0.2)})
    space = space_of("momentum", {"problem.momentum": (0.2, 0.3)}, {"momentum.momentum": 0.5})
    assert space.fixed == {"momentum": 0.5}
    assert (space.axes["problem.momentum"].low, "momentum" in space.axes) == (0.2, False)
    assert space_of("adam").axes["momentum"].of == "problem"  # Adam has none


def test_search_and_fix_change_the_axes_of_the_model():
    space = space_of("adam", {"units": (32, 128), "momentum": [0.1, 0.2]}, {"layers": 2, "activation": "tanh", "bias": False})
    assert list(space.axes)[3:] == ["units", "momentum", "inner"]
    assert (space.axes["units"].high, space.axes["momentum"].choices) == (128, (0.1, 0.2))
    assert space.model == {"layers": 2, "activation": "tanh", "bias": False}
    assert space.axes["inner"].when == ()  # as there are 2 layers
    assert "inner" not in space_of("adam", fix={"layers": 1}).axes
    assert "inner of mine is there only with layers 2 or 3" in refused("adam", {"inner": [1, 3]}, {"layers": 1})
    assert "colour cannot be searched" in refused("adam", {"colour": [1, 2]})
    assert "units is a whole number" in refused("adam", {"units": (1.5, 2)})
    assert "linear or log; received 'log1m'" in refused("adam", {"units": (1, 2, "log1m")})


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if "mlp" in name else pytest.mark.slow) for name in PROBLEMS])
def test_built_in_problems_declare_axes_that_are_off(name):
    made = make_problem(name)
    assert list(space_of(of=made).axes) == list(Space.of("adam").axes)
    searched = space_of(search=dict.fromkeys(made.axes), of=made)
    assert list(searched.axes)[3:] == list(made.axes) == list(PROBLEMS[name].axes)
    for share in (0.0, 1.0):  # what stands at the ends can be built
        hp = searched.hyperparameters()
        made.build(searched.setting({each.name: each.prob_to_value(share - 1e-9 * (share > 0)) for each in hp.space}).model)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"unit": (1, 2)}, "of units, layers"),
        ({"units": 3}, "a range (low, high)"),
        ({"activation": ["relu", 1]}, "all of one kind"),
        ({"units": tuning.given((1, 2), width=3)}, "depends on width"),
    ],
)
def test_a_problem_that_declares_its_axes_wrongly_is_refused(axes, words):
    with pytest.raises(tuning.SearchError) as raised:
        problem(axes=axes)
    assert words in str(raised.value)


def test_an_argument_is_a_number_of_the_kind_of_its_default():
    axes = space_of(of=problem(axes={"momentum": (0, 1)})).axes
    assert (axes["momentum"].kind, axes["momentum"].high) == ("float", 1.0)


def test_an_argument_whose_range_has_shares_is_no_whole_number_though_its_default_is():
    def rated(rate=0, later=0, layers=1):
        return build(layers=layers)

    shares = problem(rated, {"rate": (0, 0.5), "layers": (1, 2), "later": tuning.given((0, 0.25), layers=2)})
    axes = space_of(search={"rate": (0, 1)}, of=shares).axes
    assert (axes["rate"].kind, axes["rate"].low, axes["rate"].high) == ("float", 0.0, 1.0)
    assert (axes["later"].kind, axes["later"].high, axes["layers"].kind) == ("float", 0.25, "int")


def test_an_argument_without_a_default_is_asked_for():
    needing = problem(lambda units: build(units), {})
    assert "needs units" in refused(of=needing)
    assert space_of(fix={"units": 3}, of=needing).model == {"units": 3}


# -- KerasTuner's hp ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hp_problem():
    """A problem whose space is explored once."""
    made = problem(branches, {})
    structure = made.structure()
    return types.SimpleNamespace(structure=lambda: structure, build=made.build)


def test_what_a_model_declares_with_hp_is_found_in_all_its_branches(hp_problem):
    made = hp_problem
    space = space_of(of=made)
    found = {name: axis.when for name, axis in space.axes.items() if axis.of == "problem"}
    deep = (("kind", ("deep",)),)
    assert found == {"kind": (), "width": (("kind", ("wide",)),), "depth": deep, "units_0": (), "units_1": ()}
    hp = pickle.loads(pickle.dumps(space)).hyperparameters()
    assert [each.get_config()["step"] for each in hp.space if each.name == "width"] == [8]
    assert "width" not in space_of(fix={"kind": "deep"}, of=made).axes
    values = {"learning_rate": 0.1, "kind": "deep", "depth": 2, "units_0": 5, "units_1": 7}
    assert [layer.units for layer in made.build(space.setting(values).model).layers] == [5, 7, 1]


@pytest.mark.parametrize(
    ("search", "fix", "words"),
    [
        (None, {"kind": "flat"}, "kind of mine must be one of wide, deep, which its model declares; received 'flat'"),
        ({"kind": ["deep", "flat"]}, None, "one of wide, deep, which its model declares; received 'flat'"),
        ({"kind": (1, 2)}, None, "kind of mine must be one of wide, deep"),
        ({"units_0": ["a", "b"]}, None, "units_0 of mine must be a whole number; received 'a'"),
        (None, {"kind": "deep", "depth": 1.5}, "depth of mine must be a whole number; received 1.5"),
        (None, {"kind": "wide", "width": True}, "width of mine must be a whole number; received True"),
    ],
)
def test_what_hp_cannot_be_is_said_before_the_search(search, fix, words, hp_problem):
    assert words in refused(search=search, fix=fix, of=hp_problem)


def test_what_hp_can_be_may_be_outside_of_its_range(hp_problem):
    space = space_of(search={"units_0": (4, 128)}, fix={"kind": "wide", "width": 40}, of=hp_problem)
    assert (space.model["width"], space.axes["units_0"].high) == (40, 128)


def test_what_hp_declares_in_some_trials_alone_is_no_silent_default():
    made = problem(lambda hp: branches(hp), {})
    with pytest.raises(tuning.SearchError, match="declares units_1 with some settings alone"):
        made.build({"kind": "deep", "depth": 2, "units_0": 5})
    with pytest.raises(tuning.SearchError, match="declares units in two ways"):
        structure_of("mine", lambda hp: hp.Int("units", 1, hp.Int("layers", 2, 3)), {}, None)


# -- the batch size, options, lists ---------------------------------------------------------------


def test_lists_options_and_the_batch_size_are_axes():
    space = space_of("adam", {"learning_rate": [0.1, 0.01], "amsgrad": None, "batch_size": [16, 32]})
    assert space.axes["learning_rate"].choices == (0.1, 0.01)
    assert set(space.axes["amsgrad"].choices) == {True, False}
    setting = space.setting({"learning_rate": 0.1, "beta_1": 0.5, "amsgrad": True, "batch_size": 32})
    assert setting.line == "keras_optims.Adam(learning_rate=0.1, beta_1=0.5, amsgrad=True)  # batch_size=32"
    assert space_of(fix={"batch_size": 8}).setting({}).batch_size == 8


def test_a_schedule_is_of_the_steps_that_the_batch_size_makes():
    space = space_of("adam", {"batch_size": [8, 32]}, schedule="cosine").in_steps(4, samples=68)
    assert [
        space.setting({"learning_rate": 0.1, "batch_size": size}, 3).arguments["learning_rate"].others["steps"]
        for size in (8, 32)
    ] == [24, 6]


@pytest.mark.parametrize("size", [8, 32])
def test_a_batch_size_that_is_searched_trains_as_one_that_is_fixed(size):
    searched = ProblemModel(space_of("adam", {"batch_size": [8, 32]}), problem())
    fixed = ProblemModel(space_of("adam", fix={"batch_size": size}), problem())
    one, other = searched._arguments_in(size), fixed.fit_arguments()
    assert one["batch_size"] == other["batch_size"] == size
    assert len(one["x"]) == len(other["x"]) == 68 // size * size
    assert searched._arguments_in(size)["x"] is one["x"]  # so that it is put on the device once


# -- the optimizer --------------------------------------------------------------------------------


def test_the_optimizer_is_a_choice_with_hyperparameters_of_its_own():
    space = space_of(["adam", "momentum", "keras:Adam"], {"adam.beta_2": (0.9, 0.99), "amsgrad": [True, False]}, {"beta_1": 0.8})
    assert list(space.axes)[:6] == [
        *("optimizer", "adam.learning_rate", "adam.beta_2", "adam.amsgrad", "momentum.learning_rate", "momentum.momentum")
    ]
    assert space.axes["keras:adam.amsgrad"].when == (("optimizer", ("keras:adam",)),)
    values = {"optimizer": "keras:adam", "keras:adam.learning_rate": 0.1, "keras:adam.amsgrad": True}
    assert space.setting(values).line == "keras.optimizers.Adam(learning_rate=0.1, amsgrad=True, beta_1=0.8)"
    assert isinstance(space.optimizer_of(space.setting(values)), keras.optimizers.Adam)
    assert setting_of(json.loads(json.dumps(space.get_config())), values) == space.setting(values)
    assert "named once" in refused(["adam", "adam"])


def test_bare_names_are_of_all_and_longer_ones_win():
    search = {"adam.learning_rate": (0.1, 0.2), "learning_rate": (0.3, 0.4)}
    space = Space.of(["adam", "momentum"], search)
    assert [space.axes[f"{name}.learning_rate"].low for name in ("adam", "momentum")] == [0.1, 0.3]


def test_an_optimizer_of_keras_is_searched_by_its_constructors_arguments():
    class Mine(keras.optimizers.SGD):
        pass

    for optimizer, name in (("keras:RMSprop", "keras:rmsprop"), (keras.optimizers.RMSprop, "keras:rmsprop"), (Mine, "Mine")):
        assert list(Space.of(optimizer).parts) == [name]
    for name in of_keras():
        space = Space.of(f"keras:{name}")
        space.build({each.name: each.prob_to_value(0.5) for each in space.hyperparameters().space})
    space = Space.of("keras:rmsprop", {"centered": None}, {"momentum": 0.5})
    assert list(space.axes) == ["learning_rate", "rho", "centered"]
    assert space.build({"learning_rate": 0.1, "rho": 0.7, "centered": True}).get_config()["rho"] == 0.7
    assert space.notes() == ["keras:rmsprop is compiled anew for each value of rho; optimizers of keras_optims are not"]
    assert Space.of("keras:adam").notes()[0] in (ROOT / "docs/searching.md").read_text()
    assert Space.of("adam").notes() == Space.of("keras:sgd", fix={"momentum": 0.5}).notes() == []
    with pytest.raises(tuning.SearchError, match=r"of Keras must be one of keras:adadelta, .* received 'keras:none'"):
        Space.of("keras:none")


# -- what people write ------------------------------------------------------------------------------

WRITTEN = {
    "adam --search units": {"units": ("int", 16, 256, "log")},
    "adam --search units=32:256:log": {"units": ("int", 32, 256, "log")},
    "adam --search activation=relu,gelu": {"activation": ("relu", "gelu")},
    "adam --search dropout=0:0.3": {"dropout": ("float", 0.0, 0.3, "linear")},
    "adam --fix units=64 --fix layers=2": {},
    "adam --search batch_size=16,32,64": {"batch_size": (16, 32, 64)},
    "adam --search batch_size=16:64:log": {"batch_size": ("int", 16, 64, "log")},
    "adam --search learning_rate=0.1,0.01,0.001": {"learning_rate": (0.1, 0.01, 0.001)},
    "adam --search learning_rate=1,0.1": {"learning_rate": (1.0, 0.1)},
    "adam --search amsgrad=true,false": {"amsgrad": (True, False)},
    "adam --search clip_mode": None,
    "adam --schedule cosine --search warmup=0:0.2": {"warmup": ("float", 0.0, 0.2, "linear")},
    "adam,momentum --search adam.beta_2=0.9:0.99": {
        "optimizer": ("adam", "momentum"),
        "adam.beta_2": ("float", 0.9, 0.99, "log1m"),
    },
    "adam,keras:Adam --search keras:adam.amsgrad": {"optimizer": ("adam", "keras:adam"), "keras:adam.amsgrad": (False, True)},
    "keras:SGD --search momentum=0.5,0.9": {"momentum": (0.5, 0.9)},
}


@pytest.mark.parametrize(("words", "expected"), WRITTEN.items())
def test_the_command_line_makes_these_axes(words, expected):
    optimizers, *options = words.split()
    given = {"search": {}, "fix": {}, "schedule": None}
    for flag, value in zip(options[::2], options[1::2], strict=True):
        if flag == "--schedule":
            given["schedule"] = value
        else:
            name, wanted = (parse_search if flag == "--search" else parse_fix)(value)
            given[flag[2:]][name] = wanted
    plan = tuning.Plan(optimizers=optimizers.split(","), problem="digits_mlp", **given)
    made = [list(plan.optimizers), plan.search, plan.fix, plan.schedule, make_problem("digits_mlp").structure()]
    if expected is None:
        with pytest.raises(tuning.SearchError):
            Space.of(*made)
        return
    space = Space.of(*made)
    axes = {name: space.axes[name] for name in expected}
    found = {name: axis.choices or (axis.kind, axis.low, axis.high, axis.scale) for name, axis in axes.items()}
    assert repr(found) == repr(expected)  # 64 is not 64.0, and true not 1
    assert space.model == (plan.fix or {})


# -- oracles, plans, commands ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["random", "quasirandom", "hyperband", "optuna", "bayesian"])
def test_oracles_draw_what_is_there_and_go_on_after_a_kill(name):
    space = space_of(["adam", "momentum"], {"batch_size": [8, 16]}, of=problem())

    def score(values):
        return values.get("adam.learning_rate", values.get("momentum.learning_rate"))

    drawn = draw(name, space=space, score=score)
    assert {values["optimizer"] for values in drawn} == {"adam", "momentum"}
    for values in drawn:
        plain = {name: value for name, value in values.items() if not name.startswith("tuner/")}
        space.check_setting(plain)
        assert ("inner" in plain) == (plain["layers"] > 1)
        assert type(plain["units"]) is int
        assert 4 <= plain["units"] <= 64
        assert type(plain["bias"]) is bool
    assert draw(name, space=space, score=score, resume_at=5) == drawn


def test_a_grid_has_all_values_of_the_choices():
    of = problem(axes={"activation": ["relu", "gelu"], "units": (4, 64, "log")})
    space = space_of("gradient_descent", of=of)
    assert space.grid_points(12) == {"learning_rate": 3, "activation": 2, "units": 2}
    drawn = draw("grid", trials=12, space=space)
    assert len(drawn) == 12
    assert sorted({values["units"] for values in drawn}) == [4, 64]
    with pytest.raises(tuning.SearchError, match="has 2 points at least"):
        space.grid_points(1)
    with pytest.raises(tuning.SearchError, match="depend on others"):
        space_of().grid_points(16)


def test_a_plan_tells_ranges_from_values():
    search = {"beta_1": (0.5, 0.9), "learning_rate": [0.1, 0.01], "units": (4, 8, "log"), "activation": ["relu", "gelu"]}
    plan = tuning.Plan(optimizers=["adam"], search=search)
    assert tuning.Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    written = {**search, "beta_1": [0.5, 0.9], "learning_rate": {"values": [0.1, 0.01]}, "units": [4, 8, "log"]}
    assert tuning.Plan.from_json({"optimizer": "adam", "search": written}) == plan
    words = ["beta_1=0.5:0.9", "learning_rate=0.1,0.01", "units=4:8:log", "activation=relu,gelu"]
    assert tuning.Plan.from_json({"optimizer": "adam", "search": words}) == plan
    other = tuning.Plan(optimizers=["adam"], search={**search, "beta_1": [0.5, 0.9]})
    assert other.identity("comparison") != plan.identity("comparison")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("adam --search units=32", ["NAME=VALUE,VALUE", "units=32"]),
        ("adam --search colour=1,2", ["digits_mlp has units"]),
        ("adam,adam", ["named once"]),
        ("adam,momentum --search rhoo=0.1:0.2", ["rhoo cannot be searched", "momentum has learning_rate"]),
        ("adam --search units --oracle grid --trials 0", ["trials"]),
        ("keras:adam --search clipnorm", ["no search range"]),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(arguments, words, command):
    status, stdout, stderr = command("tune", *arguments.split())
    assert (status, stdout) == (2, "")
    for word in words:
        assert word in stderr.splitlines()[-1]


# -- trainings ------------------------------------------------------------------------------------

OWN = """

def make_own():
    import dataclasses

    def built(units=8, bias=True):
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, use_bias=bias), keras.layers.Dense(1)])

    return dataclasses.replace(make_problem(), name="own", model=built, axes={"units": (4, 6), "bias": [True, False]})
"""


@pytest.fixture
def own(tiny, tmp_path):
    path = tmp_path / "tiny_problem.py"
    path.write_text(path.read_text() + OWN)
    return "tiny_problem:make_own"


def test_a_search_of_everything_is_shown_kept_and_trained_anew(own, command, tmp_path):
    search = ["--search", "batch_size=8,16", "--search", "adam.amsgrad=true,false", "--schedule", "cosine"]
    arguments = ["tune", "adam,keras:sgd", "--problem", own, "--trials", 6, "--epochs", 1, "--jit", JIT, *search]
    arguments += ["--directory", "out"]
    status, stdout, stderr = command(*arguments, "--json")
    assert status == 0, stderr
    assert "keras:sgd is compiled anew for each value of momentum;" in stderr
    result = SearchResult.load("out")
    assert {trial.state for trial in result.trials} == {"completed"}, [trial.message for trial in result.trials]
    assert {trial.hyperparameters["optimizer"] for trial in result.trials} == {"adam", "keras:sgd"}
    assert len(result.trials[0].hyperparameters) >= 6
    best = result.best
    units, bias, size = (best.hyperparameters[name] for name in ("units", "bias", "batch_size"))
    assert best.line.endswith(f"  # units={units}, bias={bias}, batch_size={size}")
    assert best.model().layers[0].units == units
    assert json.loads((tmp_path / "out/best.json").read_text())["model"] == {"units": units, "bias": bias}
    assert load(stdout)["best"]["line"] == best.line
    assert best.line in command("show", "out")[1]
    status, _, stderr = command("train", "out", "--output", "model.keras")
    assert status == 0, stderr
    assert f"{best.score:.6g}" in stderr
    program = snippet(result, best)
    assert f"model={{'units': {units}, 'bias': {bias}}}" in program
    names = {}
    exec(program.replace("print(", "found = ("), names)
    assert names["found"] == pytest.approx(best.score)
    assert command("export", "out", "--to", "csv")[0] == command("report", "out")[0] == 0
    assert "batch_size" in (tmp_path / "out/trials.csv").read_text().splitlines()[0]
    other = [word.replace("8,16", "8,32") for word in map(str, arguments)]
    assert "differs in space.axes.batch_size.choices ([8, 16] there, [8, 32] now)" in one_sentence(command("tune", *other[1:])[2])
    status, again, _ = command(*arguments, "--json", "--trials", 7)
    assert [trial["hyperparameters"] for trial in load(again)["trials"]][:6] == [trial.hyperparameters for trial in result.trials]


def test_what_a_model_declares_with_hp_is_trained_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = tuning.search("adam", problem(branches, {}), trials=4, jit=JIT, progress=False, search={"units_0": (4, 6)})
    assert {trial.state for trial in result.trials} == {"completed"}, [trial.message for trial in result.trials]
    best = SearchResult.load(result.directory).best
    setting = best.hyperparameters
    sizes = [setting["width"]] if setting["kind"] == "wide" else [setting[f"units_{i}"] for i in range(setting["depth"])]
    assert [layer.units for layer in best.model().layers] == [*sizes, 1]
    assert f"kind={setting['kind']!r}" in best.line.partition("  # ")[2]


@pytest.mark.slow
def test_optimizers_of_keras_and_structures_are_compared(own, command):
    arguments = ["--trials", 2, "--epochs", 1, "--confirmations", 2, "--jit", JIT, "--fix", "units=5", "--directory", "out"]
    status, stdout, stderr = command("compare", "adam", "keras:Adam", "--problem", own, *arguments, "--json")
    assert status == 0, stderr
    found = {entry["optimizer"]: entry for entry in load(stdout)["optimizers"]}
    assert found["keras:adam"]["directory"] == "keras.adam"
    assert "keras.optimizers.Adam(" in found["keras:adam"]["line"]
    assert "  # units=5, bias=" in found["adam"]["line"]
    assert all(entry["validation"]["count"] == 2 for entry in found.values())


@pytest.mark.slow
def test_workers_train_what_this_process_trains(own, command):
    arguments = ["tune", "adam,momentum", "--problem", own, "--trials", 4, "--epochs", 1, "--jit", JIT]
    arguments += ["--search", "batch_size=8,16", "--batch-trials", 1]
    found = [
        load(command(*arguments, "--directory", f"with-{count}", "--workers", count, "--json")[1])["trials"] for count in (1, 2)
    ]
    one, two = ([(trial["hyperparameters"], trial["line"], trial["state"]) for trial in trials] for trials in found)
    assert one == two
    assert [trial["score"] for trial in found[0]] == pytest.approx([trial["score"] for trial in found[1]], rel=1e-5)


def test_the_arguments_of_train_are_checked():
    with pytest.raises(tuning.SearchError, match="batch_size must be an int"):
        tuning.train(problem(), keras_optims.Adam(), seed=0, batch_size=0)
