"""The JSON contract: ``{"downloads": [...]}`` in, ``{"successful": [...], "failed": [...]}`` out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn, override

from audiobatch.errors import InvalidBatchError, InvalidRequestError
from audiobatch.metainfo import InfoHashes
from audiobatch.models import Download, DownloadRequest
from audiobatch.results import BatchResult, DownloadFailure, Outcome

_FIELDS: Final = {attribute.name: attribute for attribute in attrs.fields(DownloadRequest)}
_REQUIRED: Final = tuple(name for name, attribute in _FIELDS.items() if attribute.default is attrs.NOTHING)
# What of a request that did not validate is given back.
_MAX_DEPTH: Final = 20
_MAX_VALUES: Final = 10_000
_MAX_BITS: Final = 10_000


def load_batch(document: str | bytes | Mapping[str, Any]) -> list[Any]:
    """Read a batch, and leave its items as they are: `BatchDownloader` validates each on its own.

    Args:
        document: ``{"downloads": [...]}`` as JSON text (bytes in UTF-8) or already decoded.

    Raises:
        InvalidBatchError: It is no JSON, or not of that form.
    """
    if isinstance(document, str | bytes):
        document = _decode(document)
    downloads = document.get("downloads") if isinstance(document, Mapping) else None
    if not isinstance(downloads, list | tuple):
        raise InvalidBatchError('the batch must be an object with a list: {"downloads": [...]}')
    return list(downloads)


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
    unknown = [repr(key)[:50] for key in item if key not in _FIELDS]
    if unknown:
        raise InvalidRequestError(f"unknown field {', '.join(unknown)} (known are {', '.join(_FIELDS)})")
    return DownloadRequest(**{**dict.fromkeys(_REQUIRED), **item})


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

    What is too deep, too much, or too large a number to be written stands as ``"..."``.
    """

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def of(self, value: object, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or _is_too_large(value, depth):
            return "..."
        match value:
            case Mapping():
                return {str(self.of(key, depth)): self.of(item, depth + 1) for key, item in value.items()}
            case list() | tuple():
                return [self.of(item, depth + 1) for item in value]
            case None | str() | int():
                return value
            case float() if math.isfinite(value):
                return value
        return str(value)


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
        request=override(
            unstruct_hook=lambda request: (
                dump_request(request) if isinstance(request, DownloadRequest) else _JsonCopy().of(request)
            )
        ),
    ),
)
