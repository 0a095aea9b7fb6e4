"""What qBittorrent is sent, and what its answers of all generations mean."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import socket
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from attrs import frozen
from pytest_httpx import HTTPXMock

from audiobatch.clients.qbittorrent import QBittorrentClient
from audiobatch.errors import (
    AudiobatchError,
    ClientAuthError,
    ClientError,
    ClientUnavailable,
    ConfigurationError,
    NotAdded,
    TorrentRejected,
    Unsupported,
)
from audiobatch.metainfo import InfoHashes, Torrent, parse_magnet, parse_torrent
from audiobatch.models import AddOptions, TorrentState, TorrentStatus
from support.torrents import book
from support.tracker import KINDS

URL = "http://nas:8080"
HTML = "<html>Welcome to the router</html>"
LOGIN, ADD, INFO, VERSION = "auth/login", "torrents/add", "torrents/info", "app/webapiVersion"
# With the bytes that end a part's head, that start a boundary, and that are no text.
TORRENT = parse_torrent(book("Dune", comment=b"\r\n\r\n--\xff\x00\r\n"))
MAGNET = parse_magnet(f"magnet:?xt=urn:btih:{TORRENT.info_hashes.v1}&tr=http://t/?a%3Db")
HYBRID = parse_torrent(book("Emma", kind="hybrid")).info_hashes
V1, V2 = str(HYBRID.v1), str(HYBRID.v2)


def v1_of(text: str) -> InfoHashes:
    """Make up the info-hash of some torrent file."""
    return InfoHashes(v1=hashlib.sha1(text.encode()).hexdigest(), complete=True)


def row(v1: str = "", v2: str = "", **fields: object) -> dict[str, object]:
    """Make a row of the list as 4.4 and later do."""
    return {"hash": (v2 or v1)[:40], "infohash_v1": v1, "infohash_v2": v2, **fields}


@frozen
class Wire:
    """The other end of the wire: gives the answers that a test orders, and sees what comes."""

    mock: HTTPXMock

    def answer(self, call: str, status: int = 200, text: str = "", *, always: bool = False, **headers: str) -> None:
        """Order the answer to one more call of this kind, or to all of them."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{URL}/api/v2/{call}"
        self.mock.add_response(url=url, status_code=status, text=text, headers=fields, is_reusable=always)

    @property
    def requests(self) -> list[httpx.Request]:
        """All that came."""
        return self.mock.get_requests()

    @property
    def calls(self) -> list[str]:
        """The API methods that were called, in order."""
        return [request.url.path.removeprefix("/api/v2/") for request in self.requests]


@pytest.fixture
def wire(httpx_mock: HTTPXMock) -> Wire:
    """Give the other end of the wire."""
    return Wire(httpx_mock)


@pytest.fixture(scope="module")  # it keeps nothing between two calls
def qbt() -> Iterator[QBittorrentClient]:
    """Give a client that never logs in, so that a test is about the call alone."""
    with QBittorrentClient(URL) as client:
        yield client


@pytest.fixture
def admin() -> Iterator[QBittorrentClient]:
    """Give a client with a user name and a password."""
    with QBittorrentClient(URL, username="admin", password="hunter2") as client:
        yield client


def call(client: QBittorrentClient, *names: str) -> None:
    """Make the client call these methods of the API."""
    how = {ADD: lambda: client.add(TORRENT, AddOptions()), INFO: lambda: client.status([HYBRID]), VERSION: client.check}
    for name in names:
        how[name]()


def form_of(request: httpx.Request) -> dict[str, str]:
    """Read the body of an ordinary form."""
    return dict(parse_qsl(request.content.decode("ascii"), strict_parsing=True))


def parts_of(request: httpx.Request) -> dict[str, bytes]:
    """Take a multipart body apart as a server would: by file name, or else by the name of the field."""
    boundary = request.headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
    pieces = (b"\r\n" + request.content).split(b"\r\n--" + boundary)
    parts = [piece.partition(b"\r\n\r\n") for piece in pieces[1:-1]]
    return {re.findall(r'name="([^"]*)"', head.decode("ascii"))[-1]: content for head, _, content in parts}


