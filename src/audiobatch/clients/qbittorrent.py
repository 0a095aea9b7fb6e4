"""qBittorrent over its Web API v2: written for 4.1 and later, tested on 4.5.2, 5.1.0 and 5.3.0."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx

from audiobatch._closing import Closing
from audiobatch._fork import renew_in_child
from audiobatch._urls import origin
from audiobatch.clients._http import HttpConnection, UploadedFile
from audiobatch.errors import (
    ClientAuthError,
    ClientError,
    ClientUnavailable,
    ConfigurationError,
    NotAdded,
    TorrentRejected,
    Unsupported,
)
from audiobatch.metainfo import InfoHashes, MagnetLink, Torrent
from audiobatch.models import AddOptions, TorrentState, TorrentStatus

# Every state of 4.1 to 5.3. One that is not here is newer, and counts as downloading.
_STATES: Final = {
    **dict.fromkeys(("error", "missingFiles", "unknown"), TorrentState.ERROR),
    **dict.fromkeys(("uploading", "queuedUP", "stalledUP", "forcedUP", "pausedUP", "stoppedUP"), TorrentState.COMPLETE),
    **dict.fromkeys(
        ("checkingUP", "checkingDL", "checkingResumeData", "queuedForChecking", "moving"), TorrentState.CHECKING
    ),
    **dict.fromkeys(
        ("downloading", "metaDL", "forcedMetaDL", "stalledDL", "forcedDL", "allocating"), TorrentState.DOWNLOADING
    ),
    **dict.fromkeys(("pausedDL", "stoppedDL"), TorrentState.PAUSED),
    "queuedDL": TorrentState.QUEUED,
}

# qBittorrent takes a torrent with another name too, and silently leaves the category out.
_CATEGORY: Final = re.compile(r"[^\\/]+(/[^\\/]+)*")


class QBittorrentClient(Closing):
    """A qBittorrent daemon or desktop application with its Web UI switched on.

    It logs in once, when it is first used, and again only after the session has expired.
    A password that was refused is never sent twice: qBittorrent bans an address after
    five failures. Make a new object to try another password.

    Args:
        url: Where the Web UI is, such as ``http://nas:8080``. The port must be qBittorrent's
            own: behind a port mapping it answers 401.
        username: Its user, unless the Web UI lets this address in without a login.
        password: Its password.
        api_key: Instead of both, a key of qBittorrent 5.2 or later.
        timeout: Seconds to wait for the daemon; a busy one can stall for tens of seconds.
        http: An httpx client to use instead of an own one, for a proxy or a private
            certificate authority. It stays yours to close, and it is not used in a process that
            is forked later: make both there.

    Raises:
        ConfigurationError: The URL is unusable, or the credentials are incomplete.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        http: httpx.Client | None = None,
    ) -> None:
        if (username is None) != (password is None) or (api_key and username) or api_key == "":
            raise ConfigurationError("give a user name and a password, or an API key, or none of them")
        self._connection = HttpConnection(url, api="api/v2", timeout=timeout, http=http)
        self._credentials = None if username is None else {"username": username, "password": password or ""}
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._session_open = False
        self._refusal: str | None = None
        renew_in_child(self, QBittorrentClient._renew)

    @property
    def name(self) -> str:
        """``qbittorrent@`` and the URL."""
        return f"qbittorrent@{self._connection.url}"

    def __repr__(self) -> str:
        return f"QBittorrentClient({origin(self._connection.url)!r})"

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Hand over one torrent; see `TorrentClient.add`.

        Raises:
            Unsupported: The category is not one that qBittorrent can make: it has a
                backslash, or a slash at an end or next to another one.
        """
        self.add_all([torrent], options)

    def add_all(self, torrents: Sequence[Torrent], options: AddOptions, /) -> None:
        """Hand over several torrents; see `SupportsBulkAdd.add_all`."""
        fields = _add_fields(options)
        links = [torrent.uri for torrent in torrents if isinstance(torrent, MagnetLink)]
        if links:
            fields["urls"] = "\n".join(links)
        # A plain ASCII name is the only one that every version reads; of two of one name, it takes the last alone.
        files = [
            ("torrents", (f"{torrent.info_hashes.primary}.torrent", torrent.content, "application/x-bittorrent"))
            for torrent in torrents
            if not isinstance(torrent, MagnetLink)
        ]
        answer = self._call("torrents/add", data=fields, files=files)
        if answer.status_code == 415:
            raise TorrentRejected("qBittorrent does not accept it as a torrent file")
        # Before 5.2 the same is said with "Fails.".
        if answer.status_code == 409 or answer.text == "Fails.":
            raise NotAdded("qBittorrent did not add it, and gives no reason")
        if answer.status_code == 413:
            raise TorrentRejected("it is too large for qBittorrent, or for a proxy before it (413)")
        if not answer.is_success:
            # A 429, say: a proxy's word on the request, not qBittorrent's on the torrent.
            raise NotAdded(f"the add was refused with status {answer.status_code}")
        if answer.text != "Ok." and "json" not in answer.headers.get("content-type", ""):
            raise ClientUnavailable("something other than qBittorrent answered the add")

    def status(self, info_hashes: Collection[InfoHashes], /) -> Mapping[InfoHashes, TorrentStatus]:
        """Look up torrents; see `TorrentClient.status`."""
        if not info_hashes:
            return {}  # an empty list of hashes would mean all torrents
        ids = [client_id for hashes in info_hashes for client_id in hashes.client_ids if len(client_id) == 40]
        answer = self._call("torrents/info", data={"hashes": "|".join(ids)})
        found = {key: status for row in _rows(answer) for key, status in _read(row)}
        return {
            hashes: found[known]
            for hashes in info_hashes
            if (known := next((client_id for client_id in hashes.client_ids if client_id in found), None))
        }

    def check(self) -> None:
        """Log in if need be and see that it is qBittorrent that answers; see `SupportsCheck`."""
        answer = self._call("app/webapiVersion")
        if not answer.is_success or not re.fullmatch(r"\d+(\.\d+)+", answer.text):
            raise self._not_qbittorrent()

    def close(self) -> None:
        """Close the connections. The session at qBittorrent ends by itself."""
        self._connection.close()

    def _renew(self) -> None:
        self._session_open = False  # a password that was refused stays refused

    def _call(
        self,
        path: str,
        *,
        data: Mapping[str, str] | None = None,
        files: Sequence[UploadedFile] = (),
    ) -> httpx.Response:
        """Call the API within a session; open one if there is none, or a new one once if it has expired."""
        just_opened = self._open_session()
        answer = self._connection.post(path, data=data, files=files, headers=self._headers)
        if answer.status_code == 403 and self._credentials and not just_opened:
            # The session has expired. Nothing was done (403 comes before anything else), so sending it again is safe.
            self._session_open = False
            self._open_session()
            answer = self._connection.post(path, data=data, files=files, headers=self._headers)
        if answer.status_code in (401, 403):
            raise ClientAuthError(self._why_refused(answer.status_code))
        if answer.status_code == 404:
            raise self._not_qbittorrent()
        return answer

    def _open_session(self) -> bool:
        """Log in if no session is open, and tell whether that was needed."""
        if self._session_open or self._credentials is None:
            return False
        if self._refusal is not None:
            raise ClientAuthError(self._refusal)
        answer = self._connection.post("auth/login", data=self._credentials)
        # Before 5.2: 200 with "Ok." or "Fails.". Since then: 204, or 401.
        if answer.status_code in (200, 204) and answer.text in ("", "Ok."):
            self._session_open = True
            return True
        if answer.status_code == 403:
            raise ClientAuthError("qBittorrent has banned this address for a while, after too many failed logins")
        if answer.status_code == 401 or answer.text == "Fails.":
            self._refusal = "qBittorrent refuses the login: wrong user name or password, or a port that is not its own"
            raise ClientAuthError(self._refusal)
        raise self._not_qbittorrent()

    def _why_refused(self, status: int) -> str:
        if status == 401:
            return (
                "qBittorrent refuses the request (401): the port in the URL must be its own, "
                "and a proxy in between must not send credentials"
            )
        if self._headers:
            return "qBittorrent refuses the API key; it takes one since version 5.2"
        if self._credentials is None:
            return "qBittorrent asks for a login: give a user name and a password"
        return "qBittorrent does not keep the session that it has just opened"

    def _not_qbittorrent(self) -> ClientError:
        return ClientError(f"what answers at {origin(self._connection.url)} is not qBittorrent's Web API")


def _add_fields(options: AddOptions) -> dict[str, str]:
    if options.category is not None and not _CATEGORY.fullmatch(options.category):
        raise Unsupported(
            "qBittorrent cannot make this category: no backslash, and no slash at an end or next to another one"
        )
    paused = "true" if options.paused else "false"
    # Called "paused" up to 4.6 and "stopped" since 5.0; the other one is ignored.
    fields = {"paused": paused, "stopped": paused}
    if options.category is not None:
        fields["category"] = options.category
    if options.tags:
        fields["tags"] = ",".join(options.tags)
    if options.save_path is not None:
        # Up to 4.5 the path is ignored when automatic management is the default.
        fields |= {"savepath": options.save_path, "autoTMM": "false"}
    return fields


def _rows(answer: httpx.Response) -> list[dict[str, Any]]:
    try:
        rows = answer.json()
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ClientUnavailable("qBittorrent gave a list of torrents that cannot be read")
    return rows


def _read(row: Mapping[str, Any]) -> Iterator[tuple[str, TorrentStatus]]:
    """Give the status of a torrent under each id that the row names (``infohash_v1`` and ``_v2`` since 4.4)."""
    progress = row.get("progress")
    # The order of the comparison makes a NaN count as 0.
    part = float(min(1, max(0, progress))) if isinstance(progress, int | float) else 0.0
    status = TorrentStatus(state=_STATES.get(str(row.get("state")), TorrentState.DOWNLOADING), progress=part)
    for key in ("hash", "infohash_v1", "infohash_v2"):
        if row.get(key):
            yield str(row[key]).lower(), status
