"""The bundle: all that a terminal knows while it is alone, in one signed document.

It ends with the terminal's lease. Its `ver` rises with every one that a terminal gets, so that an
older one, in which a key had not been withdrawn yet, is no way back.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from pydantic_core import to_json
from sqlmodel import Session, col, select

from coupon_engine.errors import NoLease
from coupon_engine.offline import judgeable, leases, server_keys, status_lists
from coupon_engine.offline.judgeable import Judgeable, JudgeableOffer
from coupon_engine.rows import found, locked
from coupon_engine.tables import Allowance, Lease, Operator, SigningKey, Store, Terminal
from coupon_engine.validation import token as tokens
from coupon_engine.validation.issuer_keys import public_jwk
from schemas.coupons import HolderKey
from schemas.keys import KeyState
from schemas.offers import Terms
from schemas.offline import (
    Bundle,
    BundleCampaign,
    BundleKey,
    BundleOffer,
    BundleTerminal,
)

# A terminal takes no document of more than 4 MiB, and base64 makes four letters of three.
MOST_BYTES = 2**21


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A `bundle+jwt`, and a mark that changes when anything in it does but its age."""

    jwt: str
    mark: str


def signed(
    session: Session,
    operator_id: UUID,
    terminal_id: UUID,
    *,
    issuer_url: str,
    passphrase: bytes,
    unless: str | None = None,
    now: datetime,
) -> SignedBundle | None:
    """Return what this terminal judges by under its lease; None if its mark is still `unless`.

    Raises:
        Unknown: No such terminal.
        NotSignedIn: It was revoked a moment ago.
        TerminalFrozen: Its journal has forked.
        NoLease: It has no lease, or its lease is over.
    """
    terminal = locked(session, Terminal, operator_id, terminal_id)
    leases.refuse_untrusted(terminal)
    lease = leases.current(session, operator_id, terminal_id, now=now)
    if lease is None:
        raise NoLease
    contents = _contents(session, terminal, lease, issuer_url=issuer_url, now=now)
    mark = _mark(contents)
    if mark == unless:
        return None
    terminal.bundle_ver += 1
    session.add(terminal)
    session.flush()
    claims = contents.model_copy(update={"ver": terminal.bundle_ver}).model_dump(mode="json")
    key = server_keys.in_use(session, operator_id, passphrase=passphrase, now=now)
    jwt = tokens.sign_typed(claims, key.private, tokens.Typ.BUNDLE, kid=key.kid)
    return SignedBundle(jwt, mark)


def _contents(
    session: Session, terminal: Terminal, lease: Lease, *, issuer_url: str, now: datetime
) -> Bundle:
    operator_id = terminal.operator_id
    operator = session.get_one(Operator, operator_id)
    store = found(session, Store, operator_id, lease.store_id)
    own = {each.campaign_id: each for each in leases.allowances(session, operator_id, lease.id)}
    campaigns = list(_campaigns(judgeable.campaigns(session, operator_id, now=now), store.id, own))
    until = math.floor(lease.ends_at.timestamp())
    others = tuple(_others(session, terminal))
    hub = _hub(session, terminal, others, now=now)
    return Bundle(
        ver=terminal.bundle_ver,
        iat=math.floor(now.timestamp()),
        exp=until,
        iss=f"{issuer_url}/{operator.slug}",
        terminal_id=terminal.id,
        store_id=store.id,
        store_number=store.number,
        store_zone=store.zone,
        lease_id=lease.id,
        lease_number=lease.number,
        lease_until=until,
        is_authority=lease.is_authority,
        hub_id=hub.terminal_id if hub else None,
        hub_url=hub.hub_url if hub else None,
        keys=tuple(_keys(session, operator_id)),
        campaigns=tuple(each for each, _ in campaigns),
        lists=tuple(status_lists.named(session, (row for _, row in campaigns))),
        terminals=others,
    )


