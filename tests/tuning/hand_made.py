"""Stores and comparisons made by hand, in moments, for the tests of what reads them."""

import json
import math

from tuning import Store

AXES = {
    "learning_rate": {"low": 1e-4, "high": 1.0, "scale": "log", "symbol": "η"},
    "beta_1": {"low": 0.5, "high": 0.99, "scale": "log1m", "symbol": "β₁"},
}
CONFIG = {
    "optimizer": "adam",
    "problem": "digits_mlp",
    "space": {"optimizer": "keras_optims.adam.Adam", "call": "keras_optims.Adam", "axes": AXES, "fixed": {"amsgrad": True}},
    "oracle": "random",
    "trials": 20,
    "epochs": 3,
    "repeats": 2,
    "seed": 7,
    "objective": "val_accuracy",
    "direction": "max",
    "backend": "jax",
    "versions": {"python": "3.11.7", "keras": "3.15.1"},
    "machine": {"platform": "Linux", "processor": "Abacus 9", "cores": 2, "memory_gib": 8.0, "accelerators": []},
    "command": "keras-optims tune adam --trials 20",
}


def setting(number):
    """The hyperparameters of a trial: spread over the space."""
    return {
        "learning_rate": float(f"{10 ** (-4 + 4 * (number * 0.618 % 1)):.6g}"),
        "beta_1": round(1 - 10 ** (-0.302 - 1.69 * (number * 0.414 % 1)), 6),
    }


def add_trial(
    store, number, state="completed", score=None, values=None, epochs=3, executions=2, message=None, trained=None, continues=None
):
    """A trial with its executions and curves; `score` by default follows from the setting."""
    values = setting(number) if values is None else values
    if score is None and state == "completed":
        score = 0.9 - 0.1 * abs(math.log10(values.get("learning_rate", 0.01)) + 2) + 0.001 * number
    store.begin_trial(number, values, epochs, {"id": number}, {}, continues)
    ended = executions if state in ("completed", "pruned") else 0
    for execution in range(max(ended, 1) if state != "failed" else 0):
        for epoch in range(epochs if trained is None else trained):
            value = math.nan if state == "diverged" else (score or 0.1) - 0.02 * (epochs - epoch - 1) + 0.002 * execution
            store.add_epoch(number, execution, epoch, {"loss": 1.0 / (epoch + 1), "val_accuracy": value})
    for execution in range(ended):
        one = math.nan if score is None else score + 0.01 * (execution - (ended - 1) / 2)
        store.add_execution(number, execution, 1000 + 10 * number + execution, one, epochs - 1, 1000.0, 2.5)
    if state != "running":
        trace = "Traceback (most recent call last): in build" if message else None
        store.end_trial(number, state, score, {"id": number}, {}, message, trace)
    with store._transaction():  # one trial after the other, three seconds each
        times = (1000.0 + 3 * number, None if state == "running" else 1003.0 + 3 * number, number)
        store._connection.execute("UPDATE trials SET begun = ?, ended = ? WHERE number = ?", times)


def make_search(directory, states=("completed",) * 16, config=None, **of_each):
    """A search with a trial of each state, in this order."""
    with Store.create(directory, {**CONFIG, **(config or {})}, {}) as store:
        for number, state in enumerate(states):
            message = "RuntimeError: no luck" if state == "failed" else None
            add_trial(store, number, state, message=message, **of_each)
    return directory


