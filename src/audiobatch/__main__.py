"""The command ``audiobatch``: run a batch from the command line, or the demo."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from threading import Event
from typing import Final, NoReturn

from attrs import frozen

from audiobatch import _streams, wire
from audiobatch._interrupt import stop_on_interrupt
from audiobatch._printable import printable
from audiobatch._streams import say
from audiobatch._surroundings import given, kept
from audiobatch._watch import watch
from audiobatch.downloader import MAX_BATCH_SIZE, BatchDownloader, admit_batch
from audiobatch.errors import AudiobatchError, ConfigurationError, InvalidBatchError, RepositoryUnavailable
from audiobatch.fetchers.choice import FirstAccepting
from audiobatch.fetchers.http import HttpFetcher
from audiobatch.fetchers.myanonamouse import MyAnonamouseFetcher
from audiobatch.models import Download, DownloadRequest, GivenRequest
from audiobatch.protocols import Repository, TorrentClient, TorrentFetcher
from audiobatch.repositories.sqlite import SQLiteRepository
from audiobatch.results import BatchResult, Outcome
from audiobatch.sessions import FileSessionStore

EXIT_OK: Final = 0
EXIT_SOME_FAILED: Final = 1
EXIT_REFUSED: Final = 2

PATIENCE: Final = 300.0  # seconds: a daemon that is updated, or a machine that starts anew, is back by then

_EPILOG: Final = """\
Secrets come from the environment, never from the command line:
  AUDIOBATCH_USERNAME, AUDIOBATCH_PASSWORD   of the qBittorrent
  AUDIOBATCH_API_KEY                         instead of these, for qBittorrent 5.2 and later
  AUDIOBATCH_MAM_ID                          the session of MyAnonamouse; its newest cookie is kept in the user's data
  AUDIOBATCH_PROXY                           through which torrents are fetched

