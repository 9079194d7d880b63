"""A picture makes one device one terminal, once, within minutes, and never somebody else's."""

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from coupon_engine import acting
from coupon_engine.errors import (
    CodeWrong,
    CouponError,
    HolderKeyInvalid,
    MoveNotAllowed,
    NameTaken,
    NotSignedIn,
    PairingTaken,
    RequestReused,
    TerminalHasJournal,
    TooManyTries,
    Unknown,
)
from coupon_engine.offline import leases
from coupon_engine.tables import Event, Pairing, Terminal, Tries
from coupon_engine.terminals import pairing, shifts, terminals
from schemas.coupons import HolderKey
from schemas.offline import NewLease
from schemas.terminals import (
    NewPairing,
    NewPairingRefusal,
    NewTerminalRevocation,
    PairingState,
    PairingView,
    pairing_text,
    read_pairing_text,
)
from tests import make
from tests.coupon_engine.terminals.devices import (
    ADDRESS,
    SERVER,
    VAULT,
    Device,
    answers,
    cashier,
    confirms,
    paired,
    shown,
    sits_down,
    told,
)
from tests.make import NOON, Shop


def looks(session: Session, at: Shop, id: Any, **more: Any) -> PairingView:
    asked: dict[str, Any] = {"store_ids": None, "now": NOON}
    return pairing.pairing_view(session, at.operator_id, id, **{**asked, **more})


def is_refused(error: type[CouponError], act: Callable[[], object]) -> CouponError:
    with pytest.raises(error) as refused:
        act()
    return refused.value


def test_a_device_becomes_a_terminal(session: Session) -> None:
    at, device = make.shop(session), Device()
    picture = shown(session, at, name="Counter 2")
    assert (picture.state, picture.digits) == (PairingState.WAITING, None)

    answered = answers(session, device, picture.text)
    seen = looks(session, at, picture.id)
    assert (answered.state, seen.state) == (PairingState.ANSWERED, PairingState.ANSWERED)
    assert answered.digits == seen.digits
    assert answered.pin_key is None
    assert terminals.key_of(session, answered.terminal_id) is None

    confirms(session, at, picture, answered.digits, now=NOON + timedelta(minutes=1))

    later = answers(session, device, picture.text, now=NOON + timedelta(minutes=1))
    assert later.state is PairingState.CONFIRMED
    key = terminals.key_of(session, later.terminal_id)
    assert key == terminals.TerminalKey(at.operator_id, at.store.id, "Counter 2", device.public_key)
    row = session.get(Terminal, (at.operator_id, later.terminal_id))
    assert row is not None
    assert (row.paired_at, row.revoked_at) == (NOON + timedelta(minutes=1), None)


def test_the_picture_says_where_and_with_what(session: Session) -> None:
    picture = shown(session, make.shop(session))
    secret, server = read_pairing_text(picture.text)

    assert server == "https://coupons.example.com/Shops/a_b"  # a host has no capitals of its own
    assert len(secret) == 26  # 128 bits at five bits a letter
    assert picture.svg.startswith("<svg")


def test_no_two_pictures_share_a_secret_and_only_its_hash_is_kept(session: Session) -> None:
    at = make.shop(session)
    texts = [shown(session, at).text for _ in range(5)]
    assert len(set(texts)) == 5

    kept = session.exec(select(Pairing)).all()
    for text in texts:
        secret, _ = read_pairing_text(text)
        assert sha256(secret.encode()).digest() in [row.hash for row in kept]
        assert secret not in repr(kept)


def test_asking_again_shows_the_same_picture_and_no_longer(session: Session) -> None:
    at, id = make.shop(session), make.an_id()
    first = shown(session, at, id=id)

    again = shown(session, at, id=id, now=NOON + timedelta(minutes=3))

    assert again == first
    is_refused(RequestReused, lambda: shown(session, at, id=id, name="Another"))
    is_refused(RequestReused, lambda: shown(session, at, id=id, terminal_id=at.terminal.id))


