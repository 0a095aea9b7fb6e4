"""``python -m audiobatch``: run a batch from the command line, or the demo."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Final

from audiobatch import wire
from audiobatch._interrupt import stop_on_interrupt
from audiobatch._watch import watch
from audiobatch.downloader import MAX_BATCH_SIZE, BatchDownloader, admit_batch
from audiobatch.errors import AudiobatchError, InvalidBatchError
from audiobatch.fetchers.choice import FirstAccepting
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher
from audiobatch.models import Download, DownloadRequest, GivenRequest
from audiobatch.protocols import TorrentClient, TorrentFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.results import BatchResult, DownloadFailure
from audiobatch.sessions import FileSessionStore

EXIT_OK: Final = 0
EXIT_SOME_FAILED: Final = 1
EXIT_REFUSED: Final = 2

_EPILOG: Final = """\
Secrets come from the environment, never from the command line:
  AUDIOBATCH_USERNAME, AUDIOBATCH_PASSWORD   of the qBittorrent
  AUDIOBATCH_API_KEY                         instead of these, for qBittorrent 5.2 and later
  AUDIOBATCH_MAM_ID                          the session of MyAnonamouse; its newest cookie is kept in the user's data
  AUDIOBATCH_PROXY                           through which torrents are fetched

exit status:
  0  everything was queued (with --wait: and downloaded)
  1  some of it was not; the JSON on standard output says what, and why
  2  the batch itself was refused, and nothing was touched
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _demo(options) if options.command == "demo" else _run(options)
    except (AudiobatchError, ImportError, OSError) as error:
        _say(f"error: {error}")
        return EXIT_REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m audiobatch", description="Queue batches of audiobook downloads.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="queue a batch given as JSON, and print the result as JSON",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("batch", metavar="BATCH.json", help='{"downloads": [...]}, or - for standard input')
    run.add_argument("--client", metavar="URL", help="a qBittorrent; without it the embedded engine downloads")
    run.add_argument(
        "--save-to",
        metavar="DIR",
        type=Path,
        default=Path("audiobooks"),
        help="where the embedded engine saves (default: %(default)s)",
    )
    run.add_argument(
        "--engine-setting",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_setting,
        help="a setting of the embedded engine by libtorrent's name, such as listen_interfaces=10.8.0.2:6881",
    )
    run.add_argument(
        "--trust",
        metavar="URL",
        action="append",
        default=[],
        help="fetch from this server although it is in your own network, such as http://prowlarr:9696; may be repeated",
    )
    run.add_argument(
        "--ca-file",
        metavar="FILE",
        type=Path,
        help="accept the certificates in this PEM file: for --client these alone, for trackers besides the public ones",
    )
    run.add_argument("--db", metavar="FILE", type=Path, help="where the records are kept (default: in the user's data)")
    run.add_argument("--wait", action="store_true", help="stay until everything is downloaded")
    demo = commands.add_parser("demo", help="do the whole job with nothing set up and nothing outside this machine")
    demo.add_argument("--save-to", metavar="DIR", type=Path, help="keep what it downloads (default: it is removed)")
    return parser


def _setting(text: str) -> tuple[str, bool | int | str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError("give NAME=VALUE")
    if value in ("true", "false"):
        return name, value == "true"
    return name, int(value) if value.lstrip("-").isdecimal() else value


def _demo(options: argparse.Namespace) -> int:
    # The engine's module first: it says what to install where libtorrent is missing.
    import_module("audiobatch.clients.libtorrent")
    from audiobatch._demo import run_demo  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="audiobatch-demo-") as scratch:
        target = options.save_to or Path(scratch, "downloads")
        return EXIT_OK if run_demo(Path(scratch, "library"), target) else EXIT_SOME_FAILED


