"""Say what would become of a batch, without fetching, adding or writing anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import Event

from attrs import evolve

from audiobatch._item import Item
from audiobatch._known import Known, find_known, is_worth_handing_over, with_record
from audiobatch._serial import SerialClient
from audiobatch.metainfo import InfoHashes
from audiobatch.models import Download, TorrentStatus
from audiobatch.plans import BatchPlan, PlannedAction, PlannedDownload
from audiobatch.protocols import Repository
from audiobatch.results import DownloadFailure


def plan_batch(
    items: Sequence[Item],
    failures: Iterable[DownloadFailure],
    *,
    client: SerialClient,
    repository: Repository,
    stop: Event,
) -> BatchPlan:
    """Plan the valid items, beside those that have failed already.

    Raises:
        ClientError: The client cannot be asked.
        RepositoryError: The records cannot be read.
    """
    planned = [
        PlannedDownload(index=failure.index, request=failure.request, action=PlannedAction.INVALID, error=failure.error)
        for failure in failures
    ]
    if items:
        magnets = [item.info_hashes for item in items if item.torrent]
        known = find_known(items, client=client, repository=repository, stop=stop, besides=magnets)
        planned.extend(_plan_each(items, known))
    return BatchPlan(sorted(planned, key=lambda item: item.index))


def _plan_each(items: Iterable[Item], known: Known) -> Iterator[PlannedDownload]:
    first_of_url: dict[str, PlannedDownload] = {}
    first_ones: list[tuple[InfoHashes, PlannedDownload]] = []
    for item in items:
        record = known.records.get(item.request.torrent_url)
        found = with_record(item, record) if record else item
        status = _status(found, record, known)
        hashes = _hashes(found, record, status)
        planned = PlannedDownload(
            index=item.index,
            request=item.request,
            action=PlannedAction.FETCH if found.torrent is None else PlannedAction.ADD,
            info_hash=hashes.primary if hashes else None,
        )
        twin = first_of_url.get(item.request.torrent_url) or next(
            (other for held, other in first_ones if hashes and held.matches(hashes)), None
        )
        if twin is not None:
            yield evolve(planned, action=PlannedAction.DUPLICATE, same_as=twin.index)
            continue
        first_of_url[item.request.torrent_url] = planned
        if hashes:
            first_ones.append((hashes, planned))
        if status is not None and not is_worth_handing_over(found, status):
            planned = evolve(planned, action=PlannedAction.PRESENT)
        yield planned


def _hashes(item: Item, record: Download | None, status: TorrentStatus | None) -> InfoHashes | None:
    if item.torrent is not None:
        return item.knowing(status).info_hashes
    if record is None:
        return None
    return record.info_hashes.joined(status.info_hashes if status else None)


def _status(item: Item, record: Download | None, known: Known) -> TorrentStatus | None:
    """Return how it stands in the client, by its record or else by its magnet link."""
    status = known.status_of(record) if record else None
    return known.statuses.get(item.torrent.info_hashes) if status is None and item.torrent else status
