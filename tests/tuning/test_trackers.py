"""Trackers: each training is a run of TensorBoard, MLflow and W&B, live and once, whatever happens to search and client."""

import json
import math
import shutil
import struct
import sys
import time
import warnings

import keras_tuner
import pytest

import tuning
from tests.tuning.conftest import load, one_sentence
from tests.tuning.hand_made import CONFIG, add_trial, make_comparison, make_search
from tests.tuning.test_callbacks import hparams_in
from tests.tuning.test_engines import ScriptedPool, trained
from tuning import SearchError, Store
from tuning.results.search import SearchResult
from tuning.trackers import following
from tuning.trackers.following import Trackers
from tuning.training.events import EpochEnded, ExecutionEnded, Left

pytestmark = [
    pytest.mark.backend("tensorflow"),  # what hears of a search uses no backend; once is enough
    # What the clients and their packages do themselves.
    *(pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "PendingDeprecation", "Future")),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FEW = ("completed", "diverged", "failed", "completed", "pruned", "running")
NAMES = ("tensorboard", "mlflow", "wandb")


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """The clients ask nobody, and tell nobody what they were used for."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "WANDB_PROJECT", "WANDB_DIR"):
            patch.delenv(name, raising=False)
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory):
    """MLflow's store without runs: making its tables takes seconds."""
    pytest.importorskip("mlflow")
    directory = tmp_path_factory.mktemp("database")
    with Trackers("mlflow", directory):
        pass
    return directory / "mlflow" / "mlflow.db"


@pytest.fixture
def here(tmp_path, empty_database):
    """A folder whose MLflow store has its tables."""
    (tmp_path / "mlflow").mkdir()
    shutil.copy(empty_database, tmp_path / "mlflow")
    return tmp_path


# -- read back by their own means -----------------------------------------------------------------


def in_tensorboard(folder):
    """Folder of a run -> tag -> [(step, value)]."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for place in sorted({path.parent for path in folder.rglob("*tfevents*")}):
        events = EventAccumulator(str(place), size_guidance={"scalars": 0}).Reload()
        tags = events.Tags()["scalars"]
        found[str(place.relative_to(folder))] = {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in tags}
    return found


def points(values):
    """Of a curve, as TensorBoard keeps it: in half as many bits."""
    return [(epoch, pytest.approx(value)) for epoch, value in enumerate(values)]


def status_in_tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    found = EventAccumulator(str(folder)).Reload().PluginTagToContent("hparams")
    if metadata.SESSION_END_INFO_TAG not in found:
        return None
    return plugin_data_pb2.HParamsPluginData.FromString(found[metadata.SESSION_END_INFO_TAG]).session_end_info.status


def in_mlflow(directory, experiment=None):
    """(group, trial, execution) -> run, each there once; and the client."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{directory / 'mlflow/mlflow.db'}")
    (one,) = (each for each in client.search_experiments() if each.name == (experiment or directory.name))
    runs = client.search_runs([one.experiment_id])
    found = {}
    for run in runs:
        group, *numbers = (run.data.tags[f"keras_optims.{name}"] for name in ("group", "trial", "execution"))
        found[group, *map(int, numbers)] = run
    assert len(found) == len(runs)
    return found, client


def in_wandb(directory):
    """Id of an offline run -> its records, by kind, as its client wrote them (LevelDB's log of protocol buffers)."""
    from wandb.proto import wandb_internal_pb2

    found = {}
    for path in sorted(directory.glob("wandb/offline-run-*/run-*.wandb")):
        content, place, records, part = path.read_bytes(), 7, {}, b""
        while place + 7 <= len(content):
            if place % 32768 > 32768 - 7:
                place += 32768 - place % 32768
                continue
            _, length, kind = struct.unpack("<IHB", content[place : place + 7])
            part += content[place + 7 : place + 7 + length]
            place += 7 + length
            if kind in (1, 4):  # whole, or the last part
                record, part = wandb_internal_pb2.Record.FromString(part), b""
                records.setdefault(record.WhichOneof("record_type"), []).append(record)
        name = path.stem.removeprefix("run-")
        assert name not in found
        found[name] = records
    return found


