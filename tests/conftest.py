"""Settings that hold for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: how long an example takes says something of the machine. The examples are the same on every run.
settings.register_profile("default", deadline=None, derandomize=True, max_examples=200)
settings.register_profile(
    "thorough",
    deadline=None,
    max_examples=4_000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
