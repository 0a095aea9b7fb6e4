"""Texts from elsewhere: how long they may be, what they may hold, and what they cost."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from audiobatch import BatchDownloader, DownloadRequest, FailureCode
from audiobatch._decomposition import composed, decomposed
from audiobatch._names import safe_name
from audiobatch._same_folder import same_folder_key
from audiobatch.clients._endpoint import Endpoint
from audiobatch.errors import AudiobatchError, ConfigurationError, InvalidBatchError, InvalidRequestError
from audiobatch.fetchers._addresses import read_origin
from audiobatch.folders import SavePathTemplate
from audiobatch.metainfo import InfoHashes
from audiobatch.models import Download, DownloadStatus, GivenRequest, restore_request
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.results import BatchResult, DownloadFailure, Stage
from audiobatch.wire import dump_request, dump_result, load_batch, load_request, load_stored_request
from support.fakes import FakeClient, FakeFetcher, codes, request

REQUIRED: Final[dict[str, Any]] = {"title": "T", "author": "A", "torrent_url": "http://tracker.test/1"}
MAXIMA: Final = {"title": 500, "author": 200, "series": 200, "category": 200, "save_path": 4096}
CONTROLS: Final = [*map(chr, range(1, 0x20)), "\x7f", *map(chr, range(0x80, 0xA0)), "\u2028", "\u2029"]
# Whatever needs them: scripts that are written from right to left, Persian, emoji.
HARMLESS: Final = ["\u200d", "\u200c", "\u200e", "\u200f", "\u2067", "\u00a0", "\u3000", "\u00ad", "\U0001f469"]
HUGE: Final = 3_000_000  # characters


def refusal(**changes: Any) -> str:
    """Return the message by which a request with these things changed is refused."""
    with pytest.raises(InvalidRequestError) as caught:
        load_request({**REQUIRED, **changes})
    return str(caught.value)


class TestMaxima:
    """How much a request may hold."""

    @pytest.mark.parametrize(("name", "maximum"), MAXIMA.items())
    def test_a_text_may_be_as_long_as_that(self, name: str, maximum: int) -> None:
        """Characters count, after the trimming."""
        assert getattr(load_request({**REQUIRED, name: f" {'é' * maximum} "}), name) == "é" * maximum
        assert refusal(**{name: "é" * (maximum + 1)}) == f"{name} is longer than {maximum} characters"

    def test_there_may_be_a_hundred_tags(self) -> None:
        """Each of up to 200 characters."""
        tags = [f"{number:0200}" for number in range(100)]

        assert load_request({**REQUIRED, "tags": tags}).tags == tuple(tags)
        assert refusal(tags=["x"] * 101) == "tags are more than 100"
        assert refusal(tags=["x"] * HUGE) == "tags are more than 100"
        assert refusal(tags=["x" * 201]) == "each of the tags is longer than 200 characters"

    def test_the_message_does_not_grow_with_what_is_wrong(self) -> None:
        """Of a hundred bad tags, it says once what is wrong."""
        assert refusal(tags=[5, "", "x" * 201, "a\nb"] * 25).count("each of the tags") == 4

    def test_what_is_much_too_long_is_refused_without_being_read(self) -> None:
        """Whatever it holds."""
        for name in MAXIMA:
            assert "is longer than" in refusal(**{name: "\u0301\n\ud800" * HUGE})


class TestCharacters:
    """What moves the cursor of a terminal, or ends a line, is in no text."""

    @pytest.mark.parametrize("name", [*MAXIMA, "tags"])
    @pytest.mark.parametrize("character", CONTROLS, ids=ascii)
    def test_control_characters_are_refused(self, name: str, character: str) -> None:
        """Anywhere but at the ends, where white space is trimmed."""
        text = f"a{character}b"

        assert refusal(**{name: [text] if name == "tags" else text}).endswith(
            " holds control characters, such as a line break or a tab"
        )

    @pytest.mark.parametrize("name", [*MAXIMA, "tags"])
    @pytest.mark.parametrize("character", HARMLESS, ids=ascii)
    def test_what_scripts_and_emoji_need_is_kept(self, name: str, character: str) -> None:
        """It is cleaned where it is shown in a terminal."""
        text = f"a{character}b"

        held = getattr(load_request({**REQUIRED, name: [text] if name == "tags" else text}), name)
        assert held == ((text,) if name == "tags" else text)


class Incomparable:
    """A value that answers no comparison with true or false, as arrays and missing values of data frames do."""

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        raise TypeError("ambiguous")


@pytest.mark.parametrize("name", [*REQUIRED, *MAXIMA, "tags", "paused"])
def test_a_value_that_cannot_be_compared_fails_its_item_alone(downloader: BatchDownloader, name: str) -> None:
    """It comes with a data frame, and is no reason for the other items to go without a report."""
    batch: list[GivenRequest] = [
        {**REQUIRED, name: Incomparable()},
        {**REQUIRED, "tags": [Incomparable()]},
        request("one"),
    ]

    result = downloader.run(batch)

    assert codes(result) == ["invalid_request", "invalid_request", "ok"]
    assert str(result)
    assert dump_result(result)


class TestUnknownFields:
    """They are named, shortly and cleanly."""

    def test_three_at_most(self) -> None:
        """And how many more there are."""
        message = refusal(**{f"field {number}": 1 for number in range(50_000)})

        assert message.startswith("unknown field 'field 0', 'field 1', 'field 2' and 49997 more (known are title")
        assert len(message) < 300

    @pytest.mark.parametrize(
        "key",
        [
            "\x1b[2J",
            "\u202e",
            "x" * HUGE,
            "\ud800",
            b"\x1b" * HUGE,
            10**5000,
            -(10**5000),
            (),
            ("\x1b",),
            object(),
            None,
        ],
        ids=lambda key: type(key).__name__,
    )
    def test_whatever_a_caller_has_for_a_name(self, key: object) -> None:
        """The message is short and clean, and it is an error of the item alone."""
        with pytest.raises(InvalidRequestError, match=r"^unknown field ") as caught:
            load_request({key: 1})

        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 200

    def test_a_name_that_cannot_be_shown(self) -> None:
        """Its class may raise whatever it likes."""

        class Odd:
            def __repr__(self) -> str:
                raise ZeroDivisionError

        with pytest.raises(InvalidRequestError, match="of the type Odd"):
            load_request({Odd(): 1})


class TestWhatIsGivenBack:
    """A request that did not validate is part of the report, but not all of it if it is huge."""

    @pytest.mark.parametrize(
        "raw",
        [
            {"title": "x" * HUGE},
            {"x" * HUGE: 1},
            {"title": ["x" * 1000] * HUGE},
            {"title": [["x"] * 10_000] * 10_000},
            {"title": b"x" * HUGE},
            {"title": bytearray(HUGE)},
            dict.fromkeys(range(HUGE // 10), "x"),
            {f"{number}" * 50: "x" * 50 for number in range(5_000)},
        ],
        ids=["text", "key", "list", "lists", "bytes", "bytearray", "keys", "long keys"],
    )
    def test_it_is_bounded(self, raw: dict[Any, Any]) -> None:
        """In values and in characters; what is cut ends with dots."""
        failure = DownloadFailure.from_error(InvalidRequestError("no"), index=0, request=raw, stage=Stage.VALIDATE)

        written = json.dumps(dump_result(BatchResult([failure])))

        assert len(written) < 1_000_000
        assert "..." in written

    def test_what_is_not_huge_comes_back_whole(self) -> None:
        """Also a request with every text as long as may be, and one character more."""
        raw = {
            **{name: "x" * maximum for name, maximum in MAXIMA.items()},
            "torrent_url": "x" * 8193,
            "tags": ["x" * 200] * 100,
        }
        failure = DownloadFailure.from_error(InvalidRequestError("no"), index=0, request=raw, stage=Stage.VALIDATE)

        assert dump_result(BatchResult([failure]))["failed"][0]["request"] == raw

    def test_a_value_that_cannot_be_shown(self) -> None:
        """The others of the batch get their report all the same."""

        class Odd:
            def __str__(self) -> str:
                raise ZeroDivisionError

        failure = DownloadFailure.from_error(
            InvalidRequestError("no"), index=0, request={"a": Odd()}, stage=Stage.FETCH
        )

        assert dump_result(BatchResult([failure]))["failed"][0]["request"] == {"a": "Odd"}

    def test_a_document_has_a_maximum(self) -> None:
        """It is looked at before anything is parsed."""
        for document in (b" " * (16 * 1024**2 + 1), " " * (16 * 1024**2 + 1)):
            with pytest.raises(InvalidBatchError, match="the batch is longer than 16 MiB: split it"):
                load_batch(document)
        assert load_batch(b'{"downloads": []}'.ljust(16 * 1024**2)) == []


LONG_AGO: Final[dict[str, Any]] = {
    **REQUIRED,
    "title": "T\x1b[2J" * 400,
    "author": "A\n" * 300 + "A",
    "series": "s" * 900,
    "category": "c" * 300,
    "tags": ["t" * 500, "a\tb"] * 100,
    "save_path": "/" + "p" * 9000,
    "paused": True,
}


class TestRecordsOfEarlierVersions:
    """What could be asked for once can be read still."""

    def test_a_request_that_would_be_refused_today_is_restored(self) -> None:
        """As it was."""
        with pytest.raises(InvalidRequestError):
            load_request(LONG_AGO)

        assert json.loads(json.dumps(dump_request(load_stored_request(LONG_AGO)))) == LONG_AGO

    def test_what_is_left_out_has_its_default(self) -> None:
        """And what is as it should be is read as ever."""
        today = load_request(REQUIRED)

        assert load_stored_request(REQUIRED) == restore_request(REQUIRED) == today
        assert hash(restore_request(dump_request(today))) == hash(today)

    @pytest.mark.parametrize(
        "damage",
        [
            {"title": None},
            {"title": ""},
            {"title": 5},
            {"title": "\ud800"},
            {"title": "\0"},
            {"tags": "text"},
            {"tags": [5]},
            {"tags": ["a,b"]},
            {"tags": None},
            {"category": 5},
            {"save_path": "\udcff"},
            {"paused": "no"},
            {"torrent_url": "ftp://x"},
            {"torrent_url": None},
            {"unknown": 1},
        ],
        ids=repr,
    )
    def test_what_no_version_has_written_is_refused(self, damage: dict[str, Any]) -> None:
        """It is damaged, or of a newer version."""
        with pytest.raises(InvalidRequestError):
            load_stored_request({**LONG_AGO, **damage})

    @pytest.mark.parametrize("item", [None, 5, "text", []])
    def test_what_is_no_request_is_refused(self, item: object) -> None:
        """As ever."""
        with pytest.raises(InvalidRequestError):
            load_stored_request(item)

    def test_a_database_with_such_records_works(self, tmp_path: Path, client: FakeClient, fetcher: FakeFetcher) -> None:
        """It is read, recovered, and reported."""
        path = tmp_path / "records.db"
        with SQLiteRepository(path) as repository:
            record = Download(
                id="an id",
                request=load_request(REQUIRED),
                info_hashes=InfoHashes(v1="ab" * 20),
                client="fake",
                status=DownloadStatus.RESERVED,
                created_at=datetime.now(UTC),
                torrent=fetcher.fetch(load_request({**REQUIRED, "torrent_url": "http://tracker.test/one.torrent"})),
            )
            repository.reserve([record])
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE downloads SET request = ?", (json.dumps(LONG_AGO),))
        connection.close()

        with SQLiteRepository(path) as repository:
            (found,) = repository.find([REQUIRED["torrent_url"]], client="fake").values()
            assert found.request.category == "c" * 300
            recovering = BatchDownloader(client=client, fetcher=fetcher, repository=repository)
            result = recovering.recover()
            assert codes(result) == ["ok"]
            assert result.rows()[0]["title"] == LONG_AGO["title"]
            assert all(line.isprintable() for line in str(result).splitlines())
            # The same request again is one of today: it fails alone.
            assert codes(recovering.run([LONG_AGO, REQUIRED])) == [FailureCode.INVALID_REQUEST, "ok"]


LONG: Final = 400_000  # characters: what grows with the square takes minutes with these
HOSTILE: Final = {
    "spaces": " " * LONG,
    "spaces and colons": " : " * (LONG // 3),
    "colons": ":" * LONG,
    "spaces before a colon": " " * LONG + ":",
    "marks in falling order": "a" + "\u0301" * (LONG // 2) + "\u0334" * (LONG // 2),
    "marks that alternate": "a" + "\u0301\u0334" * (LONG // 2),
    "letters that are marks": "a" + "\u0f73" * LONG,
    "letters that become marks": "a" + "\u0301\uff9e" * (LONG // 2),
    "marks between joiners": "a" + "\u0301\u200d\u0334\u200d" * (LONG // 4),
    "joiners": "a" + "\u200d" * LONG,
    "dots": "." * LONG,
    "dots and spaces": ". " * (LONG // 2),
    "slashes": "/" * LONG,
    "parents": "../" * (LONG // 3),
    "a device and spaces": "con" + " " * LONG + "x",
    "what becomes many": "\ufdfa" * (LONG // 18),
    "syllables": "\u1100\u1161\u11a8" * (LONG // 3),
    "signs": "\x1b" * LONG,
}
READERS: Final[dict[str, Callable[[str], object]]] = {
    "safe_name": lambda text: safe_name(text, 143),
    "same_folder_key": same_folder_key,
    "composed": composed,
    "decomposed": lambda text: decomposed(text, "NFKD"),
    "request": lambda text: _tried(lambda: load_request(dict.fromkeys(REQUIRED, text))),
    "tags": lambda text: _tried(lambda: load_request({**REQUIRED, "tags": [text] * 200})),
    "restored": lambda text: _tried(lambda: restore_request({**REQUIRED, **dict.fromkeys(MAXIMA, text)})),
    "template": lambda text: _tried(lambda: SavePathTemplate("/", "{title}" + text)),
    "root": lambda text: _tried(lambda: SavePathTemplate(text)),
    "folder": lambda text: SavePathTemplate("/")(_restored(text)),
    "table": lambda text: str(BatchResult([_failed(_restored(text), text)])),
    "html": lambda text: BatchResult([_failed(_restored(text), text)])._repr_html_(),
    "raw": lambda text: dump_result(BatchResult([_failed({text: text}, text)])),
    "document": lambda text: _tried(lambda: load_batch(text)),
    "client": lambda text: _tried(lambda: Endpoint.read(f"http://{text}@client.test")),
    "trusted": lambda text: _tried(lambda: read_origin(f"http://{text[:60_000]}@tracker.test")),
    "URLs": lambda text: [
        _tried(partial(load_request, {**REQUIRED, "torrent_url": f"http://{number}{text[:8000]}@tracker.test"}))
        for number in range(400)
    ],
}


def _tried(call: Callable[[], object]) -> object:
    try:
        return call()
    except (InvalidRequestError, InvalidBatchError, ConfigurationError) as refused:
        return refused


def _restored(text: str) -> DownloadRequest:
    return restore_request({**REQUIRED, "title": f"T{text}", "author": f"A{text}"})


def _failed(request: Any, error: str) -> DownloadFailure:
    return DownloadFailure.from_error(InvalidRequestError(error), index=0, request=request, stage=Stage.VALIDATE)


class TestCost:
    """No text holds up the threads of a process: what takes it does so in one go."""

    @pytest.mark.parametrize("reader", READERS)
    @pytest.mark.parametrize("text", HOSTILE)
    def test_nothing_grows_with_the_square(self, reader: str, text: str) -> None:
        """Far beyond the maxima of a request: seconds suffice, where the square would take minutes."""
        begun = time.process_time()
        came = READERS[reader](HOSTILE[text])
        assert not isinstance(came, AudiobatchError) or len(str(came)) < 1000
        assert time.process_time() - begun < 20

    @given(st.text(st.characters(), max_size=40), st.integers(1, 12))
    @example("a\u0301\u0334\u0f73\uff9e\uac00\u1100\u1161\u11a8\u212b", 40)
    @example("\u0334\u0301", 300)
    def test_decomposition_is_that_of_unicode(self, text: str, times: int) -> None:
        """However long it is."""
        long = text * times * 12

        assert decomposed(long, "NFD") == normalize("NFD", long)
        assert decomposed(long, "NFKD") == normalize("NFKD", long)
        assert composed(long) == normalize("NFC", long)