class TestLogin:
    """One session, opened when it is needed."""

    @pytest.mark.parametrize(("status", "text"), [(200, "Ok."), (204, "")], ids=["before 5.2", "since 5.2"])
    def test_one_login_serves_many_calls(self, admin: QBittorrentClient, wire: Wire, status: int, text: str) -> None:
        """The session's cookie, whatever its name, is kept and sent with each call that follows."""
        wire.answer(LOGIN, status, text, Set_Cookie="QBT_SID_8080=abc; path=/")
        wire.answer(ADD, text="Ok.")
        wire.answer(INFO, text="[]", always=True)

        call(admin, ADD, INFO, INFO)

        assert wire.calls == [LOGIN, ADD, INFO, INFO]
        assert form_of(wire.requests[0]) == {"username": "admin", "password": "hunter2"}
        assert {request.headers["cookie"] for request in wire.requests[1:]} == {"QBT_SID_8080=abc"}

    @pytest.mark.parametrize(("status", "text"), [(200, "Fails."), (401, "Unauthorized"), (401, "")])
    def test_a_refused_password_is_never_sent_twice(
        self, admin: QBittorrentClient, wire: Wire, status: int, text: str
    ) -> None:
        """Every later call fails at once, for a fifth failure bans the address."""
        wire.answer(LOGIN, status, text)

        for name in (VERSION, ADD, INFO, VERSION):
            with pytest.raises(ClientAuthError, match="wrong user name or password"):
                call(admin, name)

        assert wire.calls == [LOGIN]

    @pytest.mark.parametrize(
        ("status", "text", "error"),
        [
            (403, "Your IP address has been banned", ClientAuthError("banned")),
            *[(code, text, ClientError("not qBittorrent")) for code, text in ((200, HTML), (404, ""), (400, "Ok."))],
            (500, "", ClientUnavailable("500")),
        ],
    )
    def test_without_a_session_no_call_is_made(
        self, admin: QBittorrentClient, wire: Wire, status: int, text: str, error: ClientError
    ) -> None:
        """A ban, and what is no answer of qBittorrent's, end it before anything else is sent."""
        wire.answer(LOGIN, status, text)

        with pytest.raises(ClientError, match=str(error)) as caught:
            admin.check()

        assert type(caught.value) is type(error)
        assert wire.calls == [LOGIN]

    def test_an_expired_session_is_opened_anew_once(self, admin: QBittorrentClient, wire: Wire) -> None:
        """The call that met the 403 is made again, the same in every field and byte."""
        wire.answer(LOGIN, text="Ok.", always=True)
        wire.answer(VERSION, text="2.8.19")
        wire.answer(ADD, 403, "Forbidden")
        wire.answer(ADD, text="Ok.")
        admin.check()

        admin.add(TORRENT, AddOptions(category="audiobooks"))

        assert wire.calls == [LOGIN, VERSION, ADD, LOGIN, ADD]
        assert parts_of(wire.requests[2]) == parts_of(wire.requests[4])

    @pytest.mark.parametrize(
        ("script", "match"),
        [
            ([(LOGIN, 204), (VERSION, 403)], "does not keep"),
            ([(LOGIN, 204), (VERSION, 200), (VERSION, 403), (LOGIN, 204), (VERSION, 403)], "does not keep"),
            ([(LOGIN, 204), (VERSION, 200), (VERSION, 403), (LOGIN, 401)], "wrong user name or password"),
        ],
        ids=["at once", "opened anew", "password changed"],
    )
    def test_a_session_that_cannot_be_had_is_given_up(
        self, admin: QBittorrentClient, wire: Wire, script: list[tuple[str, int]], match: str
    ) -> None:
        """A new one is opened only where an older one had worked, and only one."""
        for name, status in script:
            wire.answer(name, status, "2.15.1" if status == 200 else "")

        with pytest.raises(ClientAuthError, match=match):
            call(admin, VERSION, VERSION)

        assert wire.calls == [name for name, _ in script]

    @pytest.mark.parametrize(("key", "sent"), [(None, None), ("qbt_key", "Bearer qbt_key")])
    def test_without_a_password_there_is_no_login(self, wire: Wire, key: str | None, sent: str | None) -> None:
        """The Web UI may let this address in, or there is a key, which goes along with each call."""
        wire.answer(VERSION, text="2.15.1", always=True)

        with QBittorrentClient(URL, api_key=key) as client:
            client.check()
            client.check()

        assert wire.calls == [VERSION, VERSION]
        assert [request.headers.get("authorization") for request in wire.requests] == [sent, sent]

    @pytest.mark.parametrize("version", ["2.0", "2.8.19", "2.11.4", "2.14.0", "1.99.99"])
    def test_a_key_is_no_key_to_an_older_one(self, wire: Wire, version: str) -> None:
        """It would ignore the key, and let anybody in where no login is needed."""
        wire.answer(VERSION, text=version, always=True)

        with (
            QBittorrentClient(URL, api_key="qbt_key") as client,
            pytest.raises(ClientAuthError, match=r"older than 5\.2"),
        ):
            client.check()
        with QBittorrentClient(URL) as client:
            client.check()

    @pytest.mark.parametrize("version", ["2.14.1", "2.15", "2.100.0", "3.0"])
    def test_a_key_is_one_since_5_2(self, wire: Wire, version: str) -> None:
        """Where the Web API is 2.14.1 or later."""
        wire.answer(VERSION, text=version)

        with QBittorrentClient(URL, api_key="qbt_key") as client:
            client.check()

    @pytest.mark.parametrize("version", ["2", "2.14.1\n", "2..1", "2." + "1" * 5000, "\u0662.\u0668"])
    def test_a_version_that_is_none_is_not_read(self, wire: Wire, version: str) -> None:
        """Something else answers."""
        wire.answer(VERSION, text=version)

        with QBittorrentClient(URL, api_key="qbt_key") as client, pytest.raises(ClientError, match="not qBittorrent"):
            client.check()

    @pytest.mark.parametrize(
        ("key", "status", "hint"), [(None, 403, "user name"), ("qbt_key", 403, "API key"), (None, 401, "port")]
    )
    def test_a_refusal_says_what_to_do(self, wire: Wire, key: str | None, status: int, hint: str) -> None:
        """Without a login there is nothing to try again; the message names the way out."""
        wire.answer(VERSION, status)

        with QBittorrentClient(URL, api_key=key) as client, pytest.raises(ClientAuthError, match=hint):
            client.check()

        assert wire.calls == [VERSION]


