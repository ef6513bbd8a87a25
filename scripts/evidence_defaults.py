"""What docs/which.md and the pages of optimizers say of ranges and defaults that the tables of docs/evidence show to be poor."""

from __future__ import annotations

import math
import statistics

import keras_optims
from keras_optims.namesakes import NAMESAKES
from scripts.evidence_blocks import names, points_text
from scripts.evidence_results import EDGE, Edge, Evidence, least_at_an_edge
from scripts.evidence_text import listed, said
from scripts.searches import BEST, DEFAULT, axes
from tuning.space.axes import Axis, number

POOR = 3  # points below the best setting of the same optimizer
ON = 4  # problems or more
OF_KERAS = {each.ours for each in NAMESAKES}
OF_THEIR_AUTHORS = ("radam", "adabelief")
"""Without a namesake in Keras; their default settings are those of their authors' code."""

ENDS = {"low": ("low", "아래쪽"), "high": ("high", "위쪽")}


def poor(evidence: Evidence) -> list[str]:
    """The optimizers whose default setting is more than `POOR` points below their best one on `ON` problems, or on all."""
    least = min(ON, len(evidence.problems))
    return [name for name, problems in evidence.poor_defaults(POOR).items() if len(problems) >= least]


def is_of_keras(optimizer: str) -> bool:
    """Whether its defaults are those of its namesake in Keras."""
    return keras_optims.OPTIMIZERS[optimizer] in OF_KERAS


# -- docs/which.md ----------------------------------------------------------------------------------


def ranges(evidence: Evidence, korean: bool) -> str:
    """Where the best setting lies at an end of the searched range, where the default is poor, and what came of it."""
    edges, count = evidence.edges(), sum(len(evidence.axes[name]) for name in evidence.optimizers)
    chance = count * chance_of_an_edge(len(evidence.problems))
    text = listed((edge_text(evidence, edge, korean) for edge in edges), korean)
    lines = [said("edges", korean, number=count, edges=len(edges), chance=chance, listed=text)]
    if edges:
        lines.append(widened(evidence, edges, korean))
    found = poor(evidence)
    text = listed((names([name]) for name in found), korean, ", ")
    lines.append(said("poor_defaults", korean, points=POOR, least=min(ON, len(evidence.problems)), listed=text))
    if found:
        lines.append(kept(found, korean))
    return "\n".join(f"- {line}" for line in lines)


def chance_of_an_edge(searches: int) -> float:
    """That the values of a hyperparameter that does not matter lie so in so many searches."""
    least = least_at_an_edge(searches)
    one_end = sum(math.comb(searches, k) * EDGE**k * (1 - EDGE) ** (searches - k) for k in range(least, searches + 1))
    return 2 * one_end


def edge_text(evidence: Evidence, edge: Edge, korean: bool) -> str:
    """One hyperparameter at the end of its range."""
    symbol, end = evidence.axes[edge.optimizer][edge.hyperparameter].symbol, ENDS[edge.end][korean]
    return said("edge", korean, name=names([edge.optimizer]), symbol=symbol, end=end, there=len(edge.problems), of=edge.of)


def is_wider(edge: Edge, before: Axis, now: Axis) -> bool:
    """Whether a range has been widened at the end where the best values were."""
    return now.low < before.low if edge.end == "low" else now.high > before.high


def widened(evidence: Evidence, edges: list[Edge], korean: bool) -> str:
    """Which ranges are wider now than those that were searched: all of which the best values were at an end."""
    both = {(each.optimizer, each.hyperparameter): each for each in edges}
    texts, holds = [], True
    for (optimizer, name), edge in both.items():
        before, now = evidence.axes[optimizer][name], axes(optimizer)[name]
        holds = holds and is_wider(edge, before, now)
        texts.append(f"{names([optimizer])} {now.symbol} {_range(before, korean)} → {_range(now, korean)}")
    return said("widened", korean, holds=holds, listed=listed(texts, korean))


def _range(axis: Axis, korean: bool) -> str:
    return f"{number(axis.low)}~{number(axis.high)}" if korean else f"{number(axis.low)} to {number(axis.high)}"


