"""A second person's yes: what has changed, who may say it, and what waits until it is said."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import acting, approving, batches, campaigns, offers
from coupon_engine.approving import fingerprint
from coupon_engine.errors import (
    ChangedSince,
    MoveNotAllowed,
    NotIssuing,
    RequestReused,
    SecondPersonNeeded,
    Unknown,
)
from coupon_engine.labels import LABELS, label_of
from coupon_engine.tables import Operator
from schemas.access import Actor, ActorKind, Role
from schemas.approvals import ApprovalView, DiffView, NewApproval
from schemas.campaigns import (
    CampaignState,
    CampaignView,
    Ceiling,
    Move,
    NewBatch,
    NewCampaign,
    NewMove,
    NewOffer,
    NewTerms,
)
from schemas.offers import AmountOff, PercentOff
from tests import make
from tests.coupon_engine.record import kinds, redeemed, refused, rows
from tests.make import NOON, Shop


def person(name: str, role: Role) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=name, name=name, role=role)


OWNER = person("olga", Role.OWNER)
EDITOR = person("ed", Role.CAMPAIGN_EDITOR)
APPROVER = person("ann", Role.APPROVER)
KEY = Actor(kind=ActorKind.API_KEY, id="k1", name="till", role=Role.INTEGRATOR)


def acts(session: Session, at: Shop, actor: Actor) -> None:
    acting.enter(session, at.operator_id, actor)


def drafted(session: Session, at: Shop, **more: Any) -> CampaignView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "name": "Spring",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "starts_at": NOON - timedelta(days=1),
        "ends_at": NOON + timedelta(days=60),
        "budget_minor": 10_000,
        "max_redemptions": 100,
        "max_issued": 200,
    }
    return campaigns.create_campaign(
        session, at.operator_id, NewCampaign(**{**asked, **more}), now=NOON
    )


def filled(session: Session, at: Shop, campaign: CampaignView) -> Any:
    """Give the campaign an offer and a batch, and return the batch; nobody has approved them."""
    offer = make.offer(session, at, campaign)
    asked = NewBatch(id=make.an_id(), offer_id=offer.id, name="First", size=50)
    return batches.create_batch(session, at.operator_id, asked, now=NOON)


def looked(session: Session, at: Shop, campaign: CampaignView) -> DiffView:
    return approving.diff(session, at.operator_id, campaign.id, now=NOON)


def approved(session: Session, at: Shop, campaign: CampaignView, **more: Any) -> ApprovalView:
    asked: dict[str, Any] = {"id": make.an_id(), "campaign_id": campaign.id, "reason": "fine"}
    if "seen" not in more:
        more["seen"] = looked(session, at, campaign).fingerprint
    return approving.approve(session, at.operator_id, NewApproval(**{**asked, **more}), now=NOON)


def lets_alone(session: Session, at: Shop, *, over_minor: int) -> None:
    operator = session.get_one(Operator, at.operator_id)
    operator.approval_over_minor = over_minor
    session.add(operator)
    session.flush()


# Who may say yes.


@pytest.mark.parametrize("actor", [OWNER, EDITOR, APPROVER, KEY], ids=lambda one: one.name)
def test_nobody_approves_a_campaign_of_their_own(session: Session, actor: Actor) -> None:
    at = make.shop(session)
    acts(session, at, actor)
    campaign = drafted(session, at)
    seen = looked(session, at, campaign)

    with pytest.raises(SecondPersonNeeded) as raised:
        approved(session, at, campaign)

    assert seen.needs_second_person
    assert raised.value.details == {"editors": [f"{actor.kind}:{actor.id}"]}
    assert kinds(session, campaign.id) == ["campaign_created"]
    after = campaigns.campaign_view(session, at.operator_id, campaign.id, now=NOON)
    assert after.state is CampaignState.DRAFT


def test_an_approver_who_changed_nothing_approves(session: Session) -> None:
    at = make.shop(session)
    acts(session, at, EDITOR)
    campaign = drafted(session, at)
    batch = filled(session, at, campaign)
    acts(session, at, APPROVER)

    answer = approved(session, at, campaign)

    assert answer.state is CampaignState.RUNNING
    assert kinds(session, campaign.id)[-1] == "campaign_approved"
    assert make.coupon(session, at, batch).campaign_id == campaign.id


def test_two_editors_of_a_large_campaign_need_an_approver_or_owner(session: Session) -> None:
    at = make.shop(session)
    acts(session, at, EDITOR)
    campaign = drafted(session, at)
    acts(session, at, person("eve", Role.CAMPAIGN_EDITOR))

    with pytest.raises(SecondPersonNeeded) as raised:
        approved(session, at, campaign)

    assert raised.value.details == {"roles": ["owner", "approver"]}


@pytest.mark.parametrize("change", ["offer", "terms", "batch", "ceiling"])
def test_whoever_changed_anything_since_is_an_editor(session: Session, change: str) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    offer = make.offer(session, at, campaign)
    make.approved(session, at, campaign.id)
    acts(session, at, APPROVER)
    assert looked(session, at, campaign).editors == ()

    if change == "offer":
        make.offer(session, at, campaign)
    elif change == "terms":
        terms = NewTerms(id=make.an_id(), offer_id=offer.id, terms=make.terms(uses=2))
        offers.change_terms(session, at.operator_id, terms, now=NOON)
    elif change == "batch":
        batch = NewBatch(id=make.an_id(), offer_id=offer.id, name="More", size=5)
        batches.create_batch(session, at.operator_id, batch, now=NOON)
    else:
        make.moved(session, at, campaign, Ceiling.BUDGET_MINOR, 1_000_000, 2_000_000)

    assert looked(session, at, campaign).editors == ("person:ann",)
    with pytest.raises(SecondPersonNeeded):
        approved(session, at, campaign)
    acts(session, at, OWNER)
    approved(session, at, campaign)
    assert looked(session, at, campaign).editors == ()


def test_an_editor_publishes_alone_what_is_no_larger_than_the_operator_lets(
    session: Session,
) -> None:
    at = make.shop(session)
    lets_alone(session, at, over_minor=10_000)
    acts(session, at, EDITOR)
    small, large = drafted(session, at), drafted(session, at, budget_minor=10_001)

    assert not looked(session, at, small).needs_second_person
    assert approved(session, at, small).state is CampaignState.RUNNING
    with pytest.raises(SecondPersonNeeded):
        approved(session, at, large)


def test_an_approver_never_approves_alone_however_small_it_is(session: Session) -> None:
    at = make.shop(session)
    lets_alone(session, at, over_minor=10**9)
    acts(session, at, APPROVER)
    campaign = drafted(session, at)

    with pytest.raises(SecondPersonNeeded):
        approved(session, at, campaign)


# What they have seen.


def test_what_changed_since_it_was_looked_at_is_not_approved(session: Session) -> None:
    at = make.shop(session)
    campaign = drafted(session, at)
    seen = looked(session, at, campaign).fingerprint
    filled(session, at, campaign)
    acts(session, at, APPROVER)

    with pytest.raises(ChangedSince) as raised:
        approved(session, at, campaign, seen=seen)

    assert raised.value.details == {"fingerprint": looked(session, at, campaign).fingerprint}
    assert approved(session, at, campaign).state is CampaignState.RUNNING


def test_an_approval_told_twice_is_given_once(session: Session) -> None:
    at = make.shop(session)
    campaign = drafted(session, at)
    acts(session, at, APPROVER)
    asked = {"id": make.an_id(), "seen": looked(session, at, campaign).fingerprint}
    first = approved(session, at, campaign, **asked)

    again = approved(session, at, campaign, **asked)

    assert again == first
    assert kinds(session, campaign.id).count("campaign_approved") == 1
    with pytest.raises(RequestReused):
        approved(session, at, campaign, **asked, reason="another")


def test_a_campaign_that_is_over_takes_no_approval(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    end = NewMove(id=make.an_id(), campaign_id=campaign.id, move=Move.END, reason="over")
    campaigns.decide(session, at.operator_id, end, now=NOON)
    acts(session, at, APPROVER)

    with pytest.raises(MoveNotAllowed):
        approved(session, at, campaign)


def test_another_operators_campaign_is_unknown(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    campaign = drafted(session, at)
    seen = looked(session, at, campaign).fingerprint

    with pytest.raises(Unknown):
        approved(session, stranger, campaign, seen=seen)
    with pytest.raises(Unknown):
        looked(session, stranger, campaign)


def test_a_diff_says_what_changed_before_and_after_in_both_languages(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    offer = make.offer(session, at, campaign)
    make.approved(session, at, campaign.id)
    assert looked(session, at, campaign).changes == ()

    terms = make.terms(AmountOff(amount_minor=900))
    asked = NewTerms(id=make.an_id(), offer_id=offer.id, terms=terms)
    offers.change_terms(session, at.operator_id, asked, now=NOON)
    make.moved(session, at, campaign, Ceiling.BUDGET_MINOR, 1_000_000, 2_000_000)

    diff = looked(session, at, campaign)
    told = {
        each.path: (each.label.en, each.label.zh, each.before, each.after) for each in diff.changes
    }
    assert told == {
        "ceilings.budget_minor": ("Campaign: budget", "活动：预算", 1_000_000, 2_000_000),
        f"offers.{offer.id}.benefit.amount_minor": (
            "Offer: amount off",
            "优惠：立减金额",
            200,
            900,
        ),
    }
    assert diff.exposure_before is not None
    assert (diff.exposure_before.money_minor, diff.exposure.money_minor) == (1_000_000, 2_000_000)
    assert diff.exposure_before.per_redemption_minor == 200
    assert diff.exposure.per_redemption_minor == 900
    assert diff.exposure.per_minute_minor == 2_000_000


def test_the_worst_that_a_part_off_without_a_cap_can_do_is_the_whole_budget(
    session: Session,
) -> None:
    at = make.shop(session)
    open_ended = drafted(session, at)
    make.offer(session, at, open_ended, benefit=PercentOff(percent_off_bp=2_000))
    capped = drafted(session, at, max_per_minute=3)
    make.offer(session, at, capped, benefit=PercentOff(percent_off_bp=2_000, cap_minor=700))

    assert looked(session, at, open_ended).exposure.per_redemption_minor == 10_000
    exposure = looked(session, at, capped).exposure
    assert (exposure.per_redemption_minor, exposure.per_minute_minor) == (700, 2_100)
    assert (exposure.redemptions, exposure.coupons, exposure.per_customer) == (100, 200, 100)


def test_every_part_of_a_campaign_has_a_name_in_both_languages(session: Session) -> None:
    at = make.shop(session)
    campaign = drafted(session, at)
    filled(session, at, campaign)

    paths = [each.path for each in looked(session, at, campaign).changes]

    nameless = [path for path in paths if path.split(".")[-1] not in LABELS]
    assert len(paths) > 30
    assert nameless == []
    assert label_of("campaign.zone").zh == "活动：时区"


def test_one_state_has_one_fingerprint_whatever_the_order_of_its_parts() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": [3]}}) == fingerprint(
        {"b": {"d": [3], "c": 2}, "a": 1}
    )
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


# What waits until it is said.


def test_a_new_batch_gives_out_nothing_until_it_is_approved(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    old = make.batch(session, at, make.offer(session, at, campaign))
    new = filled(session, at, campaign)

    with pytest.raises(NotIssuing) as raised:
        make.coupon(session, at, new)

    assert "approved" in raised.value.details["why"]
    assert make.coupon(session, at, old).batch_id == old.id
    make.approved(session, at, campaign.id)
    assert make.coupon(session, at, new).batch_id == new.id


def test_changed_terms_give_out_nothing_until_they_are_approved(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    offer = make.offer(session, at, campaign)
    batch = make.batch(session, at, offer)
    terms = make.terms(AmountOff(amount_minor=9_999))
    asked = NewTerms(id=make.an_id(), offer_id=offer.id, terms=terms)
    offers.change_terms(session, at.operator_id, asked, now=NOON)

    with pytest.raises(NotIssuing):
        make.coupon(session, at, batch)

    make.approved(session, at, campaign.id)
    coupon = make.coupon(session, at, batch)
    assert redeemed(session, at, coupon, basket=make.basket(20_000)).discount_minor == 9_999


def test_a_raised_ceiling_waits_and_the_old_one_holds_meanwhile(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at, budget_minor=300)
    batch = make.batch(session, at, make.offer(session, at, campaign))
    one, two = (make.coupon(session, at, batch) for _ in range(2))
    redeemed(session, at, one)

    answer = make.moved(session, at, campaign, Ceiling.BUDGET_MINOR, 300, 900)

    seen = campaigns.campaign_view(session, at.operator_id, campaign.id, now=NOON)
    assert answer.pending
    assert (seen.budget_minor, seen.proposed) == (300, {Ceiling.BUDGET_MINOR: 900})
    assert refused(session, at, two).code == "budget_spent"
    after = make.approved(session, at, campaign.id)
    assert (after.budget_minor, after.proposed) == (900, {})
    assert redeemed(session, at, two).discount_minor == 200


def test_a_lowered_ceiling_holds_at_once_and_goes_up_again_as_far_as_was_approved(
    session: Session,
) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at, budget_minor=1_000)

    down = make.moved(session, at, campaign, Ceiling.BUDGET_MINOR, 1_000, 400)
    up = make.moved(session, at, campaign, Ceiling.BUDGET_MINOR, 400, 1_000)
    beyond = make.moved(session, at, campaign, Ceiling.BUDGET_MINOR, 1_000, 1_001)

    assert (down.pending, up.pending, beyond.pending) == (False, False, True)


@pytest.mark.parametrize("ceiling", list(Ceiling))
def test_every_ceiling_that_was_raised_is_in_force_once_it_is_approved(
    session: Session, ceiling: Ceiling
) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at, planned_minor_per_minute=500)
    stood = getattr(campaign, ceiling.value)
    make.moved(session, at, campaign, ceiling, stood, stood + 7)

    after = make.approved(session, at, campaign.id)

    assert getattr(after, ceiling.value) == stood + 7
    assert after.model_dump() == {**campaign.model_dump(), ceiling.value: stood + 7}
    wanted = {
        Ceiling.MAX_PER_MINUTE: ("redeem", "max_per_minute", stood + 7),
        Ceiling.PLANNED_PER_MINUTE: ("issue", "max_per_minute", 5 * (stood + 7)),
        Ceiling.PLANNED_MINOR_PER_MINUTE: ("redeem", "max_minor_per_minute", 5 * (stood + 7)),
    }
    if ceiling in wanted:
        of, column, value = wanted[ceiling]
        key = f"9/{campaign.id}/{of}"
        (row,) = rows(session, "SELECT * FROM limit_row WHERE key = :key", key=key)
        assert getattr(row, column) == value


def test_a_move_cannot_say_yes() -> None:
    with pytest.raises(ValueError, match="move"):
        NewMove.model_validate(
            {"id": make.an_id(), "campaign_id": make.an_id(), "move": "approve", "reason": "x"}
        )


def test_a_new_version_of_an_offer_waits_for_its_own_yes(session: Session) -> None:
    at = make.shop(session)
    campaign = make.campaign(session, at)
    old = make.offer(session, at, campaign)
    make.coupon(session, at, make.batch(session, at, old))
    asked = NewOffer(id=make.an_id(), campaign_id=campaign.id, terms=make.terms(), replaces=old.id)
    new = offers.create_offer(session, at.operator_id, asked, now=NOON)
    batch = batches.create_batch(
        session,
        at.operator_id,
        NewBatch(id=make.an_id(), offer_id=new.id, name="New", size=1),
        now=NOON,
    )

    with pytest.raises(NotIssuing):
        make.coupon(session, at, batch)


def test_nobody_makes_their_own_second_person(session: Session) -> None:
    """Whoever holds an invitation's secret could accept it; for a day it counts as if they had."""
    at = make.shop(session)
    olga = make.person(session, at, role=Role.OWNER)
    helper = make.person(session, at, role=Role.APPROVER)
    helper.let_in_by, helper.let_in_at = str(olga.id), NOON - timedelta(hours=23)
    session.add(helper)
    session.flush()
    acts(session, at, person(str(olga.id), Role.OWNER))
    campaign = drafted(session, at)
    acts(session, at, person(str(helper.id), Role.APPROVER))

    with pytest.raises(SecondPersonNeeded):
        approved(session, at, campaign)

    ed = make.person(session, at, role=Role.CAMPAIGN_EDITOR)
    ed.let_in_by, ed.let_in_at = str(olga.id), NOON
    session.add(ed)
    session.flush()
    acts(session, at, person(str(ed.id), Role.CAMPAIGN_EDITOR))
    of_another = drafted(session, at)
    acts(session, at, person(str(helper.id), Role.APPROVER))
    assert approved(session, at, of_another).state is CampaignState.RUNNING
    acts(session, at, person(str(ed.id), Role.CAMPAIGN_EDITOR))
    of_a_puppet = drafted(session, at)
    acts(session, at, person(str(olga.id), Role.OWNER))
    with pytest.raises(SecondPersonNeeded):
        approved(session, at, of_a_puppet)

    acts(session, at, person(str(helper.id), Role.APPROVER))
    helper.let_in_at = NOON - timedelta(hours=24)
    session.add(helper)
    session.flush()
    assert approved(session, at, campaign).state is CampaignState.RUNNING
