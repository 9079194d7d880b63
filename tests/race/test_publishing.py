"""At once: approvals beside edits, and limits that many reach in the same moment."""

from threading import Thread
from time import sleep
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session

from coupon_engine import acting, approving, campaigns, issuing, limits, offers, redemption
from coupon_engine.database import transaction
from coupon_engine.errors import NotIssuing
from coupon_engine.rows import found
from schemas.access import Actor, ActorKind, Role
from schemas.approvals import NewApproval
from schemas.campaigns import CampaignState, NewTerms, StoppedBy
from schemas.coupons import NewClaim
from schemas.offers import AmountOff
from tests import make
from tests.coupon_engine.record import count, rows
from tests.make import NOON
from tests.race.together import MANY, Work, at_once, drop, meet_after, told

EDITOR = Actor(kind=ActorKind.PERSON, id="ed", name="Ed", role=Role.OWNER)
APPROVER = Actor(kind=ActorKind.PERSON, id="ann", name="Ann", role=Role.APPROVER)


class Draft:
    """A campaign with an offer and a batch of Ed's, which Ann has looked at."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with transaction(engine) as session:
            self.at = make.shop(session)
            self.campaign = make.campaign(session, self.at)
            acting.enter(session, self.at.operator_id, EDITOR)
            self.offer = make.offer(session, self.at, self.campaign)
            self.batch = make.batch(session, self.at, self.offer)
            terms = make.terms(AmountOff(amount_minor=300))
            self._changes(session, terms)
            self.seen = approving.diff(
                session, self.at.operator_id, self.campaign.id, now=NOON
            ).fingerprint

    def approval(self, by: Actor = APPROVER) -> Work:
        asked = NewApproval(
            id=make.an_id(), campaign_id=self.campaign.id, seen=self.seen, reason="fine"
        )

        def approve(session: Session) -> Any:
            acting.enter(session, self.at.operator_id, by)
            return approving.approve(session, self.at.operator_id, asked, now=NOON)

        return approve

    def edit(self, amount_minor: int) -> Work:
        terms = make.terms(AmountOff(amount_minor=amount_minor))

        def change(session: Session) -> Any:
            acting.enter(session, self.at.operator_id, EDITOR)
            return self._changes(session, terms)

        return change

    def _changes(self, session: Session, terms: Any) -> Any:
        asked = NewTerms(id=make.an_id(), offer_id=self.offer.id, terms=terms)
        return offers.change_terms(session, self.at.operator_id, asked, now=NOON)

    def outcome(self) -> tuple[int, bool, list[str]]:
        """What the offer gives, whether coupons of it may go out, and who has edited it since."""
        with transaction(self.engine) as session:
            (offer,) = rows(session, "SELECT * FROM offer")
            (batch,) = rows(session, "SELECT * FROM batch")
            (campaign,) = rows(session, "SELECT * FROM campaign")
        gives = offer.terms["benefit"]["amount_minor"]
        return gives, batch.approved_at is not None, list(campaign.editors)


@pytest.fixture
def draft(database: Engine) -> Draft:
    return Draft(database)


@pytest.mark.parametrize("_", range(5))
def test_an_edit_beside_an_approval_is_seen_or_waits(draft: Draft, _: int) -> None:
    approved, edited = at_once(draft.engine, [draft.approval(), draft.edit(999_999)])

    gives, may_go_out, editors = draft.outcome()
    assert not isinstance(edited, Exception)
    assert told([approved]).keys() <= {"won", "changed_since"}
    # Whoever was first: what Ann has not seen gives out nothing, and Ed stays its editor.
    assert (gives, may_go_out, editors) == (999_999, False, ["person:ed"])


def test_the_race_of_edit_and_approval_is_real(
    draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock the edit comes between looking and writing, and its editor is forgotten."""
    monkeypatch.setattr(approving, "locked", found)
    monkeypatch.setattr(limits, "LOCK", "")
    compares = approving.fingerprint

    def compare_and_let_edit(standing: Any) -> str:
        monkeypatch.setattr(approving, "fingerprint", compares)
        with transaction(draft.engine) as session:
            draft.edit(999_999)(session)
        return compares(standing)

    monkeypatch.setattr(approving, "fingerprint", compare_and_let_edit)
    with transaction(draft.engine) as session:
        draft.approval()(session)

    gives, may_go_out, editors = draft.outcome()
    assert (gives, may_go_out, editors) == (999_999, True, [])  # published, and nobody saw it


def test_of_many_approvals_at_once_each_has_seen_what_it_says_yes_to(draft: Draft) -> None:
    people = [
        Actor(kind=ActorKind.PERSON, id=f"a{number}", name="A", role=Role.APPROVER)
        for number in range(MANY)
    ]

    answers = at_once(draft.engine, [draft.approval(by) for by in people])

    assert told(answers) == {"won": MANY}  # nothing has changed between them
    assert draft.outcome() == (300, True, [])