def kept(found: list[str], korean: bool) -> str:
    """Why no default has been changed: each is Keras's, or that of the method's authors."""
    keras, others = [name for name in found if is_of_keras(name)], [name for name in found if not is_of_keras(name)]
    if not others:
        return said("kept", korean, of_keras=names(keras))
    holds = bool(keras) and all(name in OF_THEIR_AUTHORS for name in others)
    return said("kept_both", korean, holds=holds, of_keras=names(keras), of_authors=names(others))


# -- the page of an optimizer -----------------------------------------------------------------------


def noted(evidence: Evidence) -> list[str]:
    """The optimizers whose pages have something to say of their range or default."""
    concerned = {*poor(evidence), *(each.optimizer for each in evidence.edges())}
    return [name for name in evidence.optimizers if name in concerned]


def note(evidence: Evidence, optimizer: str) -> str:
    """What the page says: that the default is poor, with what to start, and which ranges have been widened."""
    lines = [poor_default(evidence, optimizer)] if optimizer in poor(evidence) else []
    lines += [widened_range(evidence, edge) for edge in evidence.edges() if edge.optimizer == optimizer]
    return "\n\n".join(lines)


def widened_range(evidence: Evidence, edge: Edge) -> str:
    """A hyperparameter that is searched over more than it was."""
    before, now = evidence.axes[edge.optimizer][edge.hyperparameter], axes(edge.optimizer)[edge.hyperparameter]
    numbers = {"symbol": now.symbol, "end": edge.end, "there": len(edge.problems), "of": edge.of}
    both = {"before": _range(before, False), "now": _range(now, False)}
    return said("range_of_a_page", False, holds=is_wider(edge, before, now), **numbers, **both)


def poor_default(evidence: Evidence, optimizer: str) -> str:
    """How poor, whose it is, and with what to start."""
    gaps = [evidence.gap(each, optimizer, DEFAULT) - evidence.gap(each, optimizer, BEST) for each in evidence.problems]
    rates = best_rates(evidence, optimizer)
    numbers = {
        "points": POOR,
        "there": len(evidence.poor_defaults(POOR)[optimizer]),
        "of": len(gaps),
        "gap": points_text(statistics.fmean(gaps)),
        "symbol": axes(optimizer)["learning_rate"].symbol,
        "start": number(start(evidence, optimizer)),
        "high": number(float(f"{max(rates):.1g}")),
    }
    kind = "default_of_keras" if is_of_keras(optimizer) else "default_of_authors"
    return said(kind, False, holds=start_is_better(evidence, optimizer), **numbers)


def best_rates(evidence: Evidence, optimizer: str) -> list[float]:
    """The learning rate of the best setting on each problem where the default is poor."""
    settings = [evidence.best_setting(problem, optimizer) for problem in evidence.poor_defaults(POOR)[optimizer]]
    return [setting["learning_rate"] for setting in settings if setting is not None]


def start(evidence: Evidence, optimizer: str) -> float:
    """A learning rate to begin with, too large on none of these problems: the smallest of the best ones, to one digit."""
    return float(f"{min(best_rates(evidence, optimizer)):.1g}")


def start_is_better(evidence: Evidence, optimizer: str, factor: float = 2.5) -> bool:
    """Whether settings with nearly such a rate got farther there in their first epochs than the default one, if there are any."""
    rate, better = start(evidence, optimizer), []
    for problem in evidence.poor_defaults(POOR)[optimizer]:
        spread = evidence.spread(problem, optimizer)
        near = [line for line in spread if 1 / factor <= line.setting["learning_rate"] / rate <= factor]
        scores = [line.score for line in near if line.score is not None]
        farthest = min if evidence.setups[problem].metric == "loss" else max
        curves = [line.curve[: spread[0].epochs] for line in evidence.lines(problem, optimizer, DEFAULT) if line.curve]
        if scores and curves:
            reached = statistics.fmean(map(farthest, curves))
            better.append(evidence.is_better(problem, statistics.median(scores), reached))
    return bool(better) and all(better)
