"""An offer in plain sentences, for the customer who reads them on a phone or on paper.

The sentences are data. What is left to the counter, such as the order of several coupons, is no
sentence; names of products are the shop's own codes, so they are "selected items".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, time
from decimal import Decimal
from itertools import chain
from typing import assert_never

from coupon_engine.validation.wording import Both, amount_in_words, moment_in_words, spoken
from schemas.money import Language
from schemas.offers import (
    AmountOff,
    BuyXGetY,
    Face,
    FixedPrice,
    FreeItem,
    GiftBalance,
    LimitOf,
    LimitPer,
    LimitRule,
    OpenHours,
    PercentOff,
    Terms,
    Weekday,
)
from schemas.refusals import Sentences

MOST_STORES_TOLD = 3

Told = tuple[Sentences, ...]
Fact = tuple[str, Mapping[str, object]]

OFFER: Mapping[str, Both] = {
    "amount_off": ("{amount} off.", "立减{amount}。"),
    "amount_off_some": ("{amount} off selected items.", "指定商品立减{amount}。"),
    "percent_off": ("{percent} off.", "全场{folds}折。"),
    "percent_off_some": ("{percent} off selected items.", "指定商品{folds}折。"),
    "all_off": ("Everything free.", "全场免单。"),
    "all_off_some": ("Selected items free.", "指定商品免单。"),
    "cap": ("At most {amount} off.", "最高优惠{amount}。"),
    "fixed_price": (
        "Selected items for {amount} each, up to {quantity}.",
        "指定商品每件{amount}，最多{quantity}件。",
    ),
    "free_item": ("Free selected items: {quantity}.", "指定商品免费{quantity}件。"),
    "buy_x_get_y_free": (
        "Selected items: buy {buy}, get {get} free.",
        "指定商品买{buy}件送{get}件。",
    ),
    "buy_x_get_y": (
        "Selected items: buy {buy}, get {get} at {percent} off.",
        "指定商品买{buy}件，另{get}件享{folds}折。",
    ),
    "times": ("Up to {times} times in one purchase.", "单次消费最多享{times}次。"),
    "gift_balance": ("A balance of {amount} to spend.", "可用余额{amount}。"),
    "gift_balance_some": (
        "A balance of {amount} to spend on selected items.",
        "可用于指定商品的余额{amount}。",
    ),
    "uses": ("Can be used {uses} times.", "可使用{uses}次。"),
    "minimum": ("From a purchase of {amount}.", "消费满{amount}可用。"),
    "minimum_units": ("When you buy {units} or more.", "购满{units}件可用。"),
    "stores": ("In selected stores only.", "仅限指定门店使用。"),
    "named_stores": ("Only at {stores}.", "仅限以下门店使用：{stores}。"),
    "more_stores": (
        "Only at {stores} and in {more} more.",
        "仅限{stores}等{count}家门店使用。",
    ),
    "hours": ("{days}, {from}–{until}.", "{days} {from}–{until}可用。"),
    "hours_overnight": (
        "{days}, {from}–{until} of the next day.",
        "{days} {from}–次日{until}可用。",
    ),
    "first_purchase": ("For a first purchase only.", "仅限首次消费使用。"),
    "segments": ("For selected customers.", "仅限指定顾客使用。"),
    "exclusive": (
        "Does not combine with some other coupons.",
        "不可与部分其他券同时使用。",
    ),
    "starts": ("Valid from {moment}.", "{moment}起可用。"),
    "ends": ("Valid until {moment}.", "有效期至{moment}。"),
    "wait": ("Starts on day {days} after you get it.", "领取{days}天后生效。"),
    "days": ("Valid through day {days} after you get it.", "领取后{days}天内有效。"),
    "limit_ever": ("At most {count} for each customer.", "每位顾客限用{count}次。"),
    "limit_day": ("At most {count} a day for each customer.", "每位顾客每天限用{count}次。"),
    "limit_week": (
        "At most {count} a week for each customer.",
        "每位顾客每周限用{count}次。",
    ),
    "limit_month": (
        "At most {count} a month for each customer.",
        "每位顾客每月限用{count}次。",
    ),
    "money_ever": ("At most {amount} off for each customer.", "每位顾客最多优惠{amount}。"),
    "money_day": (
        "At most {amount} off a day for each customer.",
        "每位顾客每天最多优惠{amount}。",
    ),
    "money_week": (
        "At most {amount} off a week for each customer.",
        "每位顾客每周最多优惠{amount}。",
    ),
    "money_month": (
        "At most {amount} off a month for each customer.",
        "每位顾客每月最多优惠{amount}。",
    ),
    "claim_ever": ("Each customer can get {count}.", "每位顾客限领{count}张。"),
    "claim_day": ("Each customer can get {count} a day.", "每位顾客每天限领{count}张。"),
    "claim_week": ("Each customer can get {count} a week.", "每位顾客每周限领{count}张。"),
    "claim_month": ("Each customer can get {count} a month.", "每位顾客每月限领{count}张。"),
}


def face(
    terms: Terms, currency: str, *, zone: str | None = None, stores: Sequence[str] = ()
) -> Face:
    """Return all that a customer reads on a coupon, in both languages.

    `stores` are the names of those where it works. Fixed dates are told only with a zone: each
    coupon knows its own window better.
    """

    def told(part: Callable[[Language], Iterator[Fact]]) -> Told:
        both = zip(part("en"), part("zh"), strict=True)
        return tuple(Sentences(en=_say("en", *en), zh=_say("zh", *zh)) for en, zh in both)

    return Face(
        title=terms.title,
        benefit=told(lambda language: _benefit(terms, language, currency)),
        conditions=told(
            lambda language: chain(
                _conditions(terms, language, currency, stores), _limits(terms, language, currency)
            )
        ),
        validity=told(lambda language: _validity(terms, language, zone)),
    )


def window(valid_from: datetime, valid_until: datetime, zone: str, *, now: datetime) -> Told:
    """Return when a coupon that is out works; its beginning only while it is still to come.

    By the full date: a phone keeps the sentence, and "tomorrow" would be wrong the day after.
    """

    def told(key: str, instant: datetime, *, is_end: bool) -> Sentences:
        en = moment_in_words(instant, "en", zone, now=None, is_end=is_end)
        zh = moment_in_words(instant, "zh", zone, now=None, is_end=is_end)
        return Sentences(en=_say("en", key, {"moment": en}), zh=_say("zh", key, {"moment": zh}))

    ends = told("ends", valid_until, is_end=True)
    return (told("starts", valid_from, is_end=False), ends) if now < valid_from else (ends,)


def describe(terms: Terms, language: Language, currency: str, zone: str | None = None) -> list[str]:
    """Return the same in one language, as one list, for paper: the benefit first."""
    facts = (
        *_benefit(terms, language, currency),
        *_conditions(terms, language, currency, ()),
        *_validity(terms, language, zone),
        *_limits(terms, language, currency),
    )
    return [_say(language, *fact) for fact in facts]


def _benefit(terms: Terms, language: Language, currency: str) -> Iterator[Fact]:
    def amount(minor: int) -> str:
        return spoken(language, amount_in_words(minor, currency))

    some = "_some" if terms.conditions.products or terms.conditions.categories else ""
    match terms.benefit:
        case AmountOff() as off:
            yield f"amount_off{some}", {"amount": amount(off.amount_minor)}
        case PercentOff(percent_off_bp=10_000) as off:
            yield f"all_off{some}", {}
            yield from _cap(off, amount)
        case PercentOff() as off:
            yield f"percent_off{some}", _part(off.percent_off_bp)
            yield from _cap(off, amount)
        case FixedPrice() as fixed:
            facts = {"amount": amount(fixed.price_minor), "quantity": fixed.quantity}
            yield "fixed_price", facts
        case FreeItem() as free:
            yield "free_item", {"quantity": free.quantity}
        case BuyXGetY() as deal:
            key = "buy_x_get_y_free" if deal.percent_off_bp == _ALL_OFF else "buy_x_get_y"
            yield key, {"buy": deal.buy, "get": deal.get, **_part(deal.percent_off_bp)}
            if deal.times > 1:
                yield "times", {"times": deal.times}
        case GiftBalance() as gift:
            yield f"gift_balance{some}", {"amount": amount(gift.balance_minor)}
        case _:
            assert_never(terms.benefit)
    if terms.uses > 1:
        yield "uses", {"uses": terms.uses}


def _conditions(
    terms: Terms, language: Language, currency: str, stores: Sequence[str]
) -> Iterator[Fact]:
    conditions = terms.conditions
    if conditions.minimum_basket_minor:
        minimum = spoken(language, amount_in_words(conditions.minimum_basket_minor, currency))
        yield "minimum", {"amount": minimum}
    if conditions.minimum_units > 1:
        yield "minimum_units", {"units": conditions.minimum_units}
    if conditions.stores or stores:
        yield _stores(stores, language)
    for stretch in conditions.hours:
        yield _hours(stretch, language)
    if conditions.first_purchase_only:
        yield "first_purchase", {}
    if conditions.segments:
        yield "segments", {}
    if conditions.exclusivity_groups:
        yield "exclusive", {}


def _validity(terms: Terms, language: Language, zone: str | None) -> Iterator[Fact]:
    validity = terms.validity
    if zone is not None and validity.starts_at is not None:
        starts = moment_in_words(validity.starts_at, language, zone, now=None, is_end=False)
        yield "starts", {"moment": starts}
    if zone is not None and validity.ends_at is not None:
        ends = moment_in_words(validity.ends_at, language, zone, now=None, is_end=True)
        yield "ends", {"moment": ends}
    if validity.wait_days:
        yield "wait", {"days": validity.wait_days}
    if validity.days_after_issue is not None:
        yield "days", {"days": validity.days_after_issue}


def _limits(terms: Terms, language: Language, currency: str) -> Iterator[Fact]:
    """Tell the customer's own ceilings; everybody's together, and a store's, nobody can plan by."""
    for rule in terms.limits:
        if rule.per is LimitPer.CUSTOMER:
            yield from _limit(rule, language, currency)


