"""A page that lives: a small server for this machine alone, which only reads.

It listens on the loopback address. It answers GET and HEAD, and of the paths that it knows none is that of a file. A request must
name this machine as its host, so that no other site can read through the reader's browser by letting its own name point here.
"""

from __future__ import annotations

import gzip
import http.server
import re
import sys
import threading
import urllib.parse
import webbrowser
from collections.abc import Callable, Sequence
from typing import Any

from tuning.errors import SearchError
from tuning.report import checked, packages_explained

ADDRESS = "127.0.0.1"
TIMEOUT = 30.0  # seconds for which a connection may be silent
_JSON, _HTML, _SCRIPT = "application/json", "text/html; charset=utf-8", "text/javascript; charset=utf-8"


def serve(directories: Sequence[Any], port: int = 0, open_browser: bool = False, ready: Callable[[str], None] = print) -> None:
    """Serves the report of these directories, renewed as the searches go on, until it is interrupted.

    Args:
        directories: as for `tuning.write_report`.
        port: of the loopback address; 0: any that is free.
        open_browser: whether the reader's browser opens it.
        ready: is told the address once it answers.

    Raises:
        SearchError: (a ValueError) a directory cannot be read, or the port is taken.
    """
    with packages_explained():
        from tuning.report.watching import Watched

        watched = Watched(checked(directories))
    try:
        server = Server(watched, port)
    except OSError as error:
        raise SearchError(
            f"The port {port} of {ADDRESS} cannot be used ({error.strerror}): "
            "choose another --port, or leave it out for a free one."
        ) from error
    sys.setswitchinterval(0.001)  # seconds: an answer does not wait for what is renewed beside it
    with watched, server:
        ready(server.url)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        server.serve_forever(poll_interval=0.2)


class Server(http.server.ThreadingHTTPServer):
    """Shows what is watched."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, watched, port: int = 0):
        self.watched = watched
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def handle_error(self, request, client_address) -> None:
        """A reader that goes away in the middle of an answer is no error."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "keras-optims"
    timeout = TIMEOUT
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        if self.headers.get("Host", "") not in self._hosts():
            self._say(421, f"This server answers at {self.server.url} alone.")
            return
        path = urllib.parse.urlsplit(self.path).path
        if path == "/":
            self._send(_HTML, self.server.watched.asked().html)
        elif path == "/data.json":
            self._data()
        elif path == "/plotly.js":
            self._plotly()
        elif match := re.fullmatch(r"/curves/(\d{1,6})/(\d{1,12})\.json", path):
            self._curves(*map(int, match.groups()))
        else:
            self._say(404, "There is nothing here.")

    do_HEAD = do_GET

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Of every other method: it is not allowed."""
        if name.startswith("do_"):
            return self._not_allowed
        raise AttributeError(name)

    def _not_allowed(self) -> None:
        self.close_connection = True  # what else was sent is not read
        self._say(405, "This server only reads: GET and HEAD.", {"Allow": "GET, HEAD"})

    def _data(self) -> None:
        version = self.server.watched.asked()
        tag = f'"{version.tag}"'
        if self.headers.get("If-None-Match") == tag:
            self._send(_JSON, b"", {"ETag": tag}, 304)
        elif self._takes_gzip():
            self._send(_JSON, version.packed, {"ETag": tag, "Content-Encoding": "gzip"})
        else:
            self._send(_JSON, version.data, {"ETag": tag})

    def _plotly(self) -> None:
        from tuning.report.page import packed_plotly

        packed = packed_plotly()
        if self._takes_gzip():
            self._send(_SCRIPT, packed, {"Content-Encoding": "gzip"}, keep=True)
        else:
            self._send(_SCRIPT, gzip.decompress(packed), keep=True)

    def _curves(self, index: int, number: int) -> None:
        found = self.server.watched.curves(index, number)
        if found is None:
            self._say(404, "There is no such trial.")
        else:
            self._send(_JSON, found)

    def _hosts(self) -> set[str]:
        port = self.server.server_port
        return {f"{host}:{port}" for host in (ADDRESS, "localhost")} | ({ADDRESS, "localhost"} if port == 80 else set())

    def _takes_gzip(self) -> bool:
        return "gzip" in self.headers.get("Accept-Encoding", "")

    def _say(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self._send("text/plain; charset=utf-8", f"{text}\n".encode(), headers, status)

    def _send(self, kind: str, body: bytes, headers: dict[str, str] | None = None, status: int = 200, keep: bool = False) -> None:
        self.send_response(status)
        always = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "max-age=86400" if keep else "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if status == 304:
            del always["Content-Type"], always["Content-Length"]
        for name, value in {**always, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            try:
                self.wfile.write(body)
            except (ConnectionError, TimeoutError):
                self.close_connection = True

    def version_string(self) -> str:
        """In the header of each answer."""
        return self.server_version

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for people."""
