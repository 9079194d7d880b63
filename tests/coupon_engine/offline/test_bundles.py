"""The bundle: what a terminal may know alone, if it can judge it, and for as long as it may."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from jwt import PyJWK
from sqlmodel import Session

from coupon_engine import campaigns, keys
from coupon_engine.errors import CouponError, NoLease, NotSignedIn, TerminalFrozen
from coupon_engine.keys import NOTICE
from coupon_engine.offline import bundles, leases, server_keys
from coupon_engine.offline.bundles import SignedBundle
from coupon_engine.tables import Terminal
from coupon_engine.validation.issuer_keys import KeyRing, issuer_key, key_ring
from coupon_engine.validation.token import Typ, verify_typed
from schemas.campaigns import (
    CampaignView,
    Level,
    Move,
    NewMove,
    OfferView,
    OfflinePolicy,
    Stops,
)
from schemas.keys import KeyMove, KeyView, NewKey, NewKeyMove
from schemas.offers import Conditions, GiftBalance, LimitPer, LimitRule
from schemas.offline import Bundle, BundleCampaign, LeaseView, NewLease
from tests import make
from tests.coupon_engine.terminals.devices import Device, paired
from tests.make import NOON, Shop

HOUR = timedelta(hours=1)
ALONE: Any = {"offline": OfflinePolicy.DEVICE_QUOTA}


def offer(session: Session, at: Shop, of: CampaignView, **more: Any) -> OfferView:
    """An offer of which a coupon is out."""
    in_batch = {
        name: more.pop(name)
        for name in ("max_redemptions", "budget_minor", "needs_claim")
        if name in more
    }
    coupon = {name: more.pop(name) for name in ("holder_key",) if name in more}
    made = make.offer(session, at, of, **more)
    make.coupon(session, at, make.batch(session, at, made, **in_batch), **coupon)
    return made


def signed(session: Session, at: Shop, **more: Any) -> SignedBundle | None:
    args: dict[str, Any] = {"now": NOON, "issuer_url": make.ISSUER, "passphrase": make.PASSPHRASE}
    terminal_id = more.pop("terminal_id", at.terminal.id)
    return bundles.signed(session, at.operator_id, terminal_id, **{**args, **more})


def bundle(session: Session, at: Shop, **more: Any) -> Bundle:
    """What the terminal reads, with the one key that it believes."""
    told = signed(session, at, **more)
    assert told is not None
    jwk = server_keys.public(session, at.operator_id, passphrase=make.PASSPHRASE, now=NOON)
    return Bundle.model_validate(verify_typed(told.jwt, PyJWK(jwk, "ES256"), Typ.BUNDLE))


def classes(of: Bundle, campaign: CampaignView) -> list[int] | None:
    found = told_of(of, campaign)
    return [each.quota_class for each in found.offers] if found else None


def told_of(of: Bundle, campaign: CampaignView) -> BundleCampaign | None:
    return next((each for each in of.campaigns if each.id == campaign.id), None)


def is_refused(error: type[CouponError], act: Callable[[], object]) -> None:
    with pytest.raises(error):
        act()


# What stands in it.


def test_a_bundle_tells_a_terminal_where_it_stands_and_what_it_may_give_away(
    session: Session,
) -> None:
    at = make.shop(session)
    ours = make.campaign(session, at, **ALONE, offline_count=3, offline_minor=500)
    out = offer(session, at, ours)
    lease = make.lease(session, at)

    told = bundle(session, at)

    assert (told.iss, told.iat) == (f"{make.ISSUER}/{at.slug}", int(NOON.timestamp()))
    assert (told.terminal_id, told.store_id) == (at.terminal.id, at.store.id)
    assert (told.store_number, told.store_zone) == (at.store.number, "Europe/Berlin")
    assert (told.lease_id, told.lease_number) == (lease.id, 1)
    assert (told.is_authority, told.hub_id, told.terminals) == (False, None, ())
    (campaign,) = told.campaigns
    assert (campaign.number, campaign.id) == (ours.number, ours.id)
    assert (campaign.currency, campaign.zone) == ("EUR", "Europe/Berlin")
    assert campaign.offline is OfflinePolicy.DEVICE_QUOTA
    assert (campaign.max_count, campaign.max_minor) == (3, 500)
    assert (campaign.is_live, campaign.is_paused, campaign.has_ended_for_good) == (
        True,
        False,
        False,
    )
    (only,) = campaign.offers
    assert (only.id, only.quota_class, only.terms) == (out.id, 0, out.terms)
    assert [(each.cmp, each.shard) for each in told.lists] == [(ours.number, 0)]


@pytest.mark.parametrize(
    "more",
    [
        {"benefit": GiftBalance(balance_minor=500)},
        {"uses": 2},
        {"conditions": Conditions(segments=("regulars",))},
        {"conditions": Conditions(first_purchase_only=True)},
        {"limits": (LimitRule(per=LimitPer.STORE, max_count=5),)},
        {"max_redemptions": 5},
        {"budget_minor": 500},
        {"needs_claim": True},
    ],
    ids=lambda more: next(iter(more)) + str(next(iter(more.values())))[:12],
)
def test_an_offer_that_needs_the_record_is_not_in_the_bundle(
    session: Session, more: dict[str, Any]
) -> None:
    at = make.shop(session)
    ours = make.campaign(session, at, **ALONE)
    offer(session, at, ours)
    offer(session, at, ours, **more)
    alone = make.campaign(session, at, **ALONE)
    offer(session, at, alone, **more)
    make.lease(session, at)

    told = bundle(session, at)

    assert (classes(told, ours), classes(told, alone)) == ([0], None)


def test_a_claimed_coupon_that_is_bound_to_a_phone_can_be_judged_alone(session: Session) -> None:
    """Its proof shows who holds it; a picture of a static code shows nothing."""
    at = make.shop(session)
    ours = make.campaign(session, at, **ALONE, level=Level.HOLDER_SIGNED)
    offer(session, at, ours, needs_claim=True, holder_key=Device().jwk)
    make.lease(session, at)

    assert classes(bundle(session, at), ours) == [0]


def test_an_offer_beyond_the_quota_classes_is_not_in_the_bundle(session: Session) -> None:
    at = make.shop(session)
    ours = make.campaign(session, at, **ALONE)
    for _ in range(15):
        make.offer(session, at, ours)
    offer(session, at, ours)
    make.lease(session, at)

    assert classes(bundle(session, at), ours) is None


def test_an_offer_of_which_no_coupon_is_out_is_not_in_the_bundle(session: Session) -> None:
    """Its terms may still change."""
    at = make.shop(session)
    ours = make.campaign(session, at, **ALONE)
    make.offer(session, at, ours)
    make.lease(session, at)

    assert bundle(session, at).campaigns == ()


@pytest.mark.parametrize(
    "more",
    [
        {"offline": OfflinePolicy.ONLINE_ONLY},
        {"limits": (LimitRule(per=LimitPer.CUSTOMER, max_count=1),)},
    ],
    ids=["online_only", "limits"],
)
def test_a_campaign_that_needs_the_record_is_not_in_the_bundle(
    session: Session, more: dict[str, Any]
) -> None:
    at = make.shop(session)
    offer(session, at, make.campaign(session, at, **{**ALONE, **more}))
    make.lease(session, at)

    assert bundle(session, at).campaigns == ()


def test_of_ten_thousand_stores_a_terminal_is_told_what_matters_in_its_own(
    session: Session,
) -> None:
    at = make.shop(session)
    others = [
        make.another_store(session, at.operator_id, at.store.merchant_id).id for _ in range(3)
    ]
    ours = make.campaign(session, at, **ALONE)
    offer(session, at, ours, conditions=Conditions(stores=(*others, at.store.id)))
    offer(session, at, ours, conditions=Conditions(stores=tuple(others)))
    make.lease(session, at)

    told = told_of(bundle(session, at), ours)

    assert told is not None
    assert [each.terms.conditions.stores for each in told.offers] == [(at.store.id,), (others[0],)]


def test_of_more_than_a_terminal_takes_the_newest_campaigns_are_told(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = make.shop(session)
    made = [make.campaign(session, at, **ALONE) for _ in range(3)]
    for each in made:
        offer(session, at, each)
    make.lease(session, at)
    monkeypatch.setattr(bundles, "MOST_BYTES", 2_000)

    told = bundle(session, at)

    assert [each.id for each in told.campaigns] == [each.id for each in made[1:]]
    assert {each.cmp for each in told.lists} == {each.number for each in made[1:]}


# What has stopped.


def decides(session: Session, at: Shop, of: CampaignView, move: Move, stops: Stops) -> None:
    asked = NewMove.model_validate(
        {"id": make.an_id(), "campaign_id": of.id, "move": move, "reason": "told", "stops": stops}
    )
    campaigns.decide(session, at.operator_id, asked, now=NOON)


@pytest.mark.parametrize(
    ("move", "stops", "is_paused", "has_ended"),
    [
        (Move.PAUSE, Stops.ISSUING, False, False),
        (Move.PAUSE, Stops.ISSUING_AND_REDEEMING, True, False),
        (Move.END, Stops.ISSUING, False, False),
        (Move.END, Stops.ISSUING_AND_REDEEMING, False, True),
    ],
)
def test_what_has_stopped_shows_in_the_next_bundle(
    session: Session, move: Move, stops: Stops, is_paused: bool, has_ended: bool
) -> None:
    at = make.shop(session)
    ours = make.campaign(session, at, **ALONE)
    offer(session, at, ours)
    make.lease(session, at)
    before = signed(session, at)
    assert before is not None

    decides(session, at, ours, move, stops)

    told = told_of(bundle(session, at), ours)
    assert told is not None
    assert (told.is_paused, told.has_ended_for_good) == (is_paused, has_ended)
    again = signed(session, at, unless=before.mark)
    assert (again is None) == (not is_paused and not has_ended)


# How new, and how long.


def test_the_version_rises_with_every_bundle_and_ends_with_the_lease(session: Session) -> None:
    at = make.shop(session)
    lease = make.lease(session, at, lasts_seconds=600)

    told = [bundle(session, at, now=NOON + timedelta(seconds=seconds)) for seconds in (0, 1, 599)]

    assert [each.ver for each in told] == [1, 2, 3]
    until = int(lease.ends_at.timestamp())
    assert [each.exp for each in told] == [each.lease_until for each in told] == [until] * 3
    is_refused(NoLease, lambda: signed(session, at, now=lease.ends_at))
    make.lease(session, at, now=lease.ends_at)
    assert bundle(session, at, now=lease.ends_at).ver == 4


def test_a_bundle_that_says_nothing_new_is_not_sent_again(session: Session) -> None:
    at = make.shop(session)
    ours = make.campaign(session, at, **ALONE)
    offer(session, at, ours)
    make.lease(session, at)
    first = signed(session, at)
    assert first is not None

    same = signed(session, at, unless=first.mark, now=NOON + HOUR)
    offer(session, at, ours)
    other = signed(session, at, unless=first.mark, now=NOON + HOUR)

    assert same is None
    assert other is not None
    assert other.mark != first.mark
    assert bundle(session, at).ver == 3  # none was used up by the one that was not sent


def test_a_lease_that_is_replaced_is_in_no_bundle(session: Session) -> None:
    at = make.shop(session)
    make.lease(session, at)
    second = make.lease(session, at)

    assert bundle(session, at).lease_id == second.id


@pytest.mark.parametrize(
    ("column", "error"), [("revoked_at", NotSignedIn), ("frozen_at", TerminalFrozen)]
)
def test_a_terminal_that_is_not_trusted_gets_no_bundle(
    session: Session, column: str, error: type[CouponError]
) -> None:
    at = make.shop(session)
    make.lease(session, at)
    setattr(session.get_one(Terminal, (at.operator_id, at.terminal.id)), column, NOON)
    session.flush()

    is_refused(error, lambda: signed(session, at))


def test_a_terminal_without_a_lease_gets_no_bundle(session: Session) -> None:
    at = make.shop(session)
    is_refused(NoLease, lambda: signed(session, at))

    lease = make.lease(session, at)
    leases.close(session, at.operator_id, lease.id, now=NOON)

    is_refused(NoLease, lambda: signed(session, at))


# Keys.


def publish(session: Session, at: Shop, **more: Any) -> KeyView:
    asked = NewKey(id=make.an_id())
    args: dict[str, Any] = {"passphrase": make.PASSPHRASE, "now": NOON, **more}
    return keys.publish(session, at.operator_id, asked, **args)


def decide_key(session: Session, at: Shop, key: KeyView, move: KeyMove, **more: Any) -> None:
    asked = NewKeyMove(id=make.an_id(), kid=key.kid, move=move, reason="rotation")
    keys.decide_key(session, at.operator_id, asked, **{"now": NOON, **more})


def ring_of(told: Bundle) -> KeyRing:
    """Make of a bundle's keys what reads coupons: a terminal does the same."""
    return key_ring(
        issuer_key(
            {**each.jwk.model_dump(), "kid": each.kid},
            letter=each.letter,
            issuer=told.iss,
            valid_from=NOON.fromtimestamp(each.nbf, NOON.tzinfo),
        )
        for each in told.keys
    )


