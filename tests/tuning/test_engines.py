"""Trials in several processes: which worker gets which trial, and what happens when workers die."""

import collections
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import keras_tuner
import pytest

import tuning
from tests.tuning.conftest import load, start, without_times
from tests.tuning.test_interruption import arguments, count, wait_for
from tuning.engines import chief, dispatch, work
from tuning.engines.local import _Process, cores, worker_environment
from tuning.engines.matching import PASSED_PER_WORKER, Matching
from tuning.oracles import make_oracle, proposes_ahead
from tuning.problems import make_problem
from tuning.results.search import SearchResult
from tuning.space.space import Space
from tuning.space.structure import Structure
from tuning.training import epochs
from tuning.training.assignment import Assignment
from tuning.training.events import Chosen, EpochEnded, ExecutionEnded
from tuning.training.problem_model import ProblemModel
from tuning.training.trainer import Trainer

# -- the dispatcher, with workers that are scripts --------------------------------------------------


def declare(hp):
    hp.Float("x", 0.0, 1.0)


def trained(number, score=0.5):
    """What a worker says of a trial that it has trained."""
    return [
        ("event", EpochEnded(number, 0, 0, {"val_loss": score})),
        ("event", ExecutionEnded(number, 0, 1, score, 0, 0.0, 1.0)),
        ("done", ([{"val_loss": score}], None)),
    ]


class ScriptedWorker:
    def __init__(self, pool, messages):
        self.pool, self.messages = pool, collections.deque(messages)

    def train(self, number, config, asked):
        self.messages.extend(self.pool.script(number))
        self.pool.began.append(number)
        self.pool.trained.append((self, number, config["values"].get("units")))
        self.pool.ways.append(asked.ways)

    def answer(self, stop):
        self.pool.answers.append(stop)

    def discard(self):
        self.pool.discarded += 1


class StopsTrial1:
    """A source that stops one trial, and is the search's otherwise."""

    prunes = True

    def __init__(self, source):
        self._source = source

    def __getattr__(self, name):
        return getattr(self._source, name)

    def record(self, event):
        self._source.record(event)
        return getattr(event, "trial", None) == 1


class ScriptedPool:
    """Workers that say of a trial what `script(number)` returns, one message at a time and in turn."""

    where = "worker"

    def __init__(self, script=trained, size=2, starts=(), prunes=False):
        self.script, self.size, self.starts, self.prunes = script, size, list(starts), prunes
        self.began, self.ways, self.answers, self.discarded, self.started = [], [], [], 0, 0
        self.trained = []  # of each trial that began the worker, the number, and its units

    def run(self, source, trainer, run_trial):
        dispatch.dispatch(StopsTrial1(source) if self.prunes else source, self, trainer.structure_of)

    def start(self):
        self.started += 1
        assert self.started < 20, "it would go on for ever"
        return ScriptedWorker(self, self.starts.pop(0) if self.starts else [("ready", None)])

    def listen(self, workers, timeout):
        assert timeout is not None or any(worker.messages for worker in workers), "it would wait for ever"
        if not any(worker.messages for worker in workers):
            time.sleep(timeout)
        for worker in workers:
            if worker.messages:
                yield worker, *worker.messages.popleft()


def search(pool, directory, trials=4, jit=None, units=(), listener=None, oracle="RandomSearchOracle", **budget):
    tuner = tuning.Tuner(
        getattr(keras_tuner.oracles, oracle)(
            objective=keras_tuner.Objective("val_loss", "min"),
            max_trials=trials,
            seed=5,
            hyperparameters=space(units),
            allow_new_entries=True,
            tune_new_entries=True,
        ),
        lambda hp: None,
        directory=str(directory),
        project_name="own",
        engine=pool,
        jit=jit,
        listener=listener,
        **budget,
    )
    tuner.search()
    return SearchResult.load(directory / "own")


