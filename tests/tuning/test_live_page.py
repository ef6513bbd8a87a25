"""The page that lives: what the server answers and what it refuses, and that it follows its stores without touching them."""

import gzip
import hashlib
import html
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.tuning.hand_made import CONFIG, MIXED, add_trial, make_comparison, make_search
from tuning import Store
from tuning.command.line import main
from tuning.errors import SearchError
from tuning.report import watching
from tuning.report.server import Server, serve
from tuning.results.search import SearchResult
from tuning.store.lock import Lock

pytestmark = pytest.mark.backend("tensorflow")  # what reads a store uses no backend; once is enough


class Page:
    """A page that is served, and a client of it."""

    def __init__(self, *folders):
        self.watched = watching.Watched(list(folders))
        self.server = Server(self.watched)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = self.server.url

    def __enter__(self):
        self.watched.__enter__()
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.server.shutdown()
        self.server.server_close()
        self.watched.__exit__()

    def ask(self, path, method="GET", **headers):
        """The response with its body in `content`."""
        connection = http.client.HTTPConnection(self.host, timeout=10)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            response.content = response.read()
            return response
        finally:
            connection.close()

    def data(self):
        return json.loads(self.ask("/data.json").content)

    def wait(self, holds):
        """The data, once they are as expected."""
        for _ in range(200):
            data = self.data()
            if holds(data):
                return data
            time.sleep(0.05)
        pytest.fail(f"The page is not renewed: {data['subtitle']}, {data['trouble']}")


def contents(folder):
    """What a folder holds, but for the moments of a log that SQLite's readers make."""
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).digest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".sqlite-wal", ".sqlite-shm")
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_search(tmp_path_factory.mktemp("live") / "search", MIXED)


@pytest.fixture(scope="module")
def page(folder):
    with Page(folder) as page:
        page.wait(lambda data: "chart-importance" in data["figures"])  # which is measured beside
        yield page


def test_the_page_and_what_it_fetches(page):
    whole = page.ask("/")
    assert whole.status == 200
    text = html.unescape(whole.content.decode())
    assert "adam on digits_mlp" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "script-src 'self'" in text
    assert "unsafe-eval" not in text
    script = page.ask("/plotly.js", Accept_Encoding="gzip")
    assert script.headers["Content-Encoding"] == "gzip"
    assert b"plotly.js v" in gzip.decompress(script.content)
    assert page.ask("/plotly.js").content == gzip.decompress(script.content)
    packed = page.ask("/data.json", Accept_Encoding="gzip, br")
    data = json.loads(gzip.decompress(packed.content))
    assert data == page.data()
    assert data["figures"].keys() >= {"chart-curves", "chart-parallel"}
    assert [search["ended"] for search in data["searches"]] == [18]
    for answer in (whole, script, packed):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_what_has_not_changed_is_not_sent_again(page):
    tag = page.ask("/data.json").headers["ETag"]
    again = page.ask("/data.json", If_None_Match=tag)
    assert (again.status, again.content) == (304, b"")
    assert page.ask("/data.json", If_None_Match='"another"').status == 200


def test_a_head_has_no_body(page):
    answer = page.ask("/", method="HEAD")
    assert (answer.status, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 1000


def test_all_epochs_of_a_trial(page):
    curves = json.loads(page.ask("/curves/0/3.json").content)
    assert curves["loss"] == [[3, [1.0, 0.5, 0.33333]]] * 2
    assert page.ask("/curves/0/99.json").status == 404
    assert page.ask("/curves/7/0.json").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "MKCOL"])
def test_only_reading_is_allowed(page, method):
    answer = page.ask("/", method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/search.sqlite",
            "/../search.sqlite",
            "/%2e%2e/search.sqlite",
            "//etc/passwd",
            "/report.html",
            "/curves/0/../../etc/passwd",
        ),
        *(
            "/curves/0/-1.json",
            "/curves/a/1.json",
            "/curves/0/1.json/",
            "/data.json/",
            "/page.css",
            "/curves/0/99999999999999.json",
        ),
    ],
)
def test_no_path_is_that_of_a_file(page, path):
    assert page.ask(path).status == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost.evil.example:{port}", ""])
def test_a_name_that_points_here_reads_nothing(page, host):
    answer = page.ask("/data.json", Host=host.format(port=page.server.server_port))
    assert answer.status == 421
    assert b"adam" not in answer.content
    assert page.ask("/data.json", Host=f"localhost:{page.server.server_port}").status == 200


def test_the_server_listens_on_this_machine_alone(page):
    assert page.server.socket.getsockname()[0] == "127.0.0.1"


def test_looking_changes_nothing(page, folder):
    before = contents(folder)
    for path in ("/", "/data.json", "/plotly.js", "/curves/0/1.json", "/nothing"):
        page.ask(path)
        page.ask(path, method="POST")
    assert contents(folder) == before


