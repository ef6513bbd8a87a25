"""`keras-optims range-test`: what it prints and writes, and what it refuses."""

import xml.etree.ElementTree

import pytest

from tests.tuning.conftest import load, one_sentence
from tuning.experiments.plan import OPTIONS, pairs

pytestmark = pytest.mark.backend("tensorflow")
SMALL = ("--train-samples", 512)


def test_it_suggests_what_a_search_takes_and_draws_it(command, tmp_path):
    status, out, err = command("range-test", "sgd", *SMALL, "--search", "learning_rate=0.001:10", "--fix", "momentum=0.5")
    assert status == 0
    assert out == "range-test-sgd-digits_mlp.png\n"
    assert (tmp_path / out.strip()).read_bytes().startswith(b"\x89PNG")
    assert "the loss falls most steeply at" in err
    (suggested,) = (line.removeprefix("search ") for line in err.splitlines() if line.startswith("search "))
    name, (low, high, scale) = next(iter(pairs(OPTIONS["search"], [suggested]).items()))
    assert (name, scale) == ("learning_rate", "log")
    assert 0.001 <= low < high <= 10


def test_as_json_and_svg_of_what_is_off_by_default(command, tmp_path):
    weight_decay = ("--search", "weight_decay=1e-6:0.1", "--steps", 20)
    status, out, _ = command("range-test", "adam", *SMALL, *weight_decay, "--json", "--out", "sweep.svg")
    assert status in (0, 1)
    found = load(out)
    assert (found["hyperparameter"], len(found["values"]), found["file"]) == ("weight_decay", 20, "sweep.svg")
    assert status == (0 if found["search"] else 1)
    assert xml.etree.ElementTree.parse(tmp_path / "sweep.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("adam", "--search", "beta_3"), "cannot be searched"),
        (("adam", "--search", "batch_size"), "has no hyperparameter 'batch_size'"),
        (("adam", "--search", "learning_rate=0.1,0.2"), "sweeps from LOW to HIGH"),
        (("adam", "--search", "learning_rate", "--search", "beta_1"), "sweeps one hyperparameter"),
        (("adam", "--fix", "learning_rate=1"), "is swept, so it cannot be fixed"),
        (("adam", "--search", "learning_rate=1:0.1"), "LOW < HIGH"),
        (("keras:adam", "--search", "beta_1"), "only learning_rate can be swept"),
        (("adam", "--steps", "3"), "at least 10"),
        (("adam", "--out", "sweep.gif"), ".svg, .png"),
        (("adamm",), "Did you mean adam"),
    ],
)
def test_wrong_input_is_one_sentence(command, words, message):
    status, out, err = command("range-test", *words)
    assert (status, out) == (2, "")
    assert message in one_sentence(err)