def space(units=()):
    hp = keras_tuner.HyperParameters()
    declare(hp)
    if units:
        hp.Choice("units", list(units))
    return hp


@pytest.fixture(autouse=True)
def pauses_are_short(monkeypatch):
    monkeypatch.setattr(dispatch, "LONGEST_PAUSE", 0.01)


def test_each_trial_is_given_to_one_worker_and_no_more_workers_start_than_there_are_trials(tmp_path):
    pool = ScriptedPool(size=8)
    result = search(pool, tmp_path, trials=3)
    assert [trial.state for trial in result.trials] == ["completed"] * 3
    assert sorted(pool.began) == [0, 1, 2]
    assert pool.started == 3


def test_the_trial_of_a_dead_worker_runs_again_from_its_beginning(tmp_path):
    dies = iter([True])

    def script(number):
        if number == 1 and next(dies, False):
            return [("event", EpochEnded(1, 0, 0, {"val_loss": 9.0})), ("dead", "died")]
        return trained(number)

    pool = ScriptedPool(script)
    result = search(pool, tmp_path)
    assert [trial.state for trial in result.trials] == ["completed"] * 4
    assert collections.Counter(pool.began) == {0: 1, 1: 2, 2: 1, 3: 1}
    assert result.trials[1].score == 0.5


def test_a_trial_whose_workers_die_three_times_has_failed_and_the_search_goes_on(tmp_path):
    pool = ScriptedPool(lambda number: [("dead", "was killed")] if number == 1 else trained(number))
    result = search(pool, tmp_path)
    assert [trial.state for trial in result.trials] == ["completed", "failed", "completed", "completed"]
    assert result.trials[1].message == "The process that ran it was killed, 3 times."
    assert collections.Counter(pool.began)[1] == 3
    assert pool.discarded == 3


def test_a_worker_that_cannot_start_is_not_counted_against_a_trial(tmp_path):
    pool = ScriptedPool(size=1, starts=[[("dead", "ended")], [("dead", "ended")]])
    result = search(pool, tmp_path, trials=2)
    assert [trial.state for trial in result.trials] == ["completed"] * 2
    assert pool.began == [0, 1]


def test_if_no_worker_can_start_the_search_says_so(tmp_path):
    pool = ScriptedPool(starts=[[("dead", "ended with status 7")]] * 4)
    with pytest.raises(tuning.SearchError, match="No worker can be started: the last one ended with status 7"):
        search(pool, tmp_path)
    assert [trial.state for trial in SearchResult.load(tmp_path / "own").trials] == ["running"] * 2  # to be resumed


def test_a_worker_that_never_gets_ready_does_not_hold_up_the_others(tmp_path):
    pool = ScriptedPool(size=2, starts=[[]])
    assert [trial.state for trial in search(pool, tmp_path).trials] == ["completed"] * 4


def test_what_no_worker_can_load_ends_the_search(tmp_path):
    with pytest.raises(tuning.SearchError, match="no such data"):
        search(ScriptedPool(starts=[[("fatal", "There is no such data.")]]), tmp_path)


def test_workers_are_answered_after_each_epoch_only_if_trials_are_pruned(tmp_path):
    pool = ScriptedPool(size=1, prunes=True)
    search(pool, tmp_path / "pruned")
    assert pool.answers == [False, True, False, False]
    pool = ScriptedPool(size=1)
    search(pool, tmp_path / "plain")
    assert pool.answers == []


def test_hyperparameters_that_a_model_adds_on_a_worker_reach_the_oracle(tmp_path):
    def script(number):
        hp = space()
        hp.Int("units", 4, 8)
        return [*trained(number)[:2], ("done", ([{"val_loss": 0.5}], hp.get_config()))]

    assert search(ScriptedPool(script), tmp_path, trials=1)
    state = tuning.Store.open(tmp_path / "own", read_only=True)
    with state:
        assert "units" in str(state.oracle_state)


