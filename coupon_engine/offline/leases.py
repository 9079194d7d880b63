"""Leases: one terminal may work alone for a while, with money that is set aside for it.

    granted ── replaced by the terminal's next ──> closed: what was not used is back in the budget

What a lease may give away of a campaign, its allowance, is out of the campaign's own limit row from
the moment it is granted. So a budget holds even if every terminal is dark, and whoever redeems
online sees what is left. A lease is closed when everything that was done under it has come in, or
can come in no more.

Locks are taken in one order: terminal, store, leases, limit rows by key.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from coupon_engine import events, limits
from coupon_engine.answers import answered
from coupon_engine.errors import JournalIncomplete, NotSignedIn, RequestReused, TerminalFrozen
from coupon_engine.limits import Ceiling
from coupon_engine.offline import judgeable
from coupon_engine.offline.judgeable import Judgeable
from coupon_engine.rows import found, locked
from coupon_engine.tables import Allowance, JournalGap, Lease, Store, Terminal
from coupon_engine.validation.ceilings import LimitFacts
from schemas.offers import LimitOf
from schemas.offline import LATEST_UPLOAD_SECONDS, AllowanceView, LeaseView, NewLease

# One that runs, one that it replaces, and one for a terminal whose disk has died. Each of them
# keeps money set aside.
MOST_OPEN = 3
LATEST_UPLOAD = timedelta(seconds=LATEST_UPLOAD_SECONDS)


def grant(
    session: Session, operator_id: UUID, terminal_id: UUID, request: NewLease, *, now: datetime
) -> LeaseView:
    """Let this terminal work alone; its lease before is replaced, and closed when it is complete.

    In a store only one lease at a time has authority. Whoever asks for it while another's may
    still be in force gets a lease without.

    Raises:
        Unknown: No such terminal.
        NotSignedIn: The terminal was revoked a moment ago.
        TerminalFrozen: Its journal has forked.
        JournalIncomplete: Entries are missing, or too many earlier leases are not complete.
        RequestReused: This id was used for another request, or by another terminal.
    """
    lease = _granted(session, operator_id, request, terminal_id=terminal_id, now=now)
    if lease.terminal_id != terminal_id:
        raise RequestReused
    return lease


def close(
    session: Session, operator_id: UUID, lease_id: UUID, *, now: datetime
) -> tuple[AllowanceView, ...]:
    """End a lease for good, and return what was not used: it is back in the budget.

    Closing it again changes nothing and returns nothing.

    Raises:
        Unknown: No such lease.
    """
    session.flush()  # what was used of it, by whoever calls
    terminal_id = found(session, Lease, operator_id, lease_id).terminal_id
    locked(session, Terminal, operator_id, terminal_id)  # nobody uploads meanwhile
    lease = locked(session, Lease, operator_id, lease_id)
    if lease.closed_at is not None:
        return ()
    lease.closed_at = now
    session.add(lease)
    unused: list[AllowanceView] = []
    for row in allowances(session, operator_id, lease_id, for_update=True):
        row.returned_at = now
        session.add(row)
        if row.max_count > row.used_count or row.max_minor > row.used_minor:
            unused.append(
                AllowanceView(
                    campaign_id=row.campaign_id,
                    max_count=row.max_count - row.used_count,
                    max_minor=row.max_minor - row.used_minor,
                )
            )
    _give_back(session, operator_id, unused, now=now)
    _note(session, "lease_closed", lease, now, unused=_told(unused))
    return tuple(unused)


def current(
    session: Session, operator_id: UUID, terminal_id: UUID, *, now: datetime
) -> Lease | None:
    """Return the lease by which this terminal works alone now, if it has one."""
    query = _open(operator_id).where(
        col(Lease.terminal_id) == terminal_id,
        col(Lease.replaced_at).is_(None),
        col(Lease.starts_at) <= now,
        col(Lease.ends_at) > now,
    )
    return session.exec(query.order_by(col(Lease.number).desc()).limit(1)).one_or_none()


def with_authority(
    session: Session, operator_id: UUID, store_id: UUID, *, now: datetime
) -> list[Lease]:
    """Return the leases under which somebody may be deciding for this store, newest first.

    One that was replaced counts until it is over: the terminal may not have heard of the next.
    """
    query = _open(operator_id).where(
        col(Lease.store_id) == store_id,
        col(Lease.is_authority).is_(True),
        col(Lease.ends_at) > now,
    )
    return list(session.exec(query.order_by(col(Lease.starts_at).desc(), col(Lease.id))).all())


def allowances(
    session: Session, operator_id: UUID, lease_id: UUID, *, for_update: bool = False
) -> list[Allowance]:
    """Return what a lease may give away, in the order of campaigns."""
    query = (
        select(Allowance)
        .where(col(Allowance.operator_id) == operator_id, col(Allowance.lease_id) == lease_id)
        .order_by(col(Allowance.campaign_id))
        .execution_options(populate_existing=True)
    )
    return list(session.exec(query.with_for_update() if for_update else query).all())


def refuse_untrusted(terminal: Terminal) -> None:
    """Let pass a terminal that may still be given something to judge by.

    Raises:
        NotSignedIn: It was revoked a moment ago.
        TerminalFrozen: Its journal has forked.
    """
    if terminal.revoked_at is not None:
        raise NotSignedIn
    if terminal.frozen_at is not None:
        raise TerminalFrozen


@answered(LeaseView)
def _granted(
    session: Session,
    operator_id: UUID,
    request: NewLease,
    *,
    terminal_id: UUID,
    now: datetime,
) -> LeaseView:
    terminal = locked(session, Terminal, operator_id, terminal_id)
    refuse_untrusted(terminal)
    before = _before(session, terminal)
    _refuse_incomplete(session, terminal, before)
    locked(session, Store, operator_id, terminal.store_id)  # of two who want authority, one
    lease = Lease(
        operator_id=operator_id,
        id=request.id,
        terminal_id=terminal_id,
        store_id=terminal.store_id,
        number=_next_number(session, terminal),
        is_authority=request.wants_authority and not _others_decide(session, terminal, now=now),
        hub_url=request.hub_url,
        starts_at=now,
        ends_at=now + timedelta(seconds=request.lasts_seconds),
    )
    for each in before:
        each.replaced_at = each.replaced_at or now
    session.add_all([*before, lease])
    session.flush()
    given = _set_aside(session, lease, now=now)
    _note(session, "lease_granted", lease, now, allowances=_told(given))
    return LeaseView(
        id=lease.id,
        terminal_id=lease.terminal_id,
        store_id=lease.store_id,
        number=lease.number,
        is_authority=lease.is_authority,
        starts_at=lease.starts_at,
        ends_at=lease.ends_at,
        allowances=tuple(given),
    )


def _before(session: Session, terminal: Terminal) -> list[Lease]:
    query = _open(terminal.operator_id).where(col(Lease.terminal_id) == terminal.id)
    return list(session.exec(query.order_by(col(Lease.number)).with_for_update()).all())


def _refuse_incomplete(session: Session, terminal: Terminal, before: Sequence[Lease]) -> None:
    gap = session.exec(
        select(JournalGap)
        .where(
            col(JournalGap.operator_id) == terminal.operator_id,
            col(JournalGap.terminal_id) == terminal.id,
            col(JournalGap.filled_at).is_(None),
        )
        .order_by(col(JournalGap.first_seq))
        .limit(1)
    ).one_or_none()
    if gap is not None:
        raise JournalIncomplete(first_seq=gap.first_seq, last_seq=gap.last_seq)
    if len(before) >= MOST_OPEN:
        raise JournalIncomplete(open_leases=len(before), first_seq=terminal.journal_seq + 1)


def _next_number(session: Session, terminal: Terminal) -> int:
    highest = session.exec(
        select(func.max(Lease.number)).where(
            col(Lease.operator_id) == terminal.operator_id, col(Lease.terminal_id) == terminal.id
        )
    ).one()
    return (highest or 0) + 1


def _others_decide(session: Session, terminal: Terminal, *, now: datetime) -> bool:
    leases = with_authority(session, terminal.operator_id, terminal.store_id, now=now)
    return any(each.terminal_id != terminal.id for each in leases)


def _set_aside(session: Session, lease: Lease, *, now: datetime) -> list[AllowanceView]:
    """Take each campaign's allowance out of its budget: what it allows, or what is left."""
    wanted = [
        each
        for each in judgeable.campaigns(session, lease.operator_id, now=now)
        if each.works_at(lease.store_id, is_authority=lease.is_authority)
    ]
    own = [_ceiling(each.row.id) for each in wanted]
    rows = limits.locked(session, lease.operator_id, own, now=now)
    given = [_allowance(each, facts) for each, facts in zip(wanted, rows.facts(own), strict=True)]
    given = [each for each in given if each.max_count and each.max_minor]
    amounts = {_ceiling(each.campaign_id).key: (each.max_count, each.max_minor) for each in given}
    limits.set_aside(session, lease.operator_id, amounts)
    session.add_all(
        Allowance(operator_id=lease.operator_id, lease_id=lease.id, **each.model_dump())
        for each in given
    )
    session.flush()
    return given


