"""Say what would become of a batch, without fetching, adding or writing anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from threading import Event

from attrs import evolve

from audiobatch._item import Item
from audiobatch._known import Known, find_known
from audiobatch._serial import SerialClient
from audiobatch.metainfo import InfoHashes
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
        magnets = [item.info_hashes for item in items if item.torrent is not None]
        known = find_known(items, client=client, repository=repository, stop=stop, besides=magnets)
        planned.extend(_plan_each(items, known))
    return BatchPlan(sorted(planned, key=lambda item: item.index))


def _plan_each(items: Iterable[Item], known: Known) -> Iterator[PlannedDownload]:
    first_of_url: dict[str, PlannedDownload] = {}
    first_ones: list[tuple[InfoHashes, PlannedDownload]] = []
    for item in items:
        record = known.records.get(item.request.torrent_url)
        torrent = item.torrent or (record.torrent if record else None)
        hashes = torrent.info_hashes if torrent else record.info_hashes if record else None
        planned = PlannedDownload(
            index=item.index,
            request=item.request,
            action=PlannedAction.FETCH if torrent is None else PlannedAction.ADD,
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
        is_there = hashes in known.present or (record is not None and record.info_hashes in known.present)
        yield evolve(planned, action=PlannedAction.PRESENT) if is_there else planned