def test_another_server_shows_other_pictures(session: Session) -> None:
    """The secret cannot be worked out from the id alone."""
    at, id = make.shop(session), make.an_id()
    first = shown(session, at, id=id)
    other = pairing.Vault.under(b"another master secret")
    request = NewPairing(id=id, store_id=at.store.id, name="Counter 2")

    again = pairing.begin(
        session,
        at.operator_id,
        request,
        store_ids=None,
        vault=other,
        server_url=SERVER,
        now=NOON,
    )

    assert again.text != first.text


def test_a_picture_is_good_for_ten_minutes(session: Session) -> None:
    at, device = make.shop(session), Device()
    picture = shown(session, at)
    last, over = NOON + timedelta(minutes=10, microseconds=-1), NOON + timedelta(minutes=10)

    is_refused(NotSignedIn, lambda: answers(session, device, picture.text, now=over))
    answered = answers(session, device, picture.text, now=last)

    assert looks(session, at, picture.id, now=over).state is PairingState.EXPIRED
    is_refused(MoveNotAllowed, lambda: confirms(session, at, picture, answered.digits, now=over))
    assert answers(session, device, picture.text, now=over).state is PairingState.EXPIRED
    assert confirms(session, at, picture, answered.digits, now=last).state == "confirmed"


def test_a_picture_works_once(session: Session) -> None:
    at = make.shop(session)
    picture = shown(session, at)
    first = Device()
    confirms(session, at, picture, answers(session, first, picture.text).digits)

    error = is_refused(PairingTaken, lambda: answers(session, Device(), picture.text))

    assert error.is_answered  # the try stays counted
    key = terminals.key_of(session, picture.terminal_id)
    assert key is not None
    assert key.public_key == first.public_key


def test_whoever_was_quicker_shows_other_digits(session: Session) -> None:
    """A photograph of the picture is answered first, from elsewhere."""
    at, thief, device = make.shop(session), Device(), Device()
    picture = shown(session, at)
    stolen = answers(session, thief, picture.text)

    is_refused(PairingTaken, lambda: answers(session, device, picture.text))

    own = pairing.pairing_digits(
        pairing.pairing_hash(read_pairing_text(picture.text)[0]), device.public_key
    )
    assert looks(session, at, picture.id).digits == stolen.digits != own
    is_refused(CodeWrong, lambda: confirms(session, at, picture, own))
    assert terminals.key_of(session, picture.terminal_id) is None


def test_a_device_may_ask_as_often_as_it_likes(session: Session) -> None:
    at, device = make.shop(session), Device()
    picture = shown(session, at)

    states = {answers(session, device, picture.text).state for _ in range(40)}

    assert states == {PairingState.ANSWERED}
    assert len(told(session, "pairing_answered")) == 1


def test_a_key_is_only_taken_from_whoever_has_it(session: Session) -> None:
    at, device, other = make.shop(session), Device(), Device()
    picture = shown(session, at)
    secret, _ = read_pairing_text(picture.text)
    wrong = (
        other.answer_to(picture.text).proof,
        device.signs(b"something else"),
        device.signs(pairing.pairing_proof(secret[::-1], device.public_key)),
        "A" * 86,
    )

    for proof in wrong:
        error = is_refused(
            NotSignedIn, lambda proof=proof: answers(session, device, picture.text, proof=proof)
        )
        assert error.is_answered
    assert looks(session, at, picture.id).state is PairingState.WAITING


def test_a_known_key_needs_its_proof_as_well(session: Session) -> None:
    """The PIN key goes to the device alone, and the public key is no secret."""
    at, device = make.shop(session), Device()
    picture = shown(session, at)
    confirms(session, at, picture, answers(session, device, picture.text).digits)

    is_refused(NotSignedIn, lambda: answers(session, device, picture.text, proof="A" * 86))


def test_a_point_off_the_curve_is_no_key(session: Session) -> None:
    picture = shown(session, make.shop(session))
    nowhere = HolderKey(x="A" * 43, y="A" * 43)

    is_refused(
        HolderKeyInvalid, lambda: answers(session, Device(), picture.text, public_key=nowhere)
    )


def test_an_unknown_secret_looks_like_one_that_is_over(session: Session) -> None:
    at = make.shop(session)
    shown(session, at)
    other = pairing_text("A" * 26, SERVER)

    unknown = is_refused(NotSignedIn, lambda: answers(session, Device(), other))
    picture = shown(session, at)
    over = NOON + timedelta(minutes=10)
    late = is_refused(NotSignedIn, lambda: answers(session, Device(), picture.text, now=over))

    assert (unknown.code, unknown.details) == (late.code, late.details)


