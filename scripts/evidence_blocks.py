"""The tables that docs/which.md and docs/which.ko.md have of the results, in Markdown."""

from __future__ import annotations

import math

import keras_optims
from scripts.evidence_problems import SIZES
from scripts.evidence_results import Evidence
from scripts.searches import BEST, DEFAULT
from scripts.sensitivity_tables import markdown
from tuning.results.statistics import Summary


def title(optimizer: str) -> str:
    """Its name, with a link to its page."""
    return f"[{keras_optims.OPTIMIZERS[optimizer].__name__}](optimizers/{optimizer}.md)"


def names(optimizers) -> str:
    """A list of them, for a sentence."""
    return ", ".join(keras_optims.OPTIMIZERS[name].__name__ for name in optimizers)


def value_text(problem: str, found: Summary | None) -> str:
    """Mean and half of the interval: an accuracy in per cent, or a loss."""
    if found is None:
        return "-"
    factor, digits = (1, 3) if SIZES[problem].metric == "loss" else (100, 1)
    half = "" if found.half is None else f" ± {factor * found.half:.{digits}f}"
    return f"{factor * found.mean:.{digits}f}{half}"


def points_text(points: float) -> str:
    """Points below the best."""
    return "-" if math.isinf(points) else f"{abs(points) if abs(points) < 0.05 else points:.1f}"


def ranked(evidence: Evidence) -> list[str]:
    """The optimizers in the order of the tables: the least mean distance from the best first."""
    return sorted(evidence.optimizers, key=evidence.mean_gap)


def problems_table(evidence: Evidence, korean: bool) -> str:
    """At what size the problems were trained."""
    header = ["problem", "network", "training samples", "epochs", "batch", "a search trains", "validation and test samples", "one point"]
    if korean:
        header = ["문제", "네트워크", "학습 샘플", "에포크", "배치", "탐색 하나의 학습량", "검증과 테스트 샘플", "1포인트"]
    rows = []
    for name in evidence.problems:
        size, cost = SIZES[name], next((line for line in evidence.costs if line.problem == name), None)
        fixed = ", ".join(f"{key} {value}" for key, value in size.fix.items() if key != "batch_size")
        weights = "" if cost is None else (f"가중치 {cost.weights:,}개" if korean else f"{cost.weights:,} weights")
        network = "; ".join(filter(None, (weights, fixed)))
        steps = [name for name in (size.validation, size.test)]
        held = "360 / 360" if None in steps else " / ".join(f"{each:,}" for each in steps)
        budget = f"{size.epochs * size.trainings} {'에포크' if korean else 'epochs'}"
        near = f"{size.near:g} nats" if size.metric == "loss" else ("정확도 1%포인트" if korean else "1 % of accuracy")
        train = f"{size.train:,}" if size.train else f"{1056:,}"
        batch = str(size.fix.get("batch_size") or BATCHES[name])
        rows.append([f"{size.title} (`{name}`)", network, train, str(size.epochs), batch, budget, held, near])
    return markdown(header, rows)


BATCHES = {"digits_mlp": 32, "mnist_mlp": 64}


def results_table(evidence: Evidence, korean: bool) -> str:
    """What the best setting of each reached; bold where it is not significantly worse than the best."""
    header = ["", *(SIZES[problem].title for problem in evidence.problems)]
    header += ["평균 / 최대 격차", "기본 설정의 격차"] if korean else ["points below the best: mean, most", "with the default setting"]
    level = {problem: evidence.not_worse(problem) for problem in evidence.problems}
    rows = []
    for name in ranked(evidence):
        cells = [value_text(problem, evidence.reached(problem, name)) for problem in evidence.problems]
        bold = [f"**{cell}**" if name in level[problem] else cell for problem, cell in zip(evidence.problems, cells, strict=True)]
        gaps = [f"{points_text(evidence.mean_gap(name, kind))}, {points_text(evidence.worst_gap(name, kind))}" for kind in (BEST, DEFAULT)]
        rows.append([title(name), *bold, *gaps])
    return markdown(header, rows)


def costs_table(evidence: Evidence, korean: bool) -> str:
    """What each costs, how soon it is there, and how much its setting matters."""
    header = ["", "bytes a weight", "a training step, Adam = 1"]
    header += [f"{SIZES[problem].title}: epochs, seconds to the target" for problem in evidence.problems]
    header += ["settings within a point"]
    if korean:
        header = ["", "가중치당 바이트", "학습 한 걸음, Adam = 1"]
        header += [f"{SIZES[problem].title}: 목표까지 에포크, 초" for problem in evidence.problems]
        header += ["1포인트 안의 설정"]
    rows = []
    for name in ranked(evidence):
        cost, memory = evidence.relative_cost(name), evidence.bytes_per_weight(name)
        near = [evidence.share_near(problem, name) for problem in evidence.problems]
        rows.append(
            [
                title(name),
                "-" if memory is None else f"{memory:.1f}",
                "-" if cost is None else f"{cost:.2f}",
                *(arrival_text(evidence, problem, name) for problem in evidence.problems),
                f"{100 * sum(near) / len(near):.0f} %",
            ]
        )
    return markdown(header, rows)


def arrival_text(evidence: Evidence, problem: str, optimizer: str) -> str:
    """`3, 0.4`: epochs and seconds; a dash if most seeds never arrive."""
    epochs, seconds = evidence.epochs_to_target(problem, optimizer), evidence.seconds_to_target(problem, optimizer)
    if math.isinf(epochs):
        return "-"
    return f"{epochs:g}" + ("" if seconds is None else f", {seconds:.2g}")
