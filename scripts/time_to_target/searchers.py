"""How each contestant searches, until the watch ends it or it comes to its own end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from scripts.time_to_target.cases import Enough, Watch
from scripts.time_to_target.task import Skipped, Task, setting

FACTOR = 3  # of successive halving and Hyperband, of all that have one
MANY = 1000  # trials: the watch ends a search, not their number


# -- this package ---------------------------------------------------------------------------------


def ours(task: Task, **options: Any) -> None:
    """`tuning.search` as it is, the declared defaults first and the best model kept, without the view."""
    import tuning
    from tuning.names import ORACLES

    oracle = options.get("oracle", "quasirandom")
    if oracle not in ORACLES:
        raise Skipped(f"this version has no oracle {oracle!r}; it has {', '.join(ORACLES)}")
    with _hearing(tuning.Tuner, task.watch):
        tuning.search(
            *("adam", task.problem),
            **{"epochs": task.case.epochs, "seed": task.seed, "progress": False, **options},
            directory=f"{task.folder}/ours-{task.seed}",
        )


@contextlib.contextmanager
def _hearing(tuner: Any, watch: Watch) -> Iterator[None]:
    """Lets the watch hear of the epochs of these tuners, by the hook that is there for it.

    A Keras callback would hear of them as well, but may have a state, and so trials that go on would train anew.
    """
    before = tuner.on_epoch_end
    tuner.on_epoch_end = lambda self, trial, model, epoch, logs=None: watch.ends(logs["val_accuracy"])
    try:
        yield
    finally:
        tuner.on_epoch_end = before


# -- the others -----------------------------------------------------------------------------------


def compiled(task: Task, values: dict[str, float], **options: Any):
    """A new model, compiled with Keras's Adam, as their guides do it in each trial."""
    import keras

    problem = task.problem
    metrics = [each if isinstance(each, str) else type(each).from_config(each.get_config()) for each in problem.metrics]
    model = problem.build()
    model.compile(optimizer=keras.optimizers.Adam(**values), loss=problem.loss, metrics=metrics, **options)
    return model


def fit_arguments(task: Task) -> dict[str, Any]:
    """Of `model.fit`; what the guides leave out is left out, so validation has the batch size of training."""
    x, y = task.problem.data.train
    return {
        **{"x": x, "y": y, "validation_data": task.problem.data.validation, "verbose": 0},
        **{"batch_size": task.problem.batch_size, "epochs": task.case.epochs},
    }


def drawn(task: Task, draw: Callable[..., float], **options: Any) -> dict[str, float]:
    """A setting, of which `draw(name, low, high, **options)` draws each number on a logarithmic scale."""
    return setting({name: draw(name, low, high, **options) for name, (low, high) in task.space.items()})


def epochs_heard(heard: Callable[[float], Any]):
    """A Keras callback that hears of the validation accuracy of each epoch; a copy tells the same listener."""
    import keras

    return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: heard(logs["val_accuracy"]))


def keras_tuner(task: Task, tuner: str, **options: Any) -> None:
    """A tuner of stock KerasTuner."""
    import keras_tuner

    def build(hp):
        return compiled(task, drawn(task, hp.Float, sampling="log"))

    made = getattr(keras_tuner, tuner)(
        build,
        objective="val_accuracy",
        seed=task.seed + 1,  # 0 would be none
        directory=task.folder,
        project_name=f"{tuner}-{task.seed}",
        **options,
    )
    made.search(**fit_arguments(task), callbacks=[epochs_heard(task.watch.ends)])


def keras_tuner_hyperband(task: Task) -> None:
    """Its Hyperband, sweep after sweep."""
    keras_tuner(task, "Hyperband", max_epochs=task.case.epochs, factor=FACTOR, hyperband_iterations=MANY)


def optuna(task: Task, **options: Any) -> None:
    """TPE and the median pruner, as Optuna's example with Keras has it: a new model in each trial, and a pruning callback.

    The example evaluates the trained model once more; here the validation of the last epoch counts, which is the same number.
    """
    import keras
    import optuna

    def objective(trial):
        epoch = 0

        def ended(accuracy: float) -> None:
            nonlocal epoch
            task.watch.ends(accuracy)
            trial.report(accuracy, epoch)
            epoch += 1
            if trial.should_prune():
                raise optuna.TrialPruned

        keras.backend.clear_session()
        model = compiled(task, drawn(task, trial.suggest_float, log=True), **options)
        return model.fit(**fit_arguments(task), callbacks=[epochs_heard(ended)]).history["val_accuracy"][-1]

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=task.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=optuna.pruners.MedianPruner())
    study.optimize(objective, n_trials=MANY)


def ray_asha(task: Task) -> None:
    """Ray Tune's ASHA over random settings, one CPU for each trial; Ray itself is started before the clock runs."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.basic_variant import BasicVariantGenerator

    watch = task.watch
    watch.is_one_process = False
    parts = {**vars(task), "watch": None}

    class Stopper(tune.Stopper):
        def __call__(self, trial_id, result):
            return watch.heard(result["val_accuracy"])

        def stop_all(self):
            return watch.is_over

    def train(config, parts):
        told = epochs_heard(lambda accuracy: tune.report({"val_accuracy": accuracy}))
        mine = Task(**parts)
        compiled(mine, setting(config)).fit(**fit_arguments(mine), callbacks=[told])

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    watch.start()
    try:
        tune.Tuner(
            tune.with_parameters(train, parts=parts),
            param_space={name: tune.loguniform(low, high) for name, (low, high) in task.space.items()},
            tune_config=tune.TuneConfig(
                metric="val_accuracy",
                mode="max",
                num_samples=MANY,
                scheduler=ASHAScheduler(max_t=task.case.epochs, grace_period=1, reduction_factor=FACTOR),
                search_alg=BasicVariantGenerator(random_state=task.seed),
            ),
            run_config=tune.RunConfig(stop=Stopper(), verbose=0, storage_path=task.folder, name="ray"),
        ).fit()
    finally:
        ray.shutdown()
    if watch.is_over:
        raise Enough
