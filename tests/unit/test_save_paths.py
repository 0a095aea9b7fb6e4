"""Each book of a batch gets a folder of its own, or the report says why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiobatch import BatchDownloader, Download, DownloadFailure, FailureCode, Stage
from audiobatch._same_folder import same_folder_key
from audiobatch.errors import ClientUnavailable, InvalidRequestError
from audiobatch.folders import SavePathTemplate
from audiobatch.models import DownloadRequest
from audiobatch.repositories.memory import MemoryRepository
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, request, torrent

BOOKS = SavePathTemplate("/audiobooks")


def make(client: FakeClient, save_path: object = BOOKS) -> BatchDownloader:
    """Make a downloader with a template."""
    return BatchDownloader(
        client=client,
        fetcher=FakeFetcher(),
        repository=MemoryRepository(),
        fetch_retry=AT_ONCE,
        confirm_retry=AT_ONCE,
        save_path=save_path,  # type: ignore[arg-type]
    )


def test_the_client_and_the_report_are_told(client: FakeClient) -> None:
    """The folder is that of the template, and stands in the request that comes back."""
    (done,) = make(client).run([request("a", title="The Lighthouse", series="Sea")]).successful

    folder = "/audiobooks/An Author/Sea/The Lighthouse"
    assert client.torrents[torrent("a").info_hashes].save_path == folder
    assert done.request.save_path == folder


def test_it_is_there_in_a_plan(client: FakeClient) -> None:
    """Before anything is fetched."""
    (item,) = make(client).plan([{"title": "T", "author": "A", "torrent_url": "http://t.test/x"}]).items

    assert isinstance(item.request, DownloadRequest)
    assert item.request.save_path == "/audiobooks/A/T"


def test_a_request_with_a_folder_of_its_own_keeps_it(client: FakeClient) -> None:
    """Also if several share it, as they may on purpose."""
    result = make(client).run([request(name, save_path="/mine") for name in "ab"])

    assert [done.request.save_path for done in result.successful] == ["/mine", "/mine"]


def test_a_retry_goes_to_the_same_folder(client: FakeClient) -> None:
    """What is worth another try carries its folder along."""
    client.check_error = ClientUnavailable("down")
    downloader = make(client)
    first = downloader.run([request("a", title="T")])
    client.check_error = None

    (again,) = downloader.run(first.retryable).successful
    assert again.request.save_path == "/audiobooks/An Author/T"


@pytest.mark.parametrize(
    ("first", "second"),
    [("The Lighthouse", "THE LIGHTHOUSE"), ("Who?", "Who:"), ("Caf\u00e9", "Cafe\u0301"), ("Same", "Same")],
)
def test_two_books_do_not_come_into_one_folder(client: FakeClient, first: str, second: str) -> None:
    """On some file system they would: the first one gets it, and of the other the report says so."""
    batch = [request("a", title=first), request("b", title=second), request("c", title="Another")]

    result = make(client).run(batch)

    assert [done.index for done in result.successful] == [0, 2]
    (failure,) = result.failed
    assert (failure.index, failure.code, failure.stage) == (1, FailureCode.INVALID_REQUEST, Stage.VALIDATE)
    assert failure.error == (
        "Validation failed: it would share the folder of item 0: give one of them another title, or a save_path"
    )
    assert failure.request == batch[1]


def test_a_folder_that_somebody_has_named_is_taken_too(client: FakeClient) -> None:
    """Whichever of the two comes first."""
    named = request("a", title="Other", save_path="/audiobooks/An Author/T/")

    assert [failure.index for failure in make(client).run([named, request("b", title="T")]).failed] == [1]
    assert [failure.index for failure in make(client).run([request("b", title="T"), named]).failed] == [1]


def test_the_same_torrent_twice_is_one_book(client: FakeClient) -> None:
    """It is done once and answered twice."""
    assert make(client).run([request("a"), request("a")]).failed == ()


def test_whoever_makes_folders_may_make_none(client: FakeClient) -> None:
    """Then it is the client that chooses, for as many as there are."""
    result = make(client, lambda _: " ").run([request("a"), request("b")])

    assert [done.request.save_path for done in result.successful] == [None, None]


def test_a_folder_that_cannot_be_made_fails_its_item_alone(client: FakeClient) -> None:
    """Whoever makes folders may refuse a request, or give something that is no folder."""

    def pick(asked: DownloadRequest) -> object:
        if asked.title == "refused":
            raise InvalidRequestError("no folder for this one")
        return 5 if asked.title == "odd" else "/ok"

    result = make(client, pick).run([request(name) for name in ("refused", "odd", "good")])

    assert [failure.error for failure in result.failed] == [
        "Validation failed: no folder for this one",
        "Validation failed: save_path must be text",
    ]
    assert [done.index for done in result.successful] == [2]


NAMES = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["A", "a", "A.", "a ", "\u00e9", "e\u0301", "?", ":", "CON", "con_"]
)


@given(st.lists(st.tuples(NAMES, NAMES, st.none() | NAMES), min_size=2, max_size=8))
def test_no_two_books_of_a_batch_share_a_folder_without_a_word(books: list[tuple[str, str, str | None]]) -> None:
    """Of all that is reported as successful, each has a folder that no file system takes for another's."""
    given_batch = [
        {"title": title, "author": author, "series": series, "torrent_url": f"http://t.test/{number}.torrent"}
        for number, (title, author, series) in enumerate(books)
    ]

    result = make(FakeClient()).run(given_batch)

    folders = [str(done.request.save_path) for done in result.successful]
    assert len({same_folder_key(folder) for folder in folders}) == len(folders)
    for outcome in result.outcomes:
        if isinstance(outcome, DownloadFailure):
            assert outcome.code is FailureCode.INVALID_REQUEST
        else:
            assert isinstance(outcome, Download)
