"""A customer's name, number or address: sealed, in one table, found by a keyed hash.

What somebody typed is brought into one form first, and a code is only ever sent to that form: who
gets the code is who is found. Names are kept as they are told, and nobody is found by one.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import idna
import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType
from sqlalchemy import text
from sqlmodel import Session, col, select

from coupon_engine import events
from coupon_engine.errors import ContactNotUsable, NameTaken
from coupon_engine.rows import found
from coupon_engine.sealing import Vault
from coupon_engine.tables import Contact, Customer
from schemas.ids import new_id
from schemas.wallets import ContactKind, ContactView, NewContact


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody can be reached, in its one form."""

    kind: ContactKind
    value: str
    prefix: str | None = None  # of a number: country and the first national digits


def tell(
    session: Session, operator_id: UUID, request: NewContact, *, vault: Vault, now: datetime
) -> ContactView:
    """Note what the operator knows of a customer. Nobody has shown yet that it is theirs.

    Telling it again changes nothing. No answer is kept, for it would keep the person as well.

    Raises:
        Unknown: No such customer.
        ContactNotUsable: This is no address or number to which a code could go.
        NameTaken: It is another customer's.
    """
    found(session, Customer, operator_id, request.customer_id)
    address = address_of(request.kind, request.value, request.region)
    contact, is_new = keep(
        session, operator_id, request.customer_id, address, vault=vault, verified_at=None, now=now
    )
    if contact.customer_id != request.customer_id:
        raise NameTaken
    if is_new:
        record(session, "contact_told", contact, now)
    return view(contact, vault)


def views(
    session: Session, operator_id: UUID, customer_id: UUID, *, vault: Vault
) -> list[ContactView]:
    """Return what is known of a customer, masked.

    Raises:
        Unknown: No such customer.
    """
    found(session, Customer, operator_id, customer_id)
    return [view(row, vault) for row in of_customer(session, operator_id, customer_id)]


def address_of(kind: ContactKind, told: str, region: str | None) -> Address:
    """Return what was meant, in the one form in which it is kept, found and written to.

    Raises:
        ContactNotUsable: It cannot be meant, or nobody should send a code there.
    """
    match kind:
        case ContactKind.NAME:
            return Address(kind, told)
        case ContactKind.EMAIL:
            return Address(kind, _mail_address(told))
        case ContactKind.PHONE:
            number = _number(told, region)
            national = str(number.national_number)
            return Address(
                kind,
                phonenumbers.format_number(number, PhoneNumberFormat.E164),
                f"{number.country_code}-{national[:3]}",
            )


def lookup_of(vault: Vault, operator_id: UUID, address: Address) -> bytes:
    """Return by what this operator finds the address again."""
    return vault.lookup(address.value, f"contact {operator_id} {address.kind}")


