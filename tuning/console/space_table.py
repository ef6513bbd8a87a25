"""A search's space as lines of text."""

from __future__ import annotations

import keras_tuner

from tuning.space.axes import value_text


def space_table(hp: keras_tuner.HyperParameters, extended: bool = False) -> str:
    """A line for each hyperparameter: its name, its values, and under which conditions there is one.

    Args:
        hp: the space.
        extended: say the default values too.
    """
    rows = [(axis.name, _values(axis), _conditions(axis), value_text(axis.default)) for axis in hp.space]
    title = f"{len(rows)} hyperparameter{'s' * (len(rows) != 1)}"
    if not rows:
        return f"{title}; what the trials declare will be added"
    name_width, values_width = (max(len(row[i]) for row in rows) for i in range(2))
    lines = [title]
    for name, values, conditions, default in rows:
        end = [f"default {default}"] * extended + [conditions] * bool(conditions)
        lines.append(f"  {name:<{name_width}}  {values:<{values_width}}  {', '.join(end)}".rstrip())
    return "\n".join(lines)


def _values(axis) -> str:
    if hasattr(axis, "min_value"):
        kind = "int" if isinstance(axis, keras_tuner.engine.hyperparameters.Int) else "float"
        scale = getattr(axis, "scale", None) or axis.sampling or "linear"
        step = "" if axis.step is None or (kind == "int" and axis.step == 1) else f", step {value_text(axis.step)}"
        return f"{kind}, {value_text(axis.min_value)} to {value_text(axis.max_value)}, {scale}{step}"
    if hasattr(axis, "value"):
        return f"always {value_text(axis.value)}"
    return ", ".join(value_text(value) for value in axis.values)


def _conditions(axis) -> str:
    parts = [f"{condition.name} is {' or '.join(map(value_text, condition.values))}" for condition in axis.conditions]
    return f"where {' and '.join(parts)}" if parts else ""
