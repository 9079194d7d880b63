"""Windows of time, over clocks that are changed: exact instants, and a slow second opinion."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupon_engine.validation.windows import (
    is_open,
    next_opening,
    period_start,
    start_of_day,
    validity,
)
from schemas.offers import OpenHours, Period, Validity, Weekday

BERLIN, SHANGHAI = "Europe/Berlin", "Asia/Shanghai"
# Clocks that change by an hour, by half an hour, at midnight, back at midnight, and in Ramadan;
# and one that left out a whole day.
ZONES = (
    "America/New_York",
    BERLIN,
    "Australia/Lord_Howe",
    "America/Santiago",
    "Asia/Tehran",
    "Asia/Beirut",
    "Africa/Casablanca",
    "America/Havana",
    "America/Nuuk",
    "Pacific/Apia",
)
A_MOMENT = timedelta(microseconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# From when until when.


def test_thirty_days_end_with_the_thirtieth_day_after_the_day_of_issue() -> None:
    """Issued on 1 March at 23:59 in Shanghai: good through 31 March there, not a minute less."""
    issued = utc("2026-03-01 15:59:00")

    assert validity(Validity(days_after_issue=30), issued, SHANGHAI) == (
        issued,
        utc("2026-03-31 16:00:00"),
    )


def test_a_coupon_that_waits_starts_with_a_day() -> None:
    waits = Validity(wait_days=1, days_after_issue=2)

    assert validity(waits, utc("2026-03-04 12:00:00"), BERLIN) == (
        utc("2026-03-04 23:00:00"),
        utc("2026-03-06 23:00:00"),
    )


def test_waiting_goes_with_a_fixed_end() -> None:
    waits = Validity(wait_days=1, ends_at=utc("2026-06-01 00:00:00"))

    assert validity(waits, utc("2026-03-04 12:00:00"), BERLIN) == (
        utc("2026-03-04 23:00:00"),
        utc("2026-06-01 00:00:00"),
    )


def test_the_narrower_of_both_kinds_holds() -> None:
    both = Validity(
        starts_at=utc("2026-03-02 06:00:00"),
        ends_at=utc("2026-03-05 20:00:00"),
        days_after_issue=7,
    )

    early = validity(both, utc("2026-02-25 12:00:00"), BERLIN)
    late = validity(both, utc("2026-03-04 12:00:00"), BERLIN)
    assert early == (utc("2026-03-02 06:00:00"), utc("2026-03-04 23:00:00"))
    assert late == (utc("2026-03-04 12:00:00"), utc("2026-03-05 20:00:00"))


def test_a_coupon_issued_after_the_end_is_never_good() -> None:
    over = Validity(ends_at=utc("2026-03-01 00:00:00"))

    valid_from, valid_until = validity(over, utc("2026-03-01 00:00:00"), BERLIN)

    assert valid_until <= valid_from


def test_a_coupon_is_good_at_the_instant_of_its_issue_in_the_seconds_a_token_keeps() -> None:
    issued = utc("2026-03-04 12:00:00.999999")

    assert validity(Validity(days_after_issue=1), issued, BERLIN) == (
        utc("2026-03-04 12:00:00"),
        utc("2026-03-05 23:00:00"),
    )


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [
        (BERLIN, date(2026, 3, 29), "2026-03-28 23:00:00"),
        (BERLIN, date(2026, 3, 30), "2026-03-29 22:00:00"),
        # Midnight is left out: the day begins when clocks jump to 01:00.
        ("America/Santiago", date(2026, 9, 6), "2026-09-06 04:00:00"),
        # Midnight comes twice: the day begins with the first.
        ("America/Havana", date(2026, 11, 1), "2026-11-01 04:00:00"),
        # Clocks jump from 23:00 the day before.
        ("America/Nuuk", date(2026, 3, 29), "2026-03-29 01:00:00"),
        # This day never was: it begins, and ends, with the next one.
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30 10:00:00"),
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30 10:00:00"),
    ],
)
def test_a_day_begins_with_its_first_instant(zone: str, day: date, start: str) -> None:
    assert start_of_day(day, zone) == utc(start)


DAYS = st.dates(date(2011, 6, 1), date(2036, 1, 1))
INSTANTS = st.datetimes(datetime(2011, 6, 1), datetime(2036, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(DAYS, st.sampled_from(ZONES))
def test_clocks_show_the_day_from_its_start_and_not_before(day: date, zone: str) -> None:
    start = start_of_day(day, zone)

    assert start.astimezone(ZoneInfo(zone)).date() >= day
    assert (start - A_MOMENT).astimezone(ZoneInfo(zone)).date() < day


@given(INSTANTS, st.sampled_from(ZONES))
def test_every_instant_belongs_to_the_one_day_that_clocks_show(now: datetime, zone: str) -> None:
    shown = now.astimezone(ZoneInfo(zone)).date()
    around = [shown + timedelta(days=apart) for apart in range(-2, 3)]

    its_days = [
        day
        for day in around
        if start_of_day(day, zone) <= now < start_of_day(day + timedelta(days=1), zone)
    ]
    assert its_days == [shown] == [period_start(Period.DAY, now, zone)]


@given(INSTANTS, st.sampled_from(ZONES), st.integers(1, 3_660))
def test_days_after_issue_are_never_short_of_an_hour(
    issued: datetime, zone: str, days: int
) -> None:
    """Counted on a wall calendar, one local date after the other."""
    valid_from, valid_until = validity(Validity(days_after_issue=days), issued, zone)

    clock = ZoneInfo(zone)
    last_day = issued.astimezone(clock).date() + timedelta(days=days)
    assert valid_from <= issued < valid_from + timedelta(seconds=1)
    assert (valid_until - A_MOMENT).astimezone(clock).date() <= last_day
    assert valid_until.astimezone(clock).date() > last_day
    # The local time of issue on the last day is always inside, whatever clocks did meanwhile.
    same_time = issued.astimezone(clock) + timedelta(days=days)
    assert same_time.astimezone(UTC) < valid_until or last_day == date(2011, 12, 30)


@given(INSTANTS, st.sampled_from(ZONES), st.integers(1, 30), st.data())
def test_a_waiting_coupon_is_good_on_exactly_the_days_it_promised(
    issued: datetime, zone: str, days: int, data: st.DataObject
) -> None:
    wait = data.draw(st.integers(1, days)) - 1
    valid_from, valid_until = validity(
        Validity(wait_days=wait, days_after_issue=days), issued, zone
    )

    seconds = (valid_until - issued).total_seconds()
    then = issued + timedelta(seconds=data.draw(st.floats(0, 1.2)) * seconds)
    first, last = (
        issued.astimezone(ZoneInfo(zone)).date() + timedelta(days=n) for n in (wait, days)
    )
    is_promised = first <= then.astimezone(ZoneInfo(zone)).date() <= last
    assert (valid_from <= then < valid_until) == is_promised


# Since when a limit counts.


@pytest.mark.parametrize(
    ("period", "start"),
    [
        (Period.EVER, None),
        (Period.DAY, date(2026, 3, 5)),
        (Period.WEEK, date(2026, 3, 2)),
        (Period.MONTH, date(2026, 3, 1)),
    ],
)
def test_a_period_begins_on_the_campaigns_calendar(period: Period, start: date | None) -> None:
    """It is still Wednesday in Greenwich, and Thursday in Shanghai."""
    assert period_start(period, utc("2026-03-04 16:00:00"), SHANGHAI) == start


@given(INSTANTS, st.sampled_from(ZONES))
def test_weeks_begin_on_monday_and_hold_their_day(now: datetime, zone: str) -> None:
    today, monday = (period_start(period, now, zone) for period in (Period.DAY, Period.WEEK))

    assert today is not None
    assert monday is not None
    assert monday.weekday() == 0
    assert 0 <= (today - monday).days < 7


# Hours.


def hours(days: str, from_time: str, until_time: str) -> OpenHours:
    """Days by their first two letters: mo tu we."""
    weekdays = tuple(day for day in Weekday if day[:2] in days.split())
    return OpenHours(
        weekdays=weekdays,
        from_time=time.fromisoformat(from_time),
        until_time=time.fromisoformat(until_time),
    )


@pytest.mark.parametrize(
    ("stretch", "local", "expected"),
    [
        (("we", "09:00", "17:00"), "2026-03-04 08:59:59.999999", False),
        (("we", "09:00", "17:00"), "2026-03-04 09:00", True),
        (("we", "09:00", "17:00"), "2026-03-04 16:59:59.999999", True),
        (("we", "09:00", "17:00"), "2026-03-04 17:00", False),
        (("we", "09:00", "17:00"), "2026-03-05 12:00", False),
        # 00:00 is the end of the day.
        (("we", "22:00", "00:00"), "2026-03-04 23:59", True),
        (("we", "22:00", "00:00"), "2026-03-05 00:00", False),
        (("we", "00:00", "00:00"), "2026-03-04 00:00", True),
        (("we", "00:00", "00:00"), "2026-03-05 00:00", False),
        # Past midnight it still belongs to Wednesday.
        (("we", "22:00", "02:00"), "2026-03-04 01:00", False),
        (("we", "22:00", "02:00"), "2026-03-04 22:00", True),
        (("we", "22:00", "02:00"), "2026-03-05 01:59", True),
        (("we", "22:00", "02:00"), "2026-03-05 02:00", False),
        (("su", "22:00", "02:00"), "2026-03-02 01:00", True),
        # From ten to ten is a day and a night.
        (("we", "10:00", "10:00"), "2026-03-04 10:00", True),
        (("we", "10:00", "10:00"), "2026-03-05 09:59", True),
        (("we", "10:00", "10:00"), "2026-03-05 10:00", False),
    ],
)
def test_a_store_is_open_within_its_hours(
    stretch: tuple[str, str, str], local: str, expected: bool
) -> None:
    assert is_open((hours(*stretch),), datetime.fromisoformat(local)) is expected


def test_one_open_stretch_is_enough_and_none_asks_nothing() -> None:
    noon = datetime.fromisoformat("2026-03-04 12:00")

    assert is_open((hours("mo", "09:00", "17:00"), hours("we", "11:00", "13:00")), noon)
    assert is_open((), noon)


@pytest.mark.parametrize(
    ("stretches", "zone", "now", "opens"),
    [
        ([("mo tu we", "09:30", "17:00")], BERLIN, "2026-03-04 07:00", "2026-03-04 08:30"),
        ([("mo tu we", "09:30", "17:00")], BERLIN, "2026-03-04 20:00", "2026-03-09 08:30"),
        ([("we", "09:30", "17:00")], BERLIN, "2026-03-04 20:00", "2026-03-11 08:30"),
        ([("we", "17:00", "18:00"), ("th", "08:00", "09:00")], BERLIN,
         "2026-03-04 20:00", "2026-03-05 07:00"),
        # 02:30 is left out on this Sunday: the store opens as clocks jump to 03:00.
        ([("su", "02:30", "05:00")], BERLIN, "2026-03-28 20:00", "2026-03-29 01:00"),
        # 02:00 to 02:30 comes twice: after the first time it opens again.
        ([("su", "02:00", "02:30")], BERLIN, "2026-10-25 00:30", "2026-10-25 01:00"),
        ([("su", "02:30", "02:45")], BERLIN, "2026-10-25 00:50", "2026-10-25 01:30"),
        # Clocks fall back into an hour that was over.
        ([("su", "01:00", "02:15")], BERLIN, "2026-10-25 00:45", "2026-10-25 01:00"),
    ],
)  # fmt: skip
def test_a_closed_store_tells_when_it_opens(
    stretches: Any, zone: str, now: str, opens: str
) -> None:
    opening = next_opening([hours(*each) for each in stretches], utc(now), zone)

    assert opening == utc(opens)


def test_an_hour_that_is_left_out_is_not_promised() -> None:
    """02:00 to 03:00 on Sundays: skipped on 29 March, so the next one is on 5 April."""
    nights = [hours("su", "02:00", "03:00")]

    assert next_opening(nights, utc("2026-03-28 12:00"), BERLIN) == utc("2026-04-05 00:00")


CHANGES = {
    "America/New_York": ("2026-03-08 07:00", "2026-11-01 06:00"),
    BERLIN: ("2026-03-29 01:00", "2026-10-25 01:00"),
    "Australia/Lord_Howe": ("2026-10-03 15:30", "2026-04-04 15:00"),
    "America/Santiago": ("2026-09-06 04:00", "2026-04-05 03:00"),
    "Africa/Casablanca": ("2026-03-22 02:00", "2026-02-15 02:00"),
}
TIMES = st.builds(time, st.sampled_from([0, 1, 2, 3, 4, 12, 22, 23]), st.sampled_from([0, 15, 30]))
STRETCHES = st.builds(
    OpenHours,
    weekdays=st.lists(st.sampled_from(Weekday), min_size=1, max_size=3, unique=True).map(tuple),
    from_time=TIMES,
    until_time=TIMES,
)


@given(
    st.sampled_from([(zone, change) for zone, both in CHANGES.items() for change in both]),
    st.integers(-4 * 24 * 4, 4 * 8),
    st.lists(STRETCHES, min_size=1, max_size=3),
)
def test_the_next_opening_is_what_waiting_by_the_clock_would_find(
    place: tuple[str, str], quarters: int, stretches: list[OpenHours]
) -> None:
    """All the times above are whole quarters of an hour, so it is enough to look at those."""
    zone, change = place
    now = utc(change) + timedelta(minutes=15 * quarters)
    clock = ZoneInfo(zone)
    if is_open(stretches, now.astimezone(clock)):
        return

    waited = (now + timedelta(minutes=15 * n) for n in range(1, 14 * 24 * 4 + 1))
    found = next((then for then in waited if is_open(stretches, then.astimezone(clock))), None)

    assert next_opening(stretches, now, zone) == found


@pytest.mark.parametrize("zone", CHANGES)
def test_clocks_do_change_where_the_test_above_looks(zone: str) -> None:
    for change in CHANGES[zone]:
        before, after = (
            (utc(change) + step).astimezone(ZoneInfo(zone)).utcoffset()
            for step in (-A_MOMENT, timedelta())
        )
        assert before != after
