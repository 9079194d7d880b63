"""Write judge.json: what the judge answers, alone and at a whole counter, for every language.

    python tests/vectors/make_judge_vectors.py

The same cases each time, so a change in the file is a change of what coupons do. Moments are
milliseconds since 1970. A case is told by what is different from `base`; whatever has a `kind` is
told whole. Sentences are told with the amounts' spaces left out.
"""

import json
import random
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from coupon_engine.validation import alone as asking
from coupon_engine.validation import status_lists
from coupon_engine.validation.alone import Alone, Place
from coupon_engine.validation.facts import (
    Applied,
    CampaignFacts,
    Case,
    CouponFacts,
    CustomerFacts,
    Discount,
    StoreFacts,
)
from coupon_engine.validation.judge import judge
from coupon_engine.validation.windows import is_open, next_opening, start_of_day
from schemas.baskets import Basket, Line, LineDiscount
from schemas.campaigns import OfflinePolicy, Stops
from schemas.money import in_words, part, split
from schemas.offers import (
    AmountOff,
    Benefit,
    BuyXGetY,
    Conditions,
    FixedPrice,
    FreeItem,
    GiftBalance,
    LimitOf,
    LimitPer,
    LimitRule,
    OpenHours,
    PercentOff,
    Terms,
    Title,
    Validity,
    Weekday,
)
from schemas.offline import ONLINE_CLASS, BundleCampaign, BundleOffer, Changed
from schemas.refusals import Reason, Refusal
from schemas.token import CouponFields, Policy

FILE = Path(__file__).with_name("judge.json")
SEED = 20_261_122

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday; 13:00 in Berlin
BERLIN = "Europe/Berlin"
STORE, OTHER_STORE, CUSTOMER, HOLD = (UUID(int=number) for number in range(1, 5))
HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
PRODUCTS = ("coffee", "tea", "cake", "soup", "bread")
CATEGORIES = ("drinks", "food", None)
# Clocks that change by an hour, by half an hour, at midnight, back at midnight, and not at all.
CHANGES = {
    BERLIN: ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-04-04T15:00", "2026-10-03T15:30"),
    "America/Santiago": ("2026-04-05T03:00", "2026-09-06T04:00"),
    "America/Havana": ("2026-03-08T05:00", "2026-11-01T05:00"),
    "America/Nuuk": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "Asia/Shanghai": ("2026-03-29T01:00",),
    "Asia/Kathmandu": ("2026-03-29T01:00",),
    "Pacific/Apia": ("2011-12-30T10:00",),
}

BASE = Case(
    coupon=CouponFacts(
        id=UUID(int=10),
        customer_id=None,
        store_id=None,
        valid_from=NOON - A_DAY,
        valid_until=NOON + A_DAY,
        uses_count=0,
        spent_minor=0,
        is_claimed=True,
        is_revoked=False,
    ),
    campaign=CampaignFacts(
        id=UUID(int=11),
        currency="EUR",
        zone=BERLIN,
        is_live=True,
        stops=None,
        has_ended_for_good=False,
        is_batch_revoked=False,
    ),
    offer_id=UUID(int=12),
    terms=Terms(
        title=Title(en="Five off", zh="立减五元"),
        benefit=AmountOff(amount_minor=500),
        validity=Validity(days_after_issue=30),
    ),
    store=StoreFacts(id=STORE, zone=BERLIN),
    customer=None,
    basket=Basket(currency="EUR", total_minor=2_000),
    applied=(),
    spend_minor=None,
    hold_id=None,
    now=NOON,
)


def vectors() -> dict[str, Any]:
    chance = random.Random(SEED)
    return {
        "base": told(BASE),
        "judge": [judged(case) for case in [*spoilt_cases(chance), *open_cases(chance, 180)]],
        "alone_base": told(ALONE),
        "alone": [asked(alone) for alone in alone_cases(chance, 120)],
        "allowance": allowances(chance),
        "openings": list(openings(chance)),
        "days": list(days()),
        "parts": hard_parts(chance),
        "splits": hard_splits(chance),
        "amounts": amounts(),
        "lists": lists(chance),
    }


# The judge.


def judged(case: Case) -> dict[str, Any]:
    return {"changes": difference(told(case), told(BASE)), **answered(case)}


