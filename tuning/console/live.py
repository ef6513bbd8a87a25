"""How a search is shown while it runs: a live table in a terminal or a notebook, else one plain line per trial, on stderr."""

from __future__ import annotations

import collections
import contextlib
import math
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from tuning.console.notebook import Output, in_notebook
from tuning.console.sparkline import BARS, sparkline
from tuning.names import counted
from tuning.results.search import rank
from tuning.results.statistics import Summary, plus_minus, summary

if TYPE_CHECKING:
    from tuning.oracles.population import PopulationOracle
    from tuning.results.search import SearchResult
    from tuning.space.space import Space
    from tuning.training.events import Chosen, EpochEnded, ExecutionEnded

SHOWN_TRIALS, SHOWN_NOTES = 8, 4  # in the live table
RECENT_EPOCHS, RECENT_SECONDS = 200, 30.0  # of which the speed is


class View:
    """A `Listener` that shows the search to a person.

    Args:
        title: what is searched, on what.
        symbols: name of a hyperparameter -> what heads its column; others that come up are headed by their names.
        objective: the KerasTuner Objective.
        trials: how many there will be; `None`: not known.
        stream: where to write; `None`: nowhere.
        confirms: all trials are of one setting: it is not shown again and again, and none of them is the best.
        samples: how many an epoch trains on; `None`: not known.
        population: the oracle, if its trials are the members of a population.
    """

    def __init__(
        self,
        title: str,
        objective,
        trials: int | None,
        stream: TextIO | None,
        symbols: Mapping[str, str] | None = None,
        confirms: bool = False,
        samples: int | None = None,
        population: PopulationOracle | None = None,
    ):
        self._samples = samples
        self._population = population
        self._epoch_times: collections.deque[float] = collections.deque(maxlen=RECENT_EPOCHS)
        self._symbols = dict(symbols or {})
        self._names = [] if confirms else list(self._symbols)
        self._confirms = confirms
        self._title = title + (", its best setting with fresh seeds" if confirms else "")
        self._objective = objective
        self._trials = trials
        self._stream = stream
        self._live: Any = None
        self._running: dict[int, dict[str, Any]] = {}
        self._last: collections.deque = collections.deque(maxlen=SHOWN_TRIALS)
        self._best: tuple[tuple, int, dict, str] | None = None  # rank, trial, setting, score with its interval
        self._counts: collections.Counter = collections.Counter()
        self._failure = ""
        self._failures: dict[str, int] = {}  # message -> the first trial that failed with it
        self._notes: list[str] = []
        self._resumed = 0
        self._begun = time.monotonic()
        self._over = False
        self._at_once = 1  # trials that ran at the same time, at most
        self._took: list[tuple[float, float]] = []  # by each trial of this session, with and without its first epoch's share

    @classmethod
    def of_space(cls, space: Space, problem: str, objective, trials: int | None, stream: TextIO | None, **options: Any) -> View:
        """The view of a search of a space on a problem of this name; the rest is as above."""
        symbols = {name: ("" if axis.of else axis.symbol) or axis.name for name, axis in space.axes.items()}
        return cls(f"{space.title} on {problem}", objective, trials, stream, symbols, **options)

    # -- what happens -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def showing(self, already: SearchResult | None) -> Iterator[None]:
        """Shows what happens until the end of the block, beginning with the trials of an earlier session."""
        for trial in already.trials if already else ():
            if trial.state != "running":
                interval = trial.summary if len(trial.executions) > 1 else None
                self._note(trial.number, trial.hyperparameters, trial.epochs, trial.state, trial.score, trial.seconds, interval)
                self._resumed += 1
        self._begun = time.monotonic()
        if self._stream is None:
            yield
        elif self._stream.isatty():
            with self._live_table():
                yield
                self._over = True
        elif self._stream is sys.stderr and in_notebook():
            with self._in_notebook():
                yield
                self._over = True
        else:
            many = counted(self._trials, "trial") if self._trials else "some trials"
            self._line(f"{self._title}: {many}, {self._objective.name} ({self._objective.direction})")
            if self._resumed:
                self._line(f"resumed: {counted(self._resumed, 'trial')} {'is' if self._resumed == 1 else 'are'} finished already")
            yield

    def trial_began(self, number: int, hyperparameters: dict[str, Any], epochs: int | None) -> None:
        """See `tuning.study.ledger.Listener`."""
        self._name(hyperparameters)
        self._running[number] = {
            "hyperparameters": hyperparameters,
            "epochs": epochs,
            "begun": time.monotonic(),
            "now": "",
            "trained": 0,
            "scores": [],
            "epochs_ended": [],
            "curve": [],
        }
        self._at_once = max(self._at_once, len(self._running))
        self._changed()

    def epoch_ended(self, event: EpochEnded) -> None:
        """See `tuning.study.ledger.Listener`."""
        running = self._running.get(event.trial)
        if running is None:
            return
        value = event.metrics.get(self._objective.name)
        running["trained"] = event.epoch + 1
        running["epochs_ended"].append(time.monotonic())
        self._epoch_times.append(time.monotonic())
        running["curve"] = [*(running["curve"] if event.epoch else []), value]
        repeat = f"run {event.execution + 1}, " if event.execution else ""
        of = f"/{running['epochs']}" if running["epochs"] else ""
        running["now"] = f"{repeat}epoch {event.epoch + 1}{of}" + ("" if value is None else f"  {_score(value)}")
        self._changed()

    def execution_ended(self, event: ExecutionEnded) -> None:
        """See `tuning.study.ledger.Listener`."""
        if event.trial in self._running:
            self._running[event.trial]["scores"].append(event.score)

    def chosen(self, event: Chosen) -> None:
        """See `tuning.study.ledger.Listener`."""
        if len(event.seconds_per_step) < 2 or self._stream is None:
            return
        times = ", ".join(f"{name} {1e3 * seconds:.3g} ms" for name, seconds in event.seconds_per_step.items())
        what = {"way": "epochs are compiled as", "batch_trials": "trials that train at once:"}[event.name]
        self.noted(f"{what} {event.value} (a step takes: {times})")

    def noted(self, text: str) -> None:
        """See `tuning.study.ledger.Listener`."""
        if self._stream is None or text in self._notes:
            return
        self._notes.append(text)
        if self._live is None:
            self._line(text)
        self._changed()

    def trial_grew(self, number: int, hyperparameters: dict[str, Any]) -> None:
        """See `tuning.study.ledger.Listener`."""
        self._name(hyperparameters)
        if number in self._running:
            self._running[number]["hyperparameters"] = hyperparameters

    def _name(self, hyperparameters: Iterable[str]) -> None:
        """Gives these hyperparameters columns, if they have none yet."""
        if not self._confirms:
            self._names += [name for name in hyperparameters if name not in self._names]

    def trial_ended(self, number: int, state: str, score: float | None, message: str | None) -> None:
        """See `tuning.study.ledger.Listener`."""
        running = self._running.pop(number, None)
        if running is None:
            return
        seconds = time.monotonic() - running["begun"]
        self._took.append((seconds, _without_first(running["epochs_ended"], seconds)))
        scores = running["scores"]
        interval = summary(scores) if state == "completed" and len(scores) > 1 else None
        self._note(number, running["hyperparameters"], running["epochs"], state, score, seconds, interval)
        if message:
            self._failure = f"trial {number} failed: {message}"
        self._changed()
        if self._stream is None or self._live is not None:
            return
        names = () if self._confirms else running["hyperparameters"]
        setting = "".join(f" {name}={running['hyperparameters'][name]}" for name in names) + ":" * bool(names)
        outcome = f"{self._objective.name} {self._mean(score, interval)}" if state == "completed" else _stopped(state, score)
        if state == "completed" and 0 < running["trained"] < (running["epochs"] or 0):
            outcome += f" after {running['trained']} of {running['epochs']} epochs"
        if message:
            first = self._failures.setdefault(message, number)
            outcome += f" ({message})" if first == number else f" as trial {first} did"
        best = f", best {self._best[3]} (trial {self._best[1]})" if self._best else ""
        member = self._member(number)
        which = f"trial {number} (member {member})" if member else f"trial {number}"
        self._line(f"{which}:{setting} {outcome} in {_duration(seconds)}{best}{self._remaining()}")

    def _member(self, number: int) -> str:
        """Which member of a population a trial is of, and which other one's trial it goes on from: `5`, or `5 from 9`."""
        if self._population is None:
            return ""
        copied = self._population.copied_by(number)
        return f"{self._population.place(number)[1]}" + ("" if copied is None else f" from {copied}")

    def _note(self, number, hyperparameters, epochs, state, score, seconds, interval):
        self._name(hyperparameters)
        self._counts[state] += 1
        self._last.append((number, hyperparameters, epochs, state, score, seconds, interval))
        if state != "completed" or self._confirms:
            return
        place = rank(number, epochs, score, self._objective.direction)
        if self._best is None or place < self._best[0]:
            self._best = (place, number, hyperparameters, self._mean(score, interval))

    def _mean(self, score: float | None, interval: Summary | None) -> str:
        """A score, with its interval if there is one."""
        return _score(score) if interval is None else plus_minus(interval.mean, interval.half, self._sign)

    @property
    def _sign(self) -> str:
        return "±" if self._writes("±") else "+/-"

    def _writes(self, text: str) -> bool:
        """Whether the stream can say it."""
        try:
            text.encode(getattr(self._stream, "encoding", None) or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    def _symbol(self, name: str) -> str:
        return self._symbols.get(name, name)

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    # -- time -------------------------------------------------------------------------------------

    @property
    def _ended(self) -> int:
        return sum(self._counts.values())

    def _eta(self) -> float | None:
        """Seconds until the last trial ends, if those to come take as long as those of this session did.

        The first ones compile, in their first epochs: until others have ended, these do not count.
        """
        if not self._took or self._trials is None:
            return None
        warm = [seconds for seconds, _ in self._took[self._at_once :]] or [without for _, without in self._took]
        return statistics.fmean(warm) / self._at_once * max(self._trials - self._ended, 0)

    def _speed(self) -> str:
        """Epochs, and samples if their number is known, in a second of the last while, of all trials together."""
        now = time.monotonic()
        times = [each for each in self._epoch_times if each > now - RECENT_SECONDS]
        if len(times) < 3 or times[-1] <= times[0]:
            return ""
        rate = (len(times) - 1) / (times[-1] - times[0])
        samples = "" if self._samples is None else f", {rate * self._samples:,.0f} samples/s"
        return f"{rate:.3g} epochs/s{samples}"

    def _remaining(self) -> str:
        eta = self._eta()
        return f", about {_duration(eta)} left" if eta else ""

    # -- the live table ---------------------------------------------------------------------------

    def _changed(self) -> None:
        """A terminal's table is drawn again by itself, and a notebook's when something has happened."""
        if isinstance(self._live, Output):
            self._live.changed()

    @contextlib.contextmanager
    def _in_notebook(self) -> Iterator[None]:
        self._live = Output(self._render)
        self._live.refresh()
        try:
            yield
        finally:
            self._live.refresh()
            self._live = None

    @contextlib.contextmanager
    def _live_table(self) -> Iterator[None]:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, highlight=False, markup=False, emoji=False)  # names are not Rich's markup
        view = self

        class Now:
            def __rich_console__(self, console, options):
                yield view._render(options.max_width)

        with Live(Now(), console=console, refresh_per_second=4, transient=False) as self._live:
            # Rich hides the cursor; after a kill -9 nobody would bring it back.
            console.show_cursor(True)
            try:
                yield
            finally:
                self._live.refresh()
        self._live = None

    def _render(self, width: int):
        from rich import box
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        total = self._trials or max(self._ended + len(self._running), 1)
        counts = f" {self._ended}/{self._trials or '?'}"
        elapsed, eta = time.monotonic() - self._begun, self._eta()
        if self._over or self._ended >= total:
            clock = f"  done in {_duration(elapsed)}"
        else:
            clock = f"  {_duration(elapsed)} gone" + ("" if eta is None else f", about {_duration(eta)} left")
        bar = Table.grid(padding=0)
        bar.add_row(
            ProgressBar(total=total, completed=self._ended, width=max(8, min(40, width - len(counts) - len(clock) - 1))),
            Text(counts, style="bold"),
            Text(clock, style="dim", no_wrap=True, overflow="ellipsis"),
        )
        parts: list[Any] = [Text(self._title, style="bold", no_wrap=True, overflow="ellipsis"), bar]

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
        shown = [*(row[1] for row in self._last), *(running["hyperparameters"] for running in self._running.values())]
        with_epochs = len({*(row[2] for row in self._last), *(running["epochs"] for running in self._running.values())}) > 1
        table.add_column("trial" if width >= 60 else "#", justify="right", style="dim", no_wrap=True, min_width=2)
        if self._population is not None:
            table.add_column("member", justify="right", style="dim", no_wrap=True)
        # In a narrow terminal other columns give way; what does not fit even so is counted.
        widest = {name: max((len(_value_of(name, values)) for values in shown), default=0) for name in self._names}
        names, room = [], width - 16 - 4 * with_epochs - 11 * (self._population is not None)
        for name in self._names:
            room -= widest[name] + 2
            if room < 0 and name not in self._symbols:
                break
            names.append(name)
            table.add_column(self._symbol(name), justify="right", no_wrap=True, min_width=widest[name])
        if len(names) < len(self._names):
            table.add_column(f"+{len(self._names) - len(names)}")
        if with_epochs:
            table.add_column("epochs" if width >= 60 else "ep", justify="right", no_wrap=True, min_width=2)
        table.add_column(self._objective.name, no_wrap=True, overflow="ellipsis")
        with_time = width >= 60
        with_interval = width >= 40 + 11 * len(names) + 9 * with_epochs
        if with_time:
            table.add_column("time", justify="right", style="dim", no_wrap=True)

        def row(number, hyperparameters, epochs, outcome, seconds, style=""):
            cells = [
                str(number),
                *([] if self._population is None else [self._member(number)]),
                *(_value_of(name, hyperparameters) for name in names),
            ]
            cells += [""] if len(names) < len(self._names) else []
            cells += [str(epochs)] if with_epochs else []
            cells += [outcome] + ([_duration(seconds)] if with_time else [])
            table.add_row(*cells, style=style)

        styles = {"pruned": "dim", "diverged": "yellow", "failed": "red"}
        for number, hyperparameters, epochs, state, score, seconds, interval in self._last:
            is_best = self._best is not None and number == self._best[1]
            mean = self._mean(score, interval if with_interval else None)
            outcome = mean + (" best" if is_best else "") if state == "completed" else _stopped(state, score)
            row(number, hyperparameters, epochs, outcome, seconds, "green" if is_best else styles.get(state, ""))
        for number, running in sorted(self._running.items()):
            seconds = time.monotonic() - running["begun"]
            curve = sparkline(running["curve"], (8 if width < 120 else 24) if with_time and self._writes(BARS) else 0)
            now = f"{running['now'] or 'starts'}  {curve}".rstrip()
            row(number, running["hyperparameters"], running["epochs"], now, seconds, "cyan")
        parts.append(table)

        if self._best is not None:
            _, number, hyperparameters, mean = self._best
            chosen = [name for name in self._names if name in hyperparameters]
            setting = "  ".join(f"{self._symbol(name)} {_value(hyperparameters[name])}" for name in chosen)
            parts.append(Text(f"best: {mean} in trial {number}:  {setting}", style="bold green"))
        others = [f"{self._counts[state]} {state}" for state in ("pruned", "diverged", "failed") if self._counts[state]]
        if self._resumed:
            others.append(f"{self._resumed} from before")
        if self._population is not None and (numbers := [*self._running, *(row[0] for row in self._last)]):
            generation, _ = self._population.place(max(numbers))
            others.append(f"generation {generation + 1} of {len(self._population.ends)}")
        if self._failure:
            parts.append(Text(self._failure, style="red", no_wrap=True, overflow="ellipsis"))
        if self._running and (speed := self._speed()):
            others.append(speed)
        if others:
            parts.append(Text(", ".join(others), style="dim"))
        parts += [Text(note, style="dim") for note in self._notes[-SHOWN_NOTES:]]
        return Group(*parts)


def _without_first(ended: list[float], seconds: float) -> float:
    """How long a trial would have taken whose epochs ended at these times, had its first one been like the others."""
    return seconds if len(ended) < 2 else (ended[-1] - ended[0]) / (len(ended) - 1) * len(ended)


def _stopped(state: str, score: float | None) -> str:
    return f"pruned at {_score(score)}" if state == "pruned" else state


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if math.isfinite(value) else str(value)


def _value_of(name: str, hyperparameters: Mapping[str, Any]) -> str:
    """Nothing, where a trial has no such hyperparameter."""
    return _value(hyperparameters[name]) if name in hyperparameters else ""


def _value(value: Any) -> str:
    """A hyperparameter in at most 9 characters or so; near 1 it is the distance from 1 that matters."""
    if not isinstance(value, float):
        return str(value)
    if 0.9 <= value < 1:
        digits = max(3, 2 - math.floor(math.log10(1 - value)))
        return f"{value:.{min(digits, 8)}f}"
    return f"{value:.3g}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
