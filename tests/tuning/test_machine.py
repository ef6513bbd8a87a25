"""What a search remembers of where it ran, and that it may go on elsewhere."""

import json

import keras

from tuning import SearchResult, search
from tuning.runtime.machine import machine, versions
from tuning.study.identity import check_same_search


def test_machine_and_versions_are_plain_facts():
    found = machine()
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"platform", "processor", "cores", "memory_gib", "accelerators"}
    assert found["cores"] >= 1
    assert isinstance(found["accelerators"], list)
    assert versions()["keras"] == keras.__version__


def test_they_are_kept_and_another_machine_goes_on_with_the_search(tiny, tmp_path):
    search("adam", tiny, trials=1, epochs=1, directory=tmp_path / "search", progress=False)
    config = SearchResult.load(tmp_path / "search").config
    assert config["machine"] == machine()
    check_same_search({**config, "machine": {"cores": 1000}, "versions": {}}, config, "here")