def test_a_key_is_known_before_the_first_coupon_has_it(session: Session) -> None:
    """T12: a bundle as old as a lease may be reads what the next key has signed."""
    at = make.shop(session)
    make.signing_key(session, at)
    new = publish(session, at)
    coupon = make.coupon(session, at)
    use = NOON + NOTICE
    make.lease(session, at, now=use - 24 * HOUR)
    old = bundle(session, at, now=use - 24 * HOUR)
    decide_key(session, at, new, KeyMove.USE, now=use)
    ring = keys.ring(session, at.operator_id, issuer_url=make.ISSUER, passphrase=make.PASSPHRASE)

    text = make.code(session, at, coupon, ring)

    assert text[3] == "B"
    assert make.read(text, ring_of(old), now=use + timedelta(seconds=1)).coupon_id == coupon.id


def test_a_key_that_only_verifies_stays_and_a_retired_one_goes(session: Session) -> None:
    """T11: from the next bundle on, nothing that the key has signed is a coupon."""
    at = make.shop(session)
    ring = make.signing_key(session, at)
    coupon = make.coupon(session, at)
    text = make.code(session, at, coupon, ring)
    make.lease(session, at)
    (key,) = keys.key_views(session, at.operator_id)
    decide_key(session, at, key, KeyMove.STOP)
    stopped = bundle(session, at)

    decide_key(session, at, key, KeyMove.RETIRE)

    retired = bundle(session, at)
    assert make.read(text, ring_of(stopped)).coupon_id == coupon.id
    assert make.read(text, ring_of(retired)).refused == "unknown_key"
    assert retired.ver > stopped.ver