def _limit(rule: LimitRule, language: Language, currency: str) -> Iterator[Fact]:
    kind = "claim" if rule.of is LimitOf.ISSUE else "limit"
    yield f"{kind}_{rule.period}", {"count": rule.max_count}
    if rule.max_minor is not None:
        amount = spoken(language, amount_in_words(rule.max_minor, currency))
        yield f"money_{rule.period}", {"amount": amount}


def _stores(names: Sequence[str], language: Language) -> Fact:
    if not names:
        return "stores", {}
    told = spoken(language, _AND).join(names[:MOST_STORES_TOLD])
    if len(names) <= MOST_STORES_TOLD:
        return "named_stores", {"stores": told}
    more = len(names) - MOST_STORES_TOLD
    return "more_stores", {"stores": told, "more": more, "count": len(names)}


def _say(language: Language, key: str, facts: Mapping[str, object]) -> str:
    return spoken(language, OFFER[key]).format_map(facts)


def _cap(off: PercentOff, amount: Callable[[int], str]) -> Iterator[Fact]:
    if off.cap_minor is not None:
        yield "cap", {"amount": amount(off.cap_minor)}


def _part(basis_points: int) -> dict[str, object]:
    """Tell a part off: 20% in English is 8折 in Chinese, which names what is still paid."""
    return {
        "percent": f"{_short(Decimal(basis_points).scaleb(-2))}%",
        "folds": _short(Decimal(_ALL_OFF - basis_points).scaleb(-3)),
    }


