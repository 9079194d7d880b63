"""The floor of every wire model: frozen, exact, in bounds."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.base import Count, Minor, Moment, Name, Ref, Slug, Zone
from schemas.campaigns import NewMerchant
from tests import make

MERCHANT = {"id": str(make.an_id()), "name": "Baker"}


def accepted(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def test_a_wire_model_is_frozen_and_lets_nothing_unknown_in() -> None:
    merchant = NewMerchant.model_validate(MERCHANT)

    with pytest.raises(ValidationError, match="frozen"):
        merchant.name = "Thief"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError, match="Extra inputs"):
        NewMerchant.model_validate({**MERCHANT, "is_admin": True})


@pytest.mark.parametrize(
    "wrong",
    [
        "2026-03-02T12:00:00",
        "2026-03-02",
        "noon",
        "",
        1_772_452_800,
        1_772_452_800.5,
        "1772452800",
        True,
        None,
        datetime(2026, 3, 2),  # noqa: DTZ001 (that is the point)
        "1999-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "2199-12-31T23:59:59-01:00",
    ],
)
def test_a_moment_without_an_offset_or_out_of_reach_is_none(wrong: object) -> None:
    assert not accepted(Moment, wrong)


def test_a_moment_is_kept_in_utc() -> None:
    told = TypeAdapter(Moment).validate_python("2026-03-02T20:00:00+08:00")

    assert (told, told.tzinfo) == (datetime(2026, 3, 2, 12, tzinfo=UTC), UTC)
    east = datetime(2026, 3, 2, 20, tzinfo=timezone(timedelta(hours=8)))
    assert TypeAdapter(Moment).validate_python(east).tzinfo is UTC


@pytest.mark.parametrize("kind", [Minor, Count])
@pytest.mark.parametrize("wrong", [-1, 1.0, "1", True, None, 10**12 + 1, float("nan")])
def test_an_amount_is_a_whole_number_in_bounds(kind: Any, wrong: object) -> None:
    assert not accepted(kind, wrong)
    assert accepted(kind, 0)


@pytest.mark.parametrize("kind", [Name, Ref])
@pytest.mark.parametrize("wrong", ["", "   ", "a\x00b", "a\nb", "a\u202eb", "\ud800", "x" * 201])
def test_a_name_is_printable_and_not_endless(kind: Any, wrong: str) -> None:
    class Named(NewMerchant):
        other: kind  # type: ignore[valid-type]

    with pytest.raises(ValidationError):
        Named.model_validate({**MERCHANT, "other": wrong})


def test_a_name_may_be_of_any_language() -> None:
    assert accepted(Name, "街角小店 Ünïcode ☕")


@pytest.mark.parametrize("wrong", ["", "-a", "a-", "A", "a_b", "a" * 41, "é", "a b"])
def test_a_slug_fits_an_address(wrong: str) -> None:
    assert not accepted(Slug, wrong)
    assert accepted(Slug, "a-1")


@pytest.mark.parametrize("wrong", ["CEST", "Mars/Olympus", "", "europe/berlin", "../etc/passwd"])
def test_a_zone_is_one_that_the_world_knows(wrong: str) -> None:
    assert not accepted(Zone, wrong)
    assert accepted(Zone, "Asia/Shanghai")
