"""A code shows that a number is somebody's own, and brings their wallet to another phone."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine
from sqlmodel import Session, select
from structlog.testing import capture_logs

from coupon_engine.channels import Channel, Message, NotSent
from coupon_engine.customers import passcodes, wallets
from coupon_engine.database import transaction
from coupon_engine.errors import (
    ContactNotUsable,
    NotSignedIn,
    PasscodeOver,
    PasscodeWrong,
    RequestReused,
    TooManyTries,
)
from coupon_engine.sealing import Vault
from coupon_engine.tables import Contact, Coupon, Event, Operator, Passcode, Wallet
from schemas.wallets import ContactKind, NewPasscode, NewPasscodeAnswer
from tests import make
from tests.coupon_engine.customers import phone
from tests.coupon_engine.customers.phone import HOME, MAIL, MOBILE, VAULT, another
from tests.make import NOON

LAST_MOMENT = NOON + timedelta(minutes=5) - timedelta(milliseconds=1)


def test_the_first_who_shows_a_number_keeps_it(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)

    answered = phone.verified(session, at, mine)

    assert (answered.has_moved, answered.wallet) == (False, mine)
    assert answered.contact.model_dump() == {
        "kind": "phone",
        "masked": "+49 *** *** 89",
        "verified_at": NOON,
    }
    assert session.exec(select(Contact)).one().customer_id == mine.customer_id


def test_a_wallet_moves_to_another_phone_and_brings_its_coupons_along(session: Session) -> None:
    at = make.shop(session)
    old = phone.wallet(session, at)
    phone.verified(session, at, old)
    new = phone.wallet(session, at)
    row = make.coupon(session, at, customer_id=new.customer_id)

    answered = phone.verified(session, at, new, now=NOON + timedelta(minutes=1))

    assert (answered.has_moved, answered.moved_coupons) == (True, 1)
    assert answered.wallet.customer_id == old.customer_id
    assert session.get_one(Coupon, (at.operator_id, row.id)).customer_id == old.customer_id
    assert wallets.key_of(session, old.id) is not None


def test_the_other_phones_are_ended_if_the_customer_says_so(session: Session) -> None:
    at = make.shop(session)
    old, new = phone.wallet(session, at), phone.wallet(session, at)
    phone.verified(session, at, old)

    id = phone.passcode(session, at, new)
    answered = phone.answers(session, at, new, id, end_others=True)

    assert answered.ended_wallets == 1
    assert wallets.key_of(session, old.id) is None
    assert wallets.key_of(session, new.id) is not None


def test_showing_ones_own_number_again_changes_nothing(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    first = phone.verified(session, at, mine)

    again = phone.verified(session, at, mine, now=NOON + timedelta(minutes=1))

    assert again == first


def test_the_same_number_is_another_persons_at_another_operator(session: Session) -> None:
    at, elsewhere = make.shop(session), make.shop(session)
    phone.verified(session, at, phone.wallet(session, at))

    answered = phone.verified(session, elsewhere, phone.wallet(session, elsewhere))

    assert not answered.has_moved
    lookups = [row.lookup for row in session.exec(select(Contact))]
    assert len(set(lookups)) == 2


def test_a_code_is_good_for_five_minutes(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    first, second = phone.passcode(session, at, mine), phone.passcode(session, at, mine)

    phone.answers(session, at, mine, first, now=LAST_MOMENT)
    with pytest.raises(PasscodeOver):
        phone.answers(session, at, mine, second, now=NOON + timedelta(minutes=5))


def test_a_code_works_once(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    id = phone.passcode(session, at, mine)
    code = phone.waiting(session, at, id)["code"]
    phone.answers(session, at, mine, id, code)

    with pytest.raises(PasscodeOver):
        phone.answers(session, at, mine, id, code)


def test_the_right_code_after_five_wrong_ones_is_refused(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    id = phone.passcode(session, at, mine)
    code = phone.waiting(session, at, id)["code"]
    left: list[int] = []
    for _ in range(5):
        with pytest.raises(PasscodeWrong) as wrong:
            phone.answers(session, at, mine, id, another(code))
        assert wrong.value.is_answered  # so that the try stays counted
        left.append(wrong.value.details["tries_left"])

    with pytest.raises(PasscodeOver):
        phone.answers(session, at, mine, id, code)

    assert left == [4, 3, 2, 1, 0]
    assert session.exec(select(Contact)).all() == []


def test_a_code_is_no_good_on_a_phone_that_did_not_ask(session: Session) -> None:
    at = make.shop(session)
    mine, theirs = phone.wallet(session, at), phone.wallet(session, at)
    id = phone.passcode(session, at, mine)

    with pytest.raises(PasscodeOver) as strangers:
        phone.answers(session, at, theirs, id)
    with pytest.raises(PasscodeOver) as never:
        phone.answers(session, at, theirs, make.an_id(), "123456")

    assert strangers.value.details == never.value.details
    assert session.get_one(Passcode, (at.operator_id, id), populate_existing=True).tries == 0


def test_the_link_of_a_mail_works_as_its_code_does(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    id = phone.passcode(session, at, mine, kind=ContactKind.EMAIL, to=MAIL)
    secret = phone.waiting(session, at, id)["secret"]

    answered = phone.answers(session, at, mine, id, secret)

    assert len(secret) == 22  # 128 bits
    assert answered.contact.masked == "m***@e***.com"


def test_nothing_in_a_row_tells_the_code_or_the_number(session: Session) -> None:
    at = make.shop(session)
    id = phone.passcode(session, at, phone.wallet(session, at))
    code = phone.waiting(session, at, id)["code"]

    row = session.get_one(Passcode, (at.operator_id, id))

    for secret in (code, MOBILE, MOBILE.removeprefix("+49")):
        assert secret.encode() not in b"".join([row.sealed, row.hash, row.lookup])
    assert kept_under(b"one", session, at) == kept_under(b"one", session, at)
    one, another_ones = kept_under(b"one", session, at), kept_under(b"another", session, at)
    assert one.isdisjoint(another_ones)  # codes and numbers are few enough to try them all


def kept_under(master: bytes, session: Session, at: make.Shop) -> set[bytes]:
    """Return what is kept of one code and its number by a server with this secret."""
    mine = phone.wallet(session, at, phone.Phone())
    asked = NewPasscode(id=UUID(int=1), kind=ContactKind.PHONE, to=MOBILE)
    with pytest.MonkeyPatch.context() as patch, session.begin_nested() as undone:
        patch.setattr(passcodes, "_six_digits", lambda: "123456")
        passcodes.ask(
            session,
            at.operator_id,
            mine.id,
            asked,
            network=HOME,
            vault=Vault.under(master),
            now=NOON,
        )
        row = session.get_one(Passcode, (at.operator_id, asked.id))
        kept = {row.hash, row.lookup}
        undone.rollback()
    return kept


def test_the_same_id_sends_one_code(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    asked = NewPasscode(id=make.an_id(), kind=ContactKind.PHONE, to=MOBILE)

    views = {ask(session, at, mine.id, asked).expires_at for _ in range(4)}

    assert views == {NOON + timedelta(minutes=5)}
    assert len(session.exec(select(Passcode)).all()) == 1


def test_an_id_is_used_for_one_code(session: Session) -> None:
    at = make.shop(session)
    mine, theirs = phone.wallet(session, at), phone.wallet(session, at)
    asked = NewPasscode(id=make.an_id(), kind=ContactKind.PHONE, to=MOBILE)
    ask(session, at, mine.id, asked)

    with pytest.raises(RequestReused):
        ask(session, at, theirs.id, asked)
    with pytest.raises(RequestReused):
        ask(session, at, mine.id, asked.model_copy(update={"to": "+4915123456780"}))


def test_three_codes_an_hour_and_ten_a_day_go_to_one_number(session: Session) -> None:
    at = make.shop(session)
    sent = 0
    for minute in range(0, 24 * 60, 15):
        now = NOON + timedelta(minutes=minute)
        mine = phone.wallet(session, at, now=now)
        try:
            phone.passcode(session, at, mine, now=now)
        except TooManyTries:
            continue
        sent += 1
        if minute < 60:
            assert sent <= 3

    assert sent == 10


def test_five_codes_an_hour_come_from_one_wallet(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    for number in range(5):
        phone.passcode(session, at, mine, to=f"user{number}@example.com", kind=ContactKind.EMAIL)

    with pytest.raises(TooManyTries):
        phone.passcode(session, at, mine, to="user5@example.com", kind=ContactKind.EMAIL)


def test_thirty_codes_an_hour_go_to_one_block_of_numbers(session: Session) -> None:
    at = make.shop(session)
    for number in range(30):
        network = f"203.0.113.{number}"
        mine = phone.wallet(session, at, network=network)
        phone.passcode(session, at, mine, to=f"+49151234567{number:02}", network=network)
    mine = phone.wallet(session, at)

    with pytest.raises(TooManyTries):
        phone.passcode(session, at, mine, to="+4915123456799")

    phone.passcode(session, at, mine, to="+491701234567")
    phone.passcode(session, at, mine, to=MAIL, kind=ContactKind.EMAIL)


def test_an_operator_sends_so_many_codes_an_hour(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passcodes, "PER_OPERATOR_AN_HOUR", 2)
    at = make.shop(session)
    for number in range(2):
        phone.passcode(session, at, phone.wallet(session, at), to=f"+4915123456{number:03}")

    with pytest.raises(TooManyTries):
        phone.passcode(session, at, phone.wallet(session, at))

    phone.passcode(session, at, phone.wallet(session, at), to=MAIL, kind=ContactKind.EMAIL)


def test_thirty_codes_an_hour_are_asked_for_from_one_network(session: Session) -> None:
    at = make.shop(session)
    for number in range(30):
        mine = phone.wallet(session, at, network=f"198.51.100.{number}")
        phone.passcode(session, at, mine, to=f"user{number}@example.com", kind=ContactKind.EMAIL)
    mine = phone.wallet(session, at)

    with pytest.raises(TooManyTries):
        phone.passcode(session, at, mine)

    phone.passcode(session, at, mine, network="198.51.100.7")


def test_what_one_phone_asks_in_vain_uses_up_nobody_elses_budget(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passcodes, "PER_OPERATOR_AN_HOUR", 6)
    at = make.shop(session)
    greedy = phone.wallet(session, at)
    for _ in range(20):
        with suppress(TooManyTries):
            phone.passcode(session, at, greedy)

    phone.passcode(session, at, phone.wallet(session, at), to="+491701234567")


@pytest.mark.parametrize(
    ("kind", "to", "region"),
    [
        ("phone", "0151 23456789", None),  # which country?
        ("phone", "+49900123456", None),
        ("phone", "+498001234567", None),  # free of charge: no mobile
        ("phone", "+4930123456", None),  # a desk in Berlin
        ("phone", "+441632960000", None),
        ("phone", "+44 70 1234 5678", None),  # personal numbers cost whoever sends
        ("phone", "+49 180 5 123456", None),  # shared cost
        ("phone", "+1 900 555 0123", None),  # premium rate
        ("phone", "+999123456789", None),
        ("phone", "+4915123456789 ext. 5", None),
        ("email", "mary", None),
        ("email", "mary@localhost", None),
        ("email", "mary@[127.0.0.1]", None),
        ("email", "a@b@example.com ", None),
        ("email", "mary roe@example.com", None),
        ("email", '"mary"@example.com', None),
        ("email", "máry@example.com", None),
        ("email", ".mary@example.com", None),
        ("email", "mary@example..com", None),
        ("email", "mary@exa mple.com", None),
        ("email", f"{'m' * 65}@example.com", None),
    ],
)
def test_nothing_goes_to_what_is_no_usable_address(
    session: Session, kind: Any, to: str, region: str | None
) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    asked = NewPasscode(id=make.an_id(), kind=kind, to=to, region=region)

    with pytest.raises(ContactNotUsable):
        ask(session, at, mine.id, asked)

    assert session.exec(select(Passcode)).all() == []


def test_a_line_break_in_an_address_never_gets_in() -> None:
    with pytest.raises(ValidationError):
        NewPasscode(
            id=make.an_id(), kind=ContactKind.EMAIL, to="mary@example.com\r\nBcc: all@example.com"
        )


@pytest.mark.parametrize(
    ("kind", "to", "region", "meant"),
    [
        ("phone", "0151 / 2345 6789", "DE", "+4915123456789"),
        ("phone", "+49 (151) 2345-6789", None, "+4915123456789"),
        ("phone", "138 0013 8000", "CN", "+8613800138000"),
        ("phone", "+1 650-253-0000", None, "+16502530000"),
        ("email", " Mary.Roe@Example.COM ", None, "mary.roe@example.com"),
        ("email", "mary@bücher.example", None, "mary@xn--bcher-kva.example"),
        ("email", "mary+coupons@example.com", None, "mary+coupons@example.com"),
    ],
)
def test_a_code_goes_to_the_form_by_which_its_owner_is_found(
    session: Session, kind: Any, to: str, region: str | None, meant: str
) -> None:
    at = make.shop(session)
    id = make.an_id()
    asked = NewPasscode(id=id, kind=kind, to=to, region=region)

    ask(session, at, phone.wallet(session, at).id, asked)

    assert phone.waiting(session, at, id)["to"] == meant


def test_a_wallet_that_has_ended_asks_for_nothing(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    id = phone.passcode(session, at, mine)
    wallets.end(session, session.get_one(Wallet, (at.operator_id, mine.id)), why="x", now=NOON)
    session.flush()

    with pytest.raises(NotSignedIn):
        phone.passcode(session, at, mine)
    with pytest.raises(NotSignedIn):
        phone.answers(session, at, mine, id)


def test_the_record_tells_that_a_contact_was_shown_and_never_which(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    phone.verified(session, at, mine)

    events = session.exec(select(Event).where(Event.kind == "contact_verified")).all()

    assert [event.subject_id for event in events] == [mine.customer_id]
    assert set(events[0].data) == {"contact_id", "contact_kind"}


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "", "１２３４５６"])
def test_only_what_can_be_a_code_is_looked_at(code: str) -> None:
    with pytest.raises(ValidationError):
        NewPasscodeAnswer(passcode_id=make.an_id(), code=code)


# Sending


@dataclass
class Postman:
    """The far side: takes what it is given, or does not."""

    is_away: bool = False
    taken: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.is_away:
            raise NotSent("status 503")
        self.taken.append(message)


def test_a_code_leaves_once_and_is_forgotten_then(database: Engine, limited: Engine) -> None:
    at, mine, id = one_waiting(database)
    postman = Postman()

    sent = [send(limited, postman), send(limited, postman)]

    (message,) = postman.taken
    assert (sent, message.to, message.id) == ([1, 0], MOBILE, id)
    with transaction(database) as session:
        row = session.get_one(Passcode, (at.operator_id, id))
        assert (row.due_at, phone.waiting(session, at, id)) == (None, {"to": MOBILE})
        code = message.text[:6]
        assert phone.answers(session, at, mine, id, code).contact.masked == "+49 *** *** 89"


def test_a_code_that_nobody_took_is_sent_again_later_each_time(database: Engine) -> None:
    one_waiting(database)
    postman = Postman(is_away=True)
    moments = [0, 29, 30, 60, 90, 200, 300]

    with capture_logs() as logs:
        for seconds in moments:
            send(database, postman, now=NOON + timedelta(seconds=seconds))

    # Due at 0, 30 and 90; the wait after that is longer than the 110 seconds until 200.
    assert [log["attempts"] for log in logs] == [1, 2, 3]


def test_a_failure_is_noted_without_number_and_code(database: Engine) -> None:
    at, _, id = one_waiting(database)
    with transaction(database) as session:
        secrets = phone.waiting(session, at, id)

    with capture_logs() as logs:
        send(database, Postman(is_away=True))

    assert [log["event"] for log in logs] == ["passcode_not_sent"]
    assert logs[0]["error"] == "status 503"
    assert secrets["to"] not in str(logs)
    assert secrets["code"] not in str(logs)


def test_nothing_of_a_code_that_is_over_stays(database: Engine, limited: Engine) -> None:
    one_waiting(database)
    postman = Postman()

    sent = send(limited, postman, now=NOON + timedelta(minutes=5))

    assert (sent, postman.taken) == (0, [])
    with transaction(database) as session:
        assert session.exec(select(Passcode)).all() == []


def test_two_senders_never_send_the_same_code(database: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        for number in range(6):
            phone.passcode(session, at, phone.wallet(session, at), to=f"+4915123456{number:03}")
    with transaction(database) as one, transaction(database) as other:
        first = passcodes._lease(one, now=NOON, most=2)
        second = passcodes._lease(other, now=NOON, most=100)

    assert Counter(row["id"] for row in (*first, *second)).most_common(1)[0][1] == 1
    assert (len(first), len(second)) == (2, 4)


def test_a_message_waits_for_nobody_while_a_row_is_locked(database: Engine) -> None:
    """A code can be typed while another message is on its way."""
    at, mine, id = one_waiting(database)

    class Slow(Postman):
        def send(self, message: Message) -> None:
            with transaction(database) as session:
                phone.answers(session, at, mine, id, message.text[:6])

    assert send(database, Slow()) == 1

    with transaction(database) as session:
        row = session.get_one(Passcode, (at.operator_id, id))
        assert (row.used_at, row.sealed) == (NOON, b"")


def test_a_sandbox_sends_by_its_own_clock(database: Engine, limited: Engine) -> None:
    ahead = timedelta(days=30)
    with transaction(database) as session:
        at = make.shop(session)
        session.get_one(Operator, at.operator_id).clock_ahead_seconds = int(ahead.total_seconds())
        mine = phone.wallet(session, at, now=NOON + ahead)
        phone.passcode(session, at, mine, now=NOON + ahead)
    postman = Postman()

    assert send(limited, postman, now=NOON) == 1
    assert send(limited, postman, now=NOON + timedelta(minutes=5)) == 0

    with transaction(database) as session:
        assert session.exec(select(Passcode)).all() == []


@pytest.mark.parametrize(
    ("language", "says"), [("en", "Tell it to nobody"), ("zh", "请勿告诉他人")]
)
def test_a_message_says_it_in_the_customers_language(
    database: Engine, language: Any, says: str
) -> None:
    one_waiting(database, language=language)
    postman = Postman()

    send(database, postman)

    assert says in postman.taken[0].text
    assert "Acme" in postman.taken[0].text


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_secret_of_a_link_stands_where_no_server_sees_it(
    database: Engine, language: Any
) -> None:
    at, _, id = one_waiting(database, language=language, kind=ContactKind.EMAIL, to=MAIL)
    with transaction(database) as session:
        secret = phone.waiting(session, at, id)["secret"]
    postman = Postman()

    send(database, postman)

    assert f"https://coupons.test/wallet/move#{secret}\n" in postman.taken[0].text


def one_waiting(database: Engine, **more: Any) -> tuple[make.Shop, Any, Any]:
    asked: dict[str, Any] = {"id": make.an_id(), "kind": ContactKind.PHONE, "to": MOBILE, **more}
    with transaction(database) as session:
        at = make.shop(session)
        mine = phone.wallet(session, at)
        ask(session, at, mine.id, NewPasscode(**asked))
    return at, mine, asked["id"]


def send(engine: Engine, channel: Channel, *, now: datetime = NOON) -> int:
    return passcodes.send_waiting(
        engine,
        {ContactKind.PHONE: channel, ContactKind.EMAIL: channel},
        vault=VAULT,
        issuer_url=make.ISSUER,
        now=now,
    )


def ask(session: Session, at: make.Shop, wallet_id: Any, asked: NewPasscode) -> Any:
    return passcodes.ask(
        session, at.operator_id, wallet_id, asked, network=HOME, vault=VAULT, now=NOON
    )