@pytest.mark.backend("tensorflow", "jax")
def test_no_other_trial_begins_before_the_first_one_has_measured_how_epochs_are_compiled(tmp_path):
    first = epochs.ways()[0]

    def script(number):
        assert number == 0 or "chosen" in said
        if number == 0:
            return [
                ("event", EpochEnded(0, 0, 0, {"val_loss": 1.0})),
                ("event", Chosen("way", first, {first: 1.0})),
                *trained(0)[1:],
            ]
        return trained(number)

    class Pool(ScriptedPool):
        def listen(self, workers, timeout):
            for worker, kind, content in super().listen(workers, timeout):
                if isinstance(content, Chosen):
                    said.append("chosen")
                yield worker, kind, content

    said = []
    pool = Pool(script, size=3)
    search(pool, tmp_path, jit="measure")
    assert pool.ways == [epochs.ways(), *[(first,)] * 3]
    with tuning.Store.open(tmp_path / "own", read_only=True) as store:
        assert store.choices()["way"]["value"] == first


# -- models of different structure -------------------------------------------------------------------

SIX = (4, 8, 16, 32, 64, 128)


class Running:
    """A listener that counts the trials that run."""

    def __init__(self):
        self.now, self.most, self.said = set(), 0, []

    def __getattr__(self, name):
        return lambda *arguments: None

    def trial_began(self, number, *others):
        self.now.add(number)
        self.most = max(self.most, len(self.now))

    def trial_ended(self, number, *others):
        self.now.discard(number)


def test_workers_get_trials_whose_structure_they_have_compiled(tmp_path):
    pool, running = ScriptedPool(), Running()
    result = search(pool, tmp_path / "two", trials=24, units=SIX, listener=running)
    assert [trial.state for trial in result.trials] == ["completed"] * 24
    assert len({units for _, _, units in pool.trained}) == 6
    assert len({(worker, units) for worker, _, units in pool.trained}) <= 7  # 12, first come, first served
    assert sorted(pool.began) == list(range(24)) != pool.began
    assert running.most == 2  # a trial that waits does not run
    one = ScriptedPool(size=1)
    alone = search(one, tmp_path / "one", trials=24, units=SIX)
    assert one.began == list(range(24))
    assert [trial.hyperparameters for trial in alone.trials] == [trial.hyperparameters for trial in result.trials]
    begun = [trial.begun for trial in result.trials]
    assert sorted(range(24), key=lambda number: begun[number]) == pool.began  # that it had waited is not in its time


@pytest.mark.parametrize(
    "options", [{"max_seconds": 3600.0}, {"target": 0.1}, {"oracle": "BayesianOptimizationOracle"}, {"units": (), "trials": 8}]
)
def test_no_trial_waits_where_it_might_not_begin_or_would_be_another_or_all_are_alike(tmp_path, options):
    class Counts(ScriptedPool):
        def listen(self, workers, timeout):
            running.append(count(tmp_path / "own", "running"))
            return super().listen(workers, timeout)

    running = []
    assert len(search(Counts(), tmp_path, **{"trials": 8, "units": SIX, **options}).trials) == 8
    assert max(running) == 2


def test_trials_that_wait_when_the_search_dies_run_when_it_goes_on(tmp_path):
    class Dies(ScriptedPool):
        def listen(self, workers, timeout):
            if len(self.trained) > 6:
                raise KeyboardInterrupt
            return super().listen(workers, timeout)

    with pytest.raises(KeyboardInterrupt):
        search(Dies(), tmp_path / "died", trials=12, units=SIX)
    assert count(tmp_path / "died" / "own", "running") == 4
    result = search(ScriptedPool(size=1), tmp_path / "died", trials=12, units=SIX)
    whole = search(ScriptedPool(size=1), tmp_path / "whole", trials=12, units=SIX)
    assert [(trial.state, trial.hyperparameters) for trial in result.trials] == [
        ("completed", trial.hyperparameters) for trial in whole.trials
    ]


