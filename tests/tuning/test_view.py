"""What a person sees while a search runs."""

import io
import math
import re

import keras_tuner
import pytest
from rich.console import Console

from tests.tuning.hand_made import make_search
from tuning import Space
from tuning.console.live import View, _duration, _value
from tuning.console.search_table import table
from tuning.console.sparkline import BARS, sparkline
from tuning.results.search import SearchResult
from tuning.training.events import EpochEnded, ExecutionEnded


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True

    def text(self):
        """What was written, without the control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.getvalue())


@pytest.fixture
def terminal(monkeypatch):
    def make(columns=100, **environment):
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.delenv("NO_COLOR", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Terminal()

    return make


def show(stream, trials=3):
    view = View.of_space(Space.of("adam"), "digits_mlp", keras_tuner.Objective("val_accuracy", "max"), trials, stream)
    setting = {"learning_rate": 0.00123456, "beta_1": 0.9, "beta_2": 0.99987654}
    with view.showing(None):
        for number, (state, score) in enumerate([("completed", 0.75), ("diverged", None), ("failed", None)]):
            view.trial_began(number, setting, 5)
            for epoch in range(5 if state == "completed" else 1):
                view.epoch_ended(EpochEnded(number, 0, epoch, {"val_accuracy": 0.5}))
            view.trial_ended(number, state, score, "RuntimeError: no luck" if state == "failed" else None)
    return stream.getvalue()


def test_a_terminal_gets_a_table_headed_by_symbols(terminal):
    stream = terminal()
    show(stream)
    last = stream.text()[stream.text().rindex("Adam on digits_mlp") :]
    for word in ("3/3", "η", "β₁", "β₂", "0.00123", "0.75 best", "diverged", "failed", "trial 2 failed: RuntimeError: no luck"):
        assert word in last
    assert "best: 0.75 in trial 0:  η 0.00123  β₁ 0.9" in last


def test_a_pruned_trial_shows_where_it_was_stopped_and_is_never_the_best(terminal):
    for stream in (terminal(), io.StringIO()):
        view = View.of_space(Space.of("adam"), "digits_mlp", keras_tuner.Objective("val_accuracy", "max"), 2, stream)
        with view.showing(None):
            for number, (state, score) in enumerate([("completed", 0.75), ("pruned", 0.83)]):
                view.trial_began(number, {"learning_rate": 0.01}, 5)
                view.trial_ended(number, state, score, None)
        text = stream.text() if isinstance(stream, Terminal) else stream.getvalue()
        assert "pruned at 0.83" in text
        assert "best 0.75 (trial 0)" in text or ("best: 0.75 in trial 0" in text and "1 pruned" in text)


def test_the_cursor_stays_visible(terminal):
    written = show(terminal())
    assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l")
    # Even right after the start: a process that is killed then leaves a sane terminal.
    assert written.index("\x1b[?25h") - written.index("\x1b[?25l") < 2000


def test_a_narrow_terminal_keeps_the_values(terminal):
    stream = terminal(columns=46)
    show(stream)
    last = stream.text()[stream.text().rindex("Adam on digits_mlp") :]
    assert max(map(len, last.splitlines())) <= 46
    for word in ("0.00123", "0.9", "0.999877"):
        assert word in last


def test_colours_are_left_out_where_they_are_not_wanted(terminal):
    assert re.search(r"\x1b\[[0-9;]*3[0-9]m", show(terminal()))
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", show(terminal(NO_COLOR="1")))


def test_anything_else_gets_one_plain_line_per_trial():
    lines = show(io.StringIO()).splitlines()
    assert len(lines) == 4
    assert lines[0] == "Adam on digits_mlp: 3 trials, val_accuracy (max)"
    assert lines[1].startswith("trial 0: learning_rate=0.00123456 beta_1=0.9 beta_2=0.99987654: val_accuracy 0.75 in ")
    assert "diverged" in lines[2]
    assert "failed (RuntimeError: no luck)" in lines[3]
    assert "\x1b" not in "".join(lines)
    assert all(line.isascii() for line in lines)


def test_values_and_times_are_short():
    assert [_value(value) for value in (0.00123456, 0.9, 0.99987654, 0.999999, 3, 1e-7)] == [
        *("0.00123", "0.900", "0.999877", "0.99999900", "3", "1e-07"),
    ]
    assert [_duration(seconds) for seconds in (None, 0.42, 59.4, 61, 3700)] == ["-", "0.4 s", "59 s", "1:01 min", "1:01 h"]


def show_repeats(stream, confirms=False):
    objective = keras_tuner.Objective("val_accuracy", "max")
    view = View.of_space(Space.of("adam"), "digits_mlp", objective, 2, stream, confirms=confirms)
    setting = {"learning_rate": 0.00123456, "beta_1": 0.9, "beta_2": 0.99987654}
    with view.showing(None):
        for number, scores in enumerate([(0.9722, 0.9694, 0.9750), (0.9444, 0.9722, 0.9500)]):
            view.trial_began(number, setting, 5)
            for execution, score in enumerate(scores):
                for epoch in range(5):
                    view.epoch_ended(EpochEnded(number, execution, epoch, {"val_accuracy": score}))
                view.execution_ended(ExecutionEnded(number, execution, 1, score, 0, 0.0, 0.1))
            view.trial_ended(number, "completed", sum(scores) / 3, None)
    return stream.getvalue()


@pytest.mark.parametrize("columns", [100, 73, 46])
def test_repeats_are_shown_with_their_interval_where_there_is_room(columns, terminal):
    stream = terminal(columns)
    show_repeats(stream)
    last = stream.text()[stream.text().rindex("Adam on digits_mlp") :]
    assert max(map(len, last.splitlines())) <= columns
    assert "0.9722 ± 0.0070 best" in last if columns >= 73 else "0.9722 best" in last
    assert "best: 0.9722 ± 0.0070 in trial 0" in last
    assert "0.9555 ± 0.0365 " in last if columns >= 73 else "0.9555 " in last


def test_plain_lines_show_the_interval_too():
    lines = show_repeats(io.StringIO()).splitlines()
    assert "beta_2=0.99987654: val_accuracy 0.9722 ± 0.0070 in " in lines[1]
    assert "val_accuracy 0.9555 ± 0.0365 in " in lines[2]
    assert "best 0.9722 ± 0.0070 (trial 0)" in lines[2]
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    ascii_only.getvalue = ascii_only.buffer.getvalue
    assert b"val_accuracy 0.9722 +/- 0.0070 in " in show_repeats(ascii_only)


def test_a_confirmation_shows_the_seeds_and_no_best():
    lines = show_repeats(io.StringIO(), confirms=True).splitlines()
    assert lines[0] == "Adam on digits_mlp, its best setting with fresh seeds: 2 trials, val_accuracy (max)"
    assert lines[1].startswith("trial 0: val_accuracy 0.9722 ± 0.0070 in ")
    assert "best" not in lines[2]


def test_the_time_that_is_left_is_without_compilation(monkeypatch):
    """Of 10 trials of 5 epochs of 1 s, the first one compiles for 60 s; with two at once each of them does."""
    for at_once in (1, 2):
        clock = [0.0]
        monkeypatch.setattr("tuning.console.live.time.monotonic", lambda clock=clock: clock[0])
        view = View.of_space(Space.of("adam"), "digits_mlp", keras_tuner.Objective("val_accuracy", "max"), 10, io.StringIO())
        assert view._eta() is None
        for first in range(0, 6, at_once):
            numbers = range(first, first + at_once)
            for number in numbers:
                view.trial_began(number, {}, 5)
            for epoch in range(5):
                clock[0] += 1 + 60 * (first + epoch == 0)
                for number in numbers:
                    view.epoch_ended(EpochEnded(number, 0, epoch, {}))
            for number in numbers:
                view.trial_ended(number, "completed", 0.5, None)
            assert view._eta() == pytest.approx(5 / at_once * (10 - first - at_once))


def test_one_is_not_many(tmp_path):
    view = View.of_space(Space.of("adam"), "digits_mlp", keras_tuner.Objective("val_accuracy", "max"), 1, stream := io.StringIO())
    with view.showing(SearchResult.load(make_search(tmp_path / "one", ("completed",), config={"trials": 1}))):
        pass
    assert stream.getvalue().splitlines()[0].startswith("Adam on digits_mlp: 1 trial, ")
    assert stream.getvalue().splitlines()[1] == "resumed: 1 trial is finished already"
    assert "1 of 1 trial (1 completed" in table(SearchResult.load(tmp_path / "one"))
    assert "SearchResult(one, 1 trial, best" in repr(SearchResult.load(tmp_path / "one")).replace(f"{tmp_path}/", "")


def test_a_curve_in_a_line():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([7, 0], 8) == "█▁"
    assert sparkline(list(range(100)), 4) == "▁▃▆█"
    assert sparkline([0.5, 0.5], 8) == "▅▅"
    assert sparkline([0.0, None, math.nan, math.inf, 1.0], 8) == "▁×××█"
    assert sparkline([], 8) == sparkline([1.0], 0) == ""


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_a_running_trial_has_its_curve_and_the_search_its_speed(columns, terminal, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tuning.console.live.time.monotonic", lambda: clock[0])
    for stream in (terminal(columns), terminal(columns, NO_COLOR="1")):
        objective = keras_tuner.Objective("val_accuracy", "max")
        view = View.of_space(Space.of("adam"), "digits_mlp", objective, 4, stream, samples=1000)
        with view.showing(None):
            view.trial_began(0, {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999}, 50)
            clock[0] += 20  # it compiles, which is no speed
            for epoch in range(40):
                clock[0] += 0.5
                view.epoch_ended(EpochEnded(0, 0, epoch, {"val_accuracy": epoch / 40}))
        last = stream.text()[stream.text().rindex("Adam on digits_mlp") :]
        assert max(map(len, last.splitlines())) <= columns
        assert ("█" in last) == (columns >= 60)
        assert "▁▂▃▄▅▆▇█" in last or columns != 80
        assert "2 epochs/s, 2,000 samples/s" in last


def test_a_terminal_without_these_characters_has_no_curve(terminal, monkeypatch):
    stream = terminal(100)
    monkeypatch.setattr(Terminal, "encoding", "ascii", raising=False)
    view = View.of_space(Space.of("adam"), "digits_mlp", keras_tuner.Objective("val_accuracy", "max"), 2, stream)
    view.trial_began(0, {"learning_rate": 0.001}, 5)
    view.epoch_ended(EpochEnded(0, 0, 0, {"val_accuracy": 0.5}))
    written = io.StringIO()
    Console(file=written, width=100).print(view._render(100))
    assert "epoch 1/5  0.5" in written.getvalue()
    assert not set(BARS) & set(written.getvalue())


class Members:
    """What a view asks the oracle of a population."""

    ends = (2, 4, 6)

    def place(self, number):
        return divmod(number, 4)

    def copied_by(self, number):
        return {5: 3}.get(number)


def show_population(stream):
    objective = keras_tuner.Objective("val_accuracy", "max")
    view = View.of_space(Space.of("adam"), "digits_mlp", objective, 12, stream, population=Members())
    with view.showing(None):
        for number in range(6):
            view.trial_began(number, {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99}, 2)
            view.trial_ended(number, "completed", 0.5, None)
    return stream.getvalue()


def test_members_of_a_population_are_shown_and_from_whom_they_go_on(terminal):
    lines = show_population(io.StringIO())
    assert "trial 4 (member 0): learning_rate=0.01" in lines
    assert "trial 5 (member 1 from 3): learning_rate=0.01" in lines
    stream = terminal()
    show_population(stream)
    last = stream.text()[stream.text().rindex("Adam on digits_mlp") :]
    assert "generation 2 of 3" in last
    assert re.search(r"\b5 +1 from 3 +0.01 ", last)