def test_ten_answers_and_no_more(session: Session) -> None:
    at = make.shop(session)
    picture = shown(session, at)
    for _ in range(pairing.MOST_ANSWERS):
        is_refused(NotSignedIn, lambda: answers(session, Device(), picture.text, proof="A" * 86))

    is_refused(TooManyTries, lambda: answers(session, Device(), picture.text))
    assert looks(session, at, picture.id).state is PairingState.WAITING


def test_thirty_answers_from_one_address_and_no_more(session: Session) -> None:
    at = make.shop(session)
    for _ in range(3):
        picture = shown(session, at)
        for _ in range(10):
            with pytest.raises(NotSignedIn):
                answers(session, Device(), picture.text, proof="A" * 86)
    fresh = shown(session, at)

    is_refused(TooManyTries, lambda: answers(session, Device(), fresh.text))
    elsewhere = answers(session, Device(), fresh.text, address="198.51.100.1")
    assert elsewhere.state is PairingState.ANSWERED


def test_three_wrong_guesses_and_the_right_digits_come_too_late(session: Session) -> None:
    at, device = make.shop(session), Device()
    picture = shown(session, at)
    digits = answers(session, device, picture.text).digits
    wrong = f"{(int(digits) + 1) % 1_000_000:06}"
    for _ in range(pairing.MOST_CONFIRMATIONS):
        error = is_refused(CodeWrong, lambda: confirms(session, at, picture, wrong))
        assert error.is_answered

    is_refused(TooManyTries, lambda: confirms(session, at, picture, digits))
    last = NOON + timedelta(minutes=10, microseconds=-1)
    is_refused(TooManyTries, lambda: confirms(session, at, picture, digits, now=last))
    assert terminals.key_of(session, picture.terminal_id) is None


def test_confirming_again_changes_nothing(session: Session) -> None:
    at, device = make.shop(session), Device()
    picture = shown(session, at)
    digits = answers(session, device, picture.text).digits
    first = confirms(session, at, picture, digits)

    again = [confirms(session, at, picture, digits) for _ in range(5)]

    assert again == [first] * 5
    assert len(told(session, "terminal_paired")) == 1


def test_nothing_is_confirmed_before_a_device_has_answered(session: Session) -> None:
    at = make.shop(session)
    picture = shown(session, at)

    error = is_refused(MoveNotAllowed, lambda: confirms(session, at, picture, "000000"))

    assert error.details == {"state": "waiting"}


def test_a_refused_pairing_is_over(session: Session) -> None:
    at, device = make.shop(session), Device()
    picture = shown(session, at)
    digits = answers(session, device, picture.text).digits
    request = NewPairingRefusal(id=make.an_id(), pairing_id=picture.id)

    for _ in range(2):
        ended = pairing.refuse(session, at.operator_id, request, store_ids=None, now=NOON)
        assert ended.state is PairingState.REFUSED

    is_refused(MoveNotAllowed, lambda: confirms(session, at, picture, digits))
    assert answers(session, device, picture.text).state is PairingState.REFUSED
    assert len(told(session, "pairing_refused")) == 1


def test_a_confirmed_pairing_is_not_refused_any_more(session: Session) -> None:
    at, device = make.shop(session), Device()
    picture = shown(session, at)
    confirms(session, at, picture, answers(session, device, picture.text).digits)
    request = NewPairingRefusal(id=make.an_id(), pairing_id=picture.id)

    is_refused(
        MoveNotAllowed,
        lambda: pairing.refuse(session, at.operator_id, request, store_ids=None, now=NOON),
    )


def test_another_device_takes_a_terminals_place_and_the_old_key_is_dead(session: Session) -> None:
    at, old, new = make.shop(session), Device(), Device()
    first = paired(session, at, old)
    shift = sits_down(session, at, first, cashier(session, at))

    again = paired(session, at, new, terminal_id=first.terminal_id, name="Counter 3")

    assert again.terminal_id == first.terminal_id
    key = terminals.key_of(session, first.terminal_id)
    assert key is not None
    assert (key.public_key, key.name) == (new.public_key, "Counter 3")
    assert again.pin_key != first.pin_key
    assert (
        shifts.open_shift(session, at.operator_id, first.terminal_id, shift.secret, now=NOON)
        is None
    )
    change = told(session, "terminal_paired")[-1].data
    assert change["before"]["key"] == sha256(old.public_key).hexdigest()[:16]
    assert change["after"]["key"] == sha256(new.public_key).hexdigest()[:16]