# Limits.


def claims(engine: Engine, at: make.Shop, batch_id: Any, many: int) -> list[Work]:
    with transaction(engine) as session:
        people = [make.customer(session, at) for _ in range(many)]

    def claim(customer_id: Any) -> Work:
        asked = NewClaim(id=make.an_id(), batch_id=batch_id, customer_id=customer_id)
        return lambda session: issuing.claim(
            session, at.operator_id, asked, code_secret=make.SECRET, now=NOON
        )

    return [claim(each) for each in people]


def a_rush(engine: Engine, **more: Any) -> tuple[make.Shop, Any, Any]:
    with transaction(engine) as session:
        at = make.shop(session)
        campaign = make.campaign(session, at, **more)
        return at, campaign, make.batch(session, at, make.offer(session, at, campaign))


def test_many_who_claim_at_once_trip_the_breaker_exactly_once(database: Engine) -> None:
    at, campaign, batch = a_rush(database, planned_per_minute=1)

    answers = at_once(database, claims(database, at, batch.id, 12))

    assert told(answers) == {"won": 5, "not_issuing": 7}
    with transaction(database) as session:
        assert count(session, "coupon") == 5
        assert count(session, "event WHERE kind = 'breaker_tripped'") == 1
        seen = campaigns.campaign_view(session, at.operator_id, campaign.id, now=NOON)
    assert (seen.state, seen.stopped_by) == (CampaignState.PAUSED, StoppedBy.BREAKER)


def test_the_race_for_the_breaker_is_real(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, _, batch = a_rush(database, planned_per_minute=1)
    drop(database, "coupon", "uq_coupon_operator_id_campaign_id_position")
    with transaction(database) as session:
        make.coupon(session, at, batch)  # from now on the terms are frozen, and nobody locks them
    monkeypatch.setattr(limits, "LOCK", "")
    meet_after(monkeypatch, limits, "locked", many=8)

    answers = at_once(database, claims(database, at, batch.id, 8))

    assert told(answers)["won"] == 8


def redeeming(engine: Engine, at: make.Shop, batch: Any, many: int, **more: Any) -> list[Work]:
    with transaction(engine) as session:
        coupons = [make.coupon(session, at, batch, **more) for _ in range(many)]

    def redeem(coupon: Any) -> Work:
        asked = make.request(at, coupon)
        return lambda session: redemption.redeem(session, at.operator_id, asked, now=NOON)

    return [redeem(each) for each in coupons]


def test_a_minute_has_exactly_as_many_redemptions_as_it_may(database: Engine) -> None:
    at, _, batch = a_rush(database, max_per_minute=4)

    answers = at_once(database, redeeming(database, at, batch, 12))

    assert told(answers) == {"won": 4, "limit_reached": 8}


def test_a_customer_redeems_exactly_as_often_as_anyone_may(database: Engine) -> None:
    at, _, batch = a_rush(database, max_per_customer=3)
    with transaction(database) as session:
        ann = make.customer(session, at)

    answers = at_once(database, redeeming(database, at, batch, 10, customer_id=ann))

    assert told(answers) == {"won": 3, "customer_limit_reached": 7}


def test_the_race_for_the_minute_is_real(database: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    at, _, batch = a_rush(database, max_per_minute=4)
    works = redeeming(database, at, batch, MANY)
    monkeypatch.setattr(limits, "LOCK", "")
    meet_after(monkeypatch, limits, "locked")

    assert told(at_once(database, works)) == {"won": MANY}


def test_whoever_waited_for_an_edit_gives_out_no_coupon_that_nobody_approved(
    database: Engine,
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        batch = make.batch(session, at)
    refused: list[Any] = []

    def issue() -> None:
        try:
            with transaction(database) as session:
                make.coupon(session, at, batch)
        except NotIssuing as no:
            refused.append(no)

    with transaction(database) as session:
        terms = make.terms(AmountOff(amount_minor=99_999))
        asked = NewTerms(id=make.an_id(), offer_id=batch.offer_id, terms=terms)
        offers.change_terms(session, at.operator_id, asked, now=NOON)
        issuing_meanwhile = Thread(target=issue)
        issuing_meanwhile.start()
        _until_somebody_waits(database)
    issuing_meanwhile.join()

    assert len(refused) == 1
    with transaction(database) as session:
        assert count(session, "coupon") == 0


def _until_somebody_waits(database: Engine) -> None:
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(1_000):
        with database.connect() as connection:
            if connection.execute(waits).scalar_one():
                return
        sleep(0.01)
    raise AssertionError("nobody waits for the edit")
