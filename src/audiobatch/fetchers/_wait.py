"""How long a tracker wants to be left alone."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from audiobatch.fetchers._retrieval import Answer

RATE_LIMIT_PAUSE: Final = 60.0  # seconds, where a tracker asks to slow down but not for how long
LIMIT_PAUSE: Final = 3600.0  # seconds, where a limit is reached, which is often one of a day or an hour
MAX_PAUSE: Final = 7 * 86_400.0  # seconds; what asks for more is not to be believed


def retry_after(answer: Answer) -> float | None:
    """Read the header's seconds, or its date (RFC 9110, 10.2.3), as seconds from now, a week at most."""
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), MAX_PAUSE)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    left = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)
    return min(max(left.total_seconds(), 0.0), MAX_PAUSE)
