"""Personal data lies in one table, sealed; looked at it is masked; on request it is gone."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session, col, select
from structlog.testing import capture_logs

from coupon_engine import issuing
from coupon_engine.customers import contacts, erasing, exporting, wallets
from coupon_engine.database import transaction
from coupon_engine.errors import NameTaken, NotSignedIn, Unknown
from coupon_engine.redemption import redeem
from coupon_engine.sealing import Spoilt
from coupon_engine.tables import Contact, Customer, Event
from schemas.coupons import NewClaim
from schemas.wallets import ContactKind, NewContact, NewErasure, NewOwnErasure, WalletView
from tests import make
from tests.coupon_engine.customers import phone
from tests.coupon_engine.customers.phone import MAIL, MOBILE, VAULT
from tests.make import NOON, SECRET

NAME = "Mary Roe-Fitzgerald"
# Also without the country, the domain, the first name.
PERSONAL = [MOBILE, MOBILE[3:], MAIL, MAIL.split("@", maxsplit=1)[0], NAME, NAME.split()[1]]


def test_a_contact_is_shown_masked(session: Session) -> None:
    at = make.shop(session)
    customer_id = known(session, at)

    shown = contacts.views(session, at.operator_id, customer_id, vault=VAULT)

    assert [(each.kind, each.masked, each.verified_at) for each in shown] == [
        ("name", "M***", None),
        ("email", "m***@e***.com", None),
        ("phone", "+49 *** *** 89", None),
    ]


def test_telling_a_contact_again_changes_nothing(session: Session) -> None:
    at = make.shop(session)
    customer_id = known(session, at)

    for kind, value in (("name", NAME), ("email", MAIL.upper()), ("phone", MOBILE)):
        tell(session, at, customer_id, kind, value)

    assert len(session.exec(select(Contact)).all()) == 3
    told = session.exec(select(Event).where(col(Event.kind) == "contact_told")).all()
    assert len(told) == 3


def test_a_new_name_takes_the_place_of_the_old(session: Session) -> None:
    at = make.shop(session)
    customer_id = known(session, at)

    tell(session, at, customer_id, "name", "Jo")

    shown = contacts.views(session, at.operator_id, customer_id, vault=VAULT)
    assert sorted(each.masked for each in shown if each.kind is ContactKind.NAME) == ["J***"]


def test_an_address_is_one_customers(session: Session) -> None:
    at = make.shop(session)
    known(session, at)

    with pytest.raises(NameTaken) as taken:
        tell(session, at, make.customer(session, at), "email", MAIL)

    assert taken.value.details == {}


def test_the_code_to_a_number_that_the_operator_told_opens_that_customer(
    session: Session,
) -> None:
    at = make.shop(session)
    customer_id = known(session, at)

    answered = phone.verified(session, at, phone.wallet(session, at))

    assert (answered.has_moved, answered.wallet.customer_id) == (True, customer_id)
    assert answered.contact.verified_at == NOON


def test_one_operators_contacts_are_unknown_to_another(session: Session) -> None:
    at, elsewhere = make.shop(session), make.shop(session)
    customer_id = known(session, at)
    asked = NewErasure(id=make.an_id(), customer_id=customer_id)

    with pytest.raises(Unknown):
        contacts.views(session, elsewhere.operator_id, customer_id, vault=VAULT)
    with pytest.raises(Unknown):
        export(session, elsewhere, customer_id)
    with pytest.raises(Unknown):
        erasing.erase(session, elsewhere.operator_id, asked, now=NOON)

    assert len(session.exec(select(Contact)).all()) == 3


def test_a_sealed_contact_opens_in_its_own_row_alone(session: Session) -> None:
    at = make.shop(session)
    known(session, at)
    mail, number = session.exec(
        select(Contact).where(col(Contact.lookup).is_not(None)).order_by(col(Contact.kind))
    ).all()
    mail.value, number.value = number.value, mail.value

    with pytest.raises(Spoilt):
        contacts.unsealed(mail, VAULT)


def test_a_dump_of_every_table_tells_nothing_of_a_person(database: Engine) -> None:
    """Before the erasure what is personal is sealed in one table; afterwards it is nowhere."""
    with capture_logs() as logs, transaction(database) as session:
        at = make.shop(session)
        mine = a_whole_life(session, at)
        before = dump(session)
        document = export(session, at, mine.customer_id)
        counted = erase(session, at, mine.customer_id)
        after = dump(session)

    assert {contact.value for contact in document.contacts} == {MOBILE, MAIL, NAME}
    assert (counted.contacts, counted.wallets) == (3, 1)
    assert counted.passcodes > 0
    for tables in (before, after):
        assert found_in(tables) == {}
    assert [row for row in after["contact"] if str(mine.customer_id) in row] == []
    assert [row for row in after["passcode"] if str(mine.id) in row] == []
    assert [each for each in PERSONAL if each in str(logs)] == []


def test_the_dump_would_show_what_is_not_sealed(database: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)
        make.customer(session, at, ref=MAIL)
        row = session.exec(select(Customer)).one()
        session.connection().execute(
            text("UPDATE operator SET name = :name"), {"name": f"Friends of {NAME}"}
        )
        session.connection().execute(
            text(
                "INSERT INTO contact (operator_id, id, customer_id, kind, value, created_at)"
                " VALUES (:operator_id, :id, :customer_id, 'phone', :value, now())"
            ),
            {
                "operator_id": at.operator_id,
                "id": make.an_id(),
                "customer_id": row.id,
                "value": MOBILE.encode(),
            },
        )

        assert set(found_in(dump(session))) == {"customer", "operator", "contact"}


def test_the_operators_own_name_for_a_person_goes_if_it_shall(session: Session) -> None:
    at = make.shop(session)
    kept = make.customer(session, at, ref="kept", segments=("regular",))
    gone = make.customer(session, at, ref="mary", segments=("regular",))

    erase(session, at, kept)
    erase(session, at, gone, erase_ref=True)

    rows = {
        id: session.get_one(Customer, (at.operator_id, id), populate_existing=True)
        for id in (kept, gone)
    }
    assert (rows[kept].ref, rows[kept].segments) == ("kept", ["regular"])
    assert rows[gone].ref.startswith("erased-")
    assert rows[gone].segments == []


def test_an_erased_persons_phone_opens_nothing_and_their_coupon_still_works(
    session: Session,
) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)
    coupon = make.coupon(session, at, customer_id=mine.customer_id)

    erased = erasing.erase_own(
        session, at.operator_id, mine.id, NewOwnErasure(id=make.an_id()), now=NOON
    )

    assert (erased.customer_id, erased.wallets) == (mine.customer_id, 1)
    assert wallets.key_of(session, mine.id) is None
    with pytest.raises(NotSignedIn):
        wallets.alive(session, at.operator_id, mine.id)
    assert redeem(session, at.operator_id, make.request(at, coupon), now=NOON).id


def test_a_repeated_erasure_gets_the_first_answer(session: Session) -> None:
    at = make.shop(session)
    asked = NewErasure(id=make.an_id(), customer_id=known(session, at))

    first = erasing.erase(session, at.operator_id, asked, now=NOON)
    again = erasing.erase(session, at.operator_id, asked, now=NOON + timedelta(days=1))

    assert first.contacts == 3
    assert again == first


def test_a_number_that_was_erased_is_free_for_whoever_has_it_now(session: Session) -> None:
    at = make.shop(session)
    before = phone.wallet(session, at)
    phone.verified(session, at, before)
    erase(session, at, before.customer_id)

    answered = phone.verified(session, at, phone.wallet(session, at))

    assert not answered.has_moved


def test_an_export_holds_everything_about_one_person_and_nothing_about_another(
    session: Session,
) -> None:
    at = make.shop(session)
    mine = a_whole_life(session, at)
    theirs = phone.wallet(session, at)
    other = make.coupon(session, at, customer_id=theirs.customer_id)

    document = export(session, at, mine.customer_id)

    assert [wallet.id for wallet in document.wallets] == [mine.id]
    assert len(document.coupons) == 2
    assert [each.discount_minor for each in document.redemptions] == [200]
    kinds = {event.kind for event in document.events}
    assert {"wallet_made", "contact_verified", "coupon_issued", "coupon_redeemed"} <= kinds
    whole = document.model_dump_json()
    assert str(other.id) not in whole
    assert str(theirs.id) not in whole
    assert "Ben the cashier" not in whole
    assert all(coupon.short_code is None for coupon in document.coupons)


def test_that_somebody_was_exported_is_recorded(session: Session) -> None:
    at = make.shop(session)
    mine = phone.wallet(session, at)

    exporting.export_own(
        session, at.operator_id, mine.id, vault=VAULT, code_secret=SECRET, now=NOON
    )

    event = session.exec(select(Event).where(col(Event.kind) == "customer_exported")).one()
    assert (event.subject_id, event.data) == (mine.customer_id, {})


def a_whole_life(session: Session, at: make.Shop) -> WalletView:
    """A phone whose number and mail were shown: a coupon spent, one left, a code on its way."""
    mine = phone.wallet(session, at)
    phone.verified(session, at, mine)
    id = phone.passcode(session, at, mine, kind=ContactKind.EMAIL, to=MAIL)
    phone.answers(session, at, mine, id)
    tell(session, at, mine.customer_id, "name", NAME)
    of = make.batch(session, at, has_short_codes=True)
    spent, _ = (
        issuing.claim(
            session,
            at.operator_id,
            NewClaim(id=make.an_id(), batch_id=of.id, customer_id=mine.customer_id),
            code_secret=SECRET,
            now=NOON,
        )
        for _ in range(2)
    )
    request = make.request(at, spent, cashier="Ben the cashier")
    redeem(session, at.operator_id, request, now=NOON)
    other = phone.wallet(session, at)
    phone.passcode(session, at, other)  # somebody else tries to come in by this number
    phone.passcode(session, at, mine, kind=ContactKind.EMAIL, to=MAIL)
    return mine


def known(session: Session, at: make.Shop) -> Any:
    """A customer of whom the operator has told name, mail and number."""
    customer_id = make.customer(session, at)
    for kind, value in (("name", NAME), ("email", MAIL), ("phone", MOBILE)):
        tell(session, at, customer_id, kind, value)
    return customer_id


def tell(session: Session, at: make.Shop, customer_id: Any, kind: str, value: str) -> None:
    told = NewContact(customer_id=customer_id, kind=ContactKind(kind), value=value)
    contacts.tell(session, at.operator_id, told, vault=VAULT, now=NOON)


def erase(session: Session, at: make.Shop, customer_id: Any, **more: Any) -> Any:
    asked = NewErasure(id=make.an_id(), customer_id=customer_id, **more)
    return erasing.erase(session, at.operator_id, asked, now=NOON)


def export(session: Session, at: make.Shop, customer_id: Any) -> Any:
    return exporting.export(
        session, at.operator_id, customer_id, vault=VAULT, code_secret=SECRET, now=NOON
    )


def dump(session: Session) -> dict[str, list[str]]:
    """Every row of every table as text; bytes are in hex, as PostgreSQL writes them."""
    session.flush()
    names = session.connection().execute(
        text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    )
    return {
        name: [
            json.dumps(row, ensure_ascii=False)
            for (row,) in session.connection().execute(
                text(f'SELECT to_jsonb(t) FROM "{name}" AS t')  # noqa: S608 (our own tables)
            )
        ]
        for (name,) in names
    }


def found_in(tables: dict[str, list[str]]) -> dict[str, set[str]]:
    """Return the tables in which something personal can be read, and what."""
    found = {
        name: {
            each
            for each in PERSONAL
            for row in rows
            if each.lower() in row.lower() or each.encode().hex() in row
        }
        for name, rows in tables.items()
    }
    return {name: each for name, each in found.items() if each}