def answered(case: Case) -> dict[str, Any]:
    verdict = judge(case)
    return {"discount": told(verdict)} if isinstance(verdict, Discount) else no(verdict)


def no(refusal: Refusal) -> dict[str, Any]:
    reasons = [
        {"code": each.code, "rule": each.rule, "needs": each.needs} for each in refusal.reasons
    ]
    said = {
        "customer": [refusal.customer.en, refusal.customer.zh],
        "cashier": [refusal.cashier.en, refusal.cashier.zh],
    }
    return {"reasons": reasons, **said}


Spoil = Callable[[Case], Case]


def spoilt_cases(chance: random.Random) -> Iterator[Case]:
    """Every condition broken by itself, then some of them together."""
    yield BASE
    for spoil in SPOILT:
        yield spoil(BASE)
    for _ in range(40):
        case = some_case(chance)
        for spoil in chance.sample(SPOILT, chance.randint(1, 3)):
            case = spoil(case)
        yield case


def open_cases(chance: random.Random, many: int) -> Iterator[Case]:
    """Give the hard ones, and cases that the judge mostly says yes to."""
    yield from hard_cases(chance)
    while many:
        case = some_case(chance)
        if isinstance(judge(case), Discount) or chance.random() < 0.1:
            many -= 1
            yield case


def coupon(**changes: Any) -> Spoil:
    return lambda case: replace(case, coupon=replace(case.coupon, **changes))


def campaign(**changes: Any) -> Spoil:
    return lambda case: replace(case, campaign=replace(case.campaign, **changes))


def asks(**conditions: Any) -> Spoil:
    def spoil(case: Case) -> Case:
        changed = case.terms.conditions.model_copy(update=conditions)
        return replace(case, terms=case.terms.model_copy(update={"conditions": changed}))

    return spoil


def worth(benefit: Benefit, **terms: Any) -> Spoil:
    return lambda case: replace(
        case, terms=case.terms.model_copy(update={"benefit": benefit, **terms})
    )


def having(**changes: Any) -> Spoil:
    return lambda case: replace(case, **changes)


def both(*spoils: Spoil) -> Spoil:
    def spoil(case: Case) -> Case:
        for each in spoils:
            case = each(case)
        return case

    return spoil


def in_zone(zone: str, now: str) -> Spoil:
    def spoil(case: Case) -> Case:
        at = datetime.fromisoformat(now).replace(tzinfo=UTC)
        window = {"valid_from": at - A_DAY, "valid_until": at + A_DAY}
        coupon = replace(case.coupon, **window)
        return replace(case, coupon=coupon, store=replace(case.store, zone=zone), now=at)

    return spoil


def hours(first: str = "09:00", last: str = "17:00", *weekdays: Weekday) -> OpenHours:
    return OpenHours.model_validate(
        {"weekdays": weekdays or tuple(Weekday), "from_time": first, "until_time": last}
    )


def earlier(
    minor: int,
    *lines: tuple[int, int],
    groups: tuple[str, ...] = (),
    order: int = 500,
    by_unit: bool = False,
) -> Applied:
    return Applied(
        redemption_id=UUID(int=20),
        offer_id=UUID(int=21),
        exclusivity_groups=frozenset(groups),
        stacking_order=order,
        discount_minor=minor,
        lines=tuple(LineDiscount(line=at, discount_minor=off) for at, off in lines),
        by_unit=by_unit,
    )


def of_lines(*lines: tuple[str, int, int], currency: str = "EUR") -> Basket:
    """Make a basket of (product, quantity, price)."""
    return Basket(
        currency=currency,
        lines=tuple(
            Line(product=product, quantity=quantity, unit_price_minor=price)
            for product, quantity, price in lines
        ),
    )


def a_customer(*segments: str, has_purchased: bool = False) -> CustomerFacts:
    return CustomerFacts(HOLD, frozenset(segments), has_purchased)


