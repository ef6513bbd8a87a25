"""MultiWorkerMirroredStrategy: two processes with a CPU each. RANK says which one this is, PORTS where they listen."""

import json
import os

RANK = int(os.environ["RANK"])
ADDRESSES = [f"localhost:{port}" for port in os.environ["PORTS"].split()]
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": ADDRESSES}, "task": {"type": "worker", "index": RANK}})

import tensorflow as tf  # noqa: E402

STRATEGY = tf.distribute.MultiWorkerMirroredStrategy()  # before any other operation

import pathlib  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402

from keras_optims import Adam, Momentum  # noqa: E402
from tests.distribution import problem  # noqa: E402
from tests.distribution.problem import ALL_TOGETHER, BATCH, LABELS, STEPS, TOKENS, assert_same_training  # noqa: E402
from tests.pages import lines_beginning  # noqa: E402

SHARE = slice(RANK * BATCH // 2, (RANK + 1) * BATCH // 2)
FOLDER = pathlib.Path(os.environ["FOLDER"])  # both see it


def loop(model, distributed, steps=range(STEPS)):
    loss = problem.loss()

    @tf.autograph.experimental.do_not_convert
    def step(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        model.optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)

    run = tf.function(lambda *batch: STRATEGY.run(step, args=batch) if distributed else step(*batch), autograph=False)
    for i in steps:
        share = SHARE if distributed else slice(None)
        run(tf.constant(TOKENS[i][share]), tf.constant(LABELS[i][share]))


def wait_for_each_other():
    STRATEGY.reduce("SUM", STRATEGY.run(lambda: tf.distribute.get_replica_context().all_reduce("SUM", tf.constant(1.0))), None)


def test_two_workers_train_as_one_device():
    for make in (lambda: Adam(0.01), lambda: Momentum(0.05, **ALL_TOGETHER)):
        with STRATEGY.scope():
            model = problem.compiled(make())
            model.optimizer.build(model.trainable_variables)
        single = problem.compiled(make())
        loop(model, True)
        loop(single, False)
        assert_same_training(model, single)


def test_a_training_goes_on_elsewhere():
    single = problem.compiled(problem.resumable())
    loop(single, False, problem.FIRST)
    with STRATEGY.scope():
        model = problem.compiled(problem.resumable())
        model.optimizer.build(model.trainable_variables)
    loop(model, True, problem.FIRST)
    if RANK == 0:
        single.save(FOLDER / "single.keras")
        model.save(FOLDER / "distributed.keras")
    wait_for_each_other()
    loop(single, False, problem.SECOND)
    with STRATEGY.scope():
        on_both = keras.models.load_model(FOLDER / "single.keras")
    on_one = keras.models.load_model(FOLDER / "distributed.keras")
    loop(on_both, True, problem.SECOND)
    loop(on_one, False, problem.SECOND)
    assert_same_training(on_both, single)
    assert_same_training(on_one, single)


def test_the_lines_of_the_documentation_train_as_one_device():
    lines = lines_beginning("docs/distribution.md", "strategy = ").splitlines()[1:]  # that is above
    program = {"tf": tf, "problem": problem, "strategy": STRATEGY, "compiled": lambda: problem.compiled(Adam(0.01))}
    exec("\n".join(lines).replace("keras.losses.MeanSquaredError()", "problem.loss()"), program)
    for i in range(STEPS):
        program["train"](tf.constant(TOKENS[i][SHARE]), tf.constant(LABELS[i][SHARE]))
    single = problem.compiled(Adam(0.01))
    loop(single, False)
    assert_same_training(program["model"], single)


def test_the_averages_are_swapped_on_each_worker():
    with STRATEGY.scope():
        model = problem.compiled(Momentum(0.05, use_ema=True, ema_momentum=0.7))
        model.optimizer.build(model.trainable_variables)
    single = problem.compiled(Momentum(0.05, use_ema=True, ema_momentum=0.7))
    loop(model, True)
    loop(single, False)
    for each in (model, single):
        each.optimizer.swap_averaged_weights()
    assert_same_training(model, single)
    assert np.abs(model.get_weights()[1] - problem.model().get_weights()[1]).max() > 1e-3