def items(updates):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}


# -- a real search --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logged(tmp_path_factory, empty_database, quiet):
    """A search of two trials, each trained twice, that was logged everywhere."""
    pytest.importorskip("wandb")
    directory = tmp_path_factory.mktemp("logged")
    (directory / "mlflow").mkdir()
    shutil.copy(empty_database, directory / "mlflow")
    with warnings.catch_warnings():
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        return tuning.search(
            *("adam", "digits_mlp"),
            **{"trials": 2, "epochs": 2, "repeats": 2, "train_samples": 128, "jit": "off", "search": {"units": [8, 16]}},
            **{"log": NAMES, "directory": directory, "progress": False},
        )


def test_tensorboard_shows_curves_settings_and_scores(logged):
    folder = logged.directory / "tensorboard"
    runs = in_tensorboard(folder)
    assert set(runs) == {f"{trial}/execution{execution}" for trial in (0, 1) for execution in (0, 1)}
    for trial in logged.trials:
        for execution, curve in enumerate(trial.curves):
            found = runs[f"{trial.number}/execution{execution}"]
            for name, values in curve.items():
                assert found[name] == points(values)
            assert found["score"] == [(trial.best_epochs[execution], pytest.approx(trial.executions[execution]))]
            assert found["trial_score"][0][1] == pytest.approx(trial.score)
            assert hparams_in(folder / f"{trial.number}/execution{execution}") == trial.hyperparameters
            assert status_in_tensorboard(folder / f"{trial.number}/execution{execution}") == 1  # success


def test_mlflow_has_a_run_of_each_training(logged):
    runs, client = in_mlflow(logged.directory)
    assert set(runs) == {("", trial, execution) for trial in (0, 1) for execution in (0, 1)}
    for (_, number, execution), run in runs.items():
        trial = logged.trials[number]
        assert run.info.status == "FINISHED"
        assert run.info.run_name == f"trial {number}, execution {execution}"
        assert {name: run.data.params[name] for name in trial.hyperparameters} == {
            name: str(value) for name, value in trial.hyperparameters.items()
        }
        about = {"state": "completed", "optimizer": "adam", "phase": "search", "seed": str(trial.seeds[execution])}
        assert about.items() <= run.data.tags.items()
        assert run.data.tags["mlflow.note.content"] == trial.line
        for name, values in trial.curves[execution].items():
            history = sorted((each.step, each.value) for each in client.get_metric_history(run.info.run_id, name))
            assert history == list(enumerate(values))
        reached = {"score": trial.executions[execution], "trial_score": trial.score, "best_epoch": trial.best_epochs[execution]}
        assert {name: run.data.metrics[name] for name in reached} == reached


def test_so_has_wandb_offline(logged):
    runs = in_wandb(logged.directory)
    assert len(runs) == 4
    for name, records in runs.items():
        number, execution = map(int, name.split("-")[-2:])
        trial = logged.trials[number]
        (run,) = (record.run for record in records["run"])
        assert (run.display_name, run.job_type) == (f"trial {number}, execution {execution}", "search")
        assert run.project == logged.directory.name
        assert {**trial.hyperparameters, "optimizer": "adam", "trial": number}.items() <= items(run.config.update).items()
        history = [items(record.history.item) for record in records["history"]]
        for metric, values in trial.curves[execution].items():
            assert [point[metric] for point in history] == pytest.approx(values)
        summary = {}
        for record in records.get("summary", []):
            summary |= items(record.summary.update)
        assert summary["state"] == "completed"
        assert (summary["score"], summary["trial_score"]) == pytest.approx((trial.executions[execution], trial.score))
        assert [record.exit.exit_code for record in records["exit"]] == [0]


# -- searches that train nothing ------------------------------------------------------------------


