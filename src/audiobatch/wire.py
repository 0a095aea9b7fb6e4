"""The JSON contract: ``{"downloads": [...]}`` in, ``{"successful": [...], "failed": [...]}`` out."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from audiobatch.errors import ConfigurationError, InvalidBatchError, InvalidRequestError
from audiobatch.metainfo import InfoHashes
from audiobatch.models import Download, DownloadRequest, restore_request
from audiobatch.results import BatchResult, DownloadFailure, Outcome

_FIELDS: Final = {attribute.name: attribute for attribute in attrs.fields(DownloadRequest)}
_REQUIRED: Final = tuple(name for name, attribute in _FIELDS.items() if attribute.default is attrs.NOTHING)
MAX_DOCUMENT_SIZE: Final = 16 * 1024 * 1024
"""Bytes, or characters, of a batch as JSON: more than fifty requests have with the longest of texts."""

# What of a request that did not validate is given back.
_MAX_DEPTH: Final = 20
_MAX_VALUES: Final = 10_000
_MAX_BITS: Final = 10_000
_MAX_CHARACTERS: Final = 100_000
# What of unknown fields is named.
_MAX_NAMED: Final = 3
_MAX_NAME_LENGTH: Final = 50


class _CallersRequest(dict[str, Any]):
    """A request of somebody who may set some of its fields only."""

    def __init__(self, request: Mapping[str, Any], allowed: frozenset[str]) -> None:
        super().__init__(request)
        self.allowed = allowed


def load_batch(document: str | bytes | Mapping[str, Any], *, allowed: Collection[str] | None = None) -> list[Any]:
    """Read a batch, and leave its items as they are: `BatchDownloader` validates each on its own.

    Args:
        document: ``{"downloads": [...]}`` as JSON text (bytes in UTF-8) of up to 16 MiB, or already decoded.
        allowed: The optional fields that whoever sent the document may set, such as
            ``{"series", "category"}``; title, author and torrent_url may always be set. A
            request that sets another one fails alone, when the batch is run. A field that is
            null or empty counts as not set. Without it, every field may be set.

    Raises:
        InvalidBatchError: It is no JSON, not of that form, or too long.
        ConfigurationError: ``allowed`` is not a collection of names of fields.
    """
    names = None if allowed is None else _fields_in(allowed)
    if isinstance(document, str | bytes):
        if len(document) > MAX_DOCUMENT_SIZE:
            raise InvalidBatchError(f"the batch is longer than {MAX_DOCUMENT_SIZE // 1024**2} MiB: split it")
        document = _decode(document)
    downloads = document.get("downloads") if isinstance(document, Mapping) else None
    if not isinstance(downloads, list | tuple):
        raise InvalidBatchError('the batch must be an object with a list: {"downloads": [...]}')
    if names is None:
        return list(downloads)
    return [_CallersRequest(item, names) if isinstance(item, Mapping) else item for item in downloads]


def _fields_in(allowed: Collection[str]) -> frozenset[str]:
    """Return a copy, because what the caller's own comes to later must not change what was allowed."""
    names: frozenset[str] | None
    try:
        names = None if isinstance(allowed, str) else frozenset(allowed)
    except TypeError:  # it cannot be gone through, or holds what can be no name
        names = None
    if names is None or not names <= _FIELDS.keys():
        raise ConfigurationError(f"allowed takes a set of the names {', '.join(_FIELDS)}")
    return names


def _decode(document: str | bytes) -> Any:
    try:
        return json.loads(document)
    except (ValueError, RecursionError):
        pass
    # Raised out here, for the error of a JSON parser holds what it was given.
    raise InvalidBatchError("the batch is not valid JSON")


def load_request(item: object) -> DownloadRequest:
    """Read one item of a batch.

    Raises:
        InvalidRequestError: It is no object, has a field that is not known, or does not validate.
    """
    if not isinstance(item, Mapping):
        raise InvalidRequestError(f"a request must be an object with {', '.join(_REQUIRED)}")
    _require_known(item)
    if isinstance(item, _CallersRequest) and (refused := [name for name in item if _is_refused(name, item)]):
        raise InvalidRequestError(f"{', '.join(refused)} cannot be set here: leave it out")
    return DownloadRequest(**{**dict.fromkeys(_REQUIRED), **item})


def _is_refused(name: str, request: _CallersRequest) -> bool:
    # A failure gives its request back whole, with nothing in the fields that nobody has set: it can be sent again.
    # Nothing is compared with a value, because one of a data frame may refuse that.
    value = request[name]
    is_set = bool(value) if isinstance(value, str | list | tuple) else value is not None
    return is_set and name not in _REQUIRED and name not in request.allowed