exit status:
  0  everything was queued (with --wait: and downloaded)
  1  some of it was not, or the result could not be written; the JSON on standard output says what, and why
  2  the batch itself was refused, and nothing was touched
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name, and return the exit status."""
    _streams.prepare()
    try:
        options = _parser().parse_args(arguments)
        return _demo(options) if options.command == "demo" else _run(options)
    except KeyboardInterrupt:
        say("interrupted; the next run looks at what that has left")
    except (AudiobatchError, OSError) as error:
        say(f"error: {error}")
    finally:
        _streams.finish()
    return EXIT_SOME_FAILED


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with an argument, without letting it give orders to the terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="audiobatch", description="Queue batches of audiobook downloads.")
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
    try:
        # The engine's module first: it says what to install where libtorrent is missing.
        import_module("audiobatch.clients.libtorrent")
        from audiobatch._demo import run_demo  # noqa: PLC0415
    except ImportError as error:
        say(f"error: {error}")
        return EXIT_REFUSED
    with tempfile.TemporaryDirectory(prefix="audiobatch-demo-") as scratch:
        target = options.save_to or Path(scratch, "downloads")
        return EXIT_OK if run_demo(Path(scratch, "library"), target) else EXIT_SOME_FAILED


@frozen
class _Job:
    """A batch that is ready to be run, with all that this takes."""

    requests: Sequence[GivenRequest]
    client: TorrentClient
    downloader: BatchDownloader
    stop: Event
    wait: bool
    embedded: bool


def _run(options: argparse.Namespace) -> int:
    with ExitStack() as stack:
        try:
            job = _prepare(options, stack)
        except (AudiobatchError, ImportError, OSError) as error:
            say(f"error: {error}")
            return EXIT_REFUSED
        except KeyboardInterrupt:
            say("interrupted; nothing was touched")
            return EXIT_REFUSED
        # From here on something may be touched, by the recovery too: whatever happens, the status is not 2.
        return EXIT_OK if _run_job(job) else EXIT_SOME_FAILED


def _prepare(options: argparse.Namespace, stack: ExitStack) -> _Job:
    requests = admit_batch(wire.load_batch(_read(options.batch)), limit=MAX_BATCH_SIZE)
    stop = stack.enter_context(stop_on_interrupt())
    client = _open_client(options, stack)
    fetcher = _open_fetcher(options, stack)
    downloader = BatchDownloader(client=client, fetcher=fetcher, repository=_open_repository(options, stack))
    return _Job(requests, client, downloader, stop, wait=options.wait, embedded=options.client is None)


def _run_job(job: _Job) -> bool:
    """Do it, and return whether everything went as it should."""
    _recover(job.downloader, job.stop)
    outcomes: list[Outcome] = []
    try:
        for outcome in job.downloader.stream(job.requests, stop=job.stop):
            outcomes.append(outcome)
            _show_progress(outcome, len(outcomes), len(job.requests))
    finally:
        # Also of a batch that was interrupted: what has come of it so far is true.
        result = BatchResult(outcomes)
        if missing := len(job.requests) - len(outcomes):
            say(f"{missing} of {len(job.requests)} items have no outcome; the next run looks at what that has left")
        written = _put_out(result)
    _say_how_to_go_on(job, result)
    complete = not (job.wait and result.successful) or _wait(job.client, result.successful, job.stop)
    return written and complete and not result.failed


def _put_out(result: BatchResult) -> bool:
    failure = _streams.put_out(json.dumps(wire.dump_result(result), indent=2))
    if failure is None:
        return True
    say(f"the result cannot be written to standard output ({failure}); it is this:")
    for line in str(result).splitlines():
        say(line)
    return False


def _say_how_to_go_on(job: _Job, result: BatchResult) -> None:
    if job.stop.is_set():
        say("stopped; what had been handed over was settled first")
    elif result.ended_by is not None:
        say(f"the batch ended early: {result.ended_by.error}; mend that, and run it again")
    if job.embedded and not job.wait and result.successful:
        say("the embedded engine downloads while it runs: run it again with --wait to go on")


def _read(batch: str) -> bytes:
    limit = wire.MAX_DOCUMENT_SIZE + 1  # enough to see that it is too long
    if batch == "-":
        if sys.stdin is None:
            raise InvalidBatchError("there is no standard input to read the batch from")
        return sys.stdin.buffer.read(limit)
    try:
        with Path(batch).open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise InvalidBatchError(f"the batch {batch!r} cannot be read: {error.strerror}") from None


def _open_client(options: argparse.Namespace, stack: ExitStack) -> TorrentClient:
    # Only what is used, for each has its own dependencies.
    if options.client is not None:  # an empty one is refused, as any that is no URL
        from audiobatch.clients.qbittorrent import QBittorrentClient  # noqa: PLC0415

        username, password = given("AUDIOBATCH_USERNAME"), given("AUDIOBATCH_PASSWORD")
        api_key = given("AUDIOBATCH_API_KEY")
        if api_key and (username or password):
            raise ConfigurationError(
                "AUDIOBATCH_API_KEY replaces AUDIOBATCH_USERNAME and AUDIOBATCH_PASSWORD: unset these"
            )
        if (username is None) != (password is None):
            raise ConfigurationError("AUDIOBATCH_USERNAME and AUDIOBATCH_PASSWORD belong together: set both, or none")
        certificates = options.ca_file if options.client.lower().startswith("https://") else None
        client = QBittorrentClient(
            options.client, username=username, password=password, api_key=api_key, verify=certificates
        )
        return stack.enter_context(client)
    from audiobatch.clients.libtorrent import LibtorrentClient  # noqa: PLC0415

    return stack.enter_context(LibtorrentClient(options.save_to, settings=dict(options.engine_setting)))


def _open_fetcher(options: argparse.Namespace, stack: ExitStack) -> TorrentFetcher:
    proxy, mam_id = given("AUDIOBATCH_PROXY"), given("AUDIOBATCH_MAM_ID")
    fetcher = stack.enter_context(HttpFetcher(trusted_origins=options.trust, proxy=proxy, tls=options.ca_file))
    if not mam_id:
        return fetcher
    sessions = FileSessionStore(kept("myanonamouse.json"))
    mouse = MyAnonamouseFetcher(mam_id, sessions=sessions, proxy=proxy, tls=options.ca_file)
    return FirstAccepting(stack.enter_context(mouse), fetcher)


def _open_repository(options: argparse.Namespace, stack: ExitStack) -> Repository:
    if options.db:
        return stack.enter_context(SQLiteRepository(options.db))
    try:
        return stack.enter_context(SQLiteRepository(kept("downloads.db")))
    except (ConfigurationError, RepositoryUnavailable) as error:
        raise ConfigurationError(f"{error}; with --db FILE the records are kept elsewhere") from None


def _recover(downloader: BatchDownloader, stop: Event) -> None:
    try:
        outcomes = downloader.recover(stop=stop).outcomes
    except AudiobatchError as error:
        say(f"earlier downloads could not be looked at: {error}")
    else:
        if outcomes:
            say(f"looked at {len(outcomes)} earlier downloads")


def _show_progress(outcome: Outcome, number: int, size: int) -> None:
    if _streams.is_watched():
        title = outcome.request.title if isinstance(outcome.request, DownloadRequest) else f"item {outcome.index}"
        said = "queued" if isinstance(outcome, Download) else outcome.error
        say(f"[{number}/{size}] {title}: {said}")


def _wait(client: TorrentClient, downloads: Sequence[Download], stop: Event) -> bool:
    """Stay until all is downloaded; say what is not, and return whether there is nothing to say."""
    complete: list[Download] = []

    def tell(error: AudiobatchError) -> None:
        say(f"the client cannot be asked how far the downloads are: {error}")

    try:
        for moment in watch(client, downloads, stop=stop, patience=PATIENCE, on_trouble=tell):
            complete = moment.complete
            done = f"{len(complete)} of {len(downloads)} complete, {moment.progress:.0%}"
            _streams.draw(done, last=len(complete) == len(downloads))
    except AudiobatchError:
        say("it is not waited for any longer: the client goes on without that")
    unfinished = [download for download in downloads if download not in complete]
    for download in unfinished:
        say(f"not complete: {download.request.title}")
    return not unfinished


if __name__ == "__main__":
    sys.exit(main())