class TestLoginInTheUrl:
    """HTTP Basic, for a reverse proxy."""

    @pytest.mark.parametrize(
        ("user", "sent"),
        [
            ("me:s3cret", "me:s3cret"),
            ("me", "me:"),
            ("me:", "me:"),
            ("m%40e:s%3A3%2fcr%20et", "m@e:s:3/cr et"),
            ("b%C3%B6b:p\xe4ss", "b\xf6b:p\xe4ss"),
            ("me:a:b", "me:a:b"),
        ],
    )
    def test_it_goes_along_with_each_request(self, wire: Wire, user: str, sent: str) -> None:
        """Decoded, and beside the login at qBittorrent itself."""
        wire.answer(LOGIN, 204)
        wire.answer(VERSION, text="2.11.4", always=True)

        with QBittorrentClient(f"http://{user}@nas:8080", username="admin", password="hunter2") as client:
            client.check()
            client.check()

        expected = "Basic " + base64.b64encode(sent.encode()).decode()
        assert [request.headers["authorization"] for request in wire.requests] == [expected] * 3
        assert all(request.url.userinfo == b"" for request in wire.requests)

    @pytest.mark.parametrize(
        "user", [":s3cret", "", "%00me:s3cret", "me:s3cret%0d%0aX", "m%3Ae:s3cret", "me:%ffs3cret"]
    )
    def test_what_cannot_be_sent_is_refused(self, user: str) -> None:
        """No user, a colon in its name, a control character, no valid text."""
        with pytest.raises(ConfigurationError, match="client's URL") as caught:
            QBittorrentClient(f"http://{user}@nas:8080")

        assert "s3cret" not in str(caught.value)

    def test_there_is_no_room_for_an_api_key_beside_it(self) -> None:
        """Both need the same header."""
        with pytest.raises(ConfigurationError, match="same header"):
            QBittorrentClient("http://me:s3cret@nas:8080", api_key="qbt_key")

    @pytest.mark.parametrize("theirs", [{"auth": ("a", "b")}, {"headers": {"authorization": "Bearer x"}}])
    @pytest.mark.parametrize(("url", "key"), [(URL, "qbt_key"), ("http://me:s3cret@nas:8080", None)])
    def test_nor_for_a_login_of_a_given_client(self, url: str, key: str | None, theirs: dict[str, Any]) -> None:
        """One of the two would be left out."""
        with httpx.Client(**theirs) as http:
            client = QBittorrentClient(url, api_key=key, http=http)
            with pytest.raises(ConfigurationError, match="same header"):
                client.check()

    @pytest.mark.parametrize(
        ("url", "hint"),
        [(URL, "asks for a login"), ("http://me:s3cret@nas:8080", "the user or the password in the URL")],
    )
    @pytest.mark.parametrize("password", ["hunter2", None])
    def test_a_proxy_that_refuses_is_told_from_qbittorrent(
        self, wire: Wire, url: str, hint: str, password: str | None
    ) -> None:
        """It says what login it wants."""
        wire.answer(LOGIN if password else VERSION, 401, WWW_Authenticate='Basic realm="x"')

        with (
            QBittorrentClient(url, username="admin" if password else None, password=password) as client,
            pytest.raises(ClientAuthError, match=f"proxy.*{hint}"),
        ):
            client.check()

    def test_a_refused_one_is_never_sent_twice(self, wire: Wire) -> None:
        """Since 5.2 qBittorrent takes it for its own login, and counts."""
        wire.answer(VERSION, 401)

        with QBittorrentClient("http://me:s3cret@nas:8080") as client:
            for name in (VERSION, ADD, INFO):
                with pytest.raises(ClientAuthError, match="401"):
                    call(client, name)

        assert wire.calls == [VERSION]


