"""Which hyperparameters the score depends on, by Optuna's evaluators."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tuning.report.figure import BLUE, ORANGE, Chart, figure, plain, rounded, titled
from tuning.results.search import SearchResult, TrialRecord
from tuning.space.axes import Axis

LEAST_TRIALS, LEAST_PER_AXIS = 10, 4  # with fewer completed trials the numbers would be guesses
MOST_TRIALS = 200  # that fANOVA gets: its time grows with their square
LEAST_GOOD = 5  # trials that PED-ANOVA needs among the best, after its documentation


@dataclasses.dataclass(frozen=True)
class Importance:
    """A chart, or the reason why there is none, with what to know about it."""

    chart: Chart | None
    note: str


def importance(search: SearchResult) -> Importance:
    """The importance of each hyperparameter, or why it cannot be told."""
    axes = [axis for axis in search.axes if axis.ends[0] != axis.ends[1]]
    completed = search.ranking()
    if len(axes) < 2:
        return Importance(None, "There is nothing to compare: at most one hyperparameter was searched.")
    most = max((trial.epochs or 0 for trial in completed), default=0)
    longest = [trial for trial in completed if (trial.epochs or 0) == most]
    least = max(LEAST_TRIALS, LEAST_PER_AXIS * len(axes))
    mixed = len(longest) < least <= len(completed)
    trials = completed if mixed else longest
    if len(trials) < least:
        return Importance(
            None,
            f"Too few trials to tell: {len(trials)} completed, and at least {least} are needed for {len(axes)} hyperparameters.",
        )
    if len({trial.score for trial in trials}) == 1:
        return Importance(None, "All completed trials have the same score, so no hyperparameter made a difference.")
    in_all = [axis for axis in axes if all(axis.name in trial.hyperparameters for trial in trials)]
    if len(in_all) < 2:
        return Importance(None, "Fewer than two hyperparameters are set in all trials, so they cannot be compared.")
    try:
        measured = _measured(search, trials, in_all)
    except ModuleNotFoundError as error:
        return Importance(None, f"This needs the package {error.name}: pip install 'keras-optims[tuning]'.")
    note = f"From {len(trials)} completed trials; diverged and failed ones are not among them."
    if mixed:
        note += " Trials that trained for different numbers of epochs are compared here."
    if len(in_all) < len(axes):
        note += f" Left out, as not all trials have them: {', '.join(axis.label for axis in axes if axis not in in_all)}."
    if len(trials) > MOST_TRIALS:
        note += f" fANOVA sees {MOST_TRIALS} of them, spread over all scores."
    if len(measured) == 1:
        note += f" PED-ANOVA needs at least {4 * LEAST_GOOD} trials."
    return Importance(_chart(in_all, measured), note)


def _measured(search: SearchResult, trials, axes: list[Axis]) -> dict[str, dict[str, float]]:
    """Evaluator -> axis -> importance, in percent of the sum."""
    import optuna

    from tuning.results.optuna_study import add_trials
    from tuning.space.in_optuna import parameter_name, quietly

    evaluators: dict[str, optuna.importance.BaseImportanceEvaluator] = {
        "fANOVA": optuna.importance.FanovaImportanceEvaluator(seed=0)
    }
    with quietly():
        if len(trials) >= 4 * LEAST_GOOD:
            quantile = max(0.1, LEAST_GOOD / len(trials))
            evaluators["PED-ANOVA"] = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
        names = {axis.name: parameter_name(axis) for axis in axes}
        found = {}
        for label, evaluator in evaluators.items():
            study = optuna.create_study(direction="maximize" if search.direction == "max" else "minimize")
            add_trials(study, search, _spread(trials, MOST_TRIALS) if label == "fANOVA" else trials)
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(names.values()))
            found[label] = {axis: 100 * shares[parameter] for axis, parameter in names.items()}
    return found


def _spread(ranked: Sequence[TrialRecord], most: int) -> list[TrialRecord]:
    """At most so many of the trials, evenly from the best to the worst."""
    count = min(len(ranked), most)
    return [ranked[round(i * (len(ranked) - 1) / max(count - 1, 1))] for i in range(count)]


def _chart(axes: list[Axis], measured: dict[str, dict[str, float]]) -> Chart:
    first = next(iter(measured.values()))
    ordered = sorted(axes, key=lambda axis: first[axis.name])  # the longest bar on top
    labels = [plain(axis.label) for axis in ordered]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": label,
            "y": list(range(len(ordered))),  # not the labels: two may look alike when shortened
            "text": labels,
            "textposition": "none",
            "x": [rounded(shares[axis.name], 4) for axis in ordered],
            "hovertemplate": f"{label}: %{{x:.1f}} %<extra>%{{text}}</extra>",
            "marker": {"color": colour},
        }
        for (label, shares), colour in zip(measured.items(), (BLUE, ORANGE), strict=False)
    ]
    data.reverse()
    return Chart(
        figure(
            data,
            barmode="group",
            xaxis=titled("importance (%)", range=[0, 100]),
            yaxis={"tickvals": list(range(len(labels))), "ticktext": labels, "automargin": True, "zeroline": False},
            height=130 + 46 * len(axes),
            showlegend=len(measured) > 1,
            legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "reversed"},
        ),
        "How much of the score's variation each hyperparameter explains (fANOVA)"
        + (", and how much it decides whether a trial is among the best (PED-ANOVA)." if len(measured) > 1 else "."),
        wide=True,
    )
