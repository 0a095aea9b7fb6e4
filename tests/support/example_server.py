"""Run an example as the server process that it is meant to be, and give it a world that is all on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from attrs import frozen

from support.qbittorrent import PASSWORD, USERNAME, free_port
from support.server import Exchange
from support.tracker import Tracker
from support.waiting import wait_until

PATIENCE = 60.0  # seconds for whatever should take few


class ProxyingTracker(Tracker):
    """A tracker that is the server's HTTP proxy as well: what is not its own, it says, is not there.

    Like this no name is looked up, and nothing leaves the machine.

    Attributes:
        delay: Seconds that each answer takes.
        arrived: The path of each request, from the moment on when it came; `asked` has those that were answered.
    """

    def __init__(self) -> None:
        self.delay = 0.0
        self.arrived: list[str] = []
        self._last = time.monotonic()
        super().__init__()

    @property
    def quiet_for(self) -> float:
        """Seconds since it was last asked."""
        return time.monotonic() - self._last

    def _serve(self, exchange: Exchange) -> None:
        self._last = time.monotonic()
        exchange.path = exchange.path.removeprefix(self.url)
        self.arrived.append(exchange.path)
        if not self.stopping.wait(self.delay):
            super()._serve(exchange)

    def books(self, *names: str) -> list[dict[str, object]]:
        """Return requests for the books of these names, as they stand in JSON."""
        return [{"title": name, "author": "An Author", "torrent_url": f"{self.url}/v1/{name}"} for name in names]


def settings(*, client: str, tracker: ProxyingTracker, database: Path) -> dict[str, str]:
    """Return the environment that all examples take their settings from."""
    return {
        "QBITTORRENT_URL": client,
        "QBITTORRENT_USERNAME": USERNAME,
        "QBITTORRENT_PASSWORD": PASSWORD,
        "AUDIOBATCH_DB": str(database),
        "AUDIOBATCH_TRUST": tracker.url,
        "AUDIOBATCH_PROXY": tracker.url,
    }


class Program:
    """A process that runs for the time of a ``with`` block.

    Args:
        arguments: What this Python is given to run.
        folder: Where it runs.
        environment: Added to our own.
        log: The file for everything that it prints.
    """

    def __init__(self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._command = [sys.executable, *arguments]
        self._folder = folder
        # gunicorn puts a socket of its own into the folder for such things.
        own = {"PYTHONUNBUFFERED": "1", "XDG_RUNTIME_DIR": str(log.parent)}
        self._environment = {**os.environ, **own, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> int:
        """Send SIGTERM, and return the exit code, negative where a signal has ended it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=PATIENCE)

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            # A session of its own, so that nothing which it starts can outlive the test.
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        try:
            if self.running:
                self.terminate()
        finally:
            if self.running:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(timeout=PATIENCE)
            if error is not None:
                error.add_note(f"It printed:\n{self.output}")


@frozen
class Example:
    """How an example is started.

    Attributes:
        folder: Where it lives and runs.
        command: What Python is given to run, with ``{port}`` for the port of the server.
        prepare: The same for a program that has to run once before, if any.
        clean_exits: The exit codes of an orderly end.
    """

    folder: Path
    command: Sequence[str]
    prepare: Sequence[str] = ()
    clean_exits: Sequence[int] = (0,)


class ExampleServer(Program):
    """An example, up and answering.

    Attributes:
        example: What runs.
        http: A client that knows where the server is.
        database: The file of its records.
    """

    def __init__(self, example: Example, *, environment: Mapping[str, str], log: Path) -> None:
        port = free_port()
        command = [word.format(port=port) for word in example.command]
        super().__init__(command, folder=example.folder, environment=environment, log=log)
        self.example = example
        self.database = Path(environment.get("AUDIOBATCH_DB", "downloads.db"))
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE)

    def __enter__(self) -> Self:
        if self.example.prepare:
            command = [sys.executable, *self.example.prepare]
            subprocess.run(command, cwd=self.example.folder, env=self._environment, check=True, capture_output=True)
        super().__enter__()
        try:
            wait_until(self._answers, "the server answers", seconds=PATIENCE)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def _answers(self) -> bool:
        assert self.running, "the server ended at once"
        try:
            self.http.get("/")
        except httpx.TransportError:
            return False
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.http.close()
        super().__exit__(kind, error, traceback)
