"""An offer says something that can be kept."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.offers import LimitRule, OpenHours, Terms, Validity
from tests import make

OFF = {"kind": "amount_off", "amount_minor": 200}
TERMS: dict[str, Any] = {
    "title": {"en": "Two off", "zh": "立减"},
    "benefit": OFF,
    "validity": {"days_after_issue": 30},
}


def terms(**more: Any) -> Terms:
    return Terms.model_validate_json(make_json({**TERMS, **more}))


def make_json(value: Any) -> str:
    return json.dumps(value)


def test_terms_come_back_from_json_as_they_were() -> None:
    made = make.terms()

    assert Terms.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "amount_off", "amount_minor": 0},
        {"kind": "amount_off", "amount_minor": 2.5},
        {"kind": "percent_off", "percent_off_bp": 0},
        {"kind": "percent_off", "percent_off_bp": 10_001},
        {"kind": "percent_off", "percent_off_bp": 100, "cap_minor": 0},
        {"kind": "gift_balance", "balance_minor": 0},
        {"kind": "magic"},
        {"amount_minor": 5},
    ],
)
def test_a_benefit_that_gives_nothing_or_too_much_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        terms(benefit=wrong)


@pytest.mark.parametrize(
    "benefit",
    [
        {"kind": "free_item"},
        {"kind": "fixed_price", "price_minor": 100},
        {"kind": "buy_x_get_y", "buy": 2},
    ],
)
def test_what_gives_things_says_which(benefit: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="needs products or categories"):
        terms(benefit=benefit)

    assert terms(benefit=benefit, conditions={"products": ["milk"]}).uses == 1


def test_a_gift_has_a_balance_and_no_number_of_uses() -> None:
    gift = {"kind": "gift_balance", "balance_minor": 500}

    with pytest.raises(ValidationError, match="no number of uses"):
        terms(benefit=gift, uses=2)

    assert terms(benefit=gift).benefit.kind == "gift_balance"


@pytest.mark.parametrize("uses", [0, -1, 1_001, 1.0, True])
def test_uses_are_counted(uses: Any) -> None:
    with pytest.raises(ValidationError):
        terms(uses=uses)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"days_after_issue": 0},
        {"days_after_issue": 3, "wait_days": 3},
        {"starts_at": "2026-03-02T00:00:00Z", "ends_at": "2026-03-02T00:00:00Z"},
        {"ends_at": "2026-03-02T00:00:00"},
    ],
)
def test_a_coupon_that_never_works_or_never_ends_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Validity.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"of": "issue", "per": "all", "max_count": 1, "max_minor": 5},
        {"of": "issue", "per": "store", "max_count": 1},
        {"per": "all", "max_count": 0},
        {"per": "all"},
        {"per": "planet", "max_count": 1},
    ],
)
def test_a_limit_that_means_nothing_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LimitRule.model_validate(wrong)


def test_no_two_rules_limit_the_same() -> None:
    rule = {"per": "customer", "max_count": 1}

    with pytest.raises(ValidationError, match="repeat"):
        terms(limits=[rule, {**rule, "max_count": 2}])

    assert len(terms(limits=[rule, {**rule, "period": "day"}]).limits) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"weekdays": []},
        {"weekdays": ["monday", "monday"]},
        {"weekdays": ["funday"]},
        {"weekdays": ["monday"], "from_time": "09:30:30"},
        {"weekdays": ["monday"], "from_time": "09:30+01:00"},
        {"weekdays": ["monday"], "from_time": "25:00"},
    ],
)
def test_hours_that_no_clock_shows_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OpenHours.model_validate(wrong)
