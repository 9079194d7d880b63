"""What a sign-in has asked and waits for: a row that is used once, or forgotten.

The secret goes to the browser and comes back with the answer; its hash finds the row, and with it
the operator.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete
from sqlmodel import Session, col, select

from coupon_engine.errors import NotSignedIn
from coupon_engine.people.secret import hash_of, new_secret
from coupon_engine.tables import Ceremony


def begin(
    session: Session,
    operator_id: UUID,
    kind: str,
    data: Mapping[str, Any],
    *,
    account_id: UUID | None,
    lasts: timedelta,
    now: datetime,
) -> str:
    """Remember what was asked, and return the secret that must come back with the answer.

    Seal what is secret in `data`. The operator's rows whose time is over go at the same time.
    """
    session.connection().execute(
        delete(Ceremony).where(
            col(Ceremony.operator_id) == operator_id, col(Ceremony.expires_at) <= now
        )
    )
    secret = new_secret()
    session.add(
        Ceremony(
            operator_id=operator_id,
            hash=hash_of(secret),
            kind=kind,
            account_id=account_id,
            data=dict(data),
            expires_at=now + lasts,
        )
    )
    session.flush()
    return secret


def found(
    session: Session, operator_id: UUID, kind: str, secret: str, *, now: datetime
) -> Ceremony:
    """Return the row and leave it there, for an answer that may be wrong a few times.

    Raises:
        NotSignedIn: There is none (any more), or its time is over.
    """
    row = session.get(Ceremony, (operator_id, hash_of(secret)), populate_existing=True)
    if row is None or row.kind != kind or row.expires_at <= now:
        raise NotSignedIn
    return row


def shown(session: Session, kind: str, secret: str, *, now: datetime) -> Ceremony:
    """Return the row of this secret, whoever's it is, and leave it there.

    For a transaction that began with `acting.on_showing(hash_of(secret).hex())`.

    Raises:
        NotSignedIn: There is none, or its time is over.
    """
    row = session.exec(
        select(Ceremony).where(
            Ceremony.hash == hash_of(secret), Ceremony.kind == kind, Ceremony.expires_at > now
        )
    ).one_or_none()
    if row is None:
        raise NotSignedIn
    return row


def finish(
    session: Session, operator_id: UUID, kind: str, secret: str, *, now: datetime
) -> Ceremony:
    """Return the row and delete it: of many who come at once, one gets it.

    If the transaction is rolled back afterwards, the row can be used again.

    Raises:
        NotSignedIn: There is none (any more), or its time is over.
    """
    found = session.exec(
        delete(Ceremony)
        .where(
            col(Ceremony.operator_id) == operator_id,
            col(Ceremony.hash) == hash_of(secret),
            col(Ceremony.kind) == kind,
            col(Ceremony.expires_at) > now,
        )
        .returning(Ceremony)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if found is None:
        raise NotSignedIn
    row: Ceremony = found[0]
    session.expunge(row)
    return row


def forget(session: Session, operator_id: UUID, account_id: UUID) -> None:
    """End everything that this account has begun."""
    session.connection().execute(
        delete(Ceremony).where(
            col(Ceremony.operator_id) == operator_id, col(Ceremony.account_id) == account_id
        )
    )
