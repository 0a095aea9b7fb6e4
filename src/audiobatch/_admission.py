"""Tell the valid requests of a batch from the others, and give each its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeAlias

from attrs import evolve, frozen

from audiobatch._bugs import guarded
from audiobatch._item import Item
from audiobatch._same_folder import same_folder_key
from audiobatch._urls import is_magnet
from audiobatch.errors import AudiobatchError, InvalidRequestError
from audiobatch.metainfo import parse_magnet
from audiobatch.models import DownloadRequest, GivenRequest
from audiobatch.results import DownloadFailure, Stage

SavePath: TypeAlias = Callable[[DownloadRequest], str]
"""Gives the folder of a request that names none, such as `audiobatch.folders.SavePathTemplate`."""


@frozen
class Admission:
    """What of a batch can go on, and what cannot."""

    items: list[Item]
    failures: list[DownloadFailure]


def admit(given: Iterable[GivenRequest], save_path: SavePath | None) -> Admission:
    """Validate each request on its own; no two get the same folder from `save_path`."""
    admission = Admission([], [])
    folders = _Folders()
    for index, request in enumerate(given):
        try:
            valid = guarded(partial(_read, request), InvalidRequestError, "the reading of the request")
            placed = valid
            if save_path is not None:
                placed = guarded(partial(_place, valid, save_path), InvalidRequestError, "save_path")
            # A magnet link holds all there is to fetch.
            item = Item(index, placed, parse_magnet(placed.torrent_url) if is_magnet(placed.torrent_url) else None)
            if save_path is not None:
                folders.take(item, made=placed is not valid)
        except AudiobatchError as error:
            failure = DownloadFailure.from_error(error, index=index, request=request, stage=Stage.VALIDATE)
            admission.failures.append(failure)
        else:
            admission.items.append(item)
    return admission


def _read(request: GivenRequest) -> DownloadRequest:
    if isinstance(request, DownloadRequest):
        return request
    # Imported when it is needed, for it brings a converter that takes long to import.
    from audiobatch import wire  # noqa: PLC0415

    return wire.load_request(request)


def _place(request: DownloadRequest, save_path: SavePath) -> DownloadRequest:
    return request if request.save_path is not None else evolve(request, save_path=save_path(request))


class _Folders:
    """Knows whose folder is whose."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[Item, bool]] = {}

    def take(self, item: Item, *, made: bool) -> None:
        """Note the folder of an item.

        Args:
            item: Where it has no folder, the client chooses one.
            made: The folder was made for it; who names folders may share them on purpose.

        Raises:
            InvalidRequestError: Another torrent has the folder, and one of the two did not ask for it.
        """
        if item.request.save_path is None:
            return
        first, first_made = self._taken.setdefault(same_folder_key(item.request.save_path), (item, made))
        if (made or first_made) and first.request.torrent_url != item.request.torrent_url:
            raise InvalidRequestError(
                f"it would share the folder of item {first.index}: give one of them another title, or a save_path"
            )
