"""What a terminal may decide without the server: the policies as a table, and their limits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coupon_engine.validation import alone as asking
from coupon_engine.validation.alone import DECIDABLE, Alone, Place
from coupon_engine.validation.facts import Discount, StoreFacts
from coupon_engine.validation.judge import judge
from schemas.campaigns import Level, OfflinePolicy, Stops
from schemas.offers import GiftBalance, LimitOf, LimitPer, LimitRule, Terms
from schemas.offline import ONLINE_CLASS, BundleCampaign, BundleOffer
from schemas.refusals import Refusal, Why
from schemas.token import CouponFields, Policy
from tests.coupon_engine.validation import cases
from tests.coupon_engine.validation.cases import BERLIN, NOON, STORE
from tests.scanner.terminal.shop import bundle

SECOND = int(NOON.timestamp())
OFFER = UUID(int=12)
HERE = 7


def fields(offline: OfflinePolicy = OfflinePolicy.DEVICE_QUOTA, **changes: Any) -> CouponFields:
    is_activated = offline is OfflinePolicy.ACTIVATED
    bits: dict[str, Any] = {
        "offline": OfflinePolicy.STORE_BOUND if is_activated else offline,
        "activation_required": is_activated,
        "quota_class": 3,
    }
    bits |= {name: changes.pop(name) for name in list(changes) if name in Policy.model_fields}
    usual: dict[str, Any] = {
        "jti": UUID(int=10).bytes,
        "cmp": 1,
        "nbf": SECOND - 3_600,
        "exp": SECOND + 3_600,
        "off": Policy(**bits).pack(),
        "sto": 0,
        "idx": 5,
    }
    return CouponFields(**{**usual, **changes})


def campaign(
    offline: OfflinePolicy = OfflinePolicy.DEVICE_QUOTA, terms: Terms | None = None, **changes: Any
) -> BundleCampaign:
    usual: dict[str, Any] = {
        "number": 1,
        "id": UUID(int=11),
        "currency": "EUR",
        "zone": BERLIN,
        "offline": offline,
        "is_live": True,
        "is_paused": False,
        "has_ended_for_good": False,
        "offers": (BundleOffer(quota_class=3, id=OFFER, terms=terms or cases.terms()),),
        "max_count": 3,
        "max_minor": 2_000,
    }
    return BundleCampaign(**{**usual, **changes})


PLACE = Place(
    store=StoreFacts(STORE, BERLIN),
    store_number=HERE,
    is_authority=False,
    decides_until=NOON + timedelta(hours=1),
)
AUTHORITY = replace(PLACE, is_authority=True)


def alone(
    offline: OfflinePolicy = OfflinePolicy.DEVICE_QUOTA,
    *,
    sto: int = 0,
    place: Place = PLACE,
    **changes: Any,
) -> Alone:
    plain = Alone(fields(offline, sto=sto), place, campaign(offline), NOON)
    return replace(plain, **changes)


def told(found: Alone) -> tuple[Why, str] | None:
    """Return the first no, as a terminal would find it, with its rule."""
    reason = asking.before_proof(found) or asking.after_proof(found)
    return None if reason is None else (reason.code, reason.rule)


NO = Why.ONLINE_REQUIRED


@pytest.mark.parametrize(
    ("offline", "any_store", "here", "here_as_authority"),
    [
        (OfflinePolicy.ONLINE_ONLY, NO, NO, NO),
        (OfflinePolicy.STORE_BOUND, NO, NO, None),
        (OfflinePolicy.ACTIVATED, NO, NO, None),
        (OfflinePolicy.DEVICE_QUOTA, None, None, None),
        (OfflinePolicy.CAMPAIGN_ESCROW, None, None, None),
    ],
)
def test_a_policy_says_who_may_decide(
    offline: OfflinePolicy, any_store: Why | None, here: Why | None, here_as_authority: Why | None
) -> None:
    found = [
        told(alone(offline, place=AUTHORITY)),
        told(alone(offline, sto=HERE)),
        told(alone(offline, sto=HERE, place=AUTHORITY)),
    ]

    assert [no and no[0] for no in found] == [any_store, here, here_as_authority]


@pytest.mark.parametrize("offline", list(OfflinePolicy))
def test_no_policy_lets_a_terminal_decide_for_another_store(offline: OfflinePolicy) -> None:
    found = alone(offline, sto=HERE + 1, place=AUTHORITY)

    assert told(found) == (Why.WRONG_STORE, "coupon.store_id")


def test_every_policy_stands_in_the_table() -> None:
    assert set(DECIDABLE) == set(OfflinePolicy)


@pytest.mark.parametrize("offline", [one for one in OfflinePolicy if DECIDABLE[one]])
@pytest.mark.parametrize(
    ("changes", "no"),
    [
        ({"now": PLACE.decides_until}, (Why.LEASE_EXPIRED, "lease.until")),
        ({"is_clock_behind": True}, (NO, "clock")),
        ({"is_listed": None}, (NO, "status_list")),
        ({"is_listed": True}, (Why.ALREADY_REDEEMED, "status_list")),
        ({"redeemed_at": NOON}, (Why.ALREADY_REDEEMED, "ledger")),
        ({"campaign": None}, (NO, "offer")),
        ({"campaign": campaign(OfflinePolicy.ONLINE_ONLY)}, (NO, "offline")),
    ],
    ids=["lease", "clock", "no list", "listed", "spent", "unknown", "stricter now"],
)
def test_all_policies_need_this(
    offline: OfflinePolicy, changes: dict[str, Any], no: tuple[Why, str]
) -> None:
    found = alone(offline, sto=HERE, place=AUTHORITY)
    assert told(found) is None
    if "now" in changes:
        changes = {**changes, "fields": fields(offline, sto=HERE, exp=SECOND + 7_200)}

    assert told(replace(found, **changes)) == no


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"multi_use": True}, "uses"),
        ({"level": Level.ROTATING}, "level"),
        ({"quota_class": ONLINE_CLASS}, "offer"),
        ({"quota_class": 4}, "offer"),  # an offer of which the terminal was not told
    ],
)
def test_a_code_that_only_the_server_can_judge(changes: dict[str, Any], rule: str) -> None:
    assert told(alone(fields=fields(**changes))) == (NO, rule)


def test_a_coupon_is_good_from_its_first_second_to_before_its_end() -> None:
    window = fields(nbf=SECOND, exp=SECOND + 60)
    at = [NOON + timedelta(seconds=seconds) for seconds in (-1, 0, 59, 60)]

    codes = [told(alone(fields=window, now=now)) for now in at]

    assert codes == [
        (Why.NOT_YET, "validity.from"),
        None,
        None,
        (Why.EXPIRED, "validity.until"),
    ]


@pytest.mark.parametrize(("ends_in", "no"), [(7_200, None), (7_201, (NO, "offline.activation"))])
def test_an_activated_coupon_ends_within_two_hours(
    ends_in: int, no: tuple[Why, str] | None
) -> None:
    found = alone(OfflinePolicy.ACTIVATED, place=AUTHORITY)

    assert told(replace(found, fields=activated(ends_in))) == no


def activated(ends_in: int) -> CouponFields:
    return fields(OfflinePolicy.ACTIVATED, sto=HERE, exp=SECOND + ends_in)


def test_a_coupon_that_is_activated_elsewhere_is_said_to_be_so() -> None:
    found = alone(OfflinePolicy.ACTIVATED, is_listed=True)

    assert told(found) == (Why.SUSPENDED, "status_list")


def test_an_earlier_redemption_may_still_come_in_where_many_decide() -> None:
    assert {offline for offline in OfflinePolicy if asking.is_provisional(offline)} == {
        OfflinePolicy.ONLINE_ONLY,
        OfflinePolicy.DEVICE_QUOTA,
        OfflinePolicy.CAMPAIGN_ESCROW,
    }


RULE = LimitRule(per=LimitPer.STORE, max_count=1)


@pytest.mark.parametrize(
    "terms",
    [
        cases.terms(segments=("vip",)),
        cases.terms(first_purchase_only=True),
        cases.terms(uses=2),
        cases.terms(GiftBalance(balance_minor=500)),
        cases.terms().model_copy(update={"limits": (RULE,)}),
    ],
    ids=["segments", "first purchase", "uses", "gift balance", "limits"],
)
def test_what_asks_for_the_record_is_not_judged_without_it(terms: Terms) -> None:
    """Not even where a bundle should tell of it by mistake."""
    assert not asking.can_be_judged_alone(terms)
    assert told(alone(campaign=campaign(terms=terms))) == (NO, "offer")


def test_what_a_basket_answers_can_be_judged_anywhere() -> None:
    terms = cases.terms(minimum_basket_minor=100, products=("coffee",), exclusivity_groups=("a",))

    assert asking.can_be_judged_alone(terms)


def test_a_limit_on_issuing_is_nothing_to_a_counter() -> None:
    rule = LimitRule(of=LimitOf.ISSUE, per=LimitPer.CUSTOMER, max_count=1)

    assert asking.can_be_judged_alone(cases.terms().model_copy(update={"limits": (rule,)}))


def judged(found: Alone, minor: int = 900) -> Discount | Refusal:
    return judge(asking.case(found, basket=cases.total(minor)))


def test_the_judge_gets_the_case_of_the_code_and_the_bundle() -> None:
    case = asking.case(alone(), basket=cases.total(900))

    assert case == cases.case(
        cases.terms(),
        cases.total(900),
        coupon_valid_from=NOON - timedelta(hours=1),
        coupon_valid_until=NOON + timedelta(hours=1),
    )
    assert judge(case) == Discount(500, ())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_live": False}, Why.CAMPAIGN_NOT_RUNNING),
        ({"is_paused": True}, Why.CAMPAIGN_PAUSED),
        ({"has_ended_for_good": True}, Why.CAMPAIGN_ENDED),
    ],
)
def test_what_became_of_the_campaign_is_the_judges_to_say(
    changes: dict[str, Any], why: Why
) -> None:
    no = judged(alone(campaign=campaign(**changes)))

    assert isinstance(no, Refusal)
    assert no.code is why


def test_a_pause_stops_redeeming() -> None:
    paused = asking.case(alone(campaign=campaign(is_paused=True)), basket=None)

    assert paused.campaign.stops is Stops.ISSUING_AND_REDEEMING


def test_a_store_that_the_offer_does_not_list_is_the_wrong_one() -> None:
    no = judged(alone(campaign=campaign(terms=cases.terms(stores=(UUID(int=99),)))))

    assert isinstance(no, Refusal)
    assert no.code is Why.WRONG_STORE


@given(
    redemptions=st.lists(st.integers(1, 1_000), max_size=40),
    max_count=st.integers(0, 20),
    max_minor=st.integers(0, 5_000),
)
def test_an_allowance_holds_whatever_is_asked(
    redemptions: list[int], max_count: int, max_minor: int
) -> None:
    count = minor = 0
    for asked in redemptions:
        no = asking.over_allowance(
            max_count=max_count,
            max_minor=max_minor,
            used_count=count,
            used_minor=minor,
            minor=asked,
        )
        if no is None:
            count, minor = count + 1, minor + asked
        else:
            assert no.code is Why.QUOTA_REACHED
            assert count == max_count or minor + asked > max_minor
        assert count <= max_count
        assert minor <= max_minor


def test_a_terminal_decides_until_the_earlier_of_lease_and_bundle_ends() -> None:
    ends = [
        asking.place_of(bundle(exp=SECOND + exp, lease_until=SECOND + lease)).decides_until
        for exp, lease in ((10, 20), (20, 10))
    ]

    assert ends == [datetime.fromtimestamp(SECOND + 10, UTC)] * 2
