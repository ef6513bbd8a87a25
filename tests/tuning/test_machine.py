"""What a search remembers of where it ran, and that it may go on elsewhere."""

import json
import math

import keras

from tuning import SearchResult, search
from tuning.runtime.machine import _free_in_the_container, _free_of_the_machine, free_memory, machine, versions
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


def test_what_memory_is_free_is_read_from_the_system_and_from_the_container(tmp_path):
    def write(files):
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)

    write({"proc/meminfo": "MemTotal: 100 kB\nMemAvailable:    50 kB\n"})
    assert _free_of_the_machine(tmp_path) == 50 * 1024
    assert _free_in_the_container(tmp_path) == math.inf
    old = {"limit_in_bytes": "900", "usage_in_bytes": "500", "stat": "inactive_file 7\ntotal_inactive_file 100\n"}
    write({f"sys/fs/cgroup/memory/memory.{name}": content for name, content in old.items()})
    assert _free_in_the_container(tmp_path) == 500
    write({f"sys/fs/cgroup/memory.{name}": content for name, content in {"max": "max\n", "current": "300"}.items()})
    assert _free_in_the_container(tmp_path) == 500  # "max" says nothing
    write({"sys/fs/cgroup/memory.max": "600", "sys/fs/cgroup/memory.stat": "file 9\ninactive_file 50\n"})
    assert _free_in_the_container(tmp_path) == 350
    assert free_memory() is None or 0 < free_memory() < 2**50
