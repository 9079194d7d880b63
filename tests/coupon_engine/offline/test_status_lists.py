"""Status lists of real coupons: what is set, what is clear again, and how little changes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from jwt import PyJWK
from sqlalchemy import text
from sqlmodel import Session, col, select

from coupon_engine import activating, batches, coupons, issuing, places
from coupon_engine.errors import CouponError, NoLease, NotSignedIn, TerminalFrozen, Unknown
from coupon_engine.offline import server_keys, status_lists
from coupon_engine.offline.server_keys import ServerKeyPair
from coupon_engine.tables import Campaign, Coupon, JournalEntry, StatusList, Terminal
from coupon_engine.validation import status_lists as codec
from coupon_engine.validation.token import Typ, verify_typed
from schemas.campaigns import BatchMove, BatchView, NewBatchMove, OfflinePolicy
from schemas.coupons import (
    CouponView,
    NewActivation,
    NewCoupons,
    NewRevocation,
    NewTransfer,
)
from schemas.offers import GiftBalance
from schemas.offline import StatusListClaims
from tests import make
from tests.coupon_engine.record import count, redeemed, rows, taken_back
from tests.make import NOON

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class Scene:
    """A campaign, and a terminal with a lease that asks for its list."""

    def __init__(self, session: Session, **more: Any) -> None:
        self.session = session
        self.at = make.shop(session)
        self.campaign = make.campaign(session, self.at, **more)
        self.batch = self.another_batch()
        make.lease(session, self.at)

    def another_batch(self, **more: Any) -> BatchView:
        offer = make.offer(self.session, self.at, self.campaign, **more)
        return make.batch(self.session, self.at, offer)

    def coupon(self, of: BatchView | None = None, **more: Any) -> CouponView:
        return make.coupon(self.session, self.at, of or self.batch, **more)

    def redeems(self, of: CouponView, *, now: datetime = NOON, **more: Any) -> Any:
        return redeemed(self.session, self.at, of, now=now, of=self.campaign, **more)

    def place(self, of: CouponView) -> int:
        self.session.flush()
        query = select(Coupon.position).where(col(Coupon.id) == of.id)
        return codec.shard_of(self.session.exec(query).one())[1]

    @property
    def key(self) -> ServerKeyPair:
        own = self.at.operator_id
        return server_keys.in_use(self.session, own, passphrase=make.PASSPHRASE, now=NOON)

    def asks(
        self, *, since: int | None = None, shard: int = 0, now: datetime = NOON
    ) -> StatusListClaims:
        jwt = status_lists.for_terminal(
            self.session,
            self.at.operator_id,
            self.at.terminal.id,
            self.campaign.number,
            shard,
            since=since,
            issuer_url=make.ISSUER,
            passphrase=make.PASSPHRASE,
            now=now,
        )
        claims = verify_typed(jwt, PyJWK(self.key.public_jwk, "ES256"), Typ.STATUS_LIST)
        return StatusListClaims.model_validate(claims)

    def set_now(self, *, now: datetime = NOON, shard: int = 0) -> set[int]:
        """Return the places that are set."""
        return set_in(self.asks(now=now, shard=shard))


def set_in(claims: StatusListClaims) -> set[int]:
    assert claims.status_list is not None
    bits = codec.unpack(str(claims.status_list["lst"]))
    near = (8 * at for at, byte in enumerate(bits) if byte)
    return {
        place for start in near for place in range(start, start + 8) if codec.is_set(bits, place)
    }


def changed(claims: StatusListClaims) -> tuple[set[int], set[int]]:
    assert claims.changed is not None
    assert claims.status_list is None
    return set(codec.gaps_decoded(claims.changed.set)), set(
        codec.gaps_decoded(claims.changed.cleared)
    )


@pytest.fixture
def scene(session: Session) -> Scene:
    return Scene(session)


# What is set and what is clear.


def revoke(scene: Scene, of: CouponView, *, now: datetime = NOON) -> None:
    asked = NewRevocation(id=make.an_id(), coupon_id=of.id, reason="told")
    coupons.revoke(scene.session, scene.at.operator_id, asked, code_secret=make.SECRET, now=now)


def revoke_batch(
    scene: Scene, of: BatchView, *, coupons_stay_valid: bool, now: datetime = NOON
) -> None:
    asked = NewBatchMove(
        id=make.an_id(),
        batch_id=of.id,
        move=BatchMove.REVOKE,
        reason="misprint",
        coupons_stay_valid=coupons_stay_valid,
    )
    batches.decide_batch(scene.session, scene.at.operator_id, asked, now=now)


def test_of_coupons_as_they_were_issued_nothing_is_set(scene: Scene) -> None:
    scene.coupon()

    assert scene.set_now() == set()


def test_a_redeemed_coupon_is_set_and_cleared_when_it_is_taken_back_whole(scene: Scene) -> None:
    coupon, other = scene.coupon(), scene.coupon()
    done = scene.redeems(coupon, basket=make.basket(1_000, 1_000))
    scene.redeems(other)
    both = scene.set_now()
    first, second, third = (NOON + minutes * timedelta(minutes=1) for minutes in (10, 20, 30))

    taken_back(scene.session, scene.at, done, lines=[1], now=first)
    part = scene.set_now(now=second)
    taken_back(scene.session, scene.at, done, now=third)
    whole = scene.set_now(now=third)

    assert both == part == {scene.place(coupon), scene.place(other)}
    assert whole == {scene.place(other)}


def test_a_coupon_of_two_uses_is_set_after_the_second(scene: Scene) -> None:
    coupon = scene.coupon(scene.another_batch(uses=2))
    scene.redeems(coupon)
    once = scene.set_now()

    scene.redeems(coupon)

    assert (once, scene.set_now()) == (set(), {scene.place(coupon)})


def test_a_gift_is_set_when_it_is_empty(scene: Scene) -> None:
    coupon = scene.coupon(scene.another_batch(benefit=GiftBalance(balance_minor=500)))
    scene.redeems(coupon, basket=make.basket(300))
    part = scene.set_now()

    scene.redeems(coupon, basket=make.basket(300))

    assert (part, scene.set_now()) == (set(), {scene.place(coupon)})


def test_a_revoked_coupon_is_set(scene: Scene) -> None:
    coupon = scene.coupon()
    scene.set_now()

    revoke(scene, coupon, now=NOON + SECOND)

    assert scene.set_now(now=NOON + SECOND) == {scene.place(coupon)}


def test_a_batch_that_is_revoked_with_its_coupons_is_set_whole(scene: Scene) -> None:
    gone, stays = scene.another_batch(), scene.another_batch()
    out = [scene.coupon(gone) for _ in range(3)]
    scene.coupon(stays)
    scene.coupon()
    scene.set_now()

    revoke_batch(scene, gone, coupons_stay_valid=False, now=NOON + HOUR)
    revoke_batch(scene, stays, coupons_stay_valid=True, now=NOON + HOUR)

    assert scene.set_now(now=NOON + HOUR) == {scene.place(each) for each in out}


def activated(scene: Scene) -> tuple[CouponView, int, int]:
    """A coupon that works in one store alone for two hours, and its further place."""
    holder = make.customer(scene.session, scene.at)
    coupon = scene.coupon(customer_id=holder)
    asked = NewActivation(
        id=make.an_id(),
        coupon_id=coupon.id,
        customer_id=holder,
        store_id=scene.at.store.id,
        lasts_seconds=7_200,
    )
    assert scene.set_now() == set()
    activating.activate(scene.session, scene.at.operator_id, asked, now=NOON)
    (row,) = rows(scene.session, "SELECT activated_position FROM coupon")
    shard, further = codec.shard_of(row.activated_position)
    return coupon, shard, further


def shards(scene: Scene) -> list[int]:
    campaign = scene.session.get_one(Campaign, (scene.at.operator_id, scene.campaign.id))
    return status_lists.shards_of(scene.session, campaign)


def test_an_activated_coupon_is_set_at_its_old_place_until_it_is_over(session: Session) -> None:
    """The activation ends by the clock, and nobody writes it down."""
    scene = Scene(session, offline=OfflinePolicy.ACTIVATED)
    coupon, shard, _ = activated(scene)

    assert (scene.set_now(), scene.set_now(shard=shard)) == ({scene.place(coupon)}, set())
    assert shards(scene) == [0, shard]
    last = scene.asks(now=NOON + 2 * HOUR - SECOND)
    assert set_in(last) == {scene.place(coupon)}
    over = scene.asks(since=last.ver, now=NOON + 2 * HOUR)
    assert changed(over) == (set(), {scene.place(coupon)})
    assert scene.set_now(now=NOON + 2 * HOUR) == set()


def test_a_spent_activation_is_set_at_both_places(session: Session) -> None:
    scene = Scene(session, offline=OfflinePolicy.ACTIVATED)
    coupon, shard, further = activated(scene)
    assert scene.set_now(shard=shard) == set()

    scene.redeems(coupon, now=NOON + SECOND)

    assert scene.set_now(now=NOON + SECOND) == {scene.place(coupon)}
    assert scene.set_now(now=NOON + SECOND, shard=shard) == {further}


def test_a_place_that_a_coupon_has_left_is_set_and_its_new_one_is_not(scene: Scene) -> None:
    """Whoever kept a picture of the old code shows nothing."""
    giver, taker = (make.customer(scene.session, scene.at) for _ in range(2))
    coupon = scene.coupon(customer_id=giver)
    old, before = scene.place(coupon), scene.asks()
    asked = NewTransfer(
        id=make.an_id(), coupon_id=coupon.id, from_customer_id=giver, to_customer_id=taker
    )
    own = scene.at.operator_id
    coupons.transfer(scene.session, own, asked, code_secret=make.SECRET, now=NOON + HOUR)

    step = scene.asks(since=before.ver, now=NOON + HOUR)

    assert changed(step) == ({old}, set())
    assert scene.set_now(now=NOON + HOUR) == {old}
    assert shards(scene) == [0, 1]
    assert scene.set_now(now=NOON + HOUR, shard=1) == set()
    scene.session.connection().execute(text("DELETE FROM status_list"))
    assert scene.set_now(now=NOON + HOUR) == {old}
    scene.redeems(coupon, now=NOON + 2 * HOUR)
    assert scene.set_now(now=NOON + 2 * HOUR) == {old}
    assert scene.set_now(now=NOON + 2 * HOUR, shard=1) == {scene.place(coupon)}


# Steps.


def test_a_delta_tells_how_what_was_touched_stands_now(scene: Scene) -> None:
    spent, back, revoked, untouched = (scene.coupon() for _ in range(4))
    first = scene.asks()
    later = NOON + timedelta(minutes=5)
    scene.redeems(spent, now=later)
    taken_back(scene.session, scene.at, scene.redeems(back, now=later), now=later)
    revoke(scene, revoked, now=later)

    told = scene.asks(since=first.ver, now=later)

    assert changed(told) == ({scene.place(spent), scene.place(revoked)}, {scene.place(back)})
    assert (told.since, told.ver) == (first.ver, int(later.timestamp() * 1_000))
    assert scene.place(untouched) not in set.union(*changed(told))


def test_a_list_and_its_deltas_end_where_a_new_list_begins(scene: Scene) -> None:
    """As a terminal does it: apply each step to what it has."""
    out = [scene.coupon() for _ in range(8)]
    claims = scene.asks()
    assert claims.status_list is not None
    bits = codec.unpack(str(claims.status_list["lst"]))
    ver = claims.ver
    done: list[Any] = []
    for minute, coupon in enumerate(out, 1):
        now = NOON + timedelta(minutes=minute)
        done.append(scene.redeems(coupon, now=now))
        if minute % 3 == 0:
            taken_back(scene.session, scene.at, done[-2], now=now)
        step = scene.asks(since=ver, now=now)
        assert step.changed is not None
        bits, ver = codec.apply(bits, step.changed), step.ver

    fresh = scene.asks(now=NOON + timedelta(minutes=9))

    assert fresh.status_list is not None
    assert codec.unpack(str(fresh.status_list["lst"])) == bits
    assert sum(bits.count(bytes([byte])) * byte.bit_count() for byte in range(256)) == 6


def test_a_commit_that_came_late_is_in_the_next_step(scene: Scene) -> None:
    """It bears an hour before the version, and was not yet to be seen when that was read."""
    coupon = scene.coupon()
    first = scene.asks(now=NOON + 20 * SECOND)

    scene.redeems(coupon, now=NOON)

    step = scene.asks(since=first.ver, now=NOON + 30 * SECOND)
    assert changed(step) == ({scene.place(coupon)}, set())
    assert scene.set_now(now=NOON + 31 * SECOND) == {scene.place(coupon)}


def test_without_looking_back_a_late_commit_would_be_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above proves nothing."""
    monkeypatch.setattr(status_lists, "OVERLAP", timedelta())
    coupon = scene.coupon()
    first = scene.asks(now=NOON + 20 * SECOND)

    scene.redeems(coupon, now=NOON)

    step = scene.asks(since=first.ver, now=NOON + 30 * SECOND)
    assert changed(step) == (set(), set())


