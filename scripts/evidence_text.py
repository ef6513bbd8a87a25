"""What docs/which.md and docs/which.ko.md say of the tables in words, each sentence only as long as it holds."""

from __future__ import annotations

import functools
import itertools
import math
import pathlib
import statistics
import tomllib
from collections.abc import Iterable
from typing import Any

from scripts.evidence_blocks import names, points_text, problems_table, ranked
from scripts.evidence_problems import SIZES
from scripts.evidence_results import NEAR, Evidence
from scripts.searches import BEST, DEFAULT
from tuning.errors import SearchError

MATRIX = ("muon", "soap")
ONE_SLOT = 4.5  # bytes a weight, with what is not of each weight
SHOWN = 4  # optimizers that a recommendation names


class NoLongerTrueError(SearchError):
    """The tables do not support a sentence of the page any more: a person has to write another one."""


@functools.cache
def _sentences() -> dict[str, dict[str, str]]:
    return tomllib.loads(pathlib.Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def said(sentence: str, korean: bool, *, holds: bool = True, **numbers: Any) -> str:
    """A sentence with its numbers; an error if what it says does not hold."""
    both = {language: text.format(**numbers) for language, text in _sentences()[sentence].items()}
    if not holds:
        raise NoLongerTrueError(f"The tables no longer support what [{sentence}] in evidence_text.toml says: {both['en']}")
    return both["ko" if korean else "en"]


def listed(texts: Iterable[str], korean: bool, separator: str = "; ") -> str:
    """A list, or that there is none."""
    return separator.join(texts) or ("없음" if korean else "none")


def problems(evidence: Evidence, korean: bool) -> str:
    """The table of the problems, how much was trained, and which problems are still to come."""
    searched = [line for line in evidence.trials if line.problem in evidence.problems and line.continues is None]
    confirmed = sum(line.problem in evidence.problems for line in evidence.trainings)
    backend = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}[evidence.setups[evidence.problems[0]].backend]
    numbers = {"searched": len(searched), "searches": len({(line.problem, line.optimizer) for line in searched})}
    parts = [problems_table(evidence, korean), said("trained", korean, **numbers, confirmed=confirmed, backend=backend)]
    if missing := [f"`{name}`" for name in SIZES if name not in evidence.problems]:
        parts[-1] += " " + said("not_done", korean, listed=", ".join(missing))
    return "\n\n".join(parts)


# -- recommendations --------------------------------------------------------------------------------


def gains(evidence: Evidence) -> dict[str, float]:
    """Optimizer -> how many points its search gained over its default setting, the median over the problems."""

    def gain(problem: str, name: str) -> float:
        default, best = evidence.gap(problem, name, DEFAULT), evidence.gap(problem, name)
        return 0.0 if default == best else default - best  # both may be infinite

    return {name: statistics.median(gain(problem, name) for problem in evidence.problems) for name in evidence.optimizers}


def search_of_several(evidence: Evidence, korean: bool) -> str:
    """Setting and name both matter: each by half a point or more."""
    gain = statistics.median(gains(evidence).values())
    between = statistics.median(map(evidence.mean_gap, evidence.optimizers))
    return said("search_of_several", korean, holds=min(gain, between) > 0.5, gain=gain, between=between)


def _smallest_worst(evidence: Evidence, kind: str) -> tuple[list[str], str]:
    found = sorted(evidence.optimizers, key=lambda name: evidence.worst_gap(name, kind))[:SHOWN]
    return found, "; ".join(f"{names([name])} {points_text(evidence.worst_gap(name, kind))}" for name in found)


def without_a_search(evidence: Evidence, korean: bool) -> str:
    """Whom to take if one does not search."""
    found, text = _smallest_worst(evidence, DEFAULT)
    median = statistics.median(evidence.worst_gap(name, DEFAULT) for name in evidence.optimizers)
    holds = evidence.worst_gap(found[-1], DEFAULT) < median
    adam = evidence.worst_gap("adam", DEFAULT)
    return said("without_a_search", korean, holds=holds, listed=text, adam=adam, median=median)


def good_everywhere(evidence: Evidence, korean: bool) -> str:
    """Whom to take if one does."""
    found, text = _smallest_worst(evidence, BEST)
    descent = evidence.worst_gap("gradient_descent")
    holds = evidence.worst_gap(found[-1]) < descent
    return said("good_everywhere", korean, holds=holds, listed=text, adam=evidence.worst_gap("adam"), descent=descent)


def memory(evidence: Evidence, korean: bool) -> str:
    """Whom to take with one slot for each weight, or less."""
    bytes_of = {name: evidence.bytes_per_weight(name) or 0.0 for name in ranked(evidence)}
    small = [name for name, each in bytes_of.items() if each < ONE_SLOT]
    text = "; ".join(f"{names([name])} {bytes_of[name]:.1f}, {points_text(evidence.mean_gap(name))}" for name in small[:SHOWN])
    median = statistics.median(evidence.mean_gap(name) for name in evidence.optimizers if name not in small)
    holds = evidence.mean_gap(small[0]) < median
    return said("memory", korean, holds=holds, listed=text, adam_bytes=bytes_of["adam"], adam=evidence.mean_gap("adam"))


def over_adamw(evidence: Evidence, optimizer: str) -> tuple[float, float, int]:
    """Epochs and seconds to the target over AdamW's, geometric means over the problems on which both arrive, and their number."""
    epochs, seconds = [], []
    for problem in evidence.problems:
        own, other = (evidence.epochs_to_target(problem, name) for name in (optimizer, "adamw"))
        costs = [evidence.cost(problem, name) for name in (optimizer, "adamw")]
        if math.isfinite(own) and math.isfinite(other) and costs[0] is not None and costs[1] is not None:
            epochs.append(math.log(own / other))
            seconds.append(epochs[-1] + math.log(costs[0].milliseconds / costs[1].milliseconds))
    if not epochs:
        return math.nan, math.nan, 0
    return math.exp(statistics.fmean(epochs)), math.exp(statistics.fmean(seconds)), len(epochs)