class Light(tuning.Tuner):
    """Trains nothing: the curve follows from the setting."""

    dies_after = None  # epochs of all trials together

    def run_trial(self, trial, *args, **kwargs):
        number, values = int(trial.trial_id), trial.hyperparameters.values
        if values["x"] == 0.1:
            raise RuntimeError("no luck")
        trial.hyperparameters.Fixed("late", "later")
        scores = []
        for execution in range(self.executions_per_trial):
            losses = []
            for epoch in range(3):
                if self.dies_after == 0:
                    raise KeyboardInterrupt
                self.dies_after = None if self.dies_after is None else self.dies_after - 1
                losses.append(math.nan if values["x"] > 0.8 else values["x"] + execution + 1 / (epoch + 1))
                if self.record(EpochEnded(number, execution, epoch, {"val_loss": losses[-1]})):
                    break
            self.record(ExecutionEnded(number, execution, number, losses[-1], len(losses) - 1, time.time(), 0.1))
            scores.append({"val_loss": losses[-1]})
        return scores


def space():
    found = keras_tuner.HyperParameters()
    found.Choice("x", [0.5, 0.1, 0.9, 0.6, 0.3, 0.4, 0.45, 0.55, 0.7, 0.75])
    return found


def light(directory, log=("tensorboard",), trials=6, **options):
    oracle = keras_tuner.oracles.GridSearchOracle("val_loss", trials, hyperparameters=space())
    arguments = {"directory": directory.parent, "project_name": directory.name, "log": log, **options}
    return Light(oracle, **arguments)


def states(directory):
    return {trial.number: trial.state for trial in SearchResult.load(directory).trials}