def test_a_terminal_that_may_have_a_journal_is_no_other_device_ever(session: Session) -> None:
    at = make.shop(session)
    first = paired(session, at)
    waiting = shown(session, at, terminal_id=first.terminal_id)
    request = NewLease(id=make.an_id())
    leases.grant(session, at.operator_id, first.terminal_id, request, now=NOON)

    is_refused(TerminalHasJournal, lambda: shown(session, at, terminal_id=first.terminal_id))
    digits = answers(session, Device(), waiting.text).digits
    is_refused(TerminalHasJournal, lambda: confirms(session, at, waiting, digits))


def test_a_terminal_that_was_made_before_gets_its_key(session: Session) -> None:
    at, device = make.shop(session), Device()

    ours = paired(session, at, device, terminal_id=at.terminal.id)

    assert ours.terminal_id == at.terminal.id
    assert terminals.key_of(session, at.terminal.id) is not None


def test_a_revoked_terminal_opens_nothing_and_is_never_paired_again(session: Session) -> None:
    at = make.shop(session)
    ours = paired(session, at)
    shift = sits_down(session, at, ours, cashier(session, at))
    waiting = shown(session, at, terminal_id=ours.terminal_id)
    request = NewTerminalRevocation(id=make.an_id(), terminal_id=ours.terminal_id, reason="stolen")

    for _ in range(2):
        ended = terminals.revoke(session, at.operator_id, request, store_ids=None, now=NOON)
        assert ended.revoked_at == NOON

    assert terminals.key_of(session, ours.terminal_id) is None
    assert (
        shifts.open_shift(session, at.operator_id, ours.terminal_id, shift.secret, now=NOON) is None
    )
    is_refused(MoveNotAllowed, lambda: shown(session, at, terminal_id=ours.terminal_id))
    digits = answers(session, Device(), waiting.text).digits
    is_refused(MoveNotAllowed, lambda: confirms(session, at, waiting, digits))
    assert [event.data["reason"] for event in told(session, "terminal_revoked")] == ["stolen"]


def test_what_is_tied_to_another_store_is_unknown(session: Session) -> None:
    at = make.shop(session)
    device = Device()
    picture = shown(session, at)
    answered = answers(session, device, picture.text)
    ours = paired(session, at)
    elsewhere: Any = {"store_ids": frozenset({make.an_id()}), "now": NOON}
    asked = NewPairing(id=make.an_id(), store_id=at.store.id, name="x")
    confirmation = pairing.NewPairingConfirmation(
        id=make.an_id(), pairing_id=picture.id, digits=answered.digits
    )
    refusal = NewPairingRefusal(id=make.an_id(), pairing_id=picture.id)
    revocation = NewTerminalRevocation(id=make.an_id(), terminal_id=ours.terminal_id, reason="x")
    to_picture: Any = {"vault": VAULT, "server_url": SERVER}

    for act in (
        lambda: pairing.begin(session, at.operator_id, asked, **to_picture, **elsewhere),
        lambda: pairing.confirm(session, at.operator_id, confirmation, **elsewhere),
        lambda: pairing.refuse(session, at.operator_id, refusal, **elsewhere),
        lambda: pairing.pairing_view(session, at.operator_id, picture.id, **elsewhere),
        lambda: terminals.revoke(session, at.operator_id, revocation, **elsewhere),
    ):
        is_refused(Unknown, act)
    assert looks(session, at, picture.id).state is PairingState.ANSWERED


def test_a_terminal_of_another_store_is_not_paired_here(session: Session) -> None:
    at = make.shop(session)
    other = make.another_store(session, at.operator_id, at.store.merchant_id)

    is_refused(
        Unknown,
        lambda: shown(session, at, store_id=other.id, terminal_id=at.terminal.id),
    )