def waiting(*structures, first=0):
    """Trials that wait, by seat, each with a structure."""
    return {f"seat {i}": trial_of(first + i, structure) for i, structure in enumerate(structures)}


def trial_of(number, structure):
    return types.SimpleNamespace(trial_id=str(number), hyperparameters=structure)


def test_the_first_trial_of_a_worker_s_structures_is_chosen_else_of_a_new_one_else_the_first():
    matching = Matching(lambda structure: structure)
    assert matching.choose("a", waiting("x", "y"), 2) == "seat 0"
    assert matching.choose("b", waiting("x", "y"), 2) == "seat 1"  # for "x" the other one is free soon
    assert matching.choose("a", waiting("y", "z", "x"), 2) == "seat 2"
    assert matching.choose("a", waiting("y", "y"), 2) == "seat 0"
    matching.forget("b")
    assert matching.choose("b", waiting("x", "z"), 2) == "seat 1"
    late = {"seat 9": trial_of(10, "x"), "seat 3": trial_of(2, "x")}  # as after a death: the earlier one comes first
    assert matching.choose("a", late, 2) == "seat 3"


def test_a_trial_is_passed_over_a_bounded_number_of_times():
    matching, passed = Matching(lambda structure: structure), 0
    assert [matching.choose(worker, waiting(structure), 2) for worker, structure in ("ax", "by")] == ["seat 0"] * 2
    while matching.choose("a", {"first": trial_of(0, "y"), **waiting("x", first=1 + passed)}, 2) != "first":
        passed += 1
        assert passed < 100
    assert passed == 2 * PASSED_PER_WORKER


def test_trials_wait_only_for_several_workers_and_structures():
    matching = Matching(lambda structure: structure)
    matching.saw(trial_of(0, "x"))
    matching.saw(trial_of(1, "x"))
    assert matching.ahead(4) == 0
    matching.saw(trial_of(2, "y"))
    assert (matching.ahead(1), matching.ahead(4)) == (0, 4)


def test_what_of_a_setting_is_structure():
    structure = Structure("p", {"units": 8, "rate": 0.5}, {"units": (4, 16), "rate": (0.0, 0.5)})
    searched = {"adam.amsgrad": None, "units": None, "rate": None, "batch_size": [16, 32], "warmup": None}
    searched["learning_rate"] = [0.1, 0.01]
    space = Space.of(["adam", "keras:Adam"], searched, schedule="cosine", structure=structure)
    values = {"optimizer": "adam", "adam.learning_rate": 0.1, "adam.beta_1": 0.5, "adam.amsgrad": True, "adam.warmup": 0.1}
    values |= {"units": 8, "rate": 0.25, "batch_size": 16}
    assert dict(space.structure_of(values)) == {
        **{"optimizer": "adam", "adam.amsgrad": True, "units": 8, "rate": 0.25, "batch_size": 16}
    }
    theirs = {"optimizer": "keras:adam", "keras:adam.learning_rate": 0.1, "keras:adam.beta_1": 0.5}
    assert dict(space.structure_of(theirs)) == {"optimizer": "keras:adam", "keras:adam.beta_1": 0.5}
    alone = Space.of("adam", {"amsgrad": None})
    assert alone.structure_of({"learning_rate": 0.1, "amsgrad": False}) == (("amsgrad", False),)
    trainer = Trainer(ProblemModel(alone, "digits_mlp"), objective=None, search_seed=0, executions=1, fit_args=(), fit_kwargs={})
    hp = alone.hyperparameters()
    hp.values = {"learning_rate": 0.1, "amsgrad": False}
    assert trainer.structure_of(hp) == (("amsgrad", False),)
    trainer.hypermodel = print
    hp = space_of_ones_own()
    hp.values["tuner/epochs"] = 3
    assert trainer.structure_of(hp) == (("layers", 2), ("units", 8))