def _run(options: argparse.Namespace) -> int:
    requests = admit_batch(wire.load_batch(_read(options.batch)), limit=MAX_BATCH_SIZE)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_interrupt())
        client = _open_client(options, stack)
        downloader = BatchDownloader(
            client=client,
            fetcher=_open_fetcher(options, stack),
            repository=stack.enter_context(SQLiteRepository(options.db or _kept("downloads.db"))),
        )
        _recover(downloader, stop)
        result = BatchResult(_with_progress(downloader, requests, stop))
        if stop.is_set():
            _say("stopped; what had been handed over was settled first")
        print(json.dumps(wire.dump_result(result), indent=2), flush=True)
        if options.wait:
            complete = _wait(client, result.successful, stop)
        else:
            complete = True
            if result.successful and not options.client:
                _say("the embedded engine downloads while it runs: run it again with --wait to go on")
    return EXIT_OK if complete and not result.failed else EXIT_SOME_FAILED


def _read(batch: str) -> bytes:
    if batch == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(batch).read_bytes()
    except OSError as error:
        raise InvalidBatchError(f"the batch {batch!r} cannot be read: {error.strerror}") from None


def _open_client(options: argparse.Namespace, stack: ExitStack) -> TorrentClient:
    # Only what is used, for each has its own dependencies.
    if options.client:
        from audiobatch.clients.qbittorrent import QBittorrentClient  # noqa: PLC0415

        return stack.enter_context(
            QBittorrentClient(
                options.client,
                username=os.environ.get("AUDIOBATCH_USERNAME"),
                password=os.environ.get("AUDIOBATCH_PASSWORD"),
                api_key=os.environ.get("AUDIOBATCH_API_KEY"),
                verify=options.ca_file if options.client.lower().startswith("https://") else None,
            )
        )
    from audiobatch.clients.libtorrent import LibtorrentClient  # noqa: PLC0415

    return stack.enter_context(LibtorrentClient(options.save_to, settings=dict(options.engine_setting)))


def _open_fetcher(options: argparse.Namespace, stack: ExitStack) -> TorrentFetcher:
    proxy, mam_id = os.environ.get("AUDIOBATCH_PROXY"), os.environ.get("AUDIOBATCH_MAM_ID")
    fetcher = stack.enter_context(HttpFetcher(trusted_origins=options.trust, proxy=proxy, tls=options.ca_file))
    if not mam_id:
        return fetcher
    sessions = FileSessionStore(_kept("myanonamouse.json"))
    mouse = MyAnonamouseFetcher(mam_id, sessions=sessions, proxy=proxy, tls=options.ca_file)
    return FirstAccepting(stack.enter_context(mouse), fetcher)


def _kept(name: str) -> Path:
    """Return where a file of ours lies among the user's data."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    folder = data / "audiobatch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _recover(downloader: BatchDownloader, stop: Event) -> None:
    try:
        outcomes = downloader.recover(stop=stop).outcomes
    except AudiobatchError as error:
        _say(f"earlier downloads could not be looked at: {error}")
    else:
        if outcomes:
            _say(f"looked at {len(outcomes)} earlier downloads")


def _with_progress(
    downloader: BatchDownloader, requests: Sequence[GivenRequest], stop: Event
) -> Iterator[Download | DownloadFailure]:
    for number, outcome in enumerate(downloader.stream(requests, stop=stop), start=1):
        if sys.stderr.isatty():
            title = outcome.request.title if isinstance(outcome.request, DownloadRequest) else f"item {outcome.index}"
            said = "queued" if isinstance(outcome, Download) else outcome.error
            _say(f"[{number}/{len(requests)}] {title}: {said}")
        yield outcome


def _wait(client: TorrentClient, downloads: Sequence[Download], stop: Event) -> bool:
    """Stay until all is downloaded; say what is not, and return whether there is nothing to say."""
    for moment in watch(client, downloads, stop=stop):
        if sys.stderr.isatty():
            done = f"{len(moment.complete)} of {len(downloads)} complete, {moment.progress:.0%}"
            print(f"\r{done}", end="\n" if len(moment.complete) == len(downloads) else "", file=sys.stderr, flush=True)
    unfinished = [download for download in downloads if download not in moment.complete]
    for download in unfinished:
        _say(f"not complete: {download.request.title}")
    return not unfinished


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
