"""torch's DistributedDataParallel over gloo: two processes. RANK says which one this is, FOLDER is seen by both."""

import datetime
import os
import pathlib
import socket

import keras
import numpy as np
import pytest
import torch
import torch.distributed

import keras_optims
from keras_optims import Adam, Momentum
from tests.distribution import problem
from tests.distribution.problem import BATCH, LABELS, SETTINGS, STEPS, TOKENS, assert_same_training
from tests.pages import lines_beginning

RANK, FOLDER = int(os.environ["RANK"]), pathlib.Path(os.environ["FOLDER"])
SHARE = slice(RANK * BATCH // 2, (RANK + 1) * BATCH // 2)


@pytest.fixture(scope="module", autouse=True)
def _process_group():
    os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    torch.set_num_threads(1)
    rendezvous, timeout = f"file://{FOLDER}/rendezvous", datetime.timedelta(seconds=60)
    torch.distributed.init_process_group("gloo", init_method=rendezvous, rank=RANK, world_size=2, timeout=timeout)
    yield
    torch.distributed.destroy_process_group()


def loop(model, optimizer, distributed, steps=range(STEPS)):
    module = torch.nn.parallel.DistributedDataParallel(model) if distributed else model
    share, loss = SHARE if distributed else slice(None), problem.loss()
    optimizer.build(model.trainable_variables)
    for i in steps:
        model.zero_grad()
        x, y = (torch.from_numpy(batch[i][share]) for batch in (TOKENS, LABELS))
        optimizer.scale_loss(loss(y, module(x))).backward()
        optimizer.apply([v.value.grad for v in model.trainable_variables], model.trainable_variables)


def assert_ranks_are_equal(model, optimizer):
    """Bit for bit."""
    for variable in [*model.variables, *optimizer.variables]:
        own = variable.value.detach()
        of_all = [torch.empty_like(own) for _ in range(2)]
        torch.distributed.all_gather(of_all, own)
        assert torch.equal(*of_all), variable.path


def assert_trains_as_one_process(make):
    model, optimizer, single, its_optimizer = problem.model(), make(), problem.model(), make()
    loop(model, optimizer, True)
    assert_ranks_are_equal(model, optimizer)
    loop(single, its_optimizer, False)
    inner, its_inner = (getattr(each, "inner_optimizer", each) for each in (optimizer, its_optimizer))
    assert_same_training(model, single, inner, its_inner)


@pytest.mark.parametrize("setting", SETTINGS)
def test_two_processes_train_as_one(setting):
    assert_trains_as_one_process(SETTINGS[setting])


def test_two_processes_train_as_one_with_a_loss_scale():
    assert_trains_as_one_process(lambda: keras.optimizers.LossScaleOptimizer(Adam(0.003), dynamic_growth_steps=3))


def test_a_training_goes_on_elsewhere():
    single, model = (problem.compiled(problem.resumable()) for _ in range(2))
    loop(single, single.optimizer, False, problem.FIRST)
    loop(model, model.optimizer, True, problem.FIRST)
    if RANK == 0:
        single.save(FOLDER / "single.keras")
        model.save(FOLDER / "distributed.keras")
    torch.distributed.barrier()
    loop(single, single.optimizer, False, problem.SECOND)
    on_both, on_one = (keras.models.load_model(FOLDER / f"{name}.keras") for name in ("single", "distributed"))
    loop(on_both, on_both.optimizer, True, problem.SECOND)
    loop(on_one, on_one.optimizer, False, problem.SECOND)
    assert_ranks_are_equal(on_both, on_both.optimizer)
    assert_same_training(on_both, single)
    assert_same_training(on_one, single)


def test_the_lines_of_the_documentation_train_as_one_process():
    lines = lines_beginning("docs/distribution.md", "torch.distributed.init_process_group").splitlines()[1:]  # that is above
    program = {
        "torch": torch,
        "keras": keras,
        "keras_optims": keras_optims,
        "make_model": problem.model,
        "batches": [(torch.from_numpy(TOKENS[i][SHARE]), torch.from_numpy(LABELS[i][SHARE])) for i in range(STEPS)],
        "problem": problem,
    }
    exec("\n".join(lines).replace("keras.losses.MeanSquaredError()", "problem.loss()"), program)
    single, its_optimizer = problem.model(), Adam(0.01)
    loop(single, its_optimizer, False)
    assert_ranks_are_equal(program["model"], program["optimizer"])
    assert_same_training(program["model"], single, program["optimizer"], its_optimizer)


def test_averages_and_hyperparameters_are_those_of_one_process():
    model, single = (problem.compiled(Momentum(0.05, use_ema=True, ema_momentum=0.7)) for _ in range(2))
    for each, distributed in ((model, True), (single, False)):
        loop(each, each.optimizer, distributed, problem.FIRST)
        each.optimizer.momentum = 0.5
        loop(each, each.optimizer, distributed, problem.SECOND)
        each.optimizer.swap_averaged_weights()
    assert_ranks_are_equal(model, model.optimizer)
    assert_same_training(model, single)
    assert np.abs(single.get_weights()[1] - problem.model().get_weights()[1]).max() > 1e-3