class TestConfiguration:
    """Where it is, who we are, and what carries it."""

    @pytest.mark.parametrize("given", ["username", "password", "password api_key", "username password api_key"])
    def test_credentials_must_be_complete(self, given: str) -> None:
        """They are a user name and a password, or a key, or nothing; the message shows none of them."""
        with pytest.raises(ConfigurationError, match="API key") as caught:
            QBittorrentClient(URL, **dict.fromkeys(given.split(), "s3cret"))  # type: ignore[arg-type]

        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            *("", "nas:80", "//nas", "ftp://nas", "http://", "http://:80", "http://n:x", "http://[::1"),
            *("http://[::%\xe9]/", "http://xn--a", "http://nas/\n", " http://nas", "http://na\ts", "http://a\\@b"),
            *("http://nas:65536", "http://\u2100.test", "http://nas/a b", "http://nas/\u202e"),
        ],
    )
    def test_an_unusable_url_is_refused(self, url: str) -> None:
        """It must be http or https, with a host, and a port that is one."""
        with pytest.raises(ConfigurationError, match="http://host:port"):
            QBittorrentClient(url)

    @pytest.mark.parametrize(
        "url",
        [
            *("http://nas?", "http://nas/qbt?key=s3cret", "http://nas#", "http://nas/#s3cret"),
            *("http://me:s3cret?x@nas", "http://me:s3cret#x@nas"),
        ],
    )
    def test_nothing_in_the_url_is_left_out(self, url: str) -> None:
        """A query or a fragment would be, so it is refused; the message shows nothing of it."""
        with pytest.raises(ConfigurationError, match="query or a fragment") as caught:
            QBittorrentClient(url)

        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "given",
        [
            {"username": "", "password": "s3cret"},
            {"username": " ", "password": "s3cret"},
            {"username": "s3cret", "password": ""},
            {"username": "", "password": ""},
            {"username": "s3cret\ud800", "password": "s3cret"},
            *(
                {"api_key": key}
                for key in ("", " ", "s3cret\n", "s3 cret", "s3cr\xe9t", "s3cret\r\nX: y", "\u20acs3cret")
            ),
            {"username": "", "password": "", "api_key": "s3cret"},
        ],
    )
    def test_credentials_that_cannot_be_are_refused(self, given: dict[str, str]) -> None:
        """An empty user would send a login that counts towards the ban."""
        with pytest.raises(ConfigurationError) as caught:
            QBittorrentClient(URL, **given)  # type: ignore[arg-type]

        assert "s3cret" not in str(caught.value)
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e9])
    def test_a_timeout_must_be_one(self, timeout: float) -> None:
        """Above 0, and no more than a day."""
        with pytest.raises(ConfigurationError, match="timeout"):
            QBittorrentClient(URL, timeout=timeout)

    @pytest.mark.parametrize("url", ["http://nas..lan", f"http://{'n' * 64}.lan", "http://nas\x7f"])
    def test_a_host_that_cannot_be_is_an_error_of_ours(self, url: str) -> None:
        """Where building the object does not find it, the first call does."""
        with pytest.raises(AudiobatchError), QBittorrentClient(url) as client:
            client.check()

    @pytest.mark.parametrize(
        ("url", "base", "origin", "identity"),
        [
            (URL, URL, URL, URL),
            ("HTTP://NAS:80/", "http://nas", "http://nas", "http://nas"),
            ("http://me:s3cret@nas/qbt/", "http://nas/qbt", "http://nas", "http://nas/#fde03653"),
            ("https://[fe80::1]:443/a/b", "https://[fe80::1]/a/b", "https://[fe80::1]", "https://[fe80::1]/#662b7b62"),
        ],
    )
    def test_a_base_path_is_respected(
        self, httpx_mock: HTTPXMock, url: str, base: str, origin: str, identity: str
    ) -> None:
        """The API lies below it; the name has a digest of it, the repr nothing, and neither shows a user part."""
        httpx_mock.add_response(url=f"{base}/api/v2/{VERSION}", text="2.11.4")

        with QBittorrentClient(url) as client:
            client.check()

            assert (client.name, repr(client)) == (f"qbittorrent@{identity}", f"QBittorrentClient({origin!r})")

    def test_a_name_can_be_given(self) -> None:
        """So that records stay with a client whose URL changes."""
        with QBittorrentClient("https://seedbox/key", name="qbittorrent@https://old/key") as client:
            assert client.name == "qbittorrent@https://old/key"

    @pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201])
    def test_a_name_that_cannot_be_shown_is_refused(self, name: str) -> None:
        """It stands in records, events and logs."""
        with pytest.raises(ConfigurationError, match="name"):
            QBittorrentClient(URL, name=name)

    def test_an_injected_http_client_is_used_and_stays_open(self, wire: Wire) -> None:
        """Whoever made it closes it."""
        wire.answer(VERSION, text="2.11.4")

        with httpx.Client(headers={"X-Mine": "1"}) as http:
            with QBittorrentClient(URL, http=http) as client:
                client.check()

            assert not http.is_closed
        assert wire.requests[0].headers["x-mine"] == "1"

    def test_its_own_http_client_is_closed(self, admin: QBittorrentClient) -> None:
        """After that, no call can be made."""
        admin.close()

        with pytest.raises(RuntimeError, match="closed"):
            admin.check()

    @pytest.mark.parametrize("status", [302, 307, 308])
    def test_no_redirect_is_followed(self, wire: Wire, status: int) -> None:
        """The password goes nowhere else, not even through an injected client that follows redirects."""
        wire.answer(LOGIN, status, Location="http://else.test/")
        wire.mock.add_response(url="http://else.test/", text="Ok.", is_optional=True)
        wire.mock.add_response(url=f"{URL}/api/v2/{VERSION}", text="2.11.4", is_optional=True)

        with httpx.Client(follow_redirects=True) as http:
            client = QBittorrentClient(URL, username="admin", password="hunter2", http=http)
            with pytest.raises(ClientError, match="redirects"):
                client.check()

        assert wire.calls == [LOGIN]

    def test_nobody_listens(self) -> None:
        """A refused connection is something that may pass."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            client = QBittorrentClient(f"http://127.0.0.1:{held.getsockname()[1]}")
            with client, pytest.raises(ClientUnavailable, match=r"127\.0\.0\.1:\d+ cannot be reached"):
                client.check()


class TestAdd:
    """Handing over one torrent."""

    def test_a_file_goes_as_it_came(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """Its name is ASCII and its own; the body has a length, and no page claims to have sent it."""
        wire.answer(ADD, text="Ok.")

        qbt.add(TORRENT, AddOptions())

        (request,) = wire.requests
        file = {f"{TORRENT.info_hashes.v1}.torrent": TORRENT.content}
        assert parts_of(request) == file
        assert request.headers["content-length"] == str(len(request.content))
        assert not {"transfer-encoding", "origin", "referer"} & request.headers.keys()

    @pytest.mark.parametrize(
        ("options", "fields"),
        [
            (AddOptions(), {}),
            (AddOptions(paused=True), {"paused": "true", "stopped": "true"}),
            (AddOptions(paused=False), {"paused": "false", "stopped": "false"}),
            (AddOptions(category="böcker/sci-fi"), {"category": "böcker/sci-fi"}),
            (AddOptions(tags=("new", "to sort")), {"tags": "new,to sort"}),
            (AddOptions(save_path="/books/ä"), {"savepath": "/books/ä", "autoTMM": "false"}),
        ],
    )
    def test_options_become_fields(
        self, qbt: QBittorrentClient, wire: Wire, options: AddOptions, fields: dict[str, str]
    ) -> None:
        """A magnet link goes as a form and a file as multipart, both with the names that all generations read."""
        wire.answer(ADD, text="Ok.", always=True)

        qbt.add(MAGNET, options)
        qbt.add(TORRENT, options)

        magnet, file = wire.requests
        assert form_of(magnet) == {"urls": MAGNET.uri} | fields
        expected = {name: value.encode() for name, value in fields.items()}
        assert {name: value for name, value in parts_of(file).items() if ".torrent" not in name} == expected

    @pytest.mark.parametrize(
        "category",
        [
            *["/a", "a/", "a//b", "a\\b", "/", "\\", "..\\a", ""],
            *["..", ".", "../x", "a/../b", "a/..", "a/.", "./a", "a/./b", "...", "a/..../b"],
            *[".. ", " ..", "a/.. /b", "..\u00a0", "a/ ", "..?", "..:/a", '"', "a/|/b"],
            *["a\nb", "a\tb", "a\x00b", "a\x1bb", "a\x7fb", "a\x85b", "a\u2028b", "a\u2029b", "a\ud800b"],
            *[
                "x" * 256,
                "a/" + "x" * 256,
                "ü" * 128,
                "\U0001f600" * 64,
                "/".join(["y" * 200] * 10),
                "x/" * 10**6 + "x",
            ],
        ],
        ids=lambda category: ascii(category[:12]),
    )
    def test_a_category_that_leads_elsewhere_is_not_sent(
        self, qbt: QBittorrentClient, wire: Wire, category: str
    ) -> None:
        """The torrent would be taken, and the category be left out, changed, or lead out of qBittorrent's folder."""
        with pytest.raises(Unsupported, match="category"):
            qbt.add(TORRENT, AddOptions(category=category))

        assert not wire.requests

    @pytest.mark.parametrize(
        "category",
        [
            "a",
            "a/b/c",
            "...a",
            "a..b",
            ".hidden",
            "a.",
            "Sci-Fi / Fantasy",
            "C:/x",
            "~",
            "ü" * 127,
            "x" * 255,
            "a/b" * 60,
        ],
        ids=lambda category: ascii(category[:12]),
    )
    def test_a_category_that_is_kept_is_sent(self, qbt: QBittorrentClient, wire: Wire, category: str) -> None:
        """As it is."""
        wire.answer(ADD, text="Ok.")

        qbt.add(MAGNET, AddOptions(category=category))

        assert form_of(wire.requests[0])["category"] == category

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            *[(AddOptions(tags=("good", tag)), "tag") for tag in ("a,b", "a\nb", "a\x00", "a\u2028", "x" * 5000)],
            *[
                (AddOptions(save_path=path), "save_path")
                for path in ("..", "../x", "/a/../b", "/a/..", "a\\..\\b", "C:\\..", "/a/.. /b", "/a\nb", "/a\x00b")
            ],
            *[
                (AddOptions(save_path=path), "save_path")
                for path in ("/" + "x" * 256, "/" + "ü" * 128, "C:\\" + "x" * 256, "/" + "/".join(["y" * 200] * 21))
            ],
        ],
    )
    def test_what_would_become_another_path_or_field_is_not_sent(
        self, qbt: QBittorrentClient, wire: Wire, options: AddOptions, match: str
    ) -> None:
        """A tag with a comma would be two; a path with a part that is too long can be made on no disk."""
        with pytest.raises(Unsupported, match=match):
            qbt.add(TORRENT, options)

        assert not wire.requests

    @pytest.mark.parametrize("path", ["/books", "/a..b/...", "C:\\Books\\New", "rel/ative", "/" + "x" * 255, "/a/./b"])
    def test_a_save_path_that_is_kept_is_sent(self, qbt: QBittorrentClient, wire: Wire, path: str) -> None:
        """As it is."""
        wire.answer(ADD, text="Ok.")

        qbt.add(MAGNET, AddOptions(save_path=path))

        assert form_of(wire.requests[0])["savepath"] == path

    @pytest.mark.parametrize(
        ("status", "text", "kind"),
        [(200, "Ok.", "text/plain"), (200, '{"success_count":1}', "application/json"), (202, "{}", "application/json")],
    )
    def test_it_is_accepted(self, qbt: QBittorrentClient, wire: Wire, status: int, text: str, kind: str) -> None:
        """By the word of old, or the JSON since 5.2."""
        wire.answer(ADD, status, text, Content_Type=f"{kind}; charset=UTF-8")

        qbt.add(TORRENT, AddOptions())

        assert wire.calls == [ADD]