def _allowance(campaign: Judgeable, facts: LimitFacts) -> AllowanceView:
    left_count = facts.max_count - facts.used_count - facts.held_count
    left_minor = facts.max_minor - facts.spent_minor - facts.held_minor
    return AllowanceView(
        campaign_id=campaign.row.id,
        max_count=max(0, min(campaign.row.offline_count, left_count)),
        max_minor=max(0, min(campaign.row.offline_minor, left_minor)),
    )


def _give_back(
    session: Session, operator_id: UUID, unused: Sequence[AllowanceView], *, now: datetime
) -> None:
    ceilings = {each.campaign_id: _ceiling(each.campaign_id) for each in unused}
    limits.locked(session, operator_id, ceilings.values(), now=now)
    amounts = {
        ceilings[each.campaign_id].key: (-each.max_count, -each.max_minor) for each in unused
    }
    session.flush()
    limits.set_aside(session, operator_id, amounts)


def _ceiling(campaign_id: UUID) -> Ceiling:
    return limits.of_campaign(campaign_id, LimitOf.REDEEM)


def _open(operator_id: UUID) -> SelectOfScalar[Lease]:
    """Select leases that are not closed, as they stand now."""
    query = select(Lease).where(
        col(Lease.operator_id) == operator_id, col(Lease.closed_at).is_(None)
    )
    return query.execution_options(populate_existing=True)


def _told(amounts: Sequence[AllowanceView]) -> list[dict[str, Any]]:
    return [each.model_dump(mode="json") for each in amounts]


def _note(
    session: Session, kind: str, lease: Lease, now: datetime, **more: Mapping[str, Any] | list[Any]
) -> None:
    events.note(
        session,
        events.happened(
            kind,
            lease.terminal_id,
            operator_id=lease.operator_id,
            campaign_id=None,
            at=now,
            data={
                "lease_id": lease.id,
                "number": lease.number,
                "store_id": lease.store_id,
                "is_authority": lease.is_authority,
                "ends_at": lease.ends_at,
                **more,
            },
        ),
    )
