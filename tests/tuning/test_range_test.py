"""`keras-optims range-test`: what it prints and writes, and what it refuses."""

import json
import xml.etree.ElementTree

import numpy as np
import pytest

from tests.tuning.conftest import load, one_sentence
from tuning.experiments.plan import OPTIONS, pairs

pytestmark = pytest.mark.backend("tensorflow")
SMALL = ("--train-samples", 512)
KEPT = "found/range-tests/adam.learning_rate.json\n"


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


def test_the_report_of_its_directory_draws_it(command, tmp_path):
    from tuning.report import content_of

    assert command("range-test", "adam", *SMALL, "--directory", "found")[:2] == (0, KEPT)
    status, out, _ = command("range-test", "keras:Adam", *SMALL, "--directory", "found", "--json", "--out", "a.svg")
    found = load(out)
    assert (status, found["kept"], found["file"]) == (0, "found/range-tests/keras.Adam.learning_rate.json", "a.svg")
    alone = content_of([tmp_path / "found"])
    assert alone.title == "Range tests"
    first, second = (alone.figures[f"chart-range-test-{i}"]["choices"] for i in (1, 2))
    lines = {line["name"]: line for line in next(iter(second.values()))["data"]}
    assert lines["loss of a batch"]["y"] == [float(f"{loss:.6g}") for loss in found["losses"]]
    assert lines["loss of a batch"]["x"] == pytest.approx(np.log10(found["values"]), rel=1e-5)
    assert f"falls most steeply: {found['value']:g}" in lines
    (area,) = next(iter(second.values()))["layout"]["shapes"]
    assert [area["x0"], area["x1"]] == pytest.approx(np.log10(found["range"]))
    assert first != second
    assert f"--search {found['search']}" in alone.body
    budget = ("--trials", 1, "--epochs", 1, *SMALL, "--jit", "off")
    assert command("tune", "adam", *budget, "--directory", "found")[0] == 0
    assert command("report", "found")[0] == 0
    of_search = content_of([tmp_path / "found"])
    assert of_search.found
    assert of_search.figures["chart-range-test-2"] == alone.figures["chart-range-test-2"]


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"title": 1}', "<a value that is no number>", "<more losses>", "<another scale>"]
)
def test_a_damaged_one_is_named(content, command, tmp_path):
    whole = {"title": "t", "hyperparameter": "rate", "symbol": "", "scale": "log", "values": [1.0, 2.0], "losses": [1.0, None]}
    whole |= {"smoothed": [1.0], "value": None, "range": None, "search": None, "diverged_at": 2.0}
    changed = {"<a value that is no number>": {"values": ["1", 2.0]}, "<more losses>": {"losses": [1.0]}}
    changed["<another scale>"] = {"scale": "cubic"}
    path = tmp_path / "found" / "range-tests" / "adam.rate.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(whole))
    assert command("report", "found")[0] == 0
    path.write_text(json.dumps(whole | changed[content]) if content in changed else content)
    status, out, err = command("report", "found")
    assert (status, out) == (2, "")
    assert "found/range-tests/adam.rate.json cannot be read as a range test" in one_sentence(err)


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