COFFEE = of_lines(("coffee", 2, 300))
SOUP = of_lines(("soup", 1, 700))
BUY_TWO = BuyXGetY(buy=2, get=1)
SPOILT: tuple[Spoil, ...] = (
    coupon(is_revoked=True),
    coupon(is_claimed=False),
    coupon(valid_from=NOON + 3 * A_DAY, valid_until=NOON + 9 * A_DAY),
    coupon(valid_from=NOON + timedelta(seconds=1)),
    coupon(valid_until=NOON),
    coupon(valid_until=datetime(2026, 2, 28, 23, tzinfo=UTC)),  # midnight there
    coupon(valid_until=datetime(2025, 12, 24, 17, 30, tzinfo=UTC)),
    coupon(uses_count=1),
    coupon(uses_count=1, last_redeemed_at=NOON - 2 * HOUR),
    coupon(uses_count=1, last_redeemed_at=NOON - 14 * HOUR),
    coupon(uses_count=1, last_redeemed_at=NOON - 25 * HOUR),
    both(coupon(uses_count=1), worth(AmountOff(amount_minor=100), uses=2)),
    both(worth(GiftBalance(balance_minor=500)), coupon(spent_minor=500)),
    coupon(held_by=HOLD, held_until=NOON + timedelta(minutes=10)),
    both(coupon(held_by=HOLD, held_until=NOON + HOUR), having(hold_id=HOLD)),
    coupon(held_by=HOLD, held_until=NOON),
    coupon(is_holder_suspended=True),
    campaign(is_live=False),
    campaign(stops=Stops.ISSUING_AND_REDEEMING),
    campaign(stops=Stops.ISSUING),
    campaign(has_ended_for_good=True),
    campaign(is_batch_revoked=True),
    coupon(store_id=OTHER_STORE),
    coupon(store_id=STORE),
    coupon(activated_store_id=OTHER_STORE, activated_until=NOON + HOUR),
    coupon(activated_store_id=STORE, activated_until=NOON + HOUR),
    coupon(activated_store_id=OTHER_STORE, activated_until=NOON),
    asks(stores=(OTHER_STORE,)),
    asks(stores=(OTHER_STORE, STORE)),
    asks(hours=(hours("14:00", "18:00"),)),
    asks(hours=(hours("22:00", "02:00", Weekday.FRIDAY),)),
    both(asks(hours=(hours("02:00", "03:00"),)), in_zone(BERLIN, "2026-03-29T00:30")),
    both(asks(hours=(hours("02:30", "03:00"),)), in_zone(BERLIN, "2026-10-25T01:15")),
    both(coupon(customer_id=CUSTOMER), having(customer=a_customer())),
    asks(segments=("vip", "staff")),
    both(asks(segments=("vip",)), having(customer=a_customer("vip", has_purchased=True))),
    asks(first_purchase_only=True),
    both(
        asks(first_purchase_only=True), having(customer=a_customer())
    ),
    both(worth(PercentOff(percent_off_bp=1_000)), having(basket=None)),
    both(worth(GiftBalance(balance_minor=900)), having(basket=None)),
    both(worth(GiftBalance(balance_minor=900)), having(basket=None, spend_minor=1_000)),
    having(basket=None),
    having(basket=None, applied=(earlier(100),)),
    having(has_basket_changed=True, applied=(earlier(100),)),
    both(worth(FreeItem()), asks(products=("coffee",))),
    asks(minimum_units=3),
    having(basket=Basket(currency="USD", total_minor=9_000)),
    both(asks(minimum_basket_minor=2_001), having()),
    both(asks(minimum_basket_minor=1_234_567), campaign(currency="JPY"),
         having(basket=Basket(currency="JPY", total_minor=100))),
    both(asks(categories=("drinks",)), having(basket=SOUP)),
    both(worth(BUY_TWO), asks(products=("coffee",), minimum_units=2), having(basket=SOUP)),
    both(asks(minimum_units=3, products=("coffee",)), having(basket=COFFEE)),
    both(worth(BUY_TWO), asks(products=("coffee",)), having(basket=COFFEE)),
    both(asks(exclusivity_groups=("a", "b")), having(applied=(earlier(100, groups=("b",)),))),
    having(applied=(earlier(100, order=501),)),
    having(basket=Basket(currency="EUR", total_minor=0)),
    both(worth(FixedPrice(price_minor=300)), asks(products=("coffee",)), having(basket=COFFEE)),
)  # fmt: skip