def keep(
    session: Session,
    operator_id: UUID,
    customer_id: UUID,
    address: Address,
    *,
    vault: Vault,
    verified_at: datetime | None,
    now: datetime,
) -> tuple[Contact, bool]:
    """Return the contact with this address, locked, and whether it is new.

    It may be another customer's: then nothing was changed. Of several who come at once, one makes
    the row and the others find it.
    """
    if address.kind is ContactKind.NAME:
        return _keep_name(session, operator_id, customer_id, address, vault, now)
    id = new_id(now)
    lookup = lookup_of(vault, operator_id, address)
    made = session.connection().execute(
        _KEEP,
        {
            "operator_id": operator_id,
            "id": id,
            "customer_id": customer_id,
            "kind": address.kind,
            "value": vault.seal(address.value.encode(), _about(operator_id, id)),
            "lookup": lookup,
            "now": now,
            "verified_at": verified_at,
        },
    )
    contact = session.exec(
        select(Contact)
        .where(col(Contact.operator_id) == operator_id, col(Contact.lookup) == lookup)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    return contact, made.rowcount == 1


def of_customer(session: Session, operator_id: UUID, customer_id: UUID) -> list[Contact]:
    return list(
        session.exec(
            select(Contact)
            .where(col(Contact.operator_id) == operator_id, col(Contact.customer_id) == customer_id)
            .order_by(col(Contact.id))
        )
    )


def is_verified(session: Session, operator_id: UUID, customer_id: UUID) -> bool:
    """Has the customer shown that some number or address is their own?"""
    return any(row.verified_at for row in of_customer(session, operator_id, customer_id))


def view(contact: Contact, vault: Vault) -> ContactView:
    kind = ContactKind(contact.kind)
    return ContactView(
        kind=kind, masked=masked(kind, unsealed(contact, vault)), verified_at=contact.verified_at
    )


def unsealed(contact: Contact, vault: Vault) -> str:
    return vault.unseal(contact.value, _about(contact.operator_id, contact.id)).decode()


def masked(kind: ContactKind, value: str) -> str:
    """Return what its owner recognises and nobody else can use."""
    match kind:
        case ContactKind.NAME:
            return f"{value[0]}***"
        case ContactKind.EMAIL:
            name, _, domain = value.partition("@")
            ending = domain.rpartition(".")[2]
            return f"{name[0]}***@{domain[0]}***.{ending}"
        case ContactKind.PHONE:
            country = phonenumbers.parse(value).country_code
            return f"+{country} *** *** {value[-2:]}"


def record(session: Session, kind: str, contact: Contact, now: datetime) -> None:
    """Write down that something became known, and never what."""
    events.record(
        session,
        events.happened(
            kind,
            contact.customer_id,
            operator_id=contact.operator_id,
            campaign_id=None,
            at=now,
            data={"contact_id": contact.id, "contact_kind": contact.kind},
        ),
    )


def _keep_name(
    session: Session,
    operator_id: UUID,
    customer_id: UUID,
    address: Address,
    vault: Vault,
    now: datetime,
) -> tuple[Contact, bool]:
    """A customer has one name: a new one takes the place of the old."""
    found(session, Customer, operator_id, customer_id)
    names = [
        row
        for row in of_customer(session, operator_id, customer_id)
        if row.kind == ContactKind.NAME
    ]
    for row in names:
        if unsealed(row, vault) == address.value:
            return row, False
        session.delete(row)
    id = new_id(now)
    contact = Contact(
        operator_id=operator_id,
        id=id,
        customer_id=customer_id,
        kind=address.kind,
        value=vault.seal(address.value.encode(), _about(operator_id, id)),
        created_at=now,
    )
    session.add(contact)
    session.flush()
    return contact, True


def _mail_address(told: str) -> str:
    """Lower the whole address, and write its domain as the name service does.

    Somewhere `Mary@` and `mary@` may be two people. Both are one here, and the code goes to
    `mary@`: nobody gets into a wallet whose mail they cannot read.
    """
    name, at, domain = told.strip().lower().rpartition("@")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise ContactNotUsable(why="this is no mail address") from None
    is_usable = at and _MAIL_NAME.fullmatch(name) and _MAIL_DOMAIN.fullmatch(ascii_domain)
    if not is_usable or len(name) > 64 or len(ascii_domain) > 253:
        raise ContactNotUsable(why="this is no mail address")
    return f"{name}@{ascii_domain}"


def _number(told: str, region: str | None) -> PhoneNumber:
    """Read a number to which a message can go, and from which nobody earns."""
    if not _DIGITS.fullmatch(told):
        raise ContactNotUsable(why="write a number in digits, with + and the country first")
    try:
        number = phonenumbers.parse(told, region)
    except NumberParseException:
        raise ContactNotUsable(
            why="write the number with + and its country, or say the region"
        ) from None
    if not phonenumbers.is_valid_number(number) or number.extension:
        raise ContactNotUsable(why="no such number is given out")
    if phonenumbers.number_type(number) not in _REACHABLE:
        raise ContactNotUsable(why="codes go to mobile numbers only")
    return number


# Premium-rate, shared-cost, toll-free, pager, voicemail and unknown numbers are where fraud sends
# other people's codes; a number on a desk shows no text.
_REACHABLE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
_DIGITS = re.compile(r"\+?[0-9 ()./-]{4,30}")
# Other letters have doubles that look alike; quoted names have blanks. Nobody misses either.
_MAIL_NAME = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_MAIL_DOMAIN = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z][a-z0-9-]{1,62}")


def _about(operator_id: UUID, id: UUID) -> str:
    return f"contact {operator_id} {id}"


_KEEP = text("""
    INSERT INTO contact (operator_id, id, customer_id, kind, value, lookup, created_at, verified_at)
    VALUES (:operator_id, :id, :customer_id, :kind, :value, :lookup, :now, :verified_at)
    ON CONFLICT (operator_id, lookup) DO NOTHING
""")
