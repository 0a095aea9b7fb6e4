"""The embedded engine: libtorrent inside this process, no server needed (extra ``libtorrent``)."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, cast

from audiobatch._closing import Closing
from audiobatch._fork import abandon, here, renew_in_child
from audiobatch.clients._resume_data import ResumeData
from audiobatch.errors import ClientUnavailable, TorrentRejected, Unsupported
from audiobatch.metainfo import InfoHashes, MagnetLink, Torrent
from audiobatch.models import AddOptions, TorrentState, TorrentStatus

try:
    import libtorrent as lt
except ImportError as missing:
    raise ImportError("LibtorrentClient needs an extra: pip install 'audiobatch[libtorrent]'") from missing

_log = logging.getLogger("audiobatch")

_NOTE_EVERY: Final = 30.0  # seconds
_CLOSE_WITHIN: Final = 10.0  # seconds
_POLL: Final = 500  # milliseconds
_NOTE_FLAGS: Final = lt.save_resume_flags_t.save_info_dict | lt.save_resume_flags_t.only_if_modified
_CHECKING: Final = (
    lt.torrent_status.states.queued_for_checking,
    lt.torrent_status.states.checking_files,
    lt.torrent_status.states.checking_resume_data,
)


class LibtorrentClient(Closing):
    """Downloads by itself while the process runs; the next process goes on where this one stopped.

    What was added is on disk when `add` returns, and outlives a crash. Progress is noted when
    a download is complete, every 30 seconds, and at the end. Unless ``settings`` say otherwise it
    listens for peers on port 6881, joins the DHT, and seeds what is complete until it is closed.
    It knows no categories and no tags: those stay with the record.

    Args:
        save_to: The folder for the downloads; made if it is not there. A request's
            ``save_path`` is taken as relative to it.
        state: The file that remembers the torrents, for one process at a time; by default
            ``.audiobatch-engine`` in that folder.
        settings: Settings of libtorrent, by its own names, instead of its defaults.

    It lives in the process that has made it: in a child that is forked later, each call raises
    `ConfigurationError`, and nothing of the parent's engine is touched.

    Raises:
        ClientUnavailable: Another process uses the same state, or it cannot be read or written.
    """

    def __init__(
        self,
        save_to: str | os.PathLike[str],
        *,
        state: str | os.PathLike[str] | None = None,
        settings: Mapping[str, bool | int | str] | None = None,
    ) -> None:
        self._save_to = Path(save_to).absolute()
        self._state = Path(state).absolute() if state is not None else self._save_to / ".audiobatch-engine"
        self._resume_data = ResumeData(self._state)
        alerts = lt.alert.category_t.status_notification | lt.alert.category_t.storage_notification
        self._session = lt.session(cast("lt.settings_pack", {**(settings or {}), "alert_mask": alerts}))
        self._closing = threading.Event()
        self._process = here()
        renew_in_child(self, lambda owner: abandon(getattr(owner, "_session", None)))  # its end would wait for threads
        self._restore()
        self._note_taker = threading.Thread(target=self._take_notes, name="audiobatch-engine", daemon=True)
        self._note_taker.start()

    @property
    def name(self) -> str:
        """``libtorrent@`` and the file of its state."""
        return f"libtorrent@{self._state}"

    def __repr__(self) -> str:
        return f"LibtorrentClient({str(self._save_to)!r})"

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Add one torrent and start it, unless ``paused`` is True; see `TorrentClient.add`.

        Raises:
            Unsupported: The save path leads out of a folder, with a part ``..``.
        """
        self.check()
        if ".." in Path(options.save_path or "").parts:
            raise Unsupported("the embedded engine would save in another folder: give a save_path without ..")
        try:
            if (handle := self._find(torrent.info_hashes)) is not None:
                _complete(handle, torrent)
                return
            if isinstance(torrent, MagnetLink):
                parameters = lt.parse_magnet_uri(torrent.uri)
            else:
                parameters = lt.load_torrent_buffer(torrent.content)
        except RuntimeError as error:
            raise TorrentRejected(f"libtorrent does not take it: {error}") from None
        parameters.save_path = str(self._save_to / (options.save_path or ""))
        if options.paused:
            parameters.flags &= ~lt.torrent_flags.auto_managed
        # On disk before it is in the session: nothing that was seen there can be forgotten.
        key = torrent.info_hashes.primary
        self._resume_data.write(key, lt.write_resume_data_buf(parameters))
        try:
            self._session.add_torrent(parameters)
        except RuntimeError as error:
            self._resume_data.remove(key)
            raise TorrentRejected(f"libtorrent does not take it: {error}") from None

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Look up torrents; see `TorrentClient.status`."""
        self.check()
        handles = {hashes: self._find(hashes) for hashes in info_hashes}
        return {hashes: _read(handle.status()) for hashes, handle in handles.items() if handle is not None}

    def check(self) -> None:
        """See that the engine is running; see `SupportsCheck`."""
        self._process.require("the embedded engine", "make it in the process that uses it")
        if self._closing.is_set():
            raise ClientUnavailable("the embedded engine is closed: make a new one")

    def close(self) -> None:
        """Note how far the downloads are, and stop; the files stay. In a forked child, it does nothing."""
        if self._closing.is_set() or not self._process.is_here():
            return
        self._closing.set()
        self._note_taker.join()
        self._session.pause()
        expected = self._ask_for_notes()
        deadline = time.monotonic() + _CLOSE_WITHIN
        while expected > 0 and time.monotonic() < deadline:
            expected -= self._handle_alerts()
        del self._session
        self._resume_data.close()

    def _find(self, info_hashes: InfoHashes) -> lt.torrent_handle | None:
        for digest in info_hashes.client_ids:
            handle: lt.torrent_handle = self._session.find_torrent(lt.sha1_hash(bytes.fromhex(digest[:40])))
            if handle.is_valid():
                return handle
        return None

    def _restore(self) -> None:
        for entry in self._resume_data.entries():
            try:
                self._session.add_torrent(lt.read_resume_data(entry))
            except RuntimeError as error:
                _log.warning("the embedded engine cannot read a torrent of its state: %s", error)

    def _take_notes(self) -> None:
        """Run until closing: note what completed at once, and all progress now and then."""
        due = time.monotonic() + _NOTE_EVERY
        while not self._closing.is_set():
            self._handle_alerts()
            if time.monotonic() > due:
                self._ask_for_notes()
                due = time.monotonic() + _NOTE_EVERY

    def _ask_for_notes(self) -> int:
        handles = [handle for handle in self._session.get_torrents() if handle.need_save_resume_data()]
        for handle in handles:
            handle.save_resume_data(_NOTE_FLAGS)
        return len(handles)

    def _handle_alerts(self) -> int:
        """Wait a little for notes, write down those that came, and return how many of those asked for are answered."""
        answered = 0
        self._session.wait_for_alert(_POLL)
        for alert in self._session.pop_alerts():
            match alert:
                case lt.save_resume_data_alert():
                    answered += 1
                    self._note(alert.params)
                case lt.save_resume_data_failed_alert():
                    answered += 1
                case lt.torrent_finished_alert() | lt.metadata_received_alert():
                    alert.handle.save_resume_data(_NOTE_FLAGS)
        return answered

    def _note(self, parameters: lt.add_torrent_params) -> None:
        hashes = parameters.info_hashes
        key = str(hashes.v1 if hashes.has_v1() else hashes.v2)
        try:
            self._resume_data.write(key, lt.write_resume_data_buf(parameters))
        except ClientUnavailable as error:
            _log.warning("the embedded engine cannot note its progress: %s", error)


def _complete(handle: lt.torrent_handle, torrent: Torrent) -> None:
    """Give a torrent that still waits for its metadata that of a file."""
    if isinstance(torrent, MagnetLink) or handle.status().has_metadata:
        return
    if (info := lt.load_torrent_buffer(torrent.content).ti) is not None:
        handle.set_metadata(info.info_section())


def _read(status: lt.torrent_status) -> TorrentStatus:
    v1, v2 = (str(each) if any(each.to_bytes()) else None for each in (status.info_hashes.v1, status.info_hashes.v2))
    return TorrentStatus(
        state=_state(status),
        progress=status.progress,
        info_hashes=InfoHashes(v1=v1, v2=v2, complete=status.has_metadata),
        has_metadata=status.has_metadata,
    )


def _state(status: lt.torrent_status) -> TorrentState:
    if status.errc.value() != 0:
        return TorrentState.ERROR
    if status.is_finished:
        return TorrentState.COMPLETE
    if status.state in _CHECKING:
        return TorrentState.CHECKING
    if status.flags & lt.torrent_flags.paused:
        waits_its_turn = bool(status.flags & lt.torrent_flags.auto_managed)
        return TorrentState.QUEUED if waits_its_turn else TorrentState.PAUSED
    return TorrentState.DOWNLOADING
