"""The tables that docs/which.md and docs/which.ko.md have of the results, in Markdown."""

from __future__ import annotations

import math

import keras_optims
from scripts.evidence_results import NEAR, REFERENCE, Evidence
from scripts.searches import BEST, DEFAULT
from scripts.sensitivity_tables import markdown

NBSP = "\N{NO-BREAK SPACE}"


def title(optimizer: str) -> str:
    """Its name, with a link to its page."""
    return f"[{keras_optims.OPTIMIZERS[optimizer].__name__}](optimizers/{optimizer}.md)"


def names(optimizers) -> str:
    """A list of them, for a sentence."""
    return ", ".join(keras_optims.OPTIMIZERS[name].__name__ for name in optimizers)


def value_text(evidence: Evidence, problem: str, optimizer: str, korean: bool) -> str:
    """Mean and half of the interval, an accuracy in per cent or a loss; and how many trainings diverged."""
    found, lost = evidence.reached(problem, optimizer), evidence.diverged(problem, optimizer)
    factor, digits = (1, 3) if evidence.setups[problem].metric == "loss" else (100, 1)
    half = "" if found is None or found.half is None else f"{NBSP}±{NBSP}{factor * found.half:.{digits}f}"
    value = "" if found is None else f"{factor * found.mean:.{digits}f}{half}"
    diverged = f"{lost}번 발산" if korean else f"{lost} diverged"
    return value if not lost else f"{value} ({diverged})" if value else diverged


def points_text(points: float) -> str:
    """Points below the best; infinitely many where most trainings diverge."""
    return "∞" if math.isinf(points) else f"{round(points, 1) + 0.0:.1f}"


def ranked(evidence: Evidence) -> list[str]:
    """The optimizers in the order of the tables: the least mean distance from the best first."""
    return sorted(evidence.optimizers, key=evidence.mean_gap)


def problems_table(evidence: Evidence, korean: bool) -> str:
    """At what size the problems were trained."""
    header = ["problem", "weights", "pinned", "training samples", "batch size", "epochs", "a search trains", "validation, test"]
    header += ["a point"]
    if korean:
        header = ["문제", "가중치", "고정한 것", "학습 샘플", "배치 크기", "에포크", "탐색의 학습량", "검증, 테스트", "1포인트"]
    rows = []
    for name in evidence.problems:
        size, cost = evidence.setups[name], evidence.cost(name, REFERENCE)
        rows.append(
            [
                f"{size.title} (`{name}`)",
                "-" if cost is None else f"{cost.weights:,}",
                ", ".join(f"`{key}` {value:g}" for key, value in size.fix.items()) or "-",
                f"{size.train:,}",
                str(size.batch_size),
                str(size.epochs),
                f"{size.budget} {'에포크' if korean else 'epochs'}",
                f"{size.validation:,}, {size.test:,}",
                f"{size.near:g} nats" if size.metric == "loss" else f"{100 * size.near:g} %",
            ]
        )
    return markdown(header, rows)


def results_table(evidence: Evidence, korean: bool) -> str:
    """What the best setting of each reached; bold where it is not significantly worse than the best."""
    header = ["", *(evidence.setups[problem].title for problem in evidence.problems)]
    header += ["격차: 평균, 최대", "기본 설정에서"] if korean else ["points below: mean, most", "with the default setting"]
    level = {problem: evidence.not_worse(problem) for problem in evidence.problems}
    rows = []
    for name in ranked(evidence):
        cells = [value_text(evidence, problem, name, korean) for problem in evidence.problems]
        bold = [f"**{cell}**" if name in level[problem] else cell for problem, cell in zip(evidence.problems, cells, strict=True)]
        both = [(evidence.mean_gap(name, kind), evidence.worst_gap(name, kind)) for kind in (BEST, DEFAULT)]
        gaps = [f"{points_text(mean)}, {points_text(most)}" for mean, most in both]
        rows.append([title(name), *bold, *gaps])
    return markdown(header, rows)


def costs_table(evidence: Evidence, korean: bool) -> str:
    """What each costs, how soon it is there, and how much its setting matters."""
    header = ["", "bytes a weight", "a training step, Adam = 1"]
    header += [evidence.setups[problem].title for problem in evidence.problems]
    header += [f"settings within {NEAR[0]}, {NEAR[1]} points"]
    if korean:
        header = ["", "가중치당 바이트", "학습 한 걸음, Adam = 1"]
        header += [evidence.setups[problem].title for problem in evidence.problems]
        header += [f"{NEAR[0]}, {NEAR[1]}포인트 안의 설정"]
    rows = []
    for name in ranked(evidence):
        cost, memory = evidence.relative_cost(name), evidence.bytes_per_weight(name)
        near = [evidence.mean_share_near(name, points)[0] for points in NEAR]
        rows.append(
            [
                title(name),
                "-" if memory is None else f"{memory:.1f}",
                "-" if cost is None else f"{cost:.2f}",
                *(arrival_text(evidence, problem, name) for problem in evidence.problems),
                ", ".join(f"{100 * share:.0f}" for share in near) + f"{NBSP}%",
            ]
        )
    return markdown(header, rows)


def arrival_text(evidence: Evidence, problem: str, optimizer: str) -> str:
    """`3, 0.4`: epochs and seconds; a dash if most seeds never arrive."""
    epochs, seconds = evidence.epochs_to_target(problem, optimizer), evidence.seconds_to_target(problem, optimizer)
    if math.isinf(epochs):
        return "-"
    return f"{epochs:g}" + ("" if seconds is None else f", {seconds:.2g}")
