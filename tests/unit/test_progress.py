"""The progress bar, on a terminal that is none: what its screen shows."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count

import pytest

pytest.importorskip("tqdm", reason="the extra progress is not installed")

from tqdm import tqdm

from audiobatch import BatchDownloader, FailureCode
from audiobatch.errors import FetchUnavailable, RateLimited
from audiobatch.events import BatchEvent, BatchFinished, BatchStarted, Fetched, Settled, Submitted, Waiting, fan_out
from audiobatch.models import GivenRequest, restore_request
from audiobatch.progress import ProgressBar
from audiobatch.repositories.memory import MemoryRepository
from audiobatch.results import DownloadFailure, Stage
from audiobatch.wire import dump_request
from support.fakes import AT_ONCE, FakeClient, FakeFetcher, request


class Terminal(io.StringIO):
    """A terminal as far as tqdm needs one."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True

    @property
    def screen(self) -> list[str]:
        """Return the lines that its screen would show by now."""
        lines, row, column = [""], 0, 0
        for part in re.split(r"(\r|\n|\x1b\[A)", self.getvalue()):
            if part == "\r":
                column = 0
            elif part == "\n":
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            elif part == "\x1b[A":
                row -= 1
            else:
                assert part.isprintable(), repr(part)
                lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
                column += len(part)
        return [line.rstrip() for line in lines if line.strip()]


@pytest.fixture
def terminal() -> Terminal:
    """Give an empty screen."""
    return Terminal()


@pytest.fixture(autouse=True)
def _nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that each test closes its bars, starts no thread, and lets no listener fail unheard."""
    yield
    assert not tqdm._instances  # type: ignore[attr-defined]
    assert tqdm.monitor is None
    assert not [record for record in caplog.records if record.exc_info]


def bar_of(done: int, size: int, rest: str) -> str:
    """Return a pattern for a line; how much of the bar is drawn, and how long it took, are tqdm's own affair."""
    return rf"Audiobooks: {done}/{size} \|[ 0-9#]+\| \d\d:\d\d, {re.escape(rest)}"


def assert_shows(terminal: Terminal, *patterns: str) -> None:
    """Compare the screen with a pattern for each line."""
    assert len(terminal.screen) == len(patterns), terminal.screen
    for line, pattern in zip(terminal.screen, patterns, strict=True):
        assert re.fullmatch(pattern, line), line


def downloader_with(listener: Callable[[BatchEvent], None], fetcher: FakeFetcher | None = None) -> BatchDownloader:
    """Make a downloader over fakes."""
    return BatchDownloader(
        client=FakeClient(),
        fetcher=fetcher or FakeFetcher(),
        repository=MemoryRepository(),
        fetch_retry=AT_ONCE,
        on_event=listener,
    )


def waiting(index: int, seconds: float, code: FailureCode) -> Waiting:
    """Make that event for the batch "b"."""
    return Waiting(batch="b", index=index, request=request("x"), seconds=seconds, code=code)


def test_at_the_end_it_shows_what_the_result_says(terminal: Terminal) -> None:
    """How many are queued, and how many failed."""
    result = downloader_with(ProgressBar(file=terminal)).run(
        [request("one"), request("missing"), {"author": "nobody"}, request("two"), request("two", title="again")]
    )

    assert (len(result.successful), len(result.failed)) == (3, 2)
    assert_shows(terminal, bar_of(5, 5, "3 queued, 2 failed"))


def test_each_outcome_moves_it_on(terminal: Terminal) -> None:
    """As it is told, and not some time later."""
    outcomes = downloader_with(ProgressBar(file=terminal)).stream([request("one"), request("two")])
    next(outcomes)
    assert_shows(terminal, bar_of(1, 2, "1 queued, 0 failed"))

    outcomes.close()


def test_a_batch_left_early_ends_its_bar(terminal: Terminal) -> None:
    """It stays where it was, and the next one gets a line of its own."""
    downloader = downloader_with(ProgressBar(file=terminal))
    outcomes = downloader.stream([request("one"), request("two")])
    next(outcomes)
    outcomes.close()
    downloader.run([request("three")])

    assert_shows(terminal, bar_of(1, 2, "1 queued, 0 failed"), bar_of(1, 1, "1 queued, 0 failed"))