def test_the_page_follows_a_search_that_another_connection_writes(tmp_path):
    folder = make_search(tmp_path / "search", ("completed",) * 3)
    with Page(folder) as page, Lock(folder):
        page.wait(lambda data: data["searches"][0]["running"])
        with Store.open(folder) as store:
            add_trial(store, 3, "running", trained=1)
            running = page.wait(lambda data: len(data["searches"][0]["trials"]) == 4)
            assert "it is running" in running["subtitle"]
            assert 'id="running"' in running["body"]
            assert running["searches"][0]["trials"][3]["epochs"] == "1 of 3"
            assert running["searches"][0]["ended"] == 3
            store.add_epoch(3, 0, 1, {"loss": 0.1, "val_accuracy": 0.7})
            page.wait(lambda data: data["searches"][0]["trials"][3]["epochs"] == "2 of 3")
            store.end_trial(3, "completed", 0.99, {}, {})
            page.wait(lambda data: "0.99" in data["body"] and "The trials that run now" not in data["body"])


def test_a_store_that_cannot_be_read_is_said_until_it_can(tmp_path):
    folder = make_search(tmp_path / "search", ("completed",) * 3)
    with Page(folder) as page:
        aside = shutil.move(folder / "search.sqlite", tmp_path / "aside")
        troubled = page.wait(lambda data: data["trouble"])
        assert "There is no search in" in troubled["trouble"]
        assert len(troubled["searches"][0]["trials"]) == 3  # as it was last
        shutil.move(aside, folder / "search.sqlite")
        page.wait(lambda data: not data["trouble"])


def test_nothing_is_renewed_while_nobody_looks(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "WATCHED_FOR", 0.1)
    monkeypatch.setattr(watching, "LOOK_EVERY", 0.05)
    folder = make_search(tmp_path / "search", ("completed",) * 2)
    with Page(folder) as page:
        time.sleep(0.5)
        made = page.watched.version
        with Store.open(folder) as store:
            add_trial(store, 2)
        time.sleep(0.5)
        assert page.watched.version is made
        page.wait(lambda data: len(data["searches"][0]["trials"]) == 3)


def test_a_comparison_that_runs_is_as_its_stores_are(tmp_path):
    folder = make_comparison(tmp_path / "comparison")
    path = folder / "comparison.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"complete": False}))
    with Page(folder) as page:
        assert "The comparison is not complete yet" in page.data()["body"]
        with Store.open(folder / "momentum") as store:
            add_trial(store, 16)
        data = page.wait(lambda data: max(len(search["trials"]) for search in data["searches"]) == 17)
        assert "17 completed" in data["body"]


def test_several_searches_live_side_by_side(tmp_path):
    folders = [make_search(tmp_path / name, ("completed",) * 3, {"optimizer": name}) for name in ("adam", "momentum")]
    with Page(*folders) as page:
        with Store.open(folders[1]) as store:
            add_trial(store, 3)
        page.wait(lambda data: [len(search["trials"]) for search in data["searches"]] == [3, 4])
        assert json.loads(page.ask("/curves/1/3.json").content)["loss"]


def test_a_search_of_500_trials_is_answered_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("tuning.report.importance.MOST_TRIALS", 20)
    folder = tmp_path / "search"
    with Store.create(folder, {**CONFIG, "trials": 500}, {}) as store:
        store._connection.execute("PRAGMA synchronous = OFF")
        for number in range(500):
            add_trial(store, number, executions=1)
    with Page(folder) as page:
        times = []
        for path in ("/", "/data.json", "/curves/0/499.json") * 5:
            begun = time.perf_counter()
            assert page.ask(path, Accept_Encoding="gzip").status == 200
            times.append(time.perf_counter() - begun)
        assert sorted(times)[-3] < 0.2


# -- the command ----------------------------------------------------------------------------------


def test_the_command_says_where_the_page_is_and_ends_with_ctrl_c(folder):
    command = [sys.executable, "-m", "tuning", "report", str(folder), "--watch", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=pathlib.Path(__file__).parents[2], text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        url = json.loads(process.stdout.readline())["url"]
        assert url.startswith("http://127.0.0.1:")
        connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert said == "Renewed as the search goes on; Ctrl-C ends it.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "8000"], "--port is for --watch"),
        (["--watch", "--port", "70000"], "must be an int from 0 to 65535"),
        (["--watch", "--output", "x.html"], "--watch writes no file"),
    ],
)
def test_what_does_not_fit_is_said(folder, capsys, words, message):
    assert main(["report", str(folder), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_and_a_folder_without_a_search(folder, page, tmp_path, capsys):
    with pytest.raises(SearchError, match="choose another --port"):
        serve([folder], port=page.server.server_port)
    assert main(["report", str(tmp_path), "--watch"]) == 2
    assert "There is no search in" in capsys.readouterr().err


def test_opening_asks_the_browser(folder, tmp_path, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert main(["report", str(folder), "--open", "--output", str(tmp_path / "x.html")]) == 0
    assert opened == [(tmp_path / "x.html").as_uri()]
    assert os.path.samefile(capsys.readouterr().out.strip(), tmp_path / "x.html")


def test_who_looks_does_not_keep_a_search_from_beginning(tmp_path):
    make_search(tmp_path / "search", ("completed",))
    looked = threading.Event()

    def look():
        while not looked.is_set():
            SearchResult.load(tmp_path / "search").is_running  # noqa: B018

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with Lock(tmp_path / "search"):
                pass
    finally:
        looked.set()
        thread.join()
