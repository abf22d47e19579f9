"""How a law is tried on drawn examples to see whether it finds a planted fault."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings


def same_each_time(examples: int) -> settings:
    """Return settings for a search of so many examples: the same at each run, and no effort to make them small."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
        report_multiple_bugs=False,
    )