def some_case(chance: random.Random) -> Case:
    """Something of everything: any benefit, a likely basket, perhaps coupons before it."""
    benefit = some_benefit(chance)
    is_unit = benefit.kind in ("fixed_price", "free_item", "buy_x_get_y")
    asked: dict[str, Any] = {}
    if is_unit or chance.random() < 0.4:
        asked["products"] = tuple(chance.sample(PRODUCTS, chance.randint(1, 3)))
    if chance.random() < 0.2:
        asked["categories"] = (chance.choice(("drinks", "food")),)
    if chance.random() < 0.2:
        asked["minimum_basket_minor"] = chance.choice((500, 1_999, 5_000))
    if chance.random() < 0.15:
        asked["minimum_units"] = chance.randint(2, 4)
    if chance.random() < 0.2:
        asked["hours"] = tuple(some_hours(chance) for _ in range(chance.randint(1, 2)))
    if chance.random() < 0.3:
        asked["exclusivity_groups"] = tuple(chance.sample("abc", 1))
    case = replace(
        BASE,
        terms=BASE.terms.model_copy(update={"benefit": benefit, "conditions": Conditions(**asked)}),
        coupon=replace(BASE.coupon, spent_minor=chance.choice((0, 0, 123))),
        basket=some_basket(chance, with_lines=is_unit or chance.random() < 0.8),
        spend_minor=chance.choice((None, None, 321)),
    )
    assert case.basket is not None
    rest: list[Applied] = []
    for _ in range(chance.choice((0, 0, 1, 2))):
        rest.append(some_earlier(chance, case.basket))
    return replace(case, applied=tuple(rest))


def some_benefit(chance: random.Random) -> Benefit:
    return chance.choice(
        (
            AmountOff(amount_minor=chance.choice((1, 99, 500, 100_000))),
            PercentOff(
                percent_off_bp=chance.choice((1, 333, 1_250, 5_000, 6_667, 10_000)),
                cap_minor=chance.choice((None, None, 100)),
            ),
            FixedPrice(price_minor=chance.choice((0, 99, 250)), quantity=chance.randint(1, 4)),
            FreeItem(quantity=chance.randint(1, 3)),
            BuyXGetY(
                buy=chance.randint(1, 3),
                get=chance.randint(1, 2),
                percent_off_bp=chance.choice((3_333, 5_000, 10_000)),
                times=chance.randint(1, 3),
            ),
            GiftBalance(balance_minor=chance.choice((200, 1_000, 50_000))),
        )
    )


def some_basket(chance: random.Random, *, with_lines: bool) -> Basket:
    if not with_lines:
        return Basket(currency="EUR", total_minor=chance.choice((0, 1, 999, 12_345)))
    lines = tuple(
        Line(
            product=chance.choice(PRODUCTS),
            category=chance.choice(CATEGORIES),
            quantity=chance.choice((1, 1, 2, 3, 7)),
            unit_price_minor=chance.choice((0, 1, 99, 100, 250, 333, 1_001)),
        )
        for _ in range(chance.randint(1, 5))
    )
    return Basket(currency="EUR", lines=lines)


def some_earlier(chance: random.Random, basket: Basket) -> Applied:
    """A coupon before, whose lines may be less than its sum, or name lines that are not there."""
    lines = {chance.randrange(len(basket.lines) + 1): chance.randint(1, 300) for _ in range(2)}
    told = list(lines.items()) if basket.lines and chance.random() < 0.8 else []
    minor = sum(off for _, off in told) + chance.choice((0, 0, 1, 50))
    group = chance.choice("abcd")
    return earlier(
        minor,
        *told,
        groups=(group,) if chance.random() < 0.2 else (),
        order=chance.choice((100, 500, 500, 600)),
        by_unit=chance.random() < 0.4,
    )


def some_hours(chance: random.Random) -> OpenHours:
    day = [f"{chance.randrange(24):02d}:{chance.choice(('00', '15', '30'))}" for _ in range(2)]
    weekdays = chance.sample(list(Weekday), chance.randint(1, 7))
    return hours(day[0], day[1], *weekdays)


# What is hard to get right: drawn until it is.

T = TypeVar("T")
PERCENTS = (333, 1_250, 3_333, 5_000)


def drawn(
    chance: random.Random, draw: Callable[[random.Random], T], is_hard: Callable[[T], bool]
) -> T:
    while True:
        thing = draw(chance)
        if is_hard(thing):
            return thing


def some_lines(chance: random.Random) -> list[tuple[int, int]]:
    """Draw lines of (quantity, price)."""
    return [(chance.randint(1, 3), chance.randint(1, 400)) for _ in range(chance.randint(3, 5))]