def _campaigns(
    campaigns: Sequence[Judgeable], store_id: UUID, own: dict[UUID, Allowance]
) -> Iterable[tuple[BundleCampaign, Any]]:
    """Yield the campaigns in the order of their numbers, of more than fit the newest."""
    fitting: list[tuple[BundleCampaign, Any]] = []
    weight = 0
    for each in reversed(campaigns):
        told = _campaign(each, store_id, own.get(each.row.id))
        weight += len(told.model_dump_json())
        if weight > MOST_BYTES:
            break
        fitting.append((told, each.row))
    return reversed(fitting)


def _campaign(campaign: Judgeable, store_id: UUID, allowance: Allowance | None) -> BundleCampaign:
    row = campaign.row
    return BundleCampaign.model_validate(
        {
            "number": row.number,
            "id": row.id,
            "currency": row.currency,
            "zone": row.zone,
            "offline": row.offline,
            "is_live": True,
            "is_paused": campaign.is_paused,
            "has_ended_for_good": campaign.has_ended_for_good,
            "offers": tuple(_offer(each, store_id) for each in campaign.offers),
            "max_count": allowance.max_count if allowance else 0,
            "max_minor": allowance.max_minor if allowance else 0,
        }
    )


def _offer(offer: JudgeableOffer, store_id: UUID) -> BundleOffer:
    return BundleOffer(
        quota_class=offer.quota_class, id=offer.id, terms=_at_store(offer.terms, store_id)
    )


def _at_store(terms: Terms, store_id: UUID) -> Terms:
    """Say the same of this store in fewer words: an offer may list ten thousand stores."""
    listed = terms.conditions.stores
    if not listed:
        return terms
    stores = (store_id,) if store_id in listed else listed[:1]
    conditions = terms.conditions.model_copy(update={"stores": stores})
    return terms.model_copy(update={"conditions": conditions})


def _keys(session: Session, operator_id: UUID) -> Iterable[BundleKey]:
    """Yield every key that verifies or soon will: known to all before the first coupon has it."""
    rows = session.exec(
        select(SigningKey)
        .where(
            col(SigningKey.operator_id) == operator_id,
            col(SigningKey.decided) != KeyState.RETIRED,
        )
        .order_by(col(SigningKey.letter))
    ).all()
    for row in rows:
        jwk = {name: row.public_jwk[name] for name in ("kty", "crv", "x", "y")}
        nbf = math.floor(row.published_at.timestamp())
        yield BundleKey.model_validate(
            {"letter": row.letter, "kid": row.kid, "jwk": jwk, "nbf": nbf, "exp": None}
        )


def _others(session: Session, terminal: Terminal) -> Iterable[BundleTerminal]:
    """Yield the terminals of the store that may ask each other."""
    rows = session.exec(
        select(Terminal)
        .where(
            col(Terminal.operator_id) == terminal.operator_id,
            col(Terminal.store_id) == terminal.store_id,
            col(Terminal.id) != terminal.id,
            col(Terminal.public_key).is_not(None),
            col(Terminal.revoked_at).is_(None),
            col(Terminal.frozen_at).is_(None),
        )
        .order_by(col(Terminal.id))
    ).all()
    for row in rows:
        assert row.public_key is not None
        jwk = public_jwk(EllipticCurvePublicKey.from_encoded_point(SECP256R1(), row.public_key))
        yield BundleTerminal(id=row.id, name=row.name, public_key=HolderKey(x=jwk["x"], y=jwk["y"]))


def _hub(
    session: Session, terminal: Terminal, others: Iterable[BundleTerminal], *, now: datetime
) -> Lease | None:
    """Return the lease of the terminal that decides for the store, if it is to be believed."""
    believed = {terminal.id, *(each.id for each in others)}
    deciding = leases.with_authority(session, terminal.operator_id, terminal.store_id, now=now)
    return next((each for each in deciding if each.terminal_id in believed), None)


def _mark(contents: Bundle) -> str:
    """Name the contents. Lists have versions of their own and grow older every minute."""
    aging: Any = {"ver": True, "iat": True, "lists": {"__all__": {"ver"}}}
    told = contents.model_dump(mode="json", exclude=aging)
    return sha256(to_json(told)).hexdigest()[:32]
