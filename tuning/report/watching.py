"""What a page says, renewed as its stores change, for the server that shows it."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import itertools
import pathlib
import threading
import time
from collections.abc import Sequence

from tuning.errors import SearchError, one_line
from tuning.report import content_of, page
from tuning.report.importance import Importance, importance
from tuning.report.page import Content
from tuning.report.trials import curves
from tuning.results.comparison import FILE_NAME as COMPARISON
from tuning.results.search import SearchResult
from tuning.store import database as stores
from tuning.store.lock import is_running

LOOK_EVERY = 0.4  # seconds
WATCHED_FOR = 30.0  # seconds after the last request: then nobody looks, and nothing is renewed
MOST_SHARE = 0.25  # of the time goes into renewing, so that a search of thousands of trials keeps its processor
LONGEST_PAUSE = 10.0  # seconds
SHOWN_RUNNING = 5.0  # seconds after which a page of a search that runs is renewed even if the store is not


@dataclasses.dataclass(frozen=True)
class Version:
    """What was made from the stores at one time.

    Args:
        tag: another one whenever the page is another one.
        html: the page itself.
        data: what its script renews, as JSON; `packed`: the same as gzip.
    """

    tag: str
    html: bytes
    data: bytes
    packed: bytes


class Watched:
    """Keeps the newest version of a page while somebody looks at it.

    Args:
        folders: of searches or comparisons.

    Raises:
        SearchError: they cannot be read now. Later that is said on the page, until they can be read again.
    """

    def __init__(self, folders: Sequence[pathlib.Path]):
        self._folders = list(folders)
        self._importance = _Importance()
        self._asked = time.monotonic()
        self._wake, self._ended = threading.Event(), threading.Event()
        self._content: Content
        self._seen: tuple = ()  # what takes long is not in the first version, which is there at once
        self.version = self._make("")
        self._thread = threading.Thread(target=self._renew, name="report", daemon=True)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._ended.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def asked(self) -> Version:
        """The newest version; somebody looks at it."""
        self._asked = time.monotonic()
        self._wake.set()
        return self.version

    def curves(self, index: int, number: int) -> bytes | None:
        """All epochs of a trial as JSON; `None` if there is no such search or trial."""
        searches = self._content.found
        trials = searches[index].trials if index < len(searches) else []
        found = next((trial for trial in trials if trial.number == number), None)
        return None if found is None else page.as_json(curves(found)).encode()

    # -- renewing ---------------------------------------------------------------------------------

    def _renew(self) -> None:
        while not self._ended.wait(LOOK_EVERY):
            if time.monotonic() - self._asked > WATCHED_FOR:
                self._wake.clear()
                self._wake.wait()
            now, begun = self._fingerprint(), time.monotonic()
            if now == self._seen or self._ended.is_set():
                continue
            try:
                self.version, self._seen = self._make(""), now
            except Exception as error:  # the page says it, and stays as it was until its stores can be read again
                self.version, self._seen = self._make(str(error) if isinstance(error, SearchError) else one_line(error)), ()
            self._ended.wait(min((time.monotonic() - begun) / MOST_SHARE, LONGEST_PAUSE))

    def _make(self, trouble: str) -> Version:
        if not trouble:
            self._content = content_of(self._folders, live=True, told=self._importance)
        content = self._content
        data = page.as_json(
            {
                **content.data,
                "title": content.title,
                "subtitle": content.subtitle,
                "body": content.body,
                "trouble": f"The page cannot be renewed: {trouble}" if trouble else "",
            }
        ).encode()
        tag = hashlib.sha256(data).hexdigest()[:20]
        return Version(tag, page.render_live(content).encode(), data, gzip.compress(data, 4, mtime=0))

    def _fingerprint(self) -> tuple:
        """Something that is another whenever a store was written, or a search began or ended."""
        found: list = [self._importance.times]
        for folder in self._folders:
            found.append(_written(folder / COMPARISON))
            for place in (folder, *_inside(folder)):
                running = is_running(place)
                # What runs goes on, also while nothing is written.
                clock = int(time.monotonic() / SHOWN_RUNNING) if running else 0
                found.append((stores.fingerprint(place), running, clock))
        return tuple(found)


class _Importance:
    """Measuring it takes seconds: it is measured beside, and anew when a tenth more trials have completed or the search ends."""

    def __init__(self) -> None:
        self.times = 0  # that it was measured
        self._found = Importance(None, "It is being measured.")
        self._of = (0, False)  # how many completed trials, and whether the search was over
        self._thread: threading.Thread | None = None

    def __call__(self, search: SearchResult) -> Importance:
        """What was measured last."""
        completed, over = search.count("completed"), not search.is_running
        before, ended = self._of
        wanted = (completed >= 1.1 * before and completed > before) or ((over, completed) != (ended, before) and over)
        if (wanted or not self.times) and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._measure, args=(search, (completed, over)), daemon=True)
            self._thread.start()
        return self._found

    def _measure(self, search: SearchResult, of: tuple[int, bool]) -> None:
        try:
            self._found = importance(search)
        except Exception as error:
            self._found = Importance(None, f"It cannot be measured: {one_line(error)}")
        self._of = of
        self.times += 1


def _written(path: pathlib.Path) -> tuple[int, int] | None:
    """Which file this is, and when it was written."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _inside(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of a comparison's searches, and of others below this one."""
    return sorted(path.parent for path in itertools.islice(folder.glob(f"*/{stores.FILE_NAME}"), 1000))