def hard_cases(chance: random.Random) -> Iterator[Case]:
    """Give baskets on which a hasty judge is a minor unit off."""
    for percent in PERCENTS:
        lines = drawn(chance, some_lines, lambda lines, percent=percent: has_tie(lines, percent))
        yield with_lines(lines, PercentOff(percent_off_bp=percent))
    yield with_lines([(1, 2)], PercentOff(percent_off_bp=2_500))  # half a minor unit
    yield with_lines([(1, 1)], PercentOff(percent_off_bp=4_999))
    for benefit in (FreeItem(quantity=2), FixedPrice(price_minor=7, quantity=3), BuyXGetY(buy=1)):
        for by_unit in (False, True):
            lines, minor = drawn(chance, lines_and_discount, lambda it: leaves_odd_units(*it))
            applied = earlier(minor, (0, minor), by_unit=by_unit)
            yield replace(with_lines(lines, benefit), applied=(applied,))
    dear = [(1_000, 333_333_333), (999, 333_333_331), (7, 142_857)]
    yield with_lines(dear, PercentOff(percent_off_bp=3_333))
    yield replace(with_lines(dear, AmountOff(amount_minor=10**12)), applied=(earlier(10**11 + 1),))


def lines_and_discount(chance: random.Random) -> tuple[list[tuple[int, int]], int]:
    return some_lines(chance), chance.randint(1, 900)


def with_lines(lines: list[tuple[int, int]], benefit: Benefit) -> Case:
    """Make a case whose basket has these (quantity, price), all in scope."""
    basket = of_lines(*(("coffee", quantity, price) for quantity, price in lines))
    return both(worth(benefit), asks(products=("coffee",)), having(basket=basket))(BASE)