def test_one_operators_terminal_cannot_be_signed_for_by_another(session: Session) -> None:
    """Terminals may be made with any id, but a signature names its key by that id alone."""
    at, stranger = make.shop(session), make.shop(session)
    ours, device = paired(session, at), Device()
    acting.enter(session, stranger.operator_id)
    twin = Terminal(
        operator_id=stranger.operator_id,
        id=ours.terminal_id,
        store_id=stranger.store.id,
        name="Twin",
        created_at=NOON,
    )
    session.add(twin)
    session.flush()
    picture = shown(session, stranger, terminal_id=twin.id)
    digits = answers(session, device, picture.text).digits

    is_refused(NameTaken, lambda: confirms(session, stranger, picture, digits))

    key = terminals.key_of(session, ours.terminal_id)
    assert key is not None
    assert key.operator_id == at.operator_id


def test_every_step_is_in_the_record(session: Session) -> None:
    at = make.shop(session)
    ours = paired(session, at)

    kinds = [
        event.kind for event in session.exec(select(Event)) if event.subject_id == ours.terminal_id
    ]

    assert kinds == ["pairing_begun", "pairing_answered", "terminal_paired"]
    (answered,) = told(session, "pairing_answered")
    assert answered.actor["kind"] == "terminal"


def test_a_terminal_is_seen_once_a_minute(session: Session) -> None:
    at = make.shop(session)
    ours = paired(session, at)

    def seen_at(seconds: int) -> Any:
        now = NOON + timedelta(seconds=seconds)
        terminals.seen(session, at.operator_id, ours.terminal_id, now)
        row = session.get(Terminal, (at.operator_id, ours.terminal_id), populate_existing=True)
        assert row is not None
        return row.seen_at

    assert [seen_at(0), seen_at(59), seen_at(60)] == [NOON, NOON, NOON + timedelta(minutes=1)]


ADDRESSES = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,20}\.[a-z]{2,5})?|\[[0-9a-f:]{2,20}\]", fullmatch=True),
    st.sampled_from(["", ":8000", ":443"]),
    st.from_regex(r"(/[A-Za-z0-9_~.%äé-]{1,12}){0,3}", fullmatch=True),
)


@given(ADDRESSES)
def test_any_server_fits_into_the_smallest_kind_of_picture(address: str) -> None:
    text = pairing_text("A" * 26, address)

    assert set(text) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
    assert read_pairing_text(text) == ("A" * 26, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CP1A",
        "COUNTERFOIL:PAIR/",
        f"COUNTERFOIL:PAIR/{'A' * 25}/HTTPS://A",
        f"COUNTERFOIL:PAIR/{'A' * 26}/FILE:///ETC/PASSWD",
        f"COUNTERFOIL:PAIR/{'A' * 26}/HTTPS://A@B",
        f"COUNTERFOIL:PAIR/{'A' * 26}/HTTPS://A/?B",
        f"counterfoil:pair/{'A' * 26}/https://a",
        f"COUNTERFOIL:PAIR/{'A' * 26}/HTTPS://A\n",
        f"COUNTERFOIL:PAIR/{'A' * 26}/HTTPS://A%%",
        f"COUNTERFOIL:PAIR/{'A' * 26}/HTTPS://A/%41",
        f"COUNTERFOIL:PAIR/{'A' * 26}/HTTPS://A/%FF",
    ],
)
def test_another_picture_pairs_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="not a picture"):
        read_pairing_text(text)


def test_the_digits_differ_for_every_key_and_every_secret() -> None:
    keys = [Device().public_key for _ in range(20)]
    digits = {pairing.pairing_digits(b"a" * 32, key) for key in keys}
    others = {pairing.pairing_digits(b"b" * 32, key) for key in keys}

    assert len(digits) >= 19  # two of twenty meet in one of 5,000 runs
    assert digits != others
    assert all(len(each) == 6 and each.isdigit() for each in digits | others)


def test_the_address_of_a_device_is_kept_nowhere(session: Session) -> None:
    paired(session, make.shop(session))

    events, tried = session.exec(select(Event)).all(), session.exec(select(Tries)).all()
    assert sum("pairing answer from" in row.key for row in tried) == 1
    assert len(told(session, "pairing_answered")) == 1
    assert ADDRESS not in repr(events) + repr(tried)
