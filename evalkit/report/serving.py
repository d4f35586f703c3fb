"""A report at an address of this machine, built again whenever the runs that it shows have changed.

Only the page itself is served, from memory: no path of a request reaches the disk. A request must name the address that
is served in its Host header, so that a foreign web page cannot read the report through a name of its own that leads
here (DNS rebinding).
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from evalkit.errors import EvalkitError, UsageError
from evalkit.files import digest
from evalkit.report.measurements import sources

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_LOCAL = (LOOPBACK, "localhost")
# Seconds between two looks at the runs; after building a page, at least this many times as long as that took.
_EVERY = 2.0
_REST = 4.0
# Files of a run folder that a report depends on.
_FILES = ("manifest.json", "records.jsonl", "results.json")


@dataclass(frozen=True)
class Page:
    """What is served: the page, the state of the runs that it shows, and why a newer one could not be built."""

    html: bytes = b""
    version: str = ""
    problem: str = ""


class ReportServer(ThreadingHTTPServer):
    """Serves one page. Raises UsageError for an address that cannot be served."""

    daemon_threads = True

    def __init__(self, host: str = LOOPBACK, port: int = 0):
        self.page = Page()
        self.host, self.local = host, host in _LOCAL
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            raise _unavailable(host, port, error) from None

    def server_bind(self) -> None:
        """Bind without asking a name server for this machine's name, as http.server does."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://{self.host}:{self.server_port}/"

    def allows(self, host: str) -> bool:
        """Whether a request's Host header may be answered; on a public address any name may lead here."""
        return not self.local or host in {f"{name}:{self.server_port}" for name in _LOCAL}

    def handle_error(self, request: object, client_address: object) -> None:
        """Note a broken connection; the standard server would print a traceback."""
        log.debug("a request from %s was broken off", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the page and its version."""

    server: ReportServer
    server_version = "evalkit"

    def do_GET(self) -> None:
        """Answer with the body."""
        if body := self._head():
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Answer without it."""
        self._head()

    def _head(self) -> bytes:
        """Send the status and the headers; return the body."""
        page = self.server.page
        if not self.server.allows(self.headers.get("Host", "")):
            return self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this report is served to its own address only\n")
        path = urlsplit(self.path).path
        if path == "/":
            return self._send(HTTPStatus.OK, "text/html", page.html)
        if path == "/version":
            body = json.dumps({"version": page.version, "problem": page.problem})
            return self._send(HTTPStatus.OK, "application/json", body.encode())
        return self._send(HTTPStatus.NOT_FOUND, "text/plain", b"the report is at /\n")

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> bytes:
        self.send_response(status)
        headers: Mapping[str, str] = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": "frame-ancestors 'none'",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        return body

    def log_message(self, format: str, *arguments: object) -> None:
        """Log a request for those who want details."""
        log.debug(format, *arguments)


def _unavailable(host: str, port: int, error: Exception) -> UsageError:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return UsageError(f"port {port} of {host} is in use; choose another with --port, or any free one with --port 0")
    if number == errno.EACCES:
        return UsageError(f"port {port} needs more rights than yours; choose one above 1023 with --port")
    return UsageError(f"cannot serve at {host}, port {port} ({getattr(error, 'strerror', None) or error})")


@contextlib.contextmanager
def serving(host: str, port: int) -> Iterator[ReportServer]:
    """Answer requests in threads beside the block."""
    with ReportServer(host, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


Build = Callable[[str], str]  # the version of a page -> the page


def first_page(server: ReportServer, build: Build, places: Sequence[Path]) -> None:
    """Build the page and serve it. places: the runs, or folders of them. Raises what building it raises."""
    version = state(places)
    server.page = Page(build(version).encode(), version)


def follow(server: ReportServer, build: Build, places: Sequence[Path], *, every: float = _EVERY) -> None:
    """Build the page again whenever the runs have changed, until the process is interrupted.

    every: seconds between two looks. Where a page cannot be built, the one before it stays, with the reason.
    """
    seen, rest = server.page.version, every
    while True:
        time.sleep(rest)
        began = time.monotonic()
        if (version := state(places)) != seen:
            seen = version
            try:
                server.page = Page(build(version).encode(), version)
                log.info("the runs have changed: the page is new")
            except (EvalkitError, OSError) as error:
                server.page = replace(server.page, problem=str(error))
                log.warning("the page could not be built again: %s", error)
        rest = max(every, _REST * (time.monotonic() - began))


def state(places: Iterable[Path]) -> str:
    """Return a digest of the files that a report of these places reads: their paths, sizes and times."""
    files = []
    for place in places:
        for source in sources(place, []) if place.exists() else ():
            for path in (source / name for name in _FILES) if source.is_dir() else (source,):
                with contextlib.suppress(OSError):
                    facts = path.stat()
                    files.append((str(path), facts.st_size, facts.st_mtime_ns))
    return digest(repr(sorted(files)))