def space_of_ones_own():
    hp = space((8, 16))
    hp.Int("layers", 2, 3)
    hp.Choice("rate", [0.5, 0.1])
    return hp


@pytest.mark.parametrize(
    ("name", "options", "ahead"),
    [
        ("random", {}, True),
        ("quasirandom", {}, True),
        ("quasirandom", {"first": [{"x": 0.5}]}, True),
        ("grid", {}, True),
        ("hyperband", {}, False),
        ("asha", {}, False),
        ("bayesian", {}, False),
        ("optuna", {}, False),
    ],
)
def test_only_oracles_that_hear_of_no_result_are_asked_ahead(name, options, ahead):
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.merge([tuning.SearchAxis("x", 0.0, 1.0, points=4)])
    objective = keras_tuner.Objective("loss", "min")
    made = make_oracle(name, objective=objective, hyperparameters=hyperparameters, trials=4, epochs=3, seed=0, **options)
    assert proposes_ahead(made) == ahead

    class OfOnesOwn(keras_tuner.oracles.RandomSearchOracle):
        def populate_space(self, trial_id):
            return super().populate_space(trial_id)

    assert not proposes_ahead(OfOnesOwn(objective=objective, max_trials=2))


class Served:
    """A chief whose two workers ask in turn; one of them is lost once."""

    def __init__(self, by_structure=True):
        self.by_structure, self.served, self.lost = by_structure, [], []

    def run(self, source, trainer, run_trial):
        server = chief.Chief()
        server._begin(source, trainer.structure_of if self.by_structure else lambda hyperparameters: ())
        workers = {"a", "b"}
        server._last_sign = dict.fromkeys(workers, 0.0)
        while workers:
            for worker in sorted(workers):
                answer = server._next(worker)
                if answer["status"] == "RUNNING":
                    trial = answer["trial"]
                    self.served.append((worker, trial["trial_id"], trial["hyperparameters"]["values"]["units"]))
                elif answer["status"] == "STOPPED":
                    workers.remove(worker)
            for worker in sorted(server._seats):
                number = server._in_flight.trials[server._seats[worker]].trial_id
                if len(self.served) > 20 and not self.lost:
                    self.lost.append(number)
                    server._lose(worker, "was lost")
                    server._last_sign[worker] = 0.0
                else:
                    assert server._take(worker, number, "done", ([{"val_loss": 0.5}], None)) == {"stop": True}

    @property
    def compiled(self):
        return len({(worker, units) for worker, _, units in self.served})


def test_a_chief_gives_its_workers_trials_whose_structure_they_have(tmp_path):
    by_structure, in_turn = Served(), Served(by_structure=False)
    for served, name in ((by_structure, "one"), (in_turn, "other")):
        result = search(served, tmp_path / name, trials=24, units=SIX)
        assert [trial.state for trial in result.trials] == ["completed"] * 24
        assert [number for _, number, _ in served.served].count(served.lost[0]) == 2
    numbers = [int(number) for _, number, _ in in_turn.served]
    assert list(dict.fromkeys(numbers)) == list(range(24))
    assert by_structure.compiled <= in_turn.compiled - 2


# -- the worker's side ------------------------------------------------------------------------------


class Epochs:
    """A trainer that reports three epochs, as long as it is not stopped."""

    def run(self, number, hp, report, asked):
        stops = [report(EpochEnded(number, 0, epoch, {"val_loss": 0.0})) for epoch in range(3)]
        report(ExecutionEnded(number, 0, 1, 0.0, 0, 0.0, 1.0))
        if number == 1:
            raise RuntimeError("not this one")
        return stops


def test_a_worker_waits_for_an_answer_to_each_epoch_only_if_there_will_be_one():
    said = []
    answers = iter([False, True, False])
    work.train(Epochs(), 0, space().get_config(), Assignment(0), said.append, lambda: next(answers))
    assert [kind for kind, _ in said] == ["event"] * 4 + ["done"]
    assert said[-1][1] == ([False, True, False], None)
    said.clear()
    work.train(Epochs(), 0, space().get_config(), Assignment(0), said.append, None)
    assert said[-1][1] == ([False] * 3, None)