def _short(number: Decimal) -> str:
    return f"{number:f}".rstrip("0").rstrip(".")


_ALL_OFF = 10_000
_MIDNIGHT = time(0, 0)
_WEEKDAYS = tuple(Weekday)
_WEEKDAY_NAMES: Mapping[Language, tuple[str, ...]] = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
}
_EVERY_DAY: Both = ("Every day", "每天")
_TO: Both = ("–", "至")
_AND: Both = (", ", "、")


def _hours(stretch: OpenHours, language: Language) -> Fact:
    ends_today = stretch.until_time == _MIDNIGHT or stretch.from_time < stretch.until_time
    return "hours" if ends_today else "hours_overnight", {
        "days": _days(stretch, language),
        "from": f"{stretch.from_time:%H:%M}",
        "until": f"{stretch.until_time:%H:%M}" if stretch.until_time != _MIDNIGHT else "24:00",
    }


def _days(stretch: OpenHours, language: Language) -> str:
    """Name the weekdays; three or more in a row by the first and the last."""
    if len(stretch.weekdays) == len(Weekday):
        return spoken(language, _EVERY_DAY)
    names = _WEEKDAY_NAMES[language]
    runs: list[list[int]] = []
    for at, weekday in enumerate(_WEEKDAYS):
        if weekday not in stretch.weekdays:
            continue
        if runs and runs[-1][-1] == at - 1:
            runs[-1].append(at)
        else:
            runs.append([at])
    told = [
        names[run[0]] + spoken(language, _TO) + names[run[-1]]
        if len(run) > 2
        else spoken(language, _AND).join(names[at] for at in run)
        for run in runs
    ]
    return spoken(language, _AND).join(told)
