"""Windows of time: from when until when, on whose clock, and when next.

Every window is `start <= now < end`. A local day begins at the first instant at which a clock of
that zone shows its date: where midnight is skipped, that is the instant of the change; where it
comes twice, the first of the two (PEP 495, fold=0). So each instant belongs to exactly one day.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from schemas.offers import OpenHours, Period, Validity, Weekday

_WEEKDAYS = tuple(Weekday)
_MIDNIGHT = time(0, 0)
_A_DAY = timedelta(days=1)
_LOOK_AHEAD_DAYS = 14


def validity(validity: Validity, issued_at: datetime, zone: str) -> tuple[datetime, datetime]:
    """Return the window of a coupon issued now, on the campaign's clock, in whole seconds.

    It begins when the coupon is issued, or at the start of the day `wait_days` later, never
    before `starts_at`. It ends with the last instant of the Nth local day after the day of issue,
    never after `ends_at`. A coupon issued too late gets an empty window; do not issue it.
    """
    day_of_issue = issued_at.astimezone(ZoneInfo(zone)).date()

    starts_at = issued_at
    if validity.wait_days:
        starts_at = start_of_day(day_of_issue + timedelta(days=validity.wait_days), zone)
    if validity.starts_at is not None:
        starts_at = max(starts_at, validity.starts_at)

    ends = [validity.ends_at] if validity.ends_at is not None else []
    if validity.days_after_issue is not None:
        first_day_over = day_of_issue + timedelta(days=validity.days_after_issue + 1)
        ends.append(start_of_day(first_day_over, zone))

    # A token keeps whole seconds; the record must not know more than the phone shows.
    return starts_at.replace(microsecond=0), min(ends).replace(microsecond=0)


def start_of_day(day: date, zone: str) -> datetime:
    """Return the first instant at which clocks of this zone show this date, or a later one."""
    return datetime.combine(day, _MIDNIGHT, ZoneInfo(zone)).astimezone(UTC)


def period_start(period: Period, now: datetime, zone: str) -> date | None:
    """Return the local day on which this period began; None counts for ever. Weeks begin Monday."""
    if period is Period.EVER:
        return None
    today = now.astimezone(ZoneInfo(zone)).date()
    match period:
        case Period.DAY:
            return today
        case Period.WEEK:
            return today - timedelta(days=today.weekday())
        case Period.MONTH:
            return today.replace(day=1)


def is_open(hours: Sequence[OpenHours], local: datetime) -> bool:
    """Say whether the store's clock, as it shows now, lies in one of these; no hours ask nothing.

    An hour that comes twice counts both times. A stretch that ends when it begins lasts a day.
    """
    if not hours:
        return True
    shown = local.time()
    today = _WEEKDAYS[local.weekday()]
    yesterday = _WEEKDAYS[local.weekday() - 1]
    for stretch in hours:
        if stretch.from_time < stretch.until_time:
            if today in stretch.weekdays and stretch.from_time <= shown < stretch.until_time:
                return True
        elif (today in stretch.weekdays and stretch.from_time <= shown) or (
            yesterday in stretch.weekdays and shown < stretch.until_time
        ):
            return True
    return False


def next_opening(hours: Sequence[OpenHours], now: datetime, zone: str) -> datetime | None:
    """Return when a store that is closed now opens, if that is within 14 days."""
    clock = ZoneInfo(zone)
    today = now.astimezone(clock).date()
    for ahead in range(_LOOK_AHEAD_DAYS + 1):
        openings = [
            instant
            for instant in _may_open(hours, today + timedelta(days=ahead), clock)
            if now < instant <= now + _LOOK_AHEAD_DAYS * _A_DAY
            and is_open(hours, instant.astimezone(clock))
        ]
        if openings:
            return min(openings)
    return None


def _may_open(hours: Sequence[OpenHours], day: date, clock: ZoneInfo) -> Iterator[datetime]:
    """Give the instants of this local day at which a closed store may find itself open.

    A stretch begins, once or twice; or clocks are changed, and show a time within a stretch.
    """
    weekday = _WEEKDAYS[day.weekday()]
    for opening in {stretch.from_time for stretch in hours if weekday in stretch.weekdays}:
        for fold in (0, 1):
            yield datetime.combine(day, opening, clock).replace(fold=fold).astimezone(UTC)

    before, after = (
        datetime.combine(midnight, _MIDNIGHT, clock).astimezone(UTC)
        for midnight in (day, day + _A_DAY)
    )
    old = before.astimezone(clock).utcoffset()
    if after.astimezone(clock).utcoffset() != old:
        seconds = bisect_left(
            range(int((after - before).total_seconds())),
            1,
            key=lambda at: (before + timedelta(seconds=at)).astimezone(clock).utcoffset() != old,
        )
        yield before + timedelta(seconds=seconds)