def test_no_private_half_is_in_a_bundle(session: Session) -> None:
    at = make.shop(session)
    make.signing_key(session, at)
    make.lease(session, at)

    told = bundle(session, at).model_dump_json()

    assert '"d"' not in told
    assert "PRIVATE" not in told


# The store's other terminals.


def lease_of(session: Session, at: Shop, terminal_id: Any, **more: Any) -> LeaseView:
    request = NewLease(id=make.an_id(), **more)
    return leases.grant(session, at.operator_id, terminal_id, request, now=NOON)


def test_terminals_of_a_store_know_each_other_and_who_decides(session: Session) -> None:
    at = make.shop(session)
    hub, till = Device(), Device()
    deciding, asking = paired(session, at, hub), paired(session, at, till)
    elsewhere = make.another_store(session, at.operator_id, at.store.merchant_id)
    paired(session, at, store_id=elsewhere.id)
    url = "http://192.168.1.10:8790"
    lease_of(session, at, deciding.terminal_id, wants_authority=True, hub_url=url)
    lease_of(session, at, asking.terminal_id, hub_url="http://192.168.1.66:8790")  # not the hub's

    of_hub = bundle(session, at, terminal_id=deciding.terminal_id)
    of_till = bundle(session, at, terminal_id=asking.terminal_id)

    assert (of_hub.is_authority, of_till.is_authority) == (True, False)
    assert of_hub.hub_id == of_till.hub_id == deciding.terminal_id
    assert of_hub.hub_url == of_till.hub_url == url
    assert [(each.id, each.public_key) for each in of_hub.terminals] == [
        (asking.terminal_id, till.jwk)
    ]
    assert [(each.id, each.public_key) for each in of_till.terminals] == [
        (deciding.terminal_id, hub.jwk)
    ]