def test_a_worker_says_why_a_trial_failed_but_not_if_nobody_listens():
    said = []
    work.train(Epochs(), 1, space().get_config(), Assignment(0), said.append, None)
    assert said[-1][0] == "failed"
    assert said[-1][1][0] == "RuntimeError: not this one"
    assert "Traceback" in said[-1][1][1]

    def gone(message):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        work.train(Epochs(), 0, space().get_config(), Assignment(0), gone, None)


def test_what_a_worker_cannot_load_is_one_sentence():
    with pytest.raises(tuning.SearchError, match="A worker cannot load what it is to train: UnpicklingError"):
        work.load(b"nothing")


# -- processes ------------------------------------------------------------------------------------


def test_workers_share_cores_and_gpu_and_leave_alone_what_the_user_has_set(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    for name in ("TF_NUM_INTRAOP_THREADS", "NPROC", "TF_FORCE_GPU_ALLOW_GROWTH"):
        monkeypatch.delenv(name, raising=False)
    added = worker_environment(3, alone=False)
    assert "OMP_NUM_THREADS" not in added
    assert added["TF_NUM_INTRAOP_THREADS"] == added["NPROC"] == "3"
    assert added["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert "TF_FORCE_GPU_ALLOW_GROWTH" not in worker_environment(3, alone=True)
    asked = worker_environment(3, alone=True, threads=2)  # which wins over what the user has set
    assert asked["OMP_NUM_THREADS"] == asked["NPROC"] == "2"
    assert 1 <= cores() <= os.cpu_count()


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_how_a_process_ended_is_said():
    process = _Process(b"", False, {})
    os.kill(process._process.pid, signal.SIGKILL)
    with pytest.raises(EOFError):
        process.pipe.recv()
    assert process.wait() == "was killed (SIGKILL, as the system does when memory runs out)"
    process.discard()


def children(pid):
    """The processes that `pid` started and that train."""
    done = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    processes = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return [int(child) for child, parent, *arguments in processes if int(parent) == pid and "spawn_main" in "".join(arguments)]


def lives(pid):
    """Whether the process is there, be it only to be waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="ps and kill -9")
def test_workers_find_what_one_process_finds_even_if_one_is_killed_and_end_with_their_parent(tiny, tmp_path, command):
    directory = tmp_path / "out"
    process = start(*arguments(directory, trials=5, workers=2), cwd=tmp_path)
    wait_for(lambda: count(directory) >= 1 and count(directory, "running") == 2, process)
    workers = children(process.pid)
    if os.path.exists("/proc/self/oom_score_adj"):  # the system, when memory runs out, takes a worker and not the search
        scores = [int(pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (process.pid, workers[0])]
        assert scores[0] < scores[1] or scores == [1000, 1000]
    os.kill(workers[0], signal.SIGKILL)
    wait_for(lambda: len(set(children(process.pid)) - {workers[0]}) == 2, process)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    end = time.monotonic() + 10
    while any(lives(pid) for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.05)
    process = start(*arguments(directory, trials=5, workers=2), cwd=tmp_path)
    stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    assert [trial["state"] for trial in load(stdout)["trials"]] == ["completed"] * 5
    alone = load(command(*arguments(tmp_path / "alone", trials=5))[1])
    assert without_times(load(stdout)) == without_times(alone)


def test_a_problem_that_cannot_be_sent_to_workers_is_one_clear_sentence(tiny):
    made = make_problem(tiny)
    local = tuning.Problem("local", made.data, lambda: made.model(), made.loss)
    with pytest.raises(tuning.SearchError, match="module:function"):
        tuning.search("adam", local, trials=2, workers=2, progress=False)
