"""What the budget went into: the best score so far, and when each trial ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tuning.report.figure import BLUE, GREY, STATE_COLOUR, Chart, figure, hover_text, plain, rounded, titled
from tuning.report.response import score_axis
from tuning.results.search import STATES, SearchResult, TrialRecord

_PAUSE = 300.0  # seconds in which no trial ran: the search was interrupted


def budget(search: SearchResult) -> list[Chart]:
    """Best score so far against trials and against time, and when each trial ran."""
    if not search.trials:
        return []
    heard = search.heard
    clock, paused = working_clock([(trial.begun, _until(trial, heard)) for trial in search.trials])
    charts = []
    steps = best_so_far(search)
    if steps:
        unit, seconds = _unit(max(clock(_until(trial, heard)) for trial in search.trials))
        when = [clock(trial.ended) / seconds for trial, _ in steps]
        note = " (pauses left out)" if paused else ""
        charts.append(_steps(search, [i + 1 for i in range(len(steps))], steps, "trials completed", "the number of trials"))
        charts.append(_steps(search, when, steps, f"time in {unit}{note}", "time"))
    charts.append(_when(search, clock, paused, heard))
    return charts


def best_so_far(search: SearchResult) -> list[tuple[TrialRecord, float]]:
    """The completed trials in the order of their end, each with the best score until then."""
    completed = [trial for trial in search.trials if trial.state == "completed"]
    completed.sort(key=lambda trial: trial.ended)
    better = max if search.direction == "max" else min
    steps: list[tuple[TrialRecord, float]] = []
    for trial in completed:
        assert trial.score is not None
        steps.append((trial, better(trial.score, steps[-1][1]) if steps else trial.score))
    return steps


def working_clock(intervals: Sequence[tuple[float, float]]) -> tuple[Callable[[float], float], bool]:
    """Seconds since the first trial began without the pauses in which none ran, and whether there were any."""
    pauses: list[tuple[float, float]] = []
    last = min(begun for begun, _ in intervals)
    start = last
    for begun, ended in sorted(intervals):
        if begun - last > _PAUSE:
            pauses.append((last, begun))
        last = max(last, ended)

    def clock(time: float) -> float:
        return time - start - sum(min(end, time) - begin for begin, end in pauses if time > begin)

    return clock, bool(pauses)


def _unit(longest: float) -> tuple[str, float]:
    return ("hours", 3600.0) if longest > 7200 else ("minutes", 60.0) if longest > 120 else ("seconds", 1.0)


def _steps(search: SearchResult, x: Sequence[float], steps, title: str, against: str) -> Chart:
    scores = [trial.score for trial, _ in steps]
    places = list(map(rounded, x))
    each: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": "each trial",
        "x": places,
        "y": list(map(rounded, scores)),
        "text": [hover_text(search, trial) for trial, _ in steps],
        "customdata": [trial.number for trial, _ in steps],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": GREY, "size": 6},
    }
    line: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": places,
        "y": [rounded(best) for _, best in steps],
        "line": {"shape": "hv", "color": BLUE, "width": 3},
        "hoverinfo": "skip",
    }
    return Chart(
        figure([each, line], xaxis=titled(title, rangemode="tozero"), yaxis=score_axis(search, scores), showlegend=True),
        f"The best {search.objective} so far against {against}.",
    )


def _until(trial: TrialRecord, heard: float) -> float:
    """When it ended, or until when it is known to have run."""
    return trial.ended if trial.seconds is not None else max(trial.ended, heard)


def _when(search: SearchResult, clock: Callable[[float], float], paused: bool, heard: float) -> Chart:
    unit, seconds = _unit(max(clock(_until(trial, heard)) for trial in search.trials))
    data = []
    for state in STATES:
        trials = [trial for trial in search.trials if trial.state == state]
        if trials:
            begun = [clock(trial.begun) / seconds for trial in trials]
            data.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": plain(state),
                    "base": list(map(rounded, begun)),
                    "x": [
                        rounded(clock(_until(trial, heard)) / seconds - start) for trial, start in zip(trials, begun, strict=True)
                    ],
                    "y": (numbers := [trial.number for trial in trials]),
                    "customdata": numbers,
                    "text": [hover_text(search, trial) for trial in trials],
                    "textposition": "none",
                    "hovertemplate": f"%{{text}}<br>took %{{x:.3g}} {unit}<extra></extra>",
                    "marker": {"color": STATE_COLOUR[state], "line": {"width": 0}},
                }
            )
    note = ", pauses in which none ran left out" if paused else ""
    return Chart(
        figure(
            data,
            barmode="overlay",
            bargap=0.15,
            xaxis=titled(f"time in {unit}{' (pauses left out)' if paused else ''}", rangemode="tozero"),
            yaxis=titled("trial", autorange="reversed", **({"dtick": 1} if len(search.trials) <= 12 else {})),
            showlegend=True,
            height=max(220, min(520, 120 + 14 * len(search.trials))),
        ),
        f"When each trial ran{note}; trials that ran at the same time stand above each other.",
        wide=True,
    )
