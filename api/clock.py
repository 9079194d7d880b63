"""Where the server reads the clock. Everything else is told what time it is."""

from datetime import UTC, datetime


def wall_clock() -> datetime:
    return datetime.now(UTC)