def test_a_stopped_batch_ends_its_bar(terminal: Terminal) -> None:
    """What was not attempted counts as failed, as in the result."""
    stop = threading.Event()
    stop.set()
    downloader_with(ProgressBar(file=terminal)).run([request("one"), request("two")], stop=stop)

    assert_shows(terminal, bar_of(2, 2, "0 queued, 2 failed"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RateLimited("slow down", retry_after=1.2), "waiting 2 s for the tracker"),
        (FetchUnavailable("down", retry_after=0.1), "trying again in 1 s"),
    ],
)
def test_it_says_what_it_waits_for(terminal: Terminal, error: Exception, said: str) -> None:
    """From the wait on until the torrent is there."""
    fetcher = FakeFetcher()
    fetcher.errors["slow"] = [error]
    seen: list[tuple[str, str]] = []
    show = ProgressBar(file=terminal)
    downloader = BatchDownloader(
        client=FakeClient(),
        fetcher=fetcher,
        repository=MemoryRepository(),
        on_event=fan_out(show, lambda event: seen.append((type(event).__name__, terminal.screen[-1]))),
    )
    downloader.run([request("slow")])

    assert [kind for kind, line in seen if said in line] == ["Waiting"]
    assert [kind for kind, _ in seen] == ["BatchStarted", "Waiting", "Fetched", "Submitted", "Settled", "BatchFinished"]


def test_of_several_waits_it_tells_the_longest(terminal: Terminal) -> None:
    """Until that one is over."""
    show = ProgressBar(file=terminal)
    show(BatchStarted(batch="b", size=3))
    for event, said in (
        (waiting(0, 2, FailureCode.FETCH_UNAVAILABLE), "0 queued, 0 failed, trying again in 2 s"),
        (waiting(1, 30, FailureCode.RATE_LIMITED), "0 queued, 0 failed, waiting 30 s for the tracker"),
        (
            Fetched(batch="b", index=1, request=request("x"), seconds=30, size=100),
            "0 queued, 0 failed, trying again in 2 s",
        ),
        (Submitted(batch="b", indices=(1,)), "0 queued, 0 failed, trying again in 2 s"),
        (Settled(batch="b", outcome=failure(0)), "0 queued, 1 failed"),
        (waiting(2, 5, FailureCode.RATE_LIMITED), "0 queued, 1 failed, waiting 5 s for the tracker"),
        (BatchFinished(batch="b", successful=0, failed=1, seconds=1), "0 queued, 1 failed"),
    ):
        show(event)
        assert terminal.screen[-1].endswith(f", {said}")


def failure(index: int) -> DownloadFailure:
    """Make an outcome."""
    return DownloadFailure(
        index=index,
        request=request("x"),
        error="it is down",
        code=FailureCode.FETCH_UNAVAILABLE,
        stage=Stage.FETCH,
        retryable=True,
    )


def test_several_batches_have_a_bar_each(terminal: Terminal) -> None:
    """Also one that runs while another one is halfway."""
    downloader = downloader_with(ProgressBar(file=terminal))
    outer = downloader.stream([request("one"), request("missing")])
    next(outer)
    inner = downloader.stream([request(f"other {number}") for number in range(3)])
    next(inner)
    assert len(terminal.screen) == 2
    list(outer)
    list(inner)

    assert sorted(re.sub(r" \|.*?\| \d\d:\d\d", "", line) for line in terminal.screen) == [
        "Audiobooks: 2/2, 1 queued, 1 failed",
        "Audiobooks: 3/3, 3 queued, 0 failed",
    ]


