"""Run something in a forked child, and never wait for it longer than it may take."""

from __future__ import annotations

import os
import select
import signal
import traceback
from collections.abc import Callable

from _pytest.outcomes import fail

PATIENCE = 20.0  # seconds for what takes a hundredth of one


def in_child(function: Callable[[], object]) -> str:
    """Return, as text, what the function returns or raises in a child of this process."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(function, sending)
    os.close(sending)
    try:
        return _receive(receiving)
    finally:
        os.close(receiving)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _answer(function: Callable[[], object], sending: int) -> None:
    try:
        answer = str(function())
    except Exception as error:  # noqa: BLE001 - it is the answer
        answer = f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - nothing of the test run may go on in the child
        answer = traceback.format_exc()
    finally:
        os.write(sending, answer.encode() or b"nothing")
        os._exit(0)


def _receive(receiving: int) -> str:
    if not select.select([receiving], [], [], PATIENCE)[0]:
        fail(f"the child hangs for {PATIENCE:g} s")
    return os.read(receiving, 64 * 1024).decode()