def seconds(evidence: Evidence, korean: bool) -> str:
    """Fewer epochs are not less time."""
    found, of = {name: over_adamw(evidence, name) for name in MATRIX}, len(evidence.problems)
    text = [
        said("seconds_each", korean, name=names([name]), epochs=own, seconds=time, there=there, of=of)
        for name, (own, time, there) in found.items()
    ]
    return said("seconds", korean, holds=all(time > own for own, time, _ in found.values()), listed=listed(text, korean))


RECOMMENDATIONS = (search_of_several, without_a_search, good_everywhere, memory, seconds)


def recommendations(evidence: Evidence, korean: bool) -> str:
    """All of them, numbered, and on what they rest."""
    titles = ", ".join(evidence.setups[problem].title for problem in evidence.problems)
    rests = said("rests_on", korean, number=len(evidence.problems), listed=titles)
    return f"{rests}\n\n" + "\n".join(f"{number}. {each(evidence, korean)}" for number, each in enumerate(RECOMMENDATIONS, 1))


# -- what is significant ----------------------------------------------------------------------------


def significance(evidence: Evidence, korean: bool) -> str:
    """For each problem, how many pairs differ, and how many optimizers share the first place."""
    lines, everyone = [], len(evidence.optimizers)
    for problem in evidence.problems:
        pairs, setup = evidence.pairs(problem), evidence.setups[problem]
        differ = [abs(pair.difference.difference) / setup.near for pair in pairs if pair.significant]
        least, level = f"{min(differ, default=0.0):.1f}", len(evidence.not_worse(problem))
        numbers = {"pairs": len(pairs), "differ": len(differ), "least": least, "level": level}
        lines.append(said("significant_on", korean, title=setup.title, **numbers))
    good = [name for name in ranked(evidence) if all(name in evidence.not_worse(problem) for problem in evidence.problems)]
    text = listed(map(_name, good), korean, ", ")
    lines.append(said("significant_nowhere", korean, number=len(good), all=everyone, listed=text))
    most = len(evidence.problems) - 1
    improved = {name: sum(optimizer == name for _, optimizer in evidence.improved()) for name in ranked(evidence)}
    idle = [name for name, number in improved.items() if len(evidence.problems) - number >= most]
    text = listed(map(_name, idle), korean, ", ")
    lines.append(said("significant_default", korean, of=most, problems=most + 1, number=len(idle), all=everyone, listed=text))
    lines += diverged(evidence, korean)
    return "\n".join(f"- {line}" for line in lines)


def diverged(evidence: Evidence, korean: bool) -> list[str]:
    """A sentence on the trainings that did, if any did."""

    def those(kind: str) -> str:
        found = {
            (problem, name): number
            for problem in evidence.problems
            for name in evidence.optimizers
            if (number := evidence.diverged(problem, name, kind))
        }
        texts = (f"{_name(name)}, {evidence.setups[problem].title}: {number}" for (problem, name), number in found.items())
        return listed(texts, korean)

    best, default = those(BEST), those(DEFAULT)
    seeds = max(evidence.setups[problem].seeds for problem in evidence.problems)
    return [] if best == default == listed((), korean) else [said("diverged", korean, seeds=seeds, best=best, default=default)]


def _name(optimizer: str) -> str:
    return names([optimizer])


# -- how much the setting matters -------------------------------------------------------------------


def shares(evidence: Evidence, korean: bool) -> str:
    """Of how many settings the shares near the best are, and how uncertain they are."""
    counts = [len(evidence.spread(problem, name)) for problem in evidence.problems for name in evidence.optimizers]
    error = max(evidence.mean_share_near(name, points)[1] for name in evidence.optimizers for points in NEAR)
    epochs = sorted(
        {line.epochs for problem in evidence.problems for name in evidence.optimizers for line in evidence.spread(problem, name)}
    )
    return said("shares", korean, least=min(counts), most=max(counts), short=epochs[0], long=epochs[-1], error=100 * error)


# -- beside what others have found ------------------------------------------------------------------


def agreement_of_ranks(evidence: Evidence) -> float:
    """The mean rank correlation (Spearman's) of the optimizers between two problems."""
    from scipy.stats import spearmanr

    gaps = {problem: [evidence.gap(problem, name) for name in evidence.optimizers] for problem in evidence.problems}
    pairs = itertools.combinations(gaps.values(), 2)
    return statistics.fmean(float(spearmanr(one, other).statistic) for one, other in pairs)


def published(evidence: Evidence, korean: bool) -> str:
    """Each study with its figure, and ours."""

    def best_default(problem: str) -> float:
        return min(evidence.gap(problem, name, DEFAULT) for name in evidence.optimizers)

    trying = statistics.fmean(map(best_default, evidence.problems))
    ratios = {
        name: over_adamw(evidence, of) for name, of in (("muon", "muon"), ("soap", "soap"), ("free", "schedule_free_adamw"))
    }
    numbers = {
        **{"ranks": agreement_of_ranks(evidence), "trying": trying, "tuning": evidence.mean_gap("adam")},
        **{name: evidence.mean_gap(name, DEFAULT) for name in ("prodigy", "nadamw")},
        **ratios,
        "of": len(evidence.problems),
    }
    return "\n".join(f"- {said(name, korean, **numbers)}" for name in ("schmidt", "algoperf", "free", "wen"))