def test_batches_in_many_threads_share_it() -> None:
    """Two downloaders do not wait for each other's listener, and each bar tells of its own batch."""
    terminal = Terminal()
    show = ProgressBar(file=terminal)
    numbers = count()

    def work() -> None:
        downloader = downloader_with(show)
        for _ in range(5):
            downloader.run([request(f"{next(numbers)}") for _ in range(4)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(re.findall("4 queued, 0 failed", terminal.getvalue())) >= 20
    assert not show._shown


def test_nothing_that_came_from_elsewhere_is_drawn(terminal: Terminal) -> None:
    """No title, which could move the cursor, and no URL, which could hold a passkey."""
    fetcher = FakeFetcher()
    fetcher.errors["missing"] = [RateLimited("\x1b[2Jevil", retry_after=0)]
    hostile = "\x1b]0;owned\x07\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}evil"
    good = dump_request(request("one"))
    stored = [restore_request({**good, "title": hostile}), restore_request({**good, "series": hostile})]
    batch: list[GivenRequest] = [
        *stored,
        {"title": hostile},
        request("missing", title="evil \N{RIGHT-TO-LEFT OVERRIDE}"),
    ]
    downloader_with(ProgressBar(file=terminal), fetcher).run(batch)

    assert "evil" not in terminal.getvalue()
    assert "s3cret" not in terminal.getvalue()
    assert set(re.sub(r"[\x20-\x7e]", "", terminal.getvalue())) <= {"\r", "\n"}


def test_standard_error_is_drawn_on_if_it_is_a_terminal(monkeypatch: pytest.MonkeyPatch, terminal: Terminal) -> None:
    """Whatever it is at that moment."""
    show = ProgressBar()
    monkeypatch.setattr(sys, "stderr", terminal)
    downloader_with(show).run([request("one")])

    assert_shows(terminal, bar_of(1, 1, "1 queued, 0 failed"))


def test_in_a_log_there_is_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor where a program has no standard error at all."""
    downloader_with(ProgressBar()).run([request("one")])
    assert capsys.readouterr() == ("", "")

    monkeypatch.setattr(sys, "stderr", None)
    assert downloader_with(ProgressBar()).run([request("two")]).failed == ()


def test_the_environment_can_switch_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable that tqdm has for it."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    program = (
        "import sys; sys.stderr.isatty = lambda: True\n"
        "from audiobatch.progress import ProgressBar; from audiobatch.events import *\n"
        "show = ProgressBar(); show(BatchStarted(batch='b', size=1))\n"
        "show(BatchFinished(batch='b', successful=1, failed=0, seconds=1))\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert (answer.stdout, answer.stderr) == ("", "")


def test_the_process_stays_as_it_was() -> None:
    """No thread is left, no lock spans processes, and how they start is still to be chosen; a fork is no trouble."""
    program = (
        "import io, multiprocessing, os, sys, threading\n"
        "from audiobatch.progress import ProgressBar; from audiobatch.events import *\n"
        "def batch(name):\n"
        "    show(BatchStarted(batch=name, size=1))\n"
        "    show(BatchFinished(batch=name, successful=1, failed=0, seconds=1))\n"
        "file = io.StringIO(); show = ProgressBar(file=file); batch('b')\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert multiprocessing.get_start_method(allow_none=True) is None\n"
        "from tqdm import tqdm\n"
        "assert tqdm.monitor is None and tqdm.monitor_interval > 0 and not hasattr(tqdm, '_lock')\n"
        "if (child := os.fork()) == 0:\n"
        "    batch('c')\n"
        "    os._exit(file.getvalue().count('\\n') - 2)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_missing_extra_is_named() -> None:
    """The error says what to install."""
    program = "import sys; sys.modules['tqdm'] = None; sys.modules['tqdm.std'] = None; import audiobatch.progress"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)

    assert answer.returncode == 1
    assert "ImportError: ProgressBar needs an extra: pip install 'audiobatch[progress]'" in answer.stderr


class Kernel:
    """What a notebook's IPython is, as far as it matters here."""

    kernel = object()


@pytest.mark.parametrize("shell", [None, object()])
def test_an_ipython_in_a_terminal_is_no_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: object
) -> None:
    """Only one with a kernel is."""
    monkeypatch.setitem(sys.modules, "IPython", ipython_with(shell))
    downloader_with(ProgressBar()).run([request("one")])

    assert capsys.readouterr() == ("", "")


def test_a_notebook_without_widgets_gets_a_bar_of_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard output, for the other one looks like an error there."""
    monkeypatch.setitem(sys.modules, "IPython", ipython_with(Kernel()))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    downloader_with(ProgressBar()).run([request("one")])

    shown = capsys.readouterr()
    assert shown.err == ""
    last = shown.out.rstrip("\n").rpartition("\r")[2]
    assert last.startswith("Audiobooks: 1/1 |")
    assert last.endswith(", 1 queued, 0 failed")
    assert len(last) == 100


def test_bars_of_text_in_a_notebook_keep_to_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It cannot go up to where another bar is: several batches take turns on the last line, and each leaves its own."""
    monkeypatch.setitem(sys.modules, "IPython", ipython_with(Kernel()))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    downloader = downloader_with(ProgressBar())
    outer = downloader.stream([request("one"), request("two")])
    next(outer)
    downloader.run([request("three")])
    list(outer)

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    left = [line.rpartition("\r")[2][:15] for line in shown.split("\n")]
    assert left == ["Audiobooks: 1/1", "Audiobooks: 2/2", ""]


def ipython_with(shell: object) -> object:
    """Make a module that stands in for IPython."""

    class Module:
        @staticmethod
        def get_ipython() -> object:
            return shell

    return Module