def load_stored_request(item: object) -> DownloadRequest:
    """Read a request from a record, where `dump_request` of this or of an earlier version has written it.

    It stays readable if texts could be longer then, or hold more characters.

    Raises:
        InvalidRequestError: It is damaged, or of a newer version.
    """
    try:
        return load_request(item)
    except InvalidRequestError:
        if not isinstance(item, Mapping):
            raise
    _require_known(item)
    return restore_request(item)


def _require_known(item: Mapping[Any, Any]) -> None:
    unknown = [key for key in item if key not in _FIELDS]
    if unknown:
        named = ", ".join(map(_show_key, unknown[:_MAX_NAMED]))
        more = f" and {len(unknown) - _MAX_NAMED} more" if len(unknown) > _MAX_NAMED else ""
        raise InvalidRequestError(f"unknown field {named}{more} (known are {', '.join(_FIELDS)})")


def _show_key(key: object) -> str:
    """Return the name of a field, clean and short: whatever a caller's mapping may have for one."""
    if not isinstance(key, str | int | float | bytes | None):
        return f"of the type {type(key).__name__[:_MAX_NAME_LENGTH]}"
    if isinstance(key, int) and key.bit_length() > _MAX_BITS:
        return "of a huge number"
    return repr(key[:_MAX_NAME_LENGTH] if isinstance(key, str | bytes) else key)[:_MAX_NAME_LENGTH]


def dump_request(request: DownloadRequest) -> dict[str, Any]:
    """Return the request as JSON data, from which `load_request` makes an equal one."""
    dumped: dict[str, Any] = _converter.unstructure(request)
    return dumped


def dump_result(result: BatchResult) -> dict[str, Any]:
    """Return the result as JSON data: ``{"successful": [...], "failed": [...]}``, never ``null``.

    It holds the requests with their whole URLs, as they came: it is for the caller who gave them.
    """
    return {
        "successful": [dump_outcome(download) for download in result.successful],
        "failed": [dump_outcome(failure) for failure in result.failed],
    }


def dump_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return one outcome as it stands in `dump_result`, for whoever passes them on one by one."""
    dumped: dict[str, Any] = _converter.unstructure(outcome)
    return dumped


def _dump_download(download: Download) -> dict[str, Any]:
    return {"index": download.index, "info_hash": download.info_hash, **_dump_fields(download)}


class _JsonCopy:
    """Copies what did not validate, whatever it is, so that it can be written as JSON.

    What is too deep, too much, or too large a number to be written stands as ``"..."``; a text that is
    too long is cut there.
    """

    def __init__(self) -> None:
        self._left = _MAX_VALUES
        self._characters_left = _MAX_CHARACTERS

    def of(self, value: object, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or _is_too_large(value, depth):
            return "..."
        match value:
            case Mapping():
                entries = islice(value.items(), max(self._left, 0) + 1)
                return {str(self.of(key, depth)): self.of(item, depth + 1) for key, item in entries}
            case list() | tuple():
                return [self.of(item, depth + 1) for item in value[: max(self._left, 0) + 1]]
            case str():
                return self._cut(value)
            case None | int() | float() if not isinstance(value, float) or math.isfinite(value):
                return value
        return self._cut(_describe(value, self._characters_left))

    def _cut(self, text: str) -> str:
        whole = len(text) <= self._characters_left
        kept = text if whole else text[: self._characters_left] + "..."
        self._characters_left -= min(len(text), self._characters_left)
        return kept


def _describe(value: object, limit: int) -> str:
    """Return what is no JSON as text."""
    try:
        return str(value[: limit + 1]) if isinstance(value, bytes | bytearray) else str(value)
    except Exception:  # noqa: BLE001 - a value of a caller's own class; the others of the batch need their report
        return type(value).__name__


def _dump_invalid(request: object) -> Any:
    try:
        return _JsonCopy().of(request)
    except Exception:  # noqa: BLE001 - it was logged when the request was read
        return "..."


def _is_too_large(value: object, depth: int) -> bool:
    if isinstance(value, int):
        return value.bit_length() > _MAX_BITS
    return depth > _MAX_DEPTH and isinstance(value, Mapping | list | tuple)


_converter: Final = Converter()
_converter.register_unstructure_hook(datetime, datetime.isoformat)
_converter.register_unstructure_hook(InfoHashes, lambda hashes: {"v1": hashes.v1, "v2": hashes.v2})
_dump_fields: Final = make_dict_unstructure_fn(Download, _converter, torrent=override(omit=True))
_converter.register_unstructure_hook(Download, _dump_download)
_converter.register_unstructure_hook(
    DownloadFailure,
    make_dict_unstructure_fn(
        DownloadFailure,
        _converter,
        cause=override(omit=True),  # for programs in Python; in JSON, code and sentence of the item say it
        request=override(
            unstruct_hook=lambda request: (
                dump_request(request) if isinstance(request, DownloadRequest) else _dump_invalid(request)
            )
        ),
    ),
)
