"""More epochs than a search that has ended had: its best trials are continued, as if they had been trained longer at once."""

import json
import sqlite3

import pytest

import tuning
from tests.tuning.conftest import JIT, load, one_sentence
from tuning.results.search import SearchResult


def tune(command, *arguments, status=0, optimizer="adam"):
    where = ("--problem", "tiny_problem:make_problem", "--directory", "out", "--jit", JIT, "--json")
    got, stdout, stderr = command("tune", optimizer, *where, *arguments)
    assert got == status, stderr
    return (load(stdout) if status == 0 else None), stderr


def rows(query):
    connection = sqlite3.connect("out/search.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.mark.backend("tensorflow")
def test_more_epochs_continue_the_best_and_the_defaults_of_a_search_that_has_ended(command, tiny):
    first, _ = tune(command, "--trials", 4, "--epochs", 1)
    result, stderr = tune(command, "--trials", 4, "--epochs", 3)
    (said,) = result["config"]["further"]
    continued = said["continues"]
    assert (said["epochs"], said["at"]) == (3, 4)
    assert continued[0] == first["best"]["number"]
    assert set(continued) == {first["best"]["number"], 0}
    assert f"trials {', '.join(map(str, continued))} are continued for 3 epochs in all" in stderr
    assert result["trials"][:4] == first["trials"]
    assert len(result["trials"]) == 4 + len(continued)
    for trial, number in zip(result["trials"][4:], continued, strict=True):
        root = first["trials"][number]
        assert (trial["hyperparameters"], trial["seeds"], trial["epochs"]) == (root["hyperparameters"], root["seeds"], 3)
        assert {name: values[:1] for name, values in trial["curves"][0].items()} == root["curves"][0]
    assert rows("SELECT number, continues, from_epoch FROM trials WHERE continues IS NOT NULL") == [
        (4 + i, number, 0) for i, number in enumerate(continued)
    ]
    assert result["best"]["epochs"] == 3
    assert result["worth"]["defaults"] >= 4
    assert result["epochs_trained"] == 4 + 3 * len(continued)

    again, _ = tune(command, "--trials", 4, "--epochs", 3)
    assert again["trials"] == result["trials"]
    _, stderr = tune(command, "--trials", 4, "--epochs", 1, status=2)
    assert "epochs (3 there, 1 now)" in one_sentence(stderr)
    longer, _ = tune(command, "--trials", len(result["trials"]) + 1, "--epochs", 3)
    assert longer["trials"][-1]["epochs"] == 3
    assert longer["trials"][-1]["hyperparameters"] not in [trial["hyperparameters"] for trial in result["trials"]]


@pytest.mark.backend("tensorflow")
def test_what_has_not_ended_is_not_the_same_search_or_has_a_schedule_of_epochs_is_refused(command, tiny):
    tune(command, "--trials", 1, "--epochs", 1)
    _, stderr = tune(command, "--trials", 1, "--epochs", 2, "--seed", 1, status=2)
    assert "seed (0 there, 1 now)" in one_sentence(stderr)
    _, stderr = tune(command, "--trials", 1, status=2)  # the problem's own number of epochs, which nobody has asked for
    assert "epochs (1 there, 2 now)" in one_sentence(stderr)
    with tuning.Store.open("out") as store:
        store.set_ended(None)
    _, stderr = tune(command, "--trials", 1, "--epochs", 2, status=2)
    assert "has not ended: let it end first (--epochs 1)" in one_sentence(stderr)
    config = SearchResult.load("out").config
    assert config["epochs"] == 1
    assert "further" not in json.dumps(config)
