"""Seed a torrent on loopback, so that a magnet link finds its metadata."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from support.torrents import Kind, book
from support.waiting import wait_until

if TYPE_CHECKING:
    import libtorrent as lt


class Seed:
    """A peer that has one book, and tells whoever asks.

    Args:
        name: The name of the book, and all that stands in it.
        kind: The kind of its torrent.
    """

    def __init__(self, name: str, kind: Kind) -> None:
        self._folder = tempfile.TemporaryDirectory()
        Path(self._folder.name, name).write_text(name)
        self._content = book(name, kind=kind)
        self._session: lt.session | None = None

    def __enter__(self) -> Self:
        import libtorrent as lt  # noqa: PLC0415 - an extra, which not every test run has

        session = lt.session(
            {
                "listen_interfaces": "127.0.0.1:0",
                "allow_multiple_connections_per_ip": True,
                "enable_dht": False,
                "enable_lsd": False,
                "enable_upnp": False,
                "enable_natpmp": False,
            }
        )
        parameters = lt.load_torrent_buffer(self._content)
        parameters.save_path = self._folder.name
        handle = session.add_torrent(parameters)
        wait_until(lambda: bool(handle.status().is_seeding and session.listen_port()), "the book is seeded")
        self._session = session
        return self

    @property
    def peer(self) -> str:
        """The parameter of a magnet link that names this peer (``x.pe``)."""
        assert self._session is not None
        return f"x.pe=127.0.0.1:{self._session.listen_port()}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session = None
        self._folder.cleanup()