def test_a_revoked_terminal_decides_for_nobody_and_is_known_to_nobody(session: Session) -> None:
    at = make.shop(session)
    deciding, asking = paired(session, at), paired(session, at)
    url = "http://192.168.1.10:8790"
    lease_of(session, at, deciding.terminal_id, wants_authority=True, hub_url=url)
    lease_of(session, at, asking.terminal_id)
    stolen = session.get_one(Terminal, (at.operator_id, deciding.terminal_id))
    stolen.revoked_at = NOON
    session.flush()

    told = bundle(session, at, terminal_id=asking.terminal_id)

    assert (told.hub_id, told.hub_url, told.terminals) == (None, None, ())


# Apart.


def test_a_bundle_holds_nothing_of_another_operators(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    theirs = make.campaign(session, stranger, **ALONE)
    offer(session, stranger, theirs)
    make.signing_key(session, stranger)
    paired(session, stranger)
    make.lease(session, at)

    told = bundle(session, at)

    assert (told.campaigns, told.keys, told.lists, told.terminals) == ((), (), (), ())


def test_nobody_elses_server_key_signs_it(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    make.lease(session, at)
    told = signed(session, at)
    assert told is not None
    jwk = server_keys.public(session, stranger.operator_id, passphrase=make.PASSPHRASE, now=NOON)

    is_refused(CouponError, lambda: verify_typed(told.jwt, PyJWK(jwk, "ES256"), Typ.BUNDLE))
