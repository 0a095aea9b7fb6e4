"""The most memory that a process had, as the system counts it: a tracer of Python's own would not see all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_CLEAR: Final = Path("/proc/self/clear_refs")
_STATUS: Final = Path("/proc/self/status")
MEASURABLE: Final = _CLEAR.exists()  # on Linux; elsewhere a process cannot reset its peak


def reset_peak() -> None:
    """Forget the most that this process had so far."""
    _CLEAR.write_text("5")


def memory(kind: str) -> int:
    """Return the bytes that this process has (VmRSS), or had at the most since the last reset (VmHWM)."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines[kind].split()[0]) * 1024