def make_population(directory):
    """Four members, three intervals of two epochs; members 3 and 2 are replaced by others."""
    config = {"oracle": "pbt", "population": 4, "ready": 2, "epochs": 6, "trials": 12, "repeats": 1, "steps_per_epoch": 10}
    with Store.create(directory, {**CONFIG, **config}, {}) as store:
        values = [setting(number) for number in range(4)]
        for number in range(12):
            continues = None if number < 4 else {7: 1, 10: 5}.get(number, number - 4)
            if number in (7, 10):
                parent = values[1]
                values[number % 4] = {**parent, "learning_rate": float(f"{parent['learning_rate'] * 1.25:.6g}")}
            add_trial(store, number, epochs=2 * (number // 4 + 1), executions=1, values=values[number % 4], continues=continues)
    return directory


MIXED = ("completed",) * 14 + ("diverged", "diverged", "failed", "pruned", "running")


def make_comparison(directory, names=("adam", "momentum"), test=True):
    """A comparison of searches, as `keras-optims compare` leaves it."""
    optimizers = []
    for i, name in enumerate(names):
        make_search(directory / name, config={"optimizer": name})
        make_search(directory / f"{name}-confirmation", ("completed",) * 4, executions=1, values={"learning_rate": 0.01})
        values = [0.9 - 0.1 * i + 0.01 * k for k in range(4)]
        measured = {"mean": sum(values) / 4, "sd": 0.013, "low": values[0], "high": values[-1], "count": 4, "values": values}
        optimizers.append(
            {
                "optimizer": name,
                "directory": name,
                "confirmation": f"{name}-confirmation",
                "line": f"keras_optims.{name.title()}(learning_rate=0.01)",
                "hyperparameters": {"learning_rate": 0.01},
                "search_score": 0.95,
                "trials": {"completed": 16, "diverged": 0},
                "confirmations": {"completed": 4},
                "seconds": 48.0,
                "validation": measured,
                "test": measured if test else None,
            }
        )
    comparison = {
        **{
            name: CONFIG[name]
            for name in ("problem", "objective", "direction", "epochs", "repeats", "seed", "backend", "versions")
        },
        "machine": CONFIG["machine"],
        "trials": 16,
        "confirmations": 4,
        "command": "keras-optims compare adam momentum",
        "test_metric": "test_accuracy" if test else None,
        "optimizers": optimizers,
        "differences": [
            {
                "one": names[0],
                "other": names[-1],
                "metric": "test_accuracy",
                "difference": 0.1,
                "low": 0.05,
                "high": 0.15,
                "p": 0.2,
                "p_adjusted": 0.2,
                "significant": False,
            }
        ],
        "test_used_for_selection": False,
    }
    (directory / "comparison.json").write_text(json.dumps(comparison), encoding="utf-8")
    return directory


HOSTILE = "<script>alert(1)</script><b>bold</b><a href='https://example.org'>\"x\" %{y} &amp; \u2028 {{ 7*7 }}"


def make_hostile(directory):
    """A search whose every text is an attack on the page."""
    config = {
        "optimizer": HOSTILE,
        "problem": HOSTILE,
        "command": HOSTILE,
        "oracle": HOSTILE,
        "objective": HOSTILE,
        "backend": HOSTILE,
        "versions": {HOSTILE: HOSTILE},
        "machine": {"platform": HOSTILE, "accelerators": [HOSTILE]},
        "space": {
            "call": f"keras_optims.{HOSTILE}",
            "axes": {
                HOSTILE: {"low": 1e-4, "high": 1.0, "scale": "log", "symbol": HOSTILE},
                "other": {"low": 0.0, "high": 1.0, "scale": "linear", "symbol": HOSTILE},
                "choice": {"low": 0.0, "high": 1.0, "scale": "linear", "symbol": HOSTILE},
            },
            "fixed": {HOSTILE: HOSTILE},
        },
    }
    with Store.create(directory, {**CONFIG, **config}, {}) as store:
        for number in range(14):
            values = {HOSTILE: 10 ** -(4 * (number * 0.618 % 1)), "other": number * 0.414 % 1, "choice": f"{HOSTILE}{number % 3}"}
            state = {12: "failed", 13: "diverged"}.get(number, "completed")
            score = None if number > 11 else 0.5 + number * 0.618 % 0.4
            store.begin_trial(number, values, 2, {}, {})
            for epoch in range(2):
                store.add_epoch(number, 0, epoch, {HOSTILE: (score or 0.1) + 0.01 * epoch, "loss": 1.0})
            store.add_execution(number, 0, 5, score or math.nan, 1, 1000.0, 1.0)
            store.end_trial(number, state, score, {}, {}, HOSTILE if state == "failed" else None, HOSTILE)
    return directory