def has_tie(lines: list[tuple[int, int]], basis_points: int) -> bool:
    """Say whether two lines have the same right to the last minor unit."""
    amounts = [quantity * price for quantity, price in lines]
    whole, minor = sum(amounts), part(sum(amounts), basis_points)
    rests = sorted((minor * amount % whole for amount in amounts), reverse=True)
    odd = minor - sum(minor * amount // whole for amount in amounts)
    return 0 < odd < len(rests) and rests[odd - 1] == rests[odd] != 0


def leaves_odd_units(lines: list[tuple[int, int]], minor: int) -> bool:
    """Say whether so much off the first line leaves units of it that do not cost the same."""
    quantity, price = lines[0]
    left = quantity * price - minor
    return left > price and minor % price != 0 and left % quantity != 0


def hard_parts(chance: random.Random) -> list[list[int]]:
    """Return [amount, basis points, part]: halves, and what a number with a point gets wrong."""

    def some(chance: random.Random) -> tuple[int, int]:
        return chance.randint(1, 10**12), chance.randint(1, 10_000)

    pairs = [(25, 5_800), (10**12, 9_999), (10**12 - 1, 3_333), (1, 4_999), (1, 5_000)]
    pairs += [drawn(chance, some, lambda it: it[0] * it[1] % 10_000 == 5_000) for _ in range(5)]
    pairs += [drawn(chance, some, lambda it: hasty_part(*it) != part(*it)) for _ in range(5)]
    pairs += list(islice(((at, 9_999) for at in count(10**12, -1) if is_too_wide(at)), 5))
    return [[minor, points, part(minor, points)] for minor, points in pairs]


def is_too_wide(minor: int) -> bool:
    """Say whether 53 bits are too few for the product, and it shows."""
    return int((float(minor) * 9_999 + 5_000) // 10_000) != part(minor, 9_999)


def hasty_part(minor: int, basis_points: int) -> int:
    return int(minor * (basis_points / 10_000) + 0.5)


def hard_splits(chance: random.Random) -> list[dict[str, Any]]:
    """Divide amounts: ties, noughts, and weights whose products no 53 bits hold."""
    asked = [
        (0, [0, 0]),
        (2, [1, 1, 1]),
        (5, [3, 3, 3]),
        (10**12, [10**12 // 3] * 3 + [1]),
        (999_999_999_999, [333_333_333_331, 333_333_333_337, 333_333_333_331, 7]),
    ]
    for _ in range(25):
        weights = [chance.choice((0, 1, chance.randint(1, 10**11))) for _ in range(5)]
        asked.append((chance.randint(0, sum(weights)), weights))
    return [
        {"minor": minor, "weights": weights, "parts": split(minor, weights)}
        for minor, weights in asked
    ]


def amounts() -> list[list[Any]]:
    """Return amounts in words, in currencies of no, two and three places."""
    return [
        [minor, currency, in_words(minor, currency, "en"), in_words(minor, currency, "zh")]
        for currency in ("EUR", "USD", "CNY", "JPY", "KWD", "CHF", "HUF", "LBP")
        for minor in (0, 5, 1_234_567)
    ]


# Hours and days, also where clocks are changed.


def openings(chance: random.Random) -> Iterator[dict[str, Any]]:
    for zone, changes in CHANGES.items():
        for change in changes:
            at = datetime.fromisoformat(change).replace(tzinfo=UTC)
            for minutes in (-1_500, -65, -30, -1, 0, 1, 29, 31, 65, chance.randint(-9_000, 9_000)):
                now = at + timedelta(minutes=minutes, seconds=chance.choice((0, 59)))
                stretches = [near_hours(chance, at, zone) for _ in range(chance.randint(1, 2))]
                opening = next_opening(stretches, now, zone)
                yield {
                    "zone": zone,
                    "hours": told(stretches),
                    "now": told(now),
                    "is_open": is_open(stretches, now.astimezone(ZoneInfo(zone))),
                    "next": told(opening),
                }


def near_hours(chance: random.Random, at: datetime, zone: str) -> OpenHours:
    """Make hours that begin or end about when clocks are changed, on that day or any."""
    local = (at + timedelta(minutes=chance.choice((-30, 0, 15, 45)))).astimezone(ZoneInfo(zone))
    first = f"{local:%H}:{chance.choice(('00', '30'))}"
    last = f"{(local.hour + chance.choice((0, 1, 6))) % 24:02d}:{chance.choice(('00', '30'))}"
    day = list(Weekday)[local.weekday()]
    weekdays = chance.choice(((day,), tuple(Weekday), tuple(chance.sample(list(Weekday), 2))))
    return hours(first, last, *weekdays)


def days() -> Iterator[dict[str, Any]]:
    for zone, changes in CHANGES.items():
        for change in changes:
            for off in (-1, 0, 1):
                day = datetime.fromisoformat(change).date() + timedelta(days=off)
                yield {"zone": zone, "day": str(day), "start": told(start_of_day(day, zone))}


# Alone.

SECOND = int(NOON.timestamp())
HERE = 7
PLACE = Place(
    store=StoreFacts(STORE, BERLIN),
    store_number=HERE,
    is_authority=False,
    decides_until=NOON + HOUR,
)


def told_campaign(offline: OfflinePolicy, terms: Terms, **changes: Any) -> BundleCampaign:
    usual: dict[str, Any] = {
        "number": 1,
        "id": UUID(int=11),
        "currency": "EUR",
        "zone": BERLIN,
        "offline": offline,
        "is_live": True,
        "is_paused": False,
        "has_ended_for_good": False,
        "offers": (BundleOffer(quota_class=3, id=UUID(int=12), terms=terms),),
        "max_count": 3,
        "max_minor": 2_000,
    }
    return BundleCampaign(**{**usual, **changes})


def coupon_fields(policy: Policy, **changes: Any) -> CouponFields:
    usual: dict[str, Any] = {
        "jti": UUID(int=10).bytes,
        "cmp": 1,
        "nbf": SECOND - 3_600,
        "exp": SECOND + 3_600,
        "off": policy.pack(),
        "sto": 0,
        "idx": 5,
    }
    return CouponFields(**{**usual, **changes})


ALONE = Alone(
    fields=coupon_fields(Policy(offline=OfflinePolicy.DEVICE_QUOTA, quota_class=3)),
    place=PLACE,
    campaign=told_campaign(OfflinePolicy.DEVICE_QUOTA, BASE.terms),
    now=NOON,
)
NOT_ALONE = (
    BASE.terms.model_copy(update={"uses": 2}),
    BASE.terms.model_copy(update={"benefit": GiftBalance(balance_minor=5)}),
    BASE.terms.model_copy(update={"conditions": Conditions(segments=("vip",))}),
    BASE.terms.model_copy(update={"conditions": Conditions(first_purchase_only=True)}),
    BASE.terms.model_copy(update={"limits": (LimitRule(per=LimitPer.ALL, max_count=5),)}),
)
ISSUED_SO_OFTEN = LimitRule(of=LimitOf.ISSUE, per=LimitPer.ALL, max_count=5)


def alone_cases(chance: random.Random, many: int) -> Iterator[Alone]:
    """Every policy against everything that a terminal may know or not know."""
    for offline in OfflinePolicy:
        for sto in (0, HERE, HERE + 1):
            for is_authority in (False, True):
                yield some_alone(chance, offline, sto=sto, is_authority=is_authority)
    for terms in (*NOT_ALONE, BASE.terms.model_copy(update={"limits": (ISSUED_SO_OFTEN,)})):
        yield replace(ALONE, campaign=told_campaign(OfflinePolicy.DEVICE_QUOTA, terms))
    for _ in range(many):
        offline = chance.choice(list(OfflinePolicy))
        yield spoilt_alone(
            chance, some_alone(chance, offline, sto=chance.choice((0, HERE)), is_authority=True)
        )


def some_alone(
    chance: random.Random, offline: OfflinePolicy, *, sto: int, is_authority: bool
) -> Alone:
    is_activated = offline is OfflinePolicy.ACTIVATED
    policy = Policy(
        offline=OfflinePolicy.STORE_BOUND if is_activated else offline,
        activation_required=is_activated,
        quota_class=3,
        freshness_seconds=chance.choice((15, 300)),
    )
    return replace(
        ALONE,
        fields=coupon_fields(policy, sto=sto),
        place=replace(PLACE, is_authority=is_authority),
        campaign=told_campaign(offline, BASE.terms),
    )


def spoilt_alone(chance: random.Random, alone: Alone) -> Alone:
    """Let one or two things be otherwise."""
    for _ in range(chance.randint(1, 2)):
        alone = chance.choice(SPOILT_ALONE)(alone)
    return alone


def bits(**changes: Any) -> Callable[[Alone], Alone]:
    def spoil(alone: Alone) -> Alone:
        off = alone.fields.policy.model_copy(update=changes).pack()
        return replace(alone, fields=alone.fields.model_copy(update={"off": off}))

    return spoil


def signed(**changes: Any) -> Callable[[Alone], Alone]:
    return lambda alone: replace(alone, fields=alone.fields.model_copy(update=changes))


def bundled(**changes: Any) -> Callable[[Alone], Alone]:
    def spoil(alone: Alone) -> Alone:
        campaign = alone.campaign and alone.campaign.model_copy(update=changes)
        return replace(alone, campaign=campaign)

    return spoil


def knowing(**changes: Any) -> Callable[[Alone], Alone]:
    return lambda alone: replace(alone, **changes)


SPOILT_ALONE: tuple[Callable[[Alone], Alone], ...] = (
    signed(nbf=SECOND + 1),
    signed(exp=SECOND),
    signed(exp=SECOND + 7_200),
    signed(exp=SECOND + 7_201),
    signed(sto=HERE + 1),
    bits(level="L2"),
    bits(level="L4"),
    bits(multi_use=True),
    bits(quota_class=ONLINE_CLASS),
    bits(quota_class=4),
    bundled(offline=OfflinePolicy.ONLINE_ONLY),
    bundled(is_paused=True),
    bundled(is_live=False),
    bundled(has_ended_for_good=True),
    bundled(offers=()),
    knowing(campaign=None),
    knowing(is_listed=True),
    knowing(is_listed=None),
    knowing(redeemed_at=NOON - timedelta(milliseconds=1_234)),
    knowing(is_clock_behind=True),
    knowing(now=PLACE.decides_until),
    knowing(now=NOON + timedelta(milliseconds=999)),
)


def asked(alone: Alone) -> dict[str, Any]:
    before, after = asking.before_proof(alone), asking.after_proof(alone)
    answer: dict[str, Any] = {
        "changes": difference(told(alone), told(ALONE)),
        "before": reason(before),
        "after": reason(after),
    }
    if after is None:
        answer["judged"] = answered(asking.case(alone, basket=BASE.basket))
    return answer


def reason(found: Reason | None) -> dict[str, Any] | None:
    return found and {"code": found.code, "rule": found.rule, "needs": found.needs}


def allowances(chance: random.Random) -> list[dict[str, Any]]:
    many: list[dict[str, Any]] = []
    for _ in range(20):
        numbers = {
            "max_count": chance.choice((0, 1, 5)),
            "max_minor": chance.choice((0, 100, 500)),
            "used_count": chance.choice((0, 1, 4, 5)),
            "used_minor": chance.choice((0, 99, 100, 400)),
        }
        minor = chance.choice((1, 100, 101))
        over = asking.over_allowance(**numbers, minor=minor)
        many.append({"allowance": camel(numbers), "minor": minor, "over": over and over.rule})
    return many


# Status lists.


def lists(chance: random.Random) -> dict[str, Any]:
    gaps = [
        sorted(chance.sample(range(status_lists.SHARD_PLACES), many))
        for many in (0, 1, 2, 7, 40, 200)
    ] + [[0], [status_lists.SHARD_PLACES - 1], [0, 1, 2, 3, 4, 5, 6, 7, 8]]
    held = some_bits(chance.sample(range(4_096), 60), 4_096)
    changed = Changed(
        set=status_lists.gaps_encoded(chance.sample(range(4_096), 20)),
        cleared=status_lists.gaps_encoded(chance.sample(range(4_096), 20)),
    )
    good = status_lists.gaps_encoded(range(0, 4_096, 97))
    beyond = [status_lists.gaps_encoded([5, status_lists.SHARD_PLACES + more]) for more in (0, 7)]
    return {
        "gaps": [{"text": status_lists.gaps_encoded(one), "places": one} for one in gaps],
        "bad_gaps": [text for text in (*BAD_GAPS, good[:-3], *beyond) if is_refused(text)],
        "packed": {"lst": status_lists.pack(held), "bits": held.hex()},
        "bad_lists": bad_lists(held),
        "changed": {
            **changed.model_dump(),
            "after": status_lists.apply(held, changed).hex(),
        },
    }


BAD_GAPS = ("0", "00", "~~~~~", "0000 ", "zzzzz", "ZZZZZ", "!!", "0RR91", "é", "}}}}}}")


def is_refused(text: str) -> bool:
    try:
        status_lists.gaps_decoded(text)
    except ValueError:
        return True
    return False


def bad_lists(held: bytes) -> list[str]:
    whole = status_lists.deflated(held)
    longer = status_lists.deflated(bytes(status_lists.SHARD_BYTES + 1))
    raws = (b"", b"no list", whole[:-1], whole + b"\0", longer, whole[:9] + b"!!" + whole[11:])
    return [base64url(raw) for raw in raws]


def some_bits(places: list[int], many: int) -> bytes:
    held = bytearray(many // 8)
    for place in places:
        status_lists.put(held, place, is_on=True)
    return bytes(held)


# How things are told.


def told(thing: Any) -> Any:
    """Return a thing as JSON: facts by names that TypeScript uses, wire models by the wire's."""
    match thing:
        case Basket() | Line():
            return thing.model_dump(mode="json", exclude_defaults=True)
        case CouponFields():
            plain = thing.model_dump(exclude={"jti", "holder_key"})
            return {"jti": thing.jti.hex(), **plain}
        case BaseModel():
            return thing.model_dump(mode="json")
        case Enum():
            return thing.value
        case datetime():
            return round(thing.timestamp() * 1_000)
        case UUID() | date():
            return str(thing)
        case frozenset():
            return sorted(thing)
        case tuple() | list():
            return [told(each) for each in thing]
        case _ if is_dataclass(thing):
            return camel({each.name: getattr(thing, each.name) for each in fields(thing)})
        case _:
            return thing


def camel(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {in_camel(name): told(fact) for name, fact in facts.items()}


def in_camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def difference(one: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Return what is otherwise in `one`."""
    changes: dict[str, Any] = {}
    for name, value in one.items():
        other = base[name]
        if value == other:
            continue
        is_deep = (
            isinstance(value, dict) and isinstance(other, dict) and value.keys() == other.keys()
        )
        changes[name] = difference(value, other) if is_deep else value
    return changes


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def written() -> str:
    """Return the file: a case a line, so that a change shows as what it is."""
    told_now = vectors()
    blocks = [f'"{name}": {block(value)}' for name, value in told_now.items()]
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def block(value: Any) -> str:
    if not isinstance(value, list):
        return compact(value)
    return "[\n" + ",\n".join(compact(each) for each in value) + "\n]"


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
