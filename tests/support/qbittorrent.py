"""Start real qBittorrent daemons, each in a fresh profile, on loopback alone."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from attrs import frozen

from support.waiting import wait_until

USERNAME = "admin"
PASSWORD = "correct horse"


@frozen
class Generation:
    """One qBittorrent on this machine: the tree it lives in, and its version."""

    name: str
    root: Path

    @property
    def command(self) -> Sequence[str]:
        """How to run it; one in a tree of its own needs root for that."""
        return ["qbittorrent-nox"] if self.root == Path("/") else ["chroot", str(self.root), "qbittorrent-nox"]

    @property
    def missing(self) -> str | None:
        """Why it cannot be started here, or None."""
        if not (self.root / "usr/bin/qbittorrent-nox").exists():
            return f"qBittorrent {self.name} is not installed (.ci/install-daemons does that)"
        if self.root != Path("/") and os.geteuid() != 0:
            return f"qBittorrent {self.name} lives in a chroot, which needs root"
        return None


_TREES = Path(
    os.environ.get("AUDIOBATCH_DAEMONS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "audiobatch" / "daemons"
)
GENERATIONS = (
    Generation("4.5.2", Path("/")),
    Generation("5.1.0", _TREES / "trixie"),
    Generation("5.3.0", _TREES / "sid"),
)


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Daemon:
    """A running qBittorrent that can be killed and started again with the same profile."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        scratch = generation.root / "tmp"
        scratch.mkdir(exist_ok=True)
        self._profile = Path(tempfile.mkdtemp(prefix="audiobatch-", dir=scratch))
        self._process: subprocess.Popen[bytes] | None = None
        self._session: httpx.Client | None = None
        self._write_configuration()

    def _write_configuration(self) -> None:
        salt = b"0123456789abcdef"
        key = hashlib.pbkdf2_hmac("sha512", PASSWORD.encode(), salt, 100_000, 64)
        secret = f"{base64.b64encode(salt).decode()}:{base64.b64encode(key).decode()}"
        folder = self._profile / "qBittorrent" / "config"
        folder.mkdir(parents=True)
        (folder / "qBittorrent.conf").write_text(
            "[LegalNotice]\nAccepted=true\n"
            "[BitTorrent]\n"
            "Session\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\PeXEnabled=false\n"
            f"Session\\Interface=lo\nSession\\InterfaceName=lo\nSession\\Port={free_port()}\n"
            "[Preferences]\n"
            f"WebUI\\Address=127.0.0.1\nWebUI\\Port={self.port}\nWebUI\\LocalHostAuth=true\n"
            f'WebUI\\Username={USERNAME}\nWebUI\\Password_PBKDF2="@ByteArray({secret})"\n'
        )

    def start(self) -> None:
        """Start it and wait until its Web UI answers."""
        profile = "/" / self._profile.relative_to(self.generation.root)
        self._process = subprocess.Popen(
            [*self.generation.command, f"--profile={profile}", f"--webui-port={self.port}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, f"qBittorrent {self.generation.name} answers", seconds=60)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"qBittorrent {self.generation.name} ended at once"
        try:
            httpx.get(f"{self.url}/api/v2/app/version", trust_env=False)
        except httpx.TransportError:
            return False
        return True

    def kill(self) -> None:
        """End it with SIGKILL, as a crash or a power cut would."""
        self._end(signal.SIGKILL)

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _end(self, how: signal.Signals) -> None:
        self._end_session()
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._profile, ignore_errors=True)

    @property
    def session(self) -> httpx.Client:
        """A logged-in httpx client, to look at the daemon behind the library's back."""
        if self._session is None:
            self._session = httpx.Client(base_url=f"{self.url}/api/v2/", trust_env=False)
            answer = self._session.post("auth/login", data={"username": USERNAME, "password": PASSWORD})
            assert (answer.status_code, answer.text) in ((200, "Ok."), (204, "")), answer.text
        return self._session

    def torrents(self) -> list[dict[str, object]]:
        """Return all torrents as the daemon lists them."""
        answer = self.session.get("torrents/info")
        if answer.status_code == 403:
            # Since 5.3 the oldest of more than 15 sessions ends.
            self._end_session()
            answer = self.session.get("torrents/info")
        rows: list[dict[str, object]] = answer.raise_for_status().json()
        return rows

    def remove_all(self) -> None:
        """Delete every torrent, and wait until the daemon has none."""
        self.torrents()  # sees to it that the session is good
        self.session.post("torrents/delete", data={"hashes": "all", "deleteFiles": "true"}).raise_for_status()
        wait_until(lambda: self.torrents() == [], "all torrents are deleted")