class TestAddAll:
    """Handing over several torrents in one request."""

    FILES = tuple(parse_torrent(book(f'ä"{number}', kind=kind)) for number, kind in enumerate(KINDS))
    LINKS = tuple(
        parse_magnet(f"magnet:?xt=urn:btih:{number + 1:040x}&dn=a%0Ab&tr=http://t/?a%3Db") for number in range(2)
    )

    @staticmethod
    def heads_of(request: httpx.Request) -> list[str]:
        """Return the first line of each part of a multipart body."""
        return re.findall(r"^Content-Disposition: (.*?)\r$", request.content.decode("ascii", "replace"), re.MULTILINE)

    def test_files_go_as_they_came(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """Each under a name of its own, of ASCII: of two with one name, qBittorrent silently takes the last alone."""
        wire.answer(ADD, text="Ok.")

        qbt.add_all(self.FILES, AddOptions())

        (request,) = wire.requests
        files = {f"{file.info_hashes.primary}.torrent": file.content for file in self.FILES}
        assert parts_of(request) == files
        assert len({name.lower() for name in files}) == 3
        heads = self.heads_of(request)
        assert heads == [
            *(f'form-data; name="torrents"; filename="{name}"' for name in files),
        ]
        assert request.headers["content-length"] == str(len(request.content))

    def test_magnet_links_go_in_one_field(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """As a form, one link in each line; what a link holds stays within its line."""
        wire.answer(ADD, text="Ok.")

        qbt.add_all(self.LINKS, AddOptions())

        (request,) = wire.requests
        assert form_of(request) == {"urls": "\n".join(link.uri for link in self.LINKS)}
        assert form_of(request)["urls"].count("\n") == 1

    @pytest.mark.parametrize(
        ("options", "fields"),
        [
            (AddOptions(), {}),
            (
                AddOptions(category="böcker", tags=("new", "to sort"), save_path="/ä", paused=True),
                {
                    "paused": "true",
                    "stopped": "true",
                    "category": "böcker",
                    "tags": "new,to sort",
                    "savepath": "/ä",
                    "autoTMM": "false",
                },
            ),
        ],
    )
    def test_both_go_in_one_request_with_each_field_once(
        self, qbt: QBittorrentClient, wire: Wire, options: AddOptions, fields: dict[str, str]
    ) -> None:
        """The options are those of all of them."""
        wire.answer(ADD, text="Ok.")
        mixed: list[Torrent] = [self.LINKS[0], *self.FILES, self.LINKS[1]]

        qbt.add_all(mixed, options)

        (request,) = wire.requests
        urls = "\n".join(link.uri for link in self.LINKS)
        files = {f"{file.info_hashes.primary}.torrent": file.content for file in self.FILES}
        assert parts_of(request) == files | {name: value.encode() for name, value in {**fields, "urls": urls}.items()}
        assert len(self.heads_of(request)) == len(fields) + 1 + len(files)

    def test_one_alone_goes_as_by_add(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """There is one way to say it."""
        wire.answer(ADD, text="Ok.", always=True)

        qbt.add(TORRENT, AddOptions())
        qbt.add_all([TORRENT], AddOptions())

        one, other = wire.requests
        assert parts_of(one) == parts_of(other)

    def test_a_category_that_would_be_dropped_is_not_sent(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """As with one alone."""
        with pytest.raises(Unsupported, match="category"):
            qbt.add_all(self.FILES, AddOptions(category="a//b"))

        assert not wire.requests

    @pytest.mark.parametrize(
        ("status", "text", "kind"),
        [
            (200, "Ok.", "text/plain"),
            (200, '{"success_count":2,"failure_count":1}', "application/json"),
            (202, '{"pending_count":1}', "application/json"),
        ],
    )
    def test_it_is_accepted(self, qbt: QBittorrentClient, wire: Wire, status: int, text: str, kind: str) -> None:
        """Also if only some of them are: which ones, the lookup tells."""
        wire.answer(ADD, status, text, Content_Type=f"{kind}; charset=UTF-8")

        qbt.add_all(self.FILES, AddOptions())

        assert wire.calls == [ADD]

    @pytest.mark.parametrize(
        ("status", "text", "error"),
        [
            (200, "Fails.", NotAdded("no reason")),
            (409, "Conflict", NotAdded("no reason")),
            (413, "", TorrentRejected("413")),
            (400, "Bad Request", NotAdded("status 400")),
            (429, "", NotAdded("status 429")),
            (415, "Error: 'x.torrent' is not a valid torrent file.", TorrentRejected("as a torrent file")),
            (401, "", ClientAuthError("401")),
            (403, "Forbidden", ClientAuthError("user name")),
            (404, "", ClientError("not qBittorrent")),
            (302, "", ClientError("redirects")),
            (502, HTML, ClientUnavailable("answered 502")),
            *[(200, text, ClientUnavailable("something other")) for text in (HTML, "", "Ok", "Ok.\n")],
        ],
    )
    def test_what_is_no_success(
        self, qbt: QBittorrentClient, wire: Wire, status: int, text: str, error: ClientError
    ) -> None:
        """Each has its error, and nothing is sent twice."""
        wire.answer(ADD, status, text)

        with pytest.raises(ClientError, match=str(error)) as caught:
            qbt.add_all(self.FILES, AddOptions())

        assert type(caught.value) is type(error)
        assert wire.calls == [ADD]

    def test_without_an_answer_it_is_unavailable(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """It is sent once; any of them may be there."""
        wire.mock.add_exception(httpx.WriteError("lost"))

        with pytest.raises(ClientUnavailable, match="no usable answer"):
            qbt.add_all([*self.FILES, *self.LINKS], AddOptions())

        assert wire.calls == [ADD]

    def test_an_expired_session_is_opened_anew_once(self, admin: QBittorrentClient, wire: Wire) -> None:
        """The request is made again, the same in every field and byte; a 403 comes before anything is done."""
        wire.answer(LOGIN, text="Ok.", always=True)
        wire.answer(VERSION, text="2.8.19")
        wire.answer(ADD, 403, "Forbidden")
        wire.answer(ADD, text="Ok.")
        admin.check()

        admin.add_all(self.FILES, AddOptions())

        assert wire.calls == [LOGIN, VERSION, ADD, LOGIN, ADD]
        assert parts_of(wire.requests[2]) == parts_of(wire.requests[4])


class TestAnswers:
    """What is no success, for whatever was called."""

    @pytest.mark.parametrize(
        ("name", "status", "text", "error"),
        [
            (ADD, 200, "Fails.", NotAdded("no reason")),
            (ADD, 409, "Conflict", NotAdded("no reason")),
            (ADD, 413, "", TorrentRejected("413")),
            (ADD, 429, "", NotAdded("status 429")),
            (ADD, 415, "Error: 'x.torrent' is not a valid torrent file.", TorrentRejected("as a torrent file")),
            (ADD, 500, "Ok.", ClientUnavailable("answered 500")),
            *[(ADD, 200, text, ClientUnavailable("something other")) for text in (HTML, "")],
            *[(INFO, 200, text, ClientUnavailable("cannot be read")) for text in (HTML, "", "null", "{}", "[1]", "[{")],
            *[(VERSION, status, text, ClientError("not qBittorrent")) for status, text in ((200, HTML), (400, "2.1"))],
            *[(name, 404, "", ClientError("not qBittorrent")) for name in (ADD, INFO, VERSION)],
            *[(name, 302, "", ClientError("redirects")) for name in (ADD, INFO, VERSION)],
            *[(name, 502, HTML, ClientUnavailable("answered 502")) for name in (ADD, INFO, VERSION)],
        ],
    )
    def test_each_has_its_error(
        self, qbt: QBittorrentClient, wire: Wire, name: str, status: int, text: str, error: ClientError
    ) -> None:
        """Refusals, trouble that may pass, and another server are told apart; nothing is sent twice."""
        wire.answer(name, status, text)

        with pytest.raises(ClientError, match=str(error)) as caught:
            call(qbt, name)

        assert type(caught.value) is type(error)
        assert wire.calls == [name]

    @pytest.mark.parametrize("name", [ADD, INFO, VERSION])
    @pytest.mark.parametrize(
        ("failure", "match"),
        [
            *[(httpx.ConnectTimeout, "cannot be reached"), (httpx.ReadTimeout, "in time")],
            *[(httpx.RemoteProtocolError, "no usable answer"), (httpx.WriteError, "no usable answer")],
        ],
    )
    def test_without_one_it_is_unavailable(
        self, qbt: QBittorrentClient, wire: Wire, failure: type[httpx.TransportError], match: str, name: str
    ) -> None:
        """It is sent once, and httpx's error, which holds the request, does not travel along."""
        wire.mock.add_exception(failure("lost"))

        with pytest.raises(ClientUnavailable, match=match) as caught:
            call(qbt, name)

        assert wire.calls == [name]
        assert caught.value.__cause__ is caught.value.__context__ is None

    @pytest.mark.parametrize(
        ("status", "text", "match"),
        [
            (400, "<h1>The plain HTTP request was sent to HTTPS port</h1>", "speaks TLS: is https:// meant"),
            (400, "Client sent an HTTP request to an HTTPS server.", "speaks TLS"),
            (407, "", "asks for a login"),
            (421, "", "does not serve that host name"),
        ],
    )
    def test_a_server_before_it_is_understood(
        self, qbt: QBittorrentClient, wire: Wire, status: int, text: str, match: str
    ) -> None:
        """What it says will not pass by itself."""
        wire.answer(VERSION, status, text)

        with pytest.raises(ClientError, match=match) as caught:
            qbt.check()

        assert not caught.value.transient

    @pytest.mark.parametrize("name", ["http", "given"])
    def test_nothing_compressed_is_asked_for(self, wire: Wire, name: str) -> None:
        """Whatever the client would ask for by itself."""
        wire.answer(VERSION, text="2.11.4")

        with httpx.Client(headers={"Accept-Encoding": "gzip, br"}) as http:
            QBittorrentClient(URL, http=http if name == "given" else None).check()

        assert wire.requests[0].headers.get_list("accept-encoding") == ["identity"]


class Packed(httpx.SyncByteStream):
    """The body of an answer as it comes over the wire, byte by byte."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body[at : at + 1] for at in range(len(self._body)))


def bare_deflate(body: bytes) -> bytes:
    """Compress without a header, as some servers understand deflate."""
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(body) + packing.flush()


class TestCompressed:
    """An answer that a proxy compresses, asked or not."""

    @staticmethod
    def check(body: bytes, encoding: str) -> None:
        """Check a client that is answered like this."""

        def answer(_: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers={"Content-Encoding": encoding}, stream=Packed(body))

        with httpx.Client(transport=httpx.MockTransport(answer)) as http:
            QBittorrentClient(URL, http=http).check()

    @pytest.mark.parametrize(
        ("body", "encoding"),
        [
            *((gzip.compress(b"2.11.4"), name) for name in ("gzip", "x-gzip", " GZIP ")),
            *((pack(b"2.11.4"), "deflate") for pack in (zlib.compress, bare_deflate)),
            *((b"2.11.4", name) for name in ("", "identity", "none", "utf-8")),
        ],
    )
    def test_one_layer_is_unpacked(self, body: bytes, encoding: str) -> None:
        """And what is not the name of a compression means that there is none."""
        self.check(body, encoding)

    @pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,identity", "br", "zstd", "compress"])
    def test_more_is_refused(self, encoding: str) -> None:
        """With a sentence that says what to switch off."""
        with pytest.raises(ClientError, match="compressed in a way that was not asked for"):
            self.check(gzip.compress(gzip.compress(b"2.11.4")), encoding)

    @pytest.mark.parametrize("body", [b"2.11.4", gzip.compress(b"2.11.4")[:-9], b"\x1f\x8b", bare_deflate(b"2.1")[:-1]])
    def test_what_is_damaged_is_refused(self, body: bytes) -> None:
        """It is not what was sent."""
        with pytest.raises(ClientError, match="damaged"):
            self.check(body, "deflate" if body[:1] != b"\x1f" else "gzip")


class TestStatus:
    """Looking torrents up."""

    def test_all_are_asked_for_in_one_request(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """Under each 40-digit id that a torrent may have there."""
        wire.answer(INFO, text="[]")

        assert qbt.status([TORRENT.info_hashes, HYBRID]) == {}

        hashes = f"{TORRENT.info_hashes.v1}|{V1}|{V2[:40]}"
        assert [form_of(request) for request in wire.requests] == [{"hashes": hashes}]

    def test_nothing_asked_is_no_request(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """An empty list of hashes would mean all torrents."""
        assert qbt.status([]) == {}

        assert not wire.requests

    @pytest.mark.parametrize(
        "ids",
        [
            {"hash": V1},
            {"hash": V2[:40].upper()},
            {"hash": "0", "infohash_v1": V1, "infohash_v2": ""},
            {"hash": "0", "infohash_v1": "", "infohash_v2": V2.upper()},
        ],
    )
    def test_any_id_of_a_row_counts(self, qbt: QBittorrentClient, wire: Wire, ids: dict[str, str]) -> None:
        """What is found stands under the key that was given, with what the row names; what is not there is absent."""
        wire.answer(INFO, text=json.dumps([{"hash": "f"}, {"state": "moving", "progress": 0.5, **ids}]))
        named = [ids.get(name, "").lower() or None for name in ("infohash_v1", "infohash_v2")]

        found = qbt.status([v1_of("not there"), HYBRID])

        hashes = InfoHashes(v1=named[0], v2=named[1]) if any(named) else None
        assert found == {HYBRID: TorrentStatus(state=TorrentState.CHECKING, progress=0.5, info_hashes=hashes)}

    @pytest.mark.parametrize(
        ("state", "names"),
        [
            (TorrentState.ERROR, "error missingFiles unknown"),
            (TorrentState.COMPLETE, "uploading queuedUP stalledUP forcedUP pausedUP stoppedUP"),
            (TorrentState.CHECKING, "checkingUP checkingDL checkingResumeData queuedForChecking moving"),
            (TorrentState.DOWNLOADING, "downloading metaDL forcedMetaDL stalledDL forcedDL allocating invented2030"),
            (TorrentState.PAUSED, "pausedDL stoppedDL"),
            (TorrentState.QUEUED, "queuedDL"),
        ],
    )
    def test_every_state_has_a_meaning(
        self, qbt: QBittorrentClient, wire: Wire, state: TorrentState, names: str
    ) -> None:
        """States of all generations are read, and one that is newer counts as downloading."""
        asked = [v1_of(name) for name in names.split()]
        rows = ",".join(f'{{"hash": "{v1_of(name)}", "state": "{name}"}}' for name in names.split())
        wire.answer(INFO, text=f"[{rows}]")

        assert qbt.status(asked) == dict.fromkeys(asked, TorrentStatus(state=state, progress=0.0))

    @pytest.mark.parametrize(
        ("written", "progress"),
        [
            *[("0.25", 0.25), ("1", 1.0), ("1.0001", 1.0), ("-1", 0.0), ('"0.25"', 0.0), ("Infinity", 1.0)],
            *[("null", 0.0), ('"x"', 0.0), ("[]", 0.0), ("NaN", 0.0)],
            pytest.param("1" + 400 * "0", 1.0, id="huge"),
        ],
    )
    def test_progress_is_between_0_and_1(
        self, qbt: QBittorrentClient, wire: Wire, written: str, progress: float
    ) -> None:
        """It is cut to that, and is 0 where it is no number."""
        wire.answer(INFO, text=f'[{{"hash": "{V1}", "state": 7, "progress": {written}}}]')

        assert qbt.status([HYBRID]) == {HYBRID: TorrentStatus(state=TorrentState.DOWNLOADING, progress=progress)}

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            ({}, None),
            ({"total_size": None}, None),
            ({"total_size": -1, "state": "pausedDL"}, False),
            ({"total_size": 0}, True),
            ({"total_size": -1, "has_metadata": False}, False),
            ({"total_size": 5, "has_metadata": True}, True),
            ({"total_size": 5, "has_metadata": "yes"}, True),
        ],
    )
    def test_metadata_is_told_from_a_magnet_link_without_it(
        self,
        qbt: QBittorrentClient,
        wire: Wire,
        fields: dict[str, object],
        told: bool | None,  # noqa: FBT001
    ) -> None:
        """By its own field in 5.1 and later, and by a size of -1 in 4.5."""
        wire.answer(INFO, text=json.dumps([row(V1, V2, **fields)]))

        (status,) = qbt.status([HYBRID]).values()

        assert status.has_metadata is told
        assert status.info_hashes == HYBRID
        assert status.info_hashes.complete is (told is True)

    @pytest.mark.parametrize("named", [("x", ""), ("", "y"), ("", ""), (V1[:-1], V2)])
    def test_info_hashes_that_are_none_are_not_learnt(
        self, qbt: QBittorrentClient, wire: Wire, named: tuple[str, str]
    ) -> None:
        """The torrent is there all the same."""
        wire.answer(INFO, text=json.dumps([row(*named) | {"hash": V1}]))

        assert [status.info_hashes for status in qbt.status([HYBRID]).values()] == [None]


class TestTheOtherInfoHash:
    """A hybrid torrent that qBittorrent knows by another info-hash than we do."""

    HALF = InfoHashes(v1=V1)

    def test_what_is_missing_is_looked_for_in_the_list(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """Once, among those that have a v2 info-hash: what it says completes what we know."""
        there = row(V1, V2, total_size=4, state="stalledUP", progress=1)
        wire.answer(INFO, text="[]")
        wire.answer(INFO, text=json.dumps([row("a" * 40, "b" * 64), there, row("c" * 40)]))

        found = qbt.status([self.HALF, InfoHashes(v1="d" * 40)])

        assert list(found) == [self.HALF]
        assert found[self.HALF].info_hashes == HYBRID
        assert found[self.HALF].state is TorrentState.COMPLETE
        assert [form_of(request) for request in wire.requests] == [
            {"hashes": f"{V1}|{'d' * 40}"},
            {"sort": "infohash_v2", "reverse": "true", "limit": "1000", "offset": "0"},
        ]

    @pytest.mark.parametrize(
        "asked", [HYBRID, InfoHashes(v2=V2), TORRENT.info_hashes, InfoHashes(v1=V1, complete=True)]
    )
    def test_what_cannot_hide_is_not_searched_for(self, qbt: QBittorrentClient, wire: Wire, asked: InfoHashes) -> None:
        """Where both are known, the v2 one is, or a file has shown that there is no other: absent is absent."""
        wire.answer(INFO, text="[]")

        assert qbt.status([asked]) == {}
        assert wire.calls == [INFO]

    def test_what_was_found_is_not_searched_for(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """As every magnet link of a v1 torrent is."""
        wire.answer(INFO, text=json.dumps([row(V1)]))

        assert list(qbt.status([self.HALF])) == [self.HALF]
        assert wire.calls == [INFO]

    def test_generations_without_v2_have_nothing_that_hides(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """Up to 4.3 the list cannot be sorted by it, and every torrent is known by its v1 info-hash."""
        wire.answer(INFO, text="[]")
        wire.answer(INFO, 400, "'sort' parameter is invalid")

        assert qbt.status([self.HALF]) == {}

    @pytest.mark.parametrize("at", [0, 999, 1000, 1999])
    def test_it_is_found_on_each_page(self, qbt: QBittorrentClient, wire: Wire, at: int) -> None:
        """And no page is asked for after that."""
        rows = [row(f"{number:040x}", f"{number + 1:064x}") for number in range(2000)]
        rows[at] = row(V1, V2)
        wire.answer(INFO, text="[]")
        for start in range(0, at + 1, 1000):
            wire.answer(INFO, text=json.dumps(rows[start : start + 1000]))

        assert list(qbt.status([self.HALF])) == [self.HALF]
        assert [form_of(request)["offset"] for request in wire.requests[1:]] == ["0", "1000"][: at // 1000 + 1]

    @pytest.mark.parametrize("behind", [0, 1, 1000], ids=["nothing", "one", "the first page again"])
    def test_the_search_ends(self, qbt: QBittorrentClient, wire: Wire, behind: int) -> None:
        """Behind a full page may come the rest, nothing, or up to 5.1 the first page once more."""
        page = [row(f"{number:040x}", f"{number + 1:064x}") for number in range(1000)]
        wire.answer(INFO, text="[]")
        wire.answer(INFO, text=json.dumps(page))
        wire.answer(INFO, text=json.dumps(page[:behind]))

        assert qbt.status([self.HALF]) == {}

    def test_a_full_page_whose_last_has_no_v2_is_the_last(self, qbt: QBittorrentClient, wire: Wire) -> None:
        """Of 30,000 torrents, one page is asked for."""
        wire.answer(INFO, text="[]")
        wire.answer(INFO, text=json.dumps([row(f"{number:040x}") for number in range(1000)]))

        assert qbt.status([self.HALF]) == {}

    def test_a_search_without_end_is_given_up(
        self, qbt: QBittorrentClient, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then nobody can say that it is absent."""
        monkeypatch.setattr("audiobatch.clients.qbittorrent._PAGE", 1)
        monkeypatch.setattr("audiobatch.clients.qbittorrent._MAX_PAGES", 3)
        wire.answer(INFO, text="[]")
        for number in range(3):
            wire.answer(INFO, text=json.dumps([row(f"{number:040x}", f"{number + 1:064x}")]))

        with pytest.raises(ClientError, match="too many"):
            qbt.status([self.HALF])

    @pytest.mark.parametrize(("status", "text"), [(502, ""), (200, HTML), (200, "{}")])
    def test_a_search_that_fails_is_no_absence(
        self, qbt: QBittorrentClient, wire: Wire, status: int, text: str
    ) -> None:
        """It is an error, as for every look-up."""
        wire.answer(INFO, text="[]")
        wire.answer(INFO, status, text)

        with pytest.raises(ClientUnavailable):
            qbt.status([self.HALF])
