"""The JSON contract: a batch goes in, reports and events come out, and errors are JSON too."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeAlias
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from audiobatch import BatchResult, InvalidBatchError
from audiobatch.results import Outcome
from audiobatch.wire import dump_outcome, dump_result, load_batch
from downloads.batches import Busy, batches
from downloads.models import Report

CALLERS_MAY_SET = {"series", "category", "tags"}  # not where data goes, nor whether it starts

_Answer: TypeAlias = Callable[[list[Any]], HttpResponseBase]


def takes_batch(answer: _Answer) -> Callable[[HttpRequest], HttpResponseBase]:
    """Make a view of a function that answers a batch.

    It is exempt from CSRF tokens, because it trusts no cookie that a browser would send along, and
    takes nothing but JSON, which a form on another web page cannot send. Once people log in with a
    session, take that away, and let their pages send the token.
    """

    @csrf_exempt
    @require_POST
    @wraps(answer)
    def view(request: HttpRequest) -> HttpResponseBase:
        try:
            body = request.body
            if request.content_type != "application/json":
                return _error("send the batch as application/json", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return answer(load_batch(body, allowed=CALLERS_MAY_SET))
        except InvalidBatchError as error:
            return _error(str(error), HTTPStatus.BAD_REQUEST)
        except RequestDataTooBig:
            return _error("the batch is larger than it may be", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except Busy as error:
            return _error(str(error), HTTPStatus.SERVICE_UNAVAILABLE)

    return view


@takes_batch
def run(requests: list[Any]) -> HttpResponseBase:
    """Run a batch and answer with its report."""
    return JsonResponse(dump_result(batches().run(requests)))


@takes_batch
def start(requests: list[Any]) -> HttpResponseBase:
    """Accept a batch, and say where its report is."""
    report = batches().start(requests)
    return JsonResponse(
        _dump(report), status=HTTPStatus.ACCEPTED, headers={"Location": reverse("report", args=[report.id])}
    )


@takes_batch
def stream(requests: list[Any]) -> HttpResponseBase:
    """Send each outcome when it is there."""
    return StreamingHttpResponse(
        _events(batches().stream(requests), len(requests)),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


@require_GET
def report(_: HttpRequest, identifier: UUID) -> HttpResponse:
    """Tell how a batch stands, whichever process runs it."""
    found = Report.objects.filter(id=identifier).first()
    if found is None:
        return _error("no such batch is known here", HTTPStatus.NOT_FOUND)
    return JsonResponse(_dump(found))


def refused(_: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django gives it by name
    """Answer what comes for another host."""
    return _error("this server does not answer to that host name", HTTPStatus.BAD_REQUEST)


def not_found(_: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django gives it by name
    """Answer what leads nowhere."""
    return _error("there is nothing here", HTTPStatus.NOT_FOUND)


def broken(_: HttpRequest) -> HttpResponse:
    """Answer what an unexpected error has ended; it is in the log."""
    return _error("something went wrong", HTTPStatus.INTERNAL_SERVER_ERROR)


def _dump(report: Report) -> dict[str, Any]:
    return {"id": str(report.id), "status": report.status, "updated_at": report.updated_at, **report.result}


def _error(sentence: str, status: HTTPStatus) -> HttpResponse:
    return JsonResponse({"error": sentence}, status=status)


def _events(outcomes: Iterator[Outcome | None], size: int) -> Iterator[str]:
    known: list[Outcome] = []
    for outcome in outcomes:
        if outcome is None:
            yield ": keep-alive\n\n"
        else:
            known.append(outcome)
            yield _event("outcome", dump_outcome(outcome))
    if len(known) == size:
        yield _event("result", dump_result(BatchResult(known)))


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
