"""What every repository has to keep: a suite that each implementation's test class inherits."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from audiobatch.metainfo import InfoHashes, MagnetLink, Torrent, parse_magnet, parse_torrent
from audiobatch.models import Download, DownloadRequest, DownloadStatus, restore_request
from audiobatch.protocols import Repository
from support.torrents import book

START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def record(name: str, *, client: str = "client", url: str | None = None, torrent: Torrent | None = None) -> Download:
    """Make a new record, as the pipeline does before an add."""
    torrent = torrent or parse_torrent(book(name, kind="hybrid"))
    return Download(
        id=str(uuid.uuid4()),
        request=DownloadRequest(
            title=name,
            author="Ä. Author",
            torrent_url=url or f"https://tracker.test/{name}?key=1",
            series="A Series",
            category="Audio/Books",
            tags=("a", "b"),
            save_path="/data",
            paused=True,
        ),
        info_hashes=torrent.info_hashes,
        client=client,
        status=DownloadStatus.RESERVED,
        created_at=START + timedelta(seconds=len(name)),
        torrent=torrent,
    )


def half_of(name: str, half: str) -> Download:
    """Make a new record of a magnet link that names one info-hash of a hybrid torrent."""
    hashes = record(name).info_hashes
    topic = {"v1": f"btih:{hashes.v1}", "v2": f"btmh:1220{hashes.v2}"}[half]
    link = parse_magnet(f"magnet:?xt=urn:{topic}")
    return record(f"{name} by {half}", url=link.uri, torrent=link)


class RepositoryContract:
    """The tests; a subclass has a fixture `repository` that gives an empty one."""

    def test_reserve_returns_what_was_given(self, repository: Repository) -> None:
        """A record that nobody holds comes back equal, in order."""
        new = [record("one"), record("two")]

        assert new == list(repository.reserve(new))

    def test_a_reserved_record_is_found_by_url_and_by_each_info_hash(self, repository: Repository) -> None:
        """Every key that matches leads to the whole record."""
        new = record("one")
        repository.reserve([new])
        keys = [new.request.torrent_url, new.info_hashes.v1, new.info_hashes.v2]

        found = repository.find([key for key in keys if key] + ["unknown"], client="client")

        assert dict.fromkeys(keys, new) == dict(found)

    def test_a_request_of_an_earlier_version_stays_readable(self, repository: Repository) -> None:
        """Its texts could be longer, and hold more characters, than those of a new one."""
        texts = {name: f"{name}\n\x1b[2J " * 900 for name in ("title", "author", "series", "category", "save_path")}
        more = {"torrent_url": "https://tracker.test/old", "tags": ["t\t" * 400] * 150}
        new = evolve(record("one"), request=restore_request({**texts, **more}))
        repository.reserve([new])
        repository.save([evolve(new, status=DownloadStatus.QUEUED)])

        (found,) = repository.unsettled(client="client")

        assert found == evolve(new, status=DownloadStatus.QUEUED)
        assert dict(repository.find([new.request.torrent_url], client="client")) == {new.request.torrent_url: found}

    def test_finding_nothing_is_no_error(self, repository: Repository) -> None:
        """No keys, and unknown keys, find nothing."""
        assert dict(repository.find([], client="client")) == {}
        assert dict(repository.find(["x"], client="client")) == {}

    def test_a_held_info_hash_comes_back_as_its_holder(self, repository: Repository) -> None:
        """The second one to reserve a torrent gets the first one's record, and changes nothing."""
        first, second = record("one"), record("one", url="https://elsewhere.test/")
        repository.reserve([first])

        held = repository.reserve([second])

        assert [first] == list(held)
        assert dict(repository.find([second.request.torrent_url], client="client")) == {}

    def test_one_shared_info_hash_is_enough(self, repository: Repository) -> None:
        """A hybrid torrent and a magnet link that names only one of its hashes are the same."""
        hybrid = record("one")
        by_v2 = record("magnet", torrent=parse_magnet(f"magnet:?xt=urn:btmh:1220{hybrid.info_hashes.v2}"))
        repository.reserve([hybrid])

        assert [hybrid] == list(repository.reserve([by_v2]))

    def test_twins_within_one_reservation_share_a_record(self, repository: Repository) -> None:
        """Two of the same torrent in one call get the first one's record both."""
        first, second = record("one"), record("one", url="https://elsewhere.test/")

        assert [first, first] == list(repository.reserve([first, second]))

    def test_clients_do_not_share_records(self, repository: Repository) -> None:
        """The same torrent in another client is another record."""
        here, there = record("one", client="here"), record("one", client="there")

        assert [here, there] == [*repository.reserve([here]), *repository.reserve([there])]
        url = here.request.torrent_url
        assert [here, there] == [repository.find([url], client=name)[url] for name in ("here", "there")]
        assert [here] == list(repository.unsettled(client="here"))

    def test_of_several_records_with_one_url_the_newest_is_found(self, repository: Repository) -> None:
        """A tracker may serve another torrent under the same URL later."""
        old, new = record("old", url="https://tracker.test/x"), record("newer", url="https://tracker.test/x")
        repository.reserve([old])
        repository.reserve([new])

        assert {"https://tracker.test/x": new} == dict(repository.find(["https://tracker.test/x"], client="client"))

    def test_save_changes_request_status_and_torrent(self, repository: Repository) -> None:
        """What is saved is found, and found by its new URL."""
        old = record("one")
        repository.reserve([old])
        changed = evolve(
            old,
            request=evolve(old.request, torrent_url="https://new.test/", title="New", category=None, tags=()),
            status=DownloadStatus.FAILED,
            torrent=None,
        )

        repository.save([changed])

        assert {"https://new.test/": changed} == dict(
            repository.find(["https://new.test/", old.request.torrent_url], client="client")
        )

    def test_save_keeps_what_identifies_a_record(self, repository: Repository) -> None:
        """Client, info-hashes and time of creation are not changed by saving."""
        old = record("one")
        repository.reserve([old])

        for hashes in (
            InfoHashes(v1="a" * 40),
            InfoHashes(v1=old.info_hashes.v1),
            InfoHashes(v1="a" * 40, v2="b" * 64),
        ):
            repository.save([evolve(old, created_at=START + timedelta(days=9), info_hashes=hashes)])

        url = old.request.torrent_url
        assert old == repository.find([url], client="client")[url]

    @pytest.mark.parametrize("half", ["v1", "v2"])
    def test_save_keeps_a_second_info_hash(self, repository: Repository, half: str) -> None:
        """A magnet link has named one of a hybrid's two; the record is found by both from then on."""
        old, whole = half_of("one", half), record("one").info_hashes
        repository.reserve([old])

        repository.save([evolve(old, info_hashes=whole, torrent=None)])

        keys = [str(whole.v1), str(whole.v2)]
        known = evolve(old, info_hashes=whole, torrent=None)
        assert dict.fromkeys(keys, known) == dict(repository.find(keys, client="client"))
        assert [known] == list(repository.reserve([record("one", url="https://elsewhere.test/")]))

    @pytest.mark.parametrize("half", ["v1", "v2"])
    def test_an_info_hash_of_another_torrent_is_not_added(self, repository: Repository, half: str) -> None:
        """The one that the record has must be the same."""
        old, other = half_of("one", half), record("other").info_hashes
        repository.reserve([old])

        repository.save([evolve(old, info_hashes=other)])

        assert [old] == list(repository.unsettled(client="client"))

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_two_records_of_one_torrent_keep_an_info_hash_each(
        self, repository: Repository, order: tuple[int, int]
    ) -> None:
        """Two links named one each, before anybody could tell: the rest of what is saved is saved for both."""
        whole = record("one").info_hashes
        links = [half_of("one", "v1"), half_of("one", "v2")]
        repository.reserve(links)

        repository.save([evolve(links[number], info_hashes=whole, status=DownloadStatus.QUEUED) for number in order])

        assert [evolve(link, status=DownloadStatus.QUEUED) for link in links] == list(
            repository.unsettled(client="client")
        )
        assert [links[0].id] == [held.id for held in repository.reserve([record("one", url="https://elsewhere.test/")])]

    def test_another_client_may_hold_the_second_info_hash(self, repository: Repository) -> None:
        """Records of different clients have nothing to do with each other."""
        here, there = half_of("one", "v1"), record("one", client="there")
        repository.reserve([here, there])

        repository.save([evolve(here, info_hashes=there.info_hashes)])

        assert [there.info_hashes] == [found.info_hashes for found in repository.unsettled(client="client")]

    def test_saving_an_unknown_record_changes_nothing(self, repository: Repository) -> None:
        """A record that was never reserved is not made by saving it."""
        repository.save([record("one")])

        assert list(repository.unsettled(client="client")) == []

    def test_the_place_in_a_batch_is_not_kept(self, repository: Repository) -> None:
        """Index and already_present belong to a result, not to a record."""
        new = record("one")
        repository.reserve([new])
        repository.save([evolve(new, index=7, already_present=True)])

        url = new.request.torrent_url
        assert new == repository.find([url], client="client")[url]

    def test_unsettled_are_the_reserved_and_the_queued_that_hold_their_torrent(self, repository: Repository) -> None:
        """Neither a failed record nor a queued one without torrent is looked at again."""
        records = [record(f"{number:02}") for number in range(5)]
        repository.reserve(records)
        reserved, queued, settled, failed, refused = records
        queued = evolve(queued, status=DownloadStatus.QUEUED)
        repository.save(
            [
                queued,
                evolve(settled, status=DownloadStatus.QUEUED, torrent=None),
                evolve(failed, status=DownloadStatus.FAILED),
                evolve(refused, status=DownloadStatus.FAILED, torrent=None),
            ]
        )

        assert [reserved, queued] == list(repository.unsettled(client="client"))

    def test_unsettled_goes_on_while_records_are_saved(self, repository: Repository) -> None:
        """Each comes once, oldest first, whatever is saved in between."""
        records = [record(f"{number:03}") for number in range(120)]
        repository.reserve(records)
        seen = []

        for number, found in enumerate(repository.unsettled(client="client")):
            seen.append(found.id)
            settled = number % 2 == 0
            repository.save([evolve(found, status=DownloadStatus.QUEUED, torrent=None if settled else found.torrent)])

        assert [one.id for one in records] == seen
        assert len(list(repository.unsettled(client="client"))) == 60

    def test_a_dropped_torrent_can_be_kept_again(self, repository: Repository) -> None:
        """A record that is taken up once more holds its torrent again, also another form of it."""
        old = record("one")
        repository.reserve([old])
        repository.save([evolve(old, status=DownloadStatus.QUEUED, torrent=None)])
        link = parse_magnet(f"magnet:?xt=urn:btih:{old.info_hashes.v1}&tr=https://tracker.test/announce")

        repository.save([evolve(old, torrent=link)])
        (found,) = repository.unsettled(client="client")

        assert isinstance(found.torrent, MagnetLink)
        assert link == found.torrent

    def test_threads_that_reserve_the_same_torrents_agree_on_the_holders(self, repository: Repository) -> None:
        """However many reserve at once, each torrent has one record, and everybody is told of it."""
        barrier = threading.Barrier(8)

        def reserve() -> list[str]:
            mine = [record(f"book {number}") for number in range(10)]
            barrier.wait()
            return [held.id for held in repository.reserve(mine)]

        with ThreadPoolExecutor(8) as pool:
            answers = [future.result() for future in [pool.submit(reserve) for _ in range(8)]]

        assert all(answer == answers[0] for answer in answers)
        assert sorted(answers[0]) == sorted(found.id for found in repository.unsettled(client="client"))