def test_what_a_dark_terminal_redeemed_days_ago_is_in_the_next_step(scene: Scene) -> None:
    coupon = scene.coupon()
    first = scene.asks()
    (entry,) = [journal_entry(scene, coupon, received_at=NOON + HOUR)]
    row = scene.session.get_one(Coupon, (scene.at.operator_id, coupon.id))
    row.uses_count = 1
    scene.session.add_all([entry, row])
    scene.session.flush()

    step = scene.asks(since=first.ver, now=NOON + HOUR)

    assert changed(step) == ({scene.place(coupon)}, set())


def journal_entry(scene: Scene, of: CouponView, *, received_at: datetime) -> JournalEntry:
    return JournalEntry(
        operator_id=scene.at.operator_id,
        terminal_id=scene.at.terminal.id,
        seq=1,
        hash=b"h" * 32,
        jwt="a.b.c",
        kind="redeemed",
        mode="offline",
        at=received_at - timedelta(days=3),
        received_at=received_at,
        campaign_id=scene.campaign.id,
        coupon_id=of.id,
        answer="provisional",
    )


def test_where_much_was_touched_the_whole_list_comes(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = [scene.coupon() for _ in range(4)]
    first = scene.asks()
    for coupon in out[:3]:
        scene.redeems(coupon, now=NOON + HOUR)
    monkeypatch.setattr(status_lists, "MOST_CHANGED", 3)
    three = scene.asks(since=first.ver, now=NOON + HOUR)
    scene.redeems(out[3], now=NOON + HOUR)

    four = scene.asks(since=first.ver, now=NOON + HOUR)

    assert len(changed(three)[0]) == 3
    assert set_in(four) == {scene.place(each) for each in out}


def test_when_a_batch_is_withdrawn_the_whole_list_comes(scene: Scene) -> None:
    gone = scene.another_batch()
    coupon = scene.coupon(gone)
    first = scene.asks()
    revoke_batch(scene, gone, coupons_stay_valid=False, now=NOON + HOUR)

    told = scene.asks(since=first.ver, now=NOON + HOUR)
    later = scene.asks(since=told.ver, now=NOON + 2 * HOUR)
    later_still = scene.asks(since=later.ver, now=NOON + 3 * HOUR)

    assert set_in(told) == {scene.place(coupon)}
    assert changed(later_still) == (set(), set())


def test_a_withdrawn_batch_is_gone_through_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = scene.another_batch()
    scene.coupon(gone)
    scene.asks()
    revoke_batch(scene, gone, coupons_stay_valid=False, now=NOON + HOUR)
    went_through: list[int] = []
    look = status_lists._everything

    def watched(*args: Any, **more: Any) -> Any:
        went_through.append(1)
        return look(*args, **more)

    monkeypatch.setattr(status_lists, "_everything", watched)
    for second in range(5):
        assert len(scene.set_now(now=NOON + HOUR + second * SECOND)) == 1

    assert len(went_through) == 1


def test_where_very_much_was_touched_the_list_is_made_anew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = [scene.coupon() for _ in range(3)]
    back = scene.redeems(out[0])
    scene.asks()
    monkeypatch.setattr(status_lists, "MOST_STEPS", 1)
    half = NOON + HOUR / 2
    taken_back(scene.session, scene.at, back, now=half)
    for coupon in out[1:]:
        scene.redeems(coupon, now=half)

    assert scene.set_now(now=half) == {scene.place(each) for each in out[1:]}


def test_a_sandbox_whose_clock_goes_back_gets_a_whole_list_with_a_newer_version(
    scene: Scene,
) -> None:
    coupon = scene.coupon()
    ahead = scene.asks(now=NOON + HOUR)
    scene.redeems(coupon, now=NOON)

    told = scene.asks(since=ahead.ver, now=NOON)
    again = scene.asks(since=told.ver, now=NOON + SECOND)

    assert set_in(told) == set_in(again) == {scene.place(coupon)}
    assert ahead.ver < told.ver < again.ver


def test_servers_whose_clocks_differ_by_a_moment_never_go_back(scene: Scene) -> None:
    coupon = scene.coupon()
    ahead = scene.asks(now=NOON + SECOND)
    scene.redeems(coupon, now=NOON)

    step = scene.asks(since=ahead.ver, now=NOON)

    assert step.ver == ahead.ver
    assert changed(step) == ({scene.place(coupon)}, set())


# What is kept.


def test_the_list_that_was_made_last_is_the_base_of_the_next(scene: Scene) -> None:
    """What is set there by hand is believed: nobody looks at coupons that nothing happened to."""
    coupon, other = scene.coupon(), scene.coupon()
    scene.asks()
    kept = scene.session.exec(select(StatusList)).one()
    bits = bytearray(codec.inflated(kept.bits))
    codec.put(bits, scene.place(other), is_on=True)
    kept.bits = codec.deflated(bytes(bits))
    scene.session.flush()
    scene.redeems(coupon, now=NOON + HOUR)

    assert scene.set_now(now=NOON + HOUR) == {scene.place(coupon), scene.place(other)}


def test_a_list_is_kept_again_after_a_minute(scene: Scene) -> None:
    scene.coupon()

    def kept_at(seconds: int) -> int:
        scene.asks(now=NOON + seconds * SECOND)
        scene.session.expire_all()
        return scene.session.exec(select(StatusList)).one().ver - int(NOON.timestamp() * 1_000)

    assert [kept_at(0), kept_at(59), kept_at(60)] == [0, 0, 60_000]


def test_a_step_looks_at_what_was_touched_and_at_nothing_else(session: Session) -> None:
    """Ten thousand coupons; the plan must not go through them for one that was redeemed."""
    scene = Scene(session)
    asked = NewCoupons(id=make.an_id(), batch_id=scene.batch.id, unclaimed=10_000)
    issuing.issue_many(session, scene.at.operator_id, asked, code_secret=make.SECRET, now=NOON)
    session.connection().execute(text("ANALYZE coupon"))
    coupon = scene.coupon()
    first = scene.asks()
    scene.redeems(coupon, now=NOON + HOUR)

    before = rows_read(session)
    step = scene.asks(since=first.ver, now=NOON + HOUR)
    between = rows_read(session)
    session.connection().execute(text("DELETE FROM status_list"))
    scene.asks(now=NOON + HOUR)  # from nothing, for comparison

    assert changed(step) == ({scene.place(coupon)}, set())
    assert between - before < 100
    assert rows_read(session) - between > 10_000


def rows_read(session: Session) -> int:
    """Count the rows of coupons that this transaction has read so far."""
    (row,) = rows(
        session,
        """
        SELECT sum(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid))
            AS read FROM pg_class WHERE relname = 'coupon'
        """,
    )
    return int(row.read)


# Who is told, and how long it holds.


def test_a_list_holds_as_long_as_the_lease(scene: Scene) -> None:
    scene.coupon()

    claims = scene.asks(now=NOON + HOUR)

    assert claims.exp == int((NOON + 24 * HOUR).timestamp())
    assert claims.iat == int((NOON + HOUR).timestamp())
    assert claims.ttl == 60
    assert claims.sub == f"{make.ISSUER}/{scene.at.slug}/sl/{scene.campaign.number}"


def is_refused(error: type[CouponError], act: Callable[[], object]) -> None:
    with pytest.raises(error):
        act()


def test_a_terminal_without_a_lease_is_told_nothing(scene: Scene) -> None:
    scene.coupon()

    is_refused(NoLease, partial(scene.asks, now=NOON + 24 * HOUR))


@pytest.mark.parametrize(
    ("column", "error"), [("revoked_at", NotSignedIn), ("frozen_at", TerminalFrozen)]
)
def test_a_terminal_that_is_not_trusted_is_told_nothing(
    scene: Scene, column: str, error: type[CouponError]
) -> None:
    scene.coupon()
    row = scene.session.get_one(Terminal, (scene.at.operator_id, scene.at.terminal.id))
    setattr(row, column, NOON)
    scene.session.flush()

    is_refused(error, scene.asks)


def test_a_shard_in_which_no_coupon_lies_is_unknown_and_not_kept(scene: Scene) -> None:
    scene.coupon()

    is_refused(Unknown, partial(scene.asks, shard=1))
    assert count(scene.session, "status_list") == 0


def test_an_operators_list_tells_nothing_of_anothers(session: Session) -> None:
    ours, theirs = Scene(session), Scene(session)
    assert ours.campaign.number == theirs.campaign.number
    coupon = theirs.coupon()
    ours.coupon()

    theirs.redeems(coupon)

    assert (ours.set_now(), len(theirs.set_now())) == (set(), 1)


# For the world.


def for_the_world(scene: Scene, *, now: datetime = NOON) -> dict[str, Any]:
    jwt = status_lists.for_the_world(
        scene.session,
        scene.at.slug,
        scene.campaign.number,
        issuer_url=make.ISSUER,
        passphrase=make.PASSPHRASE,
        now=now,
    )
    return verify_typed(jwt, PyJWK(scene.key.public_jwk, "ES256"), Typ.STATUS_LIST)


def test_the_worlds_list_is_the_standards_and_stands_where_a_token_points(scene: Scene) -> None:
    ring = make.signing_key(scene.session, scene.at)
    coupon, other = scene.coupon(), scene.coupon()
    scene.redeems(coupon)
    claims = verify_typed(token_of(scene, coupon, ring), ring["A"].public, Typ.COUPON)
    told = claims["status"]["status_list"]

    listed = for_the_world(scene)

    assert listed.keys() == {"sub", "iat", "exp", "ttl", "status_list"}
    assert listed["sub"] == told["uri"]
    assert listed["status_list"]["bits"] == 1
    bits = codec.unpack(listed["status_list"]["lst"])
    assert codec.is_set(bits, told["idx"])
    assert not codec.is_set(bits, scene.place(other))


def token_of(scene: Scene, of: CouponView, ring: Any) -> str:
    return coupons.token(
        scene.session, scene.at.operator_id, of.id, ring, code_secret=make.SECRET, now=NOON
    ).jwt


def test_the_world_reads_all_shards_as_one_list(scene: Scene) -> None:
    coupon, far = scene.coupon(), scene.coupon()
    scene.redeems(coupon)
    scene.redeems(far)
    row = scene.session.get_one(Coupon, (scene.at.operator_id, far.id))
    campaign = scene.session.get_one(Campaign, (scene.at.operator_id, far.campaign_id))
    places.move(scene.session, row, campaign, now=NOON)
    scene.session.flush()

    lst = for_the_world(scene)["status_list"]["lst"]

    bits = codec.unpack(lst, most_bytes=2 * codec.SHARD_BYTES)
    assert len(bits) == 2 * codec.SHARD_BYTES
    assert codec.shard_of(row.position)[0] == 1
    assert codec.is_set(bits, row.position)
    assert codec.is_set(bits, scene.place(coupon))


def test_of_no_operator_and_no_campaign_there_is_no_list(scene: Scene) -> None:
    named = partial(
        status_lists.for_the_world,
        scene.session,
        issuer_url=make.ISSUER,
        passphrase=make.PASSPHRASE,
        now=NOON,
    )

    is_refused(Unknown, lambda: named("nobody", 1))
    is_refused(Unknown, lambda: named(scene.at.slug, 99))
