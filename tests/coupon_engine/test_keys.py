"""Signing keys: known before they are used, verified long after, and gone when retired."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session

from coupon_engine import keys
from coupon_engine.errors import KeyTooYoung, MoveNotAllowed, NoFreeLetter, RequestReused, Unknown
from coupon_engine.keys import MOVES, NOTICE
from coupon_engine.validation.issuer_keys import KeyRing
from schemas.keys import KeyMove, KeyState, KeyView, NewKey, NewKeyMove
from schemas.offline import LONGEST_LEASE_SECONDS
from tests import make
from tests.coupon_engine.moves import every_pair, way_to
from tests.coupon_engine.record import count, rows
from tests.make import NOON, Shop


def published(session: Session, at: Shop, *, now: Any = NOON, **more: Any) -> KeyView:
    asked = NewKey(**{"id": make.an_id(), **more})
    return keys.publish(session, at.operator_id, asked, passphrase=make.PASSPHRASE, now=now)


def decided(
    session: Session, at: Shop, key: KeyView, move: KeyMove, *, now: Any = NOON, **more: Any
) -> KeyView:
    asked: dict[str, Any] = {
        "id": make.an_id(),
        "kid": key.kid,
        "move": move,
        "reason": "told",
        **more,
    }
    return keys.decide_key(session, at.operator_id, NewKeyMove(**asked), now=now)


def ring(session: Session, at: Shop) -> KeyRing:
    return keys.ring(session, at.operator_id, issuer_url=make.ISSUER, passphrase=make.PASSPHRASE)


def states(session: Session, at: Shop) -> dict[str, KeyState]:
    return {key.letter: key.state for key in keys.key_views(session, at.operator_id)}


@pytest.mark.parametrize(("state", "move"), every_pair(MOVES, KeyMove))
def test_every_move_from_every_state_leads_where_the_table_says_or_nowhere(
    session: Session, state: KeyState, move: KeyMove
) -> None:
    at = make.shop(session)
    key = published(session, at)
    for step in way_to(MOVES, KeyState.PUBLISHED, state):
        decided(session, at, key, step)
    told = count(session, "event WHERE kind = 'key_decided'")

    if (target := MOVES[state].get(move)) is not None:
        assert decided(session, at, key, move).state is target
        assert count(session, "event WHERE kind = 'key_decided'") == told + 1
    else:
        with pytest.raises(MoveNotAllowed) as raised:
            decided(session, at, key, move)
        assert raised.value.details["allowed"] == sorted(MOVES[state])
        assert states(session, at) == {"A": state}
        assert count(session, "event WHERE kind = 'key_decided'") == told


def test_every_state_has_its_moves_in_the_table() -> None:
    assert set(MOVES) == set(KeyState)


def test_rotating_goes_on_accepting_what_the_old_key_signed(session: Session) -> None:
    at = make.shop(session)
    old = make.signing_key(session, at)
    coupon = make.coupon(session, at)
    text = make.code(session, at, coupon, old)
    new = published(session, at)
    later = NOON + NOTICE

    with pytest.raises(KeyTooYoung) as raised:
        decided(session, at, new, KeyMove.USE, now=later - timedelta(microseconds=1))
    decided(session, at, new, KeyMove.USE, now=later)

    assert raised.value.details == {"usable_from": later.isoformat()}
    assert states(session, at) == {"A": KeyState.VERIFY_ONLY, "B": KeyState.IN_USE}
    after = ring(session, at)
    assert make.read(text, after).coupon_id == coupon.id
    assert make.code(session, at, coupon, after)[3] == "B"
    assert [key.letter for key in after.values() if key.private] == ["B"]


def test_a_key_waits_until_every_terminal_knows_it(session: Session) -> None:
    """A terminal may judge alone by what it was told a lease ago, and be a lease late with it."""
    at = make.shop(session)
    make.signing_key(session, at)
    new = published(session, at)
    known = NOON + 2 * timedelta(seconds=LONGEST_LEASE_SECONDS)

    with pytest.raises(KeyTooYoung):
        decided(session, at, new, KeyMove.USE, now=known - timedelta(microseconds=1))

    assert decided(session, at, new, KeyMove.USE, now=known).state is KeyState.IN_USE


def test_a_retired_key_takes_its_coupons_along_and_its_private_half_is_gone(
    session: Session,
) -> None:
    at = make.shop(session)
    old = make.signing_key(session, at)
    text = make.code(session, at, make.coupon(session, at), old)
    (key,) = keys.key_views(session, at.operator_id)
    decided(session, at, key, KeyMove.STOP)

    decided(session, at, key, KeyMove.RETIRE)

    assert make.read(text, ring(session, at)).refused == "unknown_key"
    assert keys.jwks(session) == {"keys": []}
    assert [row.private_pem for row in rows(session, "SELECT * FROM signing_key")] == [None]
    assert published(session, at).letter == "A"


def test_a_young_key_is_used_at_once_when_it_is_urgent_or_the_first(session: Session) -> None:
    at = make.shop(session)
    first, second = published(session, at), published(session, at)

    assert decided(session, at, first, KeyMove.USE).used_from == NOON
    used = decided(session, at, second, KeyMove.USE, is_urgent=True)

    assert used.state is KeyState.IN_USE
    (old,) = (key for key in keys.key_views(session, at.operator_id) if key.kid == first.kid)
    assert (old.state, old.used_until) == (KeyState.VERIFY_ONLY, NOON)


def test_there_are_as_many_keys_as_letters(session: Session) -> None:
    at = make.shop(session)
    made = [published(session, at) for _ in range(26)]

    with pytest.raises(NoFreeLetter):
        published(session, at)

    assert "".join(key.letter for key in made) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    decided(session, at, made[7], KeyMove.RETIRE)
    assert published(session, at).letter == "H"


def test_the_private_half_is_locked_and_shown_nowhere(session: Session) -> None:
    at = make.shop(session)
    make.signing_key(session, at)
    everything = [
        *(row.data for row in rows(session, "SELECT data FROM event")),
        *(row.body for row in rows(session, "SELECT body FROM answer")),
        keys.jwks(session),
        [view.model_dump(mode="json") for view in keys.key_views(session, at.operator_id)],
    ]

    (row,) = rows(session, "SELECT private_pem FROM signing_key")

    assert b"BEGIN ENCRYPTED PRIVATE KEY" in bytes(row.private_pem)
    assert '"d"' not in json.dumps(everything)
    assert "PRIVATE" not in json.dumps(everything)
    with pytest.raises(ValueError, match="decrypt"):
        keys.ring(session, at.operator_id, issuer_url=make.ISSUER, passphrase=b"another")


def test_the_world_sees_every_operators_keys_and_each_ring_its_own(session: Session) -> None:
    at, stranger = make.shop(session), make.shop(session)
    mine, theirs = published(session, at), published(session, stranger)

    assert {key["kid"] for key in keys.jwks(session)["keys"]} == {mine.kid, theirs.kid}
    assert [key.kid for key in ring(session, at).values()] == [mine.kid]
    assert ring(session, at)["A"].issuer == f"{make.ISSUER}/{at.slug}"
    with pytest.raises(Unknown):
        decided(session, stranger, mine, KeyMove.USE)
    with pytest.raises(Unknown):
        keys.ring(session, make.an_id(), issuer_url=make.ISSUER, passphrase=b"")


def test_a_key_asked_for_twice_is_one_key(session: Session) -> None:
    at = make.shop(session)
    id = make.an_id()
    first = published(session, at, id=id)

    assert published(session, at, id=id, now=NOON + NOTICE) == first
    assert count(session, "signing_key") == 1
    with pytest.raises(RequestReused):
        decided(session, at, first, KeyMove.USE, id=id)
