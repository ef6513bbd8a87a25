"""`load_state`: from files, optimizers and dicts; all of a state, or what fits of it."""

import keras
import numpy as np
import pytest

import keras_optims
from tests.models import compiled, data, fit, weights
from tests.stepping import state_of

anywhere = pytest.mark.backend("tensorflow")  # does not depend on the backend


def classifier(classes=4, body=("body", "narrow"), head="head"):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    return keras.Sequential(
        [keras.Input((8,)), dense(16, name=body[0]), dense(6, name=body[1]), dense(classes, name=head)], name="classifier"
    )


def train(model, classes=4):
    x, y = data()
    model.fit(x, np.minimum(y, classes - 1), batch_size=16, epochs=1, shuffle=False, verbose=0)


@pytest.fixture
def trained():
    model = compiled(keras_optims.Adam(0.05, beta_1=0.8), classifier())
    train(model)
    return model


def taken_slots(loaded):
    return sorted(name for name in loaded.taken if "/" in name)


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
@pytest.mark.parametrize("build_first", [True, False])
def test_a_new_head_trains_on_with_the_state_of_the_body(trained, tmp_path, file, build_first):
    (trained.save if file == "model.keras" else trained.save_weights)(tmp_path / file)
    tuned = compiled(keras_optims.Adam(), classifier(3, head="new_head"))
    if build_first:
        tuned.optimizer.build(tuned.trainable_variables)
    loaded = tuned.optimizer.load_state(tmp_path / file, partial=True)
    tuned.optimizer.build(tuned.trainable_variables)
    assert {name.split("/")[0] for name in loaded.taken if "/" in name} == {"first_moment", "second_moment"}
    assert {name.split("/")[-2] for name in loaded.taken if "/" in name} == {"body", "narrow"}
    assert {name.split("/")[-2] for name in loaded.fresh} == {"new_head"}
    assert {name.split("/")[-2] for name in loaded.left_out} == {"head"}
    assert {"iteration", "learning_rate", "beta_1", "beta_1_residual"} <= set(loaded.taken)
    assert tuned.optimizer.get_config() | {"learning_rate": 0.05, "beta_1": 0.8} == tuned.optimizer.get_config()
    before, now = state_of(trained.optimizer), state_of(tuned.optimizer)
    for name, value in now.items():
        np.testing.assert_array_equal(value, np.zeros_like(value) if "new_head" in name else before[name], err_msg=name)
    train(tuned, classes=3)
    assert int(tuned.optimizer.iterations) == 8


@anywhere
def test_weights_that_are_loaded_in_part_go_with_their_state(trained, tmp_path):
    trained.save_weights(tmp_path / "model.weights.h5")
    tuned = compiled(keras_optims.Adam(), classifier(3))
    with pytest.warns(UserWarning, match="head"):
        tuned.load_weights(tmp_path / "model.weights.h5", skip_mismatch=True)
    for _ in range(2):  # no second try goes on with a fresh state
        with pytest.raises(ValueError, match=r"load_state\(source, partial=True\)"):
            tuned.optimizer.build(tuned.trainable_variables)
    loaded = tuned.optimizer.load_state(tmp_path / "model.weights.h5", partial=True)
    np.testing.assert_array_equal(weights(tuned)[0], weights(trained)[0])
    assert {name.split("/")[-2] for name in loaded.fresh} == {name.split("/")[-2] for name in loaded.left_out} == {"head"}
    train(tuned, classes=3)


@anywhere
def test_all_of_a_state_goes_from_one_optimizer_to_another(trained):
    other = keras_optims.Adam()
    other.build(trained.trainable_variables)
    loaded = other.load_state(trained.optimizer)
    assert loaded.fresh == loaded.left_out == []
    assert set(loaded.taken) == {name.replace("|", "/") for name in state_of(other)}
    for name, value in state_of(trained.optimizer).items():
        np.testing.assert_array_equal(state_of(other)[name], value)


@anywhere
def test_made_up_names_are_compared_where_no_name_fits():
    source, target = keras_optims.Momentum(), keras_optims.Momentum()
    source.build(named({"m/dense_7/kernel": 2, "m/dense_7/bias": 3, "m/dense_9/kernel": 4, "m/dense_9/bias": 5}))
    target.build(named({"n/dense/kernel": 2, "n/dense/bias": 3, "n/dense_1/kernel": 6, "n/dense_1/bias": 5}))
    fill(source)
    loaded = target.load_state(source, partial=True)
    assert taken_slots(loaded) == ["velocity/n/dense/bias", "velocity/n/dense/kernel"]
    assert sorted(loaded.left_out) == ["velocity/m/dense_9/bias", "velocity/m/dense_9/kernel"]
    assert [float(np.array(v)[0]) for v in target.velocity.variables] == [1, 2, 0, 0]


@anywhere
def test_a_layer_is_taken_as_a_whole_or_not_at_all():
    # dense_1 here is another layer than dense_1 there; only their biases happen to be of one length
    source, target = keras_optims.Momentum(), keras_optims.Momentum()
    source.build(named({"dense/kernel": 2, "dense_1/kernel": 3, "dense_1/bias": 5}))
    target.build(named({"dense/kernel": 2, "dense_1/kernel": 4, "dense_1/bias": 5}))
    loaded = target.load_state(source, partial=True)
    assert taken_slots(loaded) == ["velocity/dense/kernel"]
    assert sorted(loaded.fresh) == sorted(loaded.left_out) == ["velocity/dense_1/bias", "velocity/dense_1/kernel"]


