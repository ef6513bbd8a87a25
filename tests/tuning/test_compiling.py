"""How epochs are compiled: the usual way follows from model and device, the measured one is measured until it is clear."""

import itertools

import keras
import pytest

import tuning
from tuning.training import epochs
from tuning.training.epochs import compiling


def clock(*seconds):
    """Steps that take so long, in turn; the first call of all compiles."""
    times = itertools.chain([100.0], itertools.cycle(seconds))
    calls = []

    def take():
        calls.append(next(times))
        return calls[-1]

    take.calls = calls
    return take


@pytest.mark.parametrize(
    ("usual", "other", "chosen", "rounds"),
    [
        ((1.0, 1.01, 0.99), (0.5, 0.51, 0.49), "other", 3),
        ((1.0, 1.01, 0.99), (2.0, 2.02, 1.98), "usual", 3),
        ((1.0, 1.01, 0.99), (0.9, 0.91, 0.89), "usual", 3),  # faster, but not clearly
        ((1.0, 1.0, 9.0, 1.0), (0.6, 4.0, 0.6, 0.6), "other", None),  # other programs disturb now and then
    ],
)
def test_ways_take_turns_until_it_is_clear_which_one_is_faster(usual, other, chosen, rounds, monkeypatch):
    monkeypatch.setattr(compiling, "MEASURED_SECONDS", 60.0)
    clocks = {"usual": clock(*usual), "other": clock(*other)}
    way, measured = compiling.fastest(clocks)
    assert way == chosen
    assert 100.0 not in measured.values()
    counts = {len(each.calls) - 1 for each in clocks.values()}
    assert counts == {rounds} if rounds else min(counts) > 3


def test_what_stays_unclear_is_done_in_the_usual_way(monkeypatch):
    monkeypatch.setattr(compiling, "MEASURED_SECONDS", 0.0)
    way, measured = compiling.fastest({"usual": clock(1.0, 2.0, 1.0), "other": clock(0.4, 0.5, 2.0)})
    assert (way, measured) == ("usual", {"usual": 1.0, "other": 0.5})
    assert compiling.fastest({"usual": clock(1.0)})[0] == "usual"


def model(*layers):
    made = keras.Sequential([keras.Input((6, 6, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def test_the_usual_way_follows_from_the_model_and_the_device(monkeypatch):
    backend = keras.backend.backend()
    for only_a_cpu, dense, convolution in {
        "tensorflow": [(True, "graph", "graph"), (False, "xla", "xla")],
        "jax": [(True, "scan", "step"), (False, "scan", "scan")],
        "torch": [(True, "eager", "eager"), (False, "eager", "eager")],
    }[backend]:
        monkeypatch.setattr(compiling, "_only_a_cpu", lambda answer=only_a_cpu: answer)
        inner = keras.Sequential([keras.layers.Conv2D(2, 3)])  # convolutions are found wherever they are
        for made, way in ((model(), dense), (model(keras.layers.Conv2D(2, 3)), convolution), (model(inner), convolution)):
            if backend == "tensorflow":
                made.jit_compile = True  # what Keras makes of "auto" where XLA can compile the model
            epochs.set_way(made, epochs.USUAL)
            assert epochs.way_of(made) == way
            if backend == "jax":  # on which a model is not compiled in one way or another until it trains
                unsaid = model(*made.layers[:-2])
                assert compiling.settle(unsaid, None) == way
    if backend == "tensorflow":
        made = model()
        made.jit_compile = False  # XLA cannot
        assert compiling.usual_way(made) == "graph"


@pytest.mark.parametrize("jit", ["sometimes", 1.5])
def test_a_tuner_takes_no_other_jit(jit, tmp_path):
    import keras_tuner

    oracle = keras_tuner.oracles.RandomSearchOracle(objective=keras_tuner.Objective("loss", "min"), max_trials=1)
    with pytest.raises(tuning.SearchError, match="jit must be True, False, None, or one of auto, measure, on, off; received"):
        tuning.Tuner(oracle, lambda hp: model(), directory=str(tmp_path), project_name="x", jit=jit)
