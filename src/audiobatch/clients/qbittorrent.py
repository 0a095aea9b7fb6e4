"""qBittorrent over its Web API v2: written for 4.1 and later, tested on 4.5.2, 5.1.0 and 5.3.0."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import httpx

from audiobatch._closing import Closing
from audiobatch._fork import renew_in_child
from audiobatch._tls import Verify
from audiobatch.clients._exchange import MAX_LIST, MAX_WORDS
from audiobatch.clients._http import HttpConnection, UploadedFile
from audiobatch.clients._qbittorrent_options import add_fields
from audiobatch.clients._qbittorrent_rows import rows_of, statuses_by_id
from audiobatch.errors import (
    ClientAuthError,
    ClientError,
    ClientUnavailable,
    ConfigurationError,
    NotAdded,
    TorrentRejected,
)
from audiobatch.metainfo import InfoHashes, MagnetLink, Torrent
from audiobatch.models import AddOptions, TorrentStatus

_PAGE: Final = 1000
"""Rows of the list that are asked for at once: about 1.4 kB each."""
_MAX_PAGES: Final = 100

_VERSION: Final = re.compile(r"[0-9]{1,5}(\.[0-9]{1,5}){1,3}")
_FIRST_WITH_KEYS: Final = (2, 14, 1)  # of the Web API, on the way to 5.2.0
_KEY: Final = re.compile(r"[\x21-\x7e]+")
_MAX_NAME: Final = 200


class QBittorrentClient(Closing):
    """A qBittorrent daemon or desktop application with its Web UI switched on.

    It logs in once, when it is first used, and again only after the session has expired.
    A password that was refused is never sent twice: qBittorrent bans an address after
    five failures. Make a new object to try another password.

    Args:
        url: Where the Web UI is, such as ``http://nas:8080``. The port must be qBittorrent's
            own: behind a port mapping it answers 401. A user and a password in it
            (``https://me:secret@host``) are for a reverse proxy, as HTTP Basic; in one of
            the two, ``%3A`` stands for a colon.
        username: Its user, unless the Web UI lets this address in without a login.
        password: Its password.
        api_key: Instead of both, a key of qBittorrent 5.2 or later. There can be no login
            in the URL then, because both need the same header.
        timeout: Seconds that a call may take, above 0; a busy daemon can stall for tens of
            seconds. A large upload gets more time.
        http: An httpx client to use instead of an own one, for a proxy say. It stays yours to close,
            and it is not used in a process that is forked later: make both there.
        verify: For https, the file with the certificate (PEM) that is accepted, the server's own or
            its authority's, or an `ssl.SSLContext`; by default the public authorities are.
        name: The identity that records belong to, such as the name of the object before its URL
            changed; by default it is made from the URL.

    Raises:
        ConfigurationError: The URL is unusable, or the credentials are incomplete, or cannot be sent.
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
        verify: Verify | None = None,
        name: str | None = None,
    ) -> None:
        self._credentials = _read_login(username, password, api_key)
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._connection = HttpConnection(
            url, api="api/v2", timeout=timeout, http=http, verify=verify, headers=self._headers
        )
        if name is not None and not (name.strip() and name.isprintable() and len(name) <= _MAX_NAME):
            raise ConfigurationError(f"name must be 1 to {_MAX_NAME} characters that can be printed")
        self._name = name or f"qbittorrent@{self._connection.endpoint.identity}"
        self._session_open = False
        self._refusal: str | None = None
        renew_in_child(self, QBittorrentClient._renew)

    @property
    def name(self) -> str:
        """As it was given, or else ``qbittorrent@`` and scheme, host and port; a path shows as a digest of it."""
        return self._name

    def __repr__(self) -> str:
        return f"QBittorrentClient({self._connection.endpoint.origin!r})"

    def add(self, torrent: Torrent, options: AddOptions, /) -> None:
        """Hand over one torrent; see `TorrentClient.add`.

        Raises:
            Unsupported: The category, a tag or the save path is one that qBittorrent would drop,
                change, or take for another folder: a category with a backslash, with an empty part, or
                with one such as ``..``; a save path with a part ``..``; a tag with a comma; control
                characters; a part of more than 255 bytes, which no disk takes.
        """
        self.add_all([torrent], options)

    def add_all(self, torrents: Sequence[Torrent], options: AddOptions, /) -> None:
        """Hand over several torrents; see `SupportsBulkAdd.add_all`."""
        fields = add_fields(options)
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
        """Look up torrents; see `TorrentClient.status`.

        qBittorrent finds a hybrid torrent by its v2 info-hash alone, as soon as it has the metadata. So what is
        missing, and is known by a v1 info-hash that may be one of two, is looked for in the list. That takes
        one request more, for the torrents that have a v2 info-hash.
        """
        if not info_hashes:
            return {}  # an empty list of hashes would mean all torrents
        ids = [client_id for hashes in info_hashes for client_id in hashes.client_ids if len(client_id) == 40]
        found = statuses_by_id(rows_of(self._call("torrents/info", data={"hashes": "|".join(ids)})))
        hidden = {hashes.v1 for hashes in info_hashes if hashes.v1 and hashes.may_be_half} - found.keys()
        if hidden:
            found |= self._search(hidden)
        return {
            hashes: found[known]
            for hashes in info_hashes
            if (known := next((client_id for client_id in hashes.client_ids if client_id in found), None))
        }

    def _search(self, wanted: Collection[str]) -> Mapping[str, TorrentStatus]:
        """Look for v1 info-hashes among the torrents that have a v2 info-hash too; these come first in the list."""
        found: dict[str, TorrentStatus] = {}
        order = {"sort": "infohash_v2", "reverse": "true", "limit": str(_PAGE)}
        for page in range(_MAX_PAGES):
            answer = self._call("torrents/info", data={**order, "offset": str(page * _PAGE)})
            if answer.status_code == 400:
                return {}  # up to 4.3 no row has this field, because no torrent is known by it
            more: dict[str, TorrentStatus] = {}
            count, last = 0, None
            for count, row in enumerate(rows_of(answer), start=1):  # noqa: B007 - the last one counts
                more |= statuses_by_id([row])
                last = row.get("infohash_v2")
            # Up to 5.1, what would be the page after the last one is the first one again.
            at_the_end = count != _PAGE or not last or more.keys() <= found.keys()
            found |= more
            if at_the_end or found.keys() >= set(wanted):
                return found
        raise ClientError(f"qBittorrent has more than {_PAGE * _MAX_PAGES} v2 torrents: too many to look through")

    def check(self) -> None:
        """Log in if need be and see that it is qBittorrent that answers; see `SupportsCheck`.

        Raises:
            ClientAuthError: With an API key also if qBittorrent is too old to know of keys. Such
                a one does not look at the key, and may let anybody in.
        """
        answer = self._call("app/webapiVersion")
        if not answer.is_success or not _VERSION.fullmatch(answer.text):
            raise self._not_qbittorrent()
        if "Authorization" in self._headers and tuple(map(int, answer.text.split("."))) < _FIRST_WITH_KEYS:
            raise ClientAuthError(
                "this qBittorrent is older than 5.2 and would ignore the API key: "
                "update it, or give a user name and a password"
            )

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
        if self._refusal is not None:
            raise ClientAuthError(self._refusal)
        limit = MAX_LIST if path == "torrents/info" else MAX_WORDS
        just_opened = self._open_session()
        answer = self._connection.post(path, data=data, files=files, limit=limit)
        if answer.status_code == 403 and self._credentials and not just_opened:
            # The session has expired. Nothing was done (403 comes before anything else), so sending it again is safe.
            self._session_open = False
            self._open_session()
            answer = self._connection.post(path, data=data, files=files, limit=limit)
        if answer.status_code in (401, 403):
            raise self._refused(answer)
        if answer.status_code == 404:
            raise self._not_qbittorrent()
        return answer

    def _open_session(self) -> bool:
        """Log in if no session is open, and tell whether that was needed."""
        if self._session_open or self._credentials is None:
            return False
        answer = self._connection.post("auth/login", data=self._credentials)
        # Before 5.2: 200 with "Ok." or "Fails.". Since then: 204, or 401.
        if answer.status_code in (200, 204) and answer.text in ("", "Ok."):
            self._session_open = True
            return True
        if answer.status_code == 403:
            raise ClientAuthError("qBittorrent has banned this address for a while, after too many failed logins")
        if answer.text == "Fails." or (answer.status_code == 401 and _is_its_own(answer)):
            self._refusal = "qBittorrent refuses the login: wrong user name or password, or a port that is not its own"
            raise ClientAuthError(self._refusal)
        if answer.status_code == 401:
            raise self._refused(answer)
        raise self._not_qbittorrent()

    def _refused(self, answer: httpx.Response) -> ClientAuthError:
        why = self._why_refused(answer)
        if answer.status_code == 401 and self._connection.endpoint.authorization:
            # Since 5.2 qBittorrent takes it for its own login, and counts: it is never sent twice.
            self._refusal = why
        return ClientAuthError(why)

    def _why_refused(self, answer: httpx.Response) -> str:
        if answer.status_code == 401:
            return self._why_unauthorized(answer)
        if self._headers:
            return "qBittorrent refuses the API key; it takes one since version 5.2"
        if self._credentials is None:
            return "qBittorrent asks for a login: give a user name and a password"
        return "qBittorrent does not keep the session that it has just opened"

    def _why_unauthorized(self, answer: httpx.Response) -> str:
        given = self._connection.endpoint.authorization is not None
        if _is_its_own(answer):
            theirs = (
                "the login in the URL must be right for it" if given else "a proxy in between must not send credentials"
            )
            return f"qBittorrent refuses the request (401): the port in the URL must be its own, and {theirs}"
        if given:
            return "a proxy before qBittorrent refuses the user or the password in the URL (401)"
        return "a proxy before qBittorrent asks for a login (401): give it in the URL, as in https://user:password@host"

    def _not_qbittorrent(self) -> ClientError:
        return ClientError(f"what answers at {self._connection.endpoint.origin} is not qBittorrent's Web API")


def _read_login(username: str | None, password: str | None, api_key: str | None) -> dict[str, str] | None:
    """Return the form of a login, or None if there is none."""
    if (username is None) != (password is None) or (api_key is not None and username is not None):
        raise ConfigurationError("give a user name and a password, or an API key, or none of them")
    if api_key is not None and not _KEY.fullmatch(api_key):
        raise ConfigurationError("the API key is empty, or there is a blank, a line break or an odd letter in it")
    if username is None or password is None:
        return None
    if not username.strip() or not password:
        raise ConfigurationError("the user name or the password is empty: leave both out where no login is needed")
    try:
        (username + password).encode()
    except UnicodeEncodeError:
        username = ""
    if not username:
        raise ConfigurationError("the user name or the password holds what is no valid text")
    return {"username": username, "password": password}


def _is_its_own(refusal: httpx.Response) -> bool:
    """Tell qBittorrent's own 401 from that of a proxy, which says what login it wants (RFC 9110, 11.6.1)."""
    return "www-authenticate" not in refusal.headers
