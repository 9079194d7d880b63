"""The guarded clock never goes behind what is known to be past (T16)."""

from datetime import timedelta

import pytest

from scanner.terminal.clock import GuardedClock
from tests.scanner.terminal.shop import Hands
from tests.vectors.make_token_vectors import NOW

MINUTE = timedelta(minutes=1)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def clock(hands: Hands) -> GuardedClock:
    return GuardedClock(lambda: hands.wall, lambda: hands.steady)


def test_a_clock_that_has_been_told_nothing_shows_its_own_time(clock: GuardedClock) -> None:
    read = clock.read()

    assert (read.now, read.behind, read.is_behind) == (NOW, timedelta(), False)


def test_a_clock_that_is_wound_back_stays_where_it_was(clock: GuardedClock, hands: Hands) -> None:
    clock.learn(NOW)

    hands.wall -= timedelta(days=1)

    read = clock.read()
    assert (read.now, read.t_min, read.is_behind) == (NOW, NOW, True)


def test_time_goes_on_by_a_clock_that_nobody_can_set(clock: GuardedClock, hands: Hands) -> None:
    clock.learn(NOW)

    hands.pass_by(hours=5)
    hands.wall = NOW + MINUTE

    assert clock.read().now == NOW + timedelta(hours=5)
    assert clock.read().is_behind


@pytest.mark.parametrize(("behind", "is_behind"), [(0, False), (120, False), (121, True)])
def test_two_minutes_behind_are_no_fault(
    clock: GuardedClock, hands: Hands, behind: int, is_behind: bool
) -> None:
    clock.learn(NOW)

    hands.wall -= timedelta(seconds=behind)

    assert clock.read().is_behind is is_behind


def test_an_earlier_instant_teaches_nothing(clock: GuardedClock) -> None:
    clock.learn(NOW)

    clock.learn(NOW - timedelta(days=1))

    assert clock.read().t_min == NOW


def test_a_clock_that_is_ahead_is_believed_because_it_only_ends_things_sooner(
    clock: GuardedClock, hands: Hands
) -> None:
    clock.learn(NOW)

    hands.wall += timedelta(days=1)

    assert clock.read().now == NOW + timedelta(days=1)
    assert not clock.read().is_behind


def test_a_clock_that_is_set_right_again_is_no_longer_behind(
    clock: GuardedClock, hands: Hands
) -> None:
    clock.learn(NOW)
    hands.wall -= timedelta(days=1)
    assert clock.read().is_behind

    hands.wall = NOW

    assert not clock.read().is_behind