def test_every_state_is_recorded(here):
    light(here, ("tensorboard", "mlflow"), trials=10, pruner="median", executions_per_trial=2).search(verbose=0)
    found = states(here)
    assert set(found.values()) == {"completed", "pruned", "diverged", "failed"}
    runs, _ = in_mlflow(here)
    assert {trial: run.data.tags["state"] for (_, trial, _), run in runs.items()} == found
    status = {"completed": "FINISHED", "diverged": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
    assert {trial: run.info.status for (_, trial, _), run in runs.items()} == {n: status[state] for n, state in found.items()}
    failed = next(run for (_, trial, _), run in runs.items() if found[trial] == "failed")
    assert failed.data.tags["message"] == "RuntimeError: no luck"
    assert all(math.isnan(run.data.metrics["val_loss"]) for (_, n, _), run in runs.items() if found[n] == "diverged")
    trials = SearchResult.load(here).trials
    assert trials[0].hyperparameters["late"] == "later"  # declared while it ran
    for number, state in found.items():
        folder = here / f"tensorboard/{number}/execution0"
        assert status_in_tensorboard(folder) == (2 if state == "failed" else 1)
        assert hparams_in(folder) == trials[number].hyperparameters
    assert {execution for (_, n, execution) in runs if found[n] == "completed"} == {0, 1}


def test_an_interrupted_search_that_goes_on_has_each_run_once_and_whole(here):
    whole = here / "whole"
    light(whole, None).search(verbose=0)
    tuner = light(here, ("tensorboard", "mlflow"))
    tuner.dies_after = 4  # in the second trial that trains
    with pytest.raises(KeyboardInterrupt):
        tuner.search(verbose=0)
    before, _ = in_mlflow(here)
    assert [run.info.status for run in before.values()].count("KILLED") == 1
    light(here, ("tensorboard", "mlflow")).search(verbose=0)
    assert states(here) == states(whole)
    runs, client = in_mlflow(here)
    assert {key[1:] for key in runs} == {(number, 0) for number in states(whole)}
    ended = {key: run.info.run_id for key, run in before.items() if run.info.status != "KILLED"}
    assert {key: runs[key].info.run_id for key in ended} == ended
    shown = in_tensorboard(here / "tensorboard")
    for trial in SearchResult.load(here).trials:
        for curve in trial.curves:
            expected = [math.nan if value is None else value for value in curve["val_loss"]]
            history = client.get_metric_history(runs["", trial.number, 0].info.run_id, "val_loss")
            assert sorted(each.step for each in history) == list(range(3))
            assert [value for _, value in shown[f"{trial.number}/execution0"]["val_loss"]] == pytest.approx(expected, nan_ok=True)


def test_a_search_that_goes_on_with_another_log_logs_what_was_there_before(here):
    light(here, None, trials=3).search(verbose=0)
    light(here, "mlflow", trials=5).search(verbose=0)
    runs, _ = in_mlflow(here)
    assert {key[1] for key in runs} == set(range(5))
    assert {trial: run.data.tags["state"] for (_, trial, _), run in runs.items()} == states(here)


def test_failed_trials_that_are_tried_again_are_logged_anew(here, monkeypatch):
    light(here).search(verbose=0)
    assert "failed" in states(here).values()
    monkeypatch.setattr(Light, "run_trial", lambda self, trial, *args, **kwargs: 1.0)
    light(here, retry_failed=True).search(verbose=0)
    assert set(states(here).values()) == {"completed", "diverged"}
    assert all(status_in_tensorboard(here / f"tensorboard/{number}/execution0") == 1 for number in states(here))


def test_a_search_that_starts_over_leaves_none_of_the_old_runs(here):
    for trials in (5, 2):
        light(here, ("tensorboard", "mlflow"), trials=trials, overwrite=True).search(verbose=0)
    runs, _ = in_mlflow(here)
    assert {key[1] for key in runs} == {0, 1}
    assert {name.partition("/")[0] for name in in_tensorboard(here / "tensorboard")} | {"0", "1"} == {"0", "1"}


def test_the_trial_of_a_worker_that_died_is_one_run(here):
    dies = iter([True])

    def script(number):
        if number == 1 and next(dies, False):
            return [("event", EpochEnded(1, 0, epoch, {"val_loss": 9.0})) for epoch in (0, 1)] + [("dead", "died")]
        return trained(number)

    oracle = keras_tuner.oracles.GridSearchOracle("val_loss", 3, hyperparameters=space())
    place = {"directory": here.parent, "project_name": here.name, "log": ("tensorboard", "mlflow")}
    tuning.Tuner(oracle, lambda hp: None, engine=ScriptedPool(script), **place).search(verbose=0)
    runs, client = in_mlflow(here)
    assert {key[1] for key in runs} == {0, 1, 2}
    assert [(each.step, each.value) for each in client.get_metric_history(runs["", 1, 0].info.run_id, "val_loss")] == [(0, 0.5)]
    assert in_tensorboard(here / "tensorboard")["1/execution0"]["val_loss"] == [(0, 0.5)]


def test_a_trial_that_begins_again_has_none_of_what_it_reported_before(here):
    """As one that was trained together with others, which failed."""

    class Again(Light):
        def run_trial(self, trial, *args, **kwargs):
            self.record(EpochEnded(int(trial.trial_id), 0, 0, {"val_loss": 9.0}))
            self.ledger.begin_again(trial)
            return super().run_trial(trial, *args, **kwargs)

    oracle = keras_tuner.oracles.GridSearchOracle("val_loss", 1, hyperparameters=space())
    Again(oracle, directory=here.parent, project_name=here.name, log="tensorboard").search(verbose=0)
    (trial,) = SearchResult.load(here).trials
    assert in_tensorboard(here / "tensorboard")["0/execution0"]["val_loss"] == points(trial.curves[0]["val_loss"])


def test_a_trial_that_continues_another_has_the_whole_curve(here):
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Choice("x", [0.3, 0.4, 0.5])
    oracle = keras_tuner.oracles.HyperbandOracle("val_loss", max_epochs=3, factor=3, hyperparameters=hyperparameters, seed=1)

    class Continues(Light):
        def run_trial(self, trial, *args, **kwargs):
            number, asked = int(trial.trial_id), self.ledger.assignment(trial)
            first, last = int(asked.begin[0]) if asked.begin else 0, trial.hyperparameters.values["tuner/epochs"]
            for epoch in range(first, last):
                self.record(EpochEnded(number, 0, epoch, {"val_loss": 1.0 + number + epoch}))
            self.record(Left(number, 0, last, str(last).encode()))
            self.record(ExecutionEnded(number, 0, number, 1.0 + number, 0, time.time(), 0.1))
            return 1.0 + number

    Continues(oracle, directory=here.parent, project_name=here.name, log="tensorboard").search(verbose=0)
    result, shown = SearchResult.load(here), in_tensorboard(here / "tensorboard")
    longest = max(result.trials, key=lambda trial: len(trial.curves[0]["val_loss"]))
    assert len(longest.curves[0]["val_loss"]) == 3
    for trial in result.trials:
        assert shown[f"{trial.number}/execution0"]["val_loss"] == points(trial.curves[0]["val_loss"])


# -- clients that fail ----------------------------------------------------------------------------


class Broken:
    """A tracker that cannot do anything, or takes for ever."""

    where = "nowhere"

    def __init__(self, hangs):
        self._hangs = hangs

    def __getattr__(self, name):
        def do(*arguments):
            if self._hangs:
                time.sleep(3600)
            if name == "epoch_ended":
                raise OSError("the server is gone")
            return {}

        return do


@pytest.mark.parametrize(
    ("hangs", "words"), [(False, "OSError: the server is gone; the same command"), (True, "it did not answer for 0.2 seconds")]
)
def test_a_client_that_fails_is_said_once_and_the_search_goes_on(hangs, words, here, monkeypatch):
    light(here / "alone", None).search(verbose=0)
    monkeypatch.setattr("tuning.trackers.background.STALLED_SECONDS", 0.2)
    make = following.make_tracker
    monkeypatch.setattr(following, "make_tracker", lambda name, place: Broken(hangs) if name == "mlflow" else make(name, place))
    with pytest.warns(RuntimeWarning) as warned:
        light(here, ("mlflow", "tensorboard")).search(verbose=0)
    (said,) = (str(each.message) for each in warned if "MLflow" in str(each.message))
    assert said.startswith("MLflow is told no more of the search, as ")
    assert words in said
    assert states(here) == states(here / "alone")
    assert len(in_tensorboard(here / "tensorboard")) == 6  # whoever else is told is told on


def test_a_person_who_watches_reads_it_in_the_view(here, monkeypatch, capsys):
    monkeypatch.setattr(following, "make_tracker", lambda name, place: Broken(False))
    light(here, "mlflow").search()
    stderr = capsys.readouterr().err
    assert stderr.count("runs are logged to MLflow: nowhere") == 1
    assert stderr.count("MLflow is told no more of the search, as OSError: the server is gone") == 1


def test_a_client_that_is_missing_is_one_sentence_before_anything_is_done(command, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    for words in (["tune", "adam"], ["compare", "adam", "momentum"]):
        status, stdout, stderr = command(*words, "--log", "tensorboard", "--log", "wandb", "--directory", "out")
        assert (status, stdout) == (2, "")
        wanted = "Logging to Weights & Biases needs the package wandb: pip install 'keras-optims[wandb]'."
        assert one_sentence(stderr) == wanted
    with pytest.raises(SearchError, match="needs the package wandb"):
        light(tmp_path / "out", "wandb")
    assert not (tmp_path / "out").exists()


def test_a_name_that_there_is_not_is_one_sentence(command, tmp_path):
    status, _, stderr = command("tune", "adam", "--log", "mlfow")
    assert status == 2
    assert "one or several of tensorboard, mlflow, wandb; received 'mlfow'. Did you mean mlflow?" in stderr
    with pytest.raises(SearchError, match="received 'comet'"):
        light(tmp_path, "comet")
    with pytest.raises(SearchError, match=r"log must be one or several of .*; received 3"):
        tuning.Plan(optimizers=["adam"], log=3)
    assert tuning.Plan(optimizers=["adam"], log=["mlflow", "mlflow"]).log == ("mlflow",)
    assert tuning.Plan(optimizers=["adam"], log=None).log == ()


def test_a_server_that_is_not_there_is_one_sentence_before_anything_is_done(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(SearchError, match=r"reached at http://127.0.0.1:9 \(.*refused\): start it, change") as raised:
        light(tmp_path / "out", "mlflow").search(verbose=0)
    assert "secret" not in str(raised.value)
    assert not (tmp_path / "out" / "search.sqlite").exists()


# -- exports --------------------------------------------------------------------------------------


def test_a_finished_search_is_exported_once(command, here):
    directory = make_search(here / "search", FEW)
    shutil.copytree(here / "mlflow", directory / "mlflow")
    for _ in range(2):
        status, stdout, _ = command("export", "search", "--to", "mlflow", "--json")
        assert (status, load(stdout)) == (0, {"files": ["mlflow ui --backend-store-uri sqlite:///search/mlflow/mlflow.db"]})
        runs, client = in_mlflow(directory)
        ended = [number for number, state in enumerate(FEW) if state != "running"]
        assert {key[1] for key in runs} == set(ended)
        ids = {key: run.info.run_id for key, run in runs.items()}
    assert {key: run.info.run_id for key, run in in_mlflow(directory)[0].items()} == ids
    result = SearchResult.load(directory)
    run = runs["", 3, 1]
    assert run.info.start_time == 1000_000
    assert run.data.metrics["score"] == result.trials[3].executions[1]
    history = client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [each.value for each in history] == result.trials[3].curves[1]["val_accuracy"]
    status, stdout, _ = command("export", "search", "--to", "tensorboard", "--output", "elsewhere")
    assert (status, stdout) == (0, "tensorboard --logdir elsewhere/tensorboard\n")
    assert in_tensorboard(here / "elsewhere/tensorboard")["3/execution1"]["val_accuracy"] == points(
        result.trials[3].curves[1]["val_accuracy"]
    )
    make_search(here / "other", ("completed",) * 2)
    status, _, stderr = command("export", "other", "--to", "tensorboard", "--output", "elsewhere")
    assert status == 2
    assert one_sentence(stderr) == "elsewhere/tensorboard has the runs of another search: choose another folder."
    with Store.open(directory) as store:
        add_trial(store, len(FEW))
    command("export", "search", "--to", "tensorboard", "--output", "elsewhere")
    assert f"{len(FEW)}/execution0" in in_tensorboard(here / "elsewhere/tensorboard")


def test_a_comparison_is_one_experiment(command, here):
    directory = here / "compared"
    for name in ("adam", "adam-confirmation"):
        confirms = {"confirms": {"learning_rate": 0.01}} if "-" in name else {}
        make_search(directory / name, ("completed",) * 2, {**confirms, "repeats": 1}, executions=1)
    shutil.copy(make_comparison(here / "large", ("adam",)) / "comparison.json", directory)
    shutil.copytree(here / "mlflow", directory / "mlflow")
    assert command("export", "compared", "--to", "mlflow")[0] == 0
    runs, _ = in_mlflow(directory)
    assert {(*key, run.info.run_name, run.data.tags["phase"]) for key, run in runs.items()} == {
        ("adam", 0, 0, "adam trial 0", "search"),
        ("adam", 1, 0, "adam trial 1", "search"),
        ("adam-confirmation", 0, 0, "adam-confirmation trial 0", "confirmation"),
        ("adam-confirmation", 1, 0, "adam-confirmation trial 1", "confirmation"),
    }
    assert command("export", "compared", "--to", "tensorboard")[0] == 0
    assert set(in_tensorboard(directory / "tensorboard")) == {
        f"{name}/{trial}/execution0" for name in ("adam", "adam-confirmation") for trial in (0, 1)
    }
    shown = hparams_in(directory / "tensorboard/adam/1/execution0")
    assert (shown["optimizer"], shown["phase"]) == (CONFIG["optimizer"], "search")
