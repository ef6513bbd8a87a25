"""Hyperparameter search for Keras optimizers: problems, search spaces, oracles, the store, and the command `keras-optims`.

    import tuning

    result = tuning.search("adam", problem="digits_mlp", trials=12)
    print(result.best.line)  # keras_optims.Adam(learning_rate=..., beta_1=..., ...)

Importing this package imports neither Keras nor anything else that is heavy; the names below are imported when they are used.
"""

import importlib

_HOMES = {
    "search": "tuning.experiments.search",
    "compare": "tuning.experiments.comparison",
    "Plan": "tuning.experiments.plan",
    "Comparison": "tuning.results.comparison",
    "fit": "tuning.training.epochs",
    "train": "tuning.experiments.training",
    "train_best": "tuning.experiments.best",
    "worth": "tuning.results.worth",
    "SearchError": "tuning.errors",
    "SearchResult": "tuning.results.search",
    "TrialRecord": "tuning.results.search",
    "Problem": "tuning.problems.problem",
    "Data": "tuning.problems.problem",
    "Tuner": "tuning.study.tuner",
    "RandomSearch": "tuning.study.tuners",
    "GridSearch": "tuning.study.tuners",
    "BayesianOptimization": "tuning.study.tuners",
    "Hyperband": "tuning.study.tuners",
    "Space": "tuning.space.space",
    "SearchAxis": "tuning.space.hyperparameters",
    "given": "tuning.space.structure",
    "make_oracle": "tuning.oracles",
    "OptunaOracle": "tuning.oracles.optuna",
    "Store": "tuning.store.database",
    "write_report": "tuning.report",
    "export_search": "tuning.export",
}

# KerasTuner's own, so that a program of KerasTuner's runs after `import tuning as keras_tuner`.
_OF_KERAS_TUNER = ("HyperModel", "HyperParameters", "Objective", "Oracle", "applications", "engine", "synchronized")
_NAMED_AS_THERE = {"errors": "tuning.errors", "oracles": "tuning.oracles", "tuners": "tuning.study.tuners"}

__all__ = sorted(_HOMES)


def __getattr__(name):
    if name in _OF_KERAS_TUNER:
        return getattr(importlib.import_module("keras_tuner"), name)
    if name in _NAMED_AS_THERE:
        return importlib.import_module(_NAMED_AS_THERE[name])
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return sorted([*globals(), *_HOMES])