@anywhere
def test_of_another_algorithm_only_what_both_have_is_taken(trained):
    target = keras_optims.RMSprop()
    target.build(trained.trainable_variables)
    loaded = target.load_state(trained.optimizer, partial=True)
    assert sorted(loaded.taken) == ["epsilon", "iteration", "learning_rate"]


@anywhere
@pytest.mark.parametrize(
    ("there", "here"),
    [
        ({"a/scale": 2, "a/dense/kernel": 3}, {"b/scale": 2, "b/dense/kernel": 3}),
        ({"a/b/dense/kernel": 3, "a/b/dense/bias": 2}, {"dense/kernel": 3, "dense/bias": 2}),
        ({"dense/kernel": 3, "out/kernel": 2}, {"a/dense_4/kernel": 3, "a/out/kernel": 2}),
    ],
)
def test_an_outer_model_does_not_matter(there, here):
    source, target = keras_optims.Momentum(), keras_optims.Momentum()
    source.build(named(there))
    target.build(named(dict(reversed(here.items()))))
    fill(source)
    target.load_state(source)
    assert [float(np.array(v)[0]) for v in target.velocity.variables] == [2, 1]


@anywhere
def test_variables_of_one_name_are_told_apart_by_their_order():
    source, target = keras_optims.Momentum(), keras_optims.Momentum()
    for optimizer in (source, target):
        optimizer.build([*named({"a": 2, "b": 2}), *named({"a": 2}), *named({"a": 2})])
    fill(source)
    assert {"velocity|a", "velocity|b", "velocity|a#2", "velocity|a#3"} <= set(state_of(source))
    target.load_state(source)
    assert [float(np.array(v)[0]) for v in target.velocity.variables] == [1, 2, 3, 4]


@anywhere
def test_what_became_of_a_state_can_be_read():
    loaded = keras_optims.LoadedState(taken=list("abcdefg"), fresh=list("hijkl"))
    assert str(loaded) == "taken: a, b, c, d, e and 2 more\nfresh: h, i, j, k, l\nleft out: nothing"


@anywhere
def test_the_name_of_a_layer_matters():
    source, target = keras_optims.Momentum(), keras_optims.Momentum()
    source.build(named({"first/kernel": 3, "first/bias": 2}))
    target.build(named({"second/kernel": 3, "second/bias": 2}))
    with pytest.raises(ValueError, match="missing from it: velocity/second/bias"):
        target.load_state(source)


@anywhere
def test_a_numbered_state_of_keras_is_told_from_ours(tmp_path):
    model = compiled(keras.optimizers.Adam())
    fit(model)
    model.save(tmp_path / "model.keras")
    for partial in (False, True):
        with pytest.raises(ValueError, match=r"saved by an optimizer of Keras.*keras_optims\.from_keras"):
            compiled_and_built().load_state(tmp_path / "model.keras", partial=partial)


@anywhere
@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n damaged", b"PK\x03\x04 damaged"])
def test_a_file_without_a_state_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.keras.* holds no state"):
        compiled_and_built().load_state(tmp_path / "model.keras")


@anywhere
def test_other_sources_are_errors(tmp_path):
    with pytest.raises(ValueError, match="There is no file"):
        compiled_and_built().load_state(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"must be the path of.*received 3"):
        compiled_and_built().load_state(3)
    model = classifier()
    model.save(tmp_path / "not_compiled.keras")
    with pytest.raises(ValueError, match="holds no state"):
        compiled_and_built().load_state(tmp_path / "not_compiled.keras")


def named(lengths):
    """Variables with these paths."""
    variables = []
    for path, length in lengths.items():
        variable = keras.Variable(np.zeros(length, "float32"), name=path.split("/")[-1])
        variable._path = path
        variables.append(variable)
    return variables


def fill(optimizer):
    for number, variable in enumerate(optimizer.velocity.variables, start=1):
        variable.assign(np.full(variable.shape, number, "float32"))


def compiled_and_built():
    model = compiled(keras_optims.Adam())
    model.optimizer.build(model.trainable_variables)
    return model.optimizer


@pytest.mark.parametrize("build_first", [True, False])
@pytest.mark.parametrize("rules", [[], [keras_optims.Rule("bias", epsilon=0.125)]], ids=["no rules", "rule"])
def test_what_a_state_lacks_begins_with_the_hyperparameters_that_it_brings(build_first, rules):
    """Adagrad has ε in its accumulators: a new head's begin at G₀ + the ε that is in force, which the state has changed."""
    body = compiled(keras_optims.Adagrad(0.05, epsilon=0.5, initial_accumulator_value=0.25), classifier())
    train(body)
    begun = compiled(
        keras_optims.Adagrad(epsilon=1.0, initial_accumulator_value=0.25, rules=rules), classifier(3, head="new_head")
    )
    if build_first:
        begun.optimizer.build(begun.trainable_variables)
    begun.optimizer.load_state(body.optimizer, partial=True)
    begun.optimizer.build(begun.trainable_variables)
    kernel, bias = (begun.optimizer.accumulator[variable] for variable in begun.get_layer("new_head").variables)
    np.testing.assert_array_equal(kernel, np.full(kernel.shape, 0.75, "float32"))
    np.testing.assert_array_equal(bias, np.full(bias.shape, 0.375 if rules else 0.75, "float32"))
    before, now = state_of(body.optimizer), state_of(begun.optimizer)
    of_the_body = [name for name in now if name.startswith("accumulator") and "new_head" not in name]
    assert len(of_the_body) == 4
    for name in of_the_body:
        np.testing.assert_array_equal(now[name], before[name])
