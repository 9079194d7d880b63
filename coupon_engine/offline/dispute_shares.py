"""Which share of a terminal's own redemptions was disputed, and what of it falls to the merchant.

A terminal that is kept from the network hears of nothing, and what it accepts is paid twice. So
the campaign bears disputes up to a share; beyond it the merchant does. That share is a reading of
a time, by when the redemptions were made, and never part of an entry's answer: answers are final,
they come one by one, and whose came first must not decide whose is over. Once a time's journals
are in, its reading is the same whatever order they came in.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from coupon_engine import bulk, events
from coupon_engine.database import allow_bulk
from coupon_engine.tables import Operator
from schemas.disputes import DisputesView, MerchantDisputes, TerminalDisputes
from schemas.offline import Liable

WATCHED = timedelta(days=28)
TOLD_EVERY = timedelta(days=1)
# So many are nobody's fault: one family with two phones, one line that fails at the wrong moment.
ALWAYS_TOLERATED = 4
WHOLE_BP = 10_000
# A terminal's clock may be so far ahead of when its redemption was decided.
AHEAD = timedelta(minutes=2)


def tolerated(decided: int, most_disputed_bp: int) -> int:
    """Return how many of so many redemptions may end disputed."""
    return max(ALWAYS_TOLERATED, decided * most_disputed_bp // WHOLE_BP)


def disputes_view(
    session: Session, operator_id: UUID, *, since: datetime, until: datetime
) -> DisputesView:
    """Return what became of the redemptions that terminals made alone in this time.

    What is still provisional is in no share. Of a merchant's disputed ones that the campaign
    bears, those beyond the tolerated are the latest, ties by terminal and number.
    """
    allow_bulk(session)
    most_bp = _most_disputed_bp(session, operator_id)
    window = {"operator_id": operator_id, "since": since, "until": until, "by": since - AHEAD}
    counts = bulk.read(session, _COUNTS, window)
    disputed = bulk.read(session, _DISPUTED, window)
    return DisputesView(
        since=since,
        until=until,
        most_disputed_bp=most_bp,
        terminals=tuple(_terminals(counts, most_bp)),
        merchants=tuple(_merchants(counts, disputed, most_bp)),
    )


def watch(
    session: Session, operator_id: UUID, terminal_ids: Collection[UUID], *, now: datetime
) -> None:
    """Sound the alarm about those of these terminals with too many disputes; once a day at most.

    Each is looked at alone, so that of two uploads that count against it at once the second sees
    what the first has decided. Whoever calls has written all that it has decided.
    """
    if not terminal_ids:
        return
    most_bp = _most_disputed_bp(session, operator_id)
    for id in sorted(terminal_ids):
        named = {"operator_id": operator_id, "terminal_id": id}
        bulk.read(session, _ALONE, named)
        since = now - WATCHED
        (row,) = bulk.read(session, _COUNT, {**named, "since": since, "by": since - AHEAD})
        decided = row.accepted + row.disputed
        if row.disputed <= tolerated(decided, most_bp):
            continue
        if bulk.read(session, _TOLD, {**named, "since": now - TOLD_EVERY}):
            continue
        told = events.happened(
            "many_disputed",
            id,
            operator_id=operator_id,
            campaign_id=None,
            at=now,
            data={
                "store_id": row.store_id,
                "accepted": row.accepted,
                "disputed": row.disputed,
                "share_bp": _share_bp(row.disputed, decided),
                "most_disputed_bp": most_bp,
                "within_days": WATCHED.days,
            },
        )
        events.record(session, told)


def _most_disputed_bp(session: Session, operator_id: UUID) -> int:
    return session.exec(
        select(Operator.most_disputed_bp).where(col(Operator.id) == operator_id)
    ).one()


def _share_bp(disputed: int, decided: int) -> int:
    return disputed * WHOLE_BP // decided if decided else 0


@dataclass(slots=True)
class _Sum:
    accepted: int = 0
    disputed: int = 0

    @property
    def decided(self) -> int:
        return self.accepted + self.disputed

    def add(self, row: Any) -> None:
        self.accepted += row.accepted
        self.disputed += row.disputed


def _terminals(counts: Iterable[Any], most_bp: int) -> Iterable[TerminalDisputes]:
    sums: dict[tuple[UUID, UUID], _Sum] = defaultdict(_Sum)
    for row in counts:
        sums[row.terminal_id, row.store_id].add(row)
    for (terminal_id, store_id), each in sorted(sums.items()):
        yield TerminalDisputes(
            terminal_id=terminal_id,
            store_id=store_id,
            accepted=each.accepted,
            disputed=each.disputed,
            share_bp=_share_bp(each.disputed, each.decided),
            is_over=each.disputed > tolerated(each.decided, most_bp),
        )


def _merchants(
    counts: Iterable[Any], disputed: Iterable[Any], most_bp: int
) -> Iterable[MerchantDisputes]:
    sums: dict[tuple[UUID, str], _Sum] = defaultdict(_Sum)
    for row in counts:
        sums[row.merchant_id, row.currency].add(row)
    borne: dict[tuple[UUID, str, str], list[int]] = defaultdict(list)
    for row in disputed:
        borne[row.merchant_id, row.currency, row.liable].append(row.discount_minor)
    for (merchant_id, currency), each in sorted(sums.items()):
        by_campaign = borne[merchant_id, currency, Liable.CAMPAIGN]
        may_be = tolerated(each.decided, most_bp)
        over = by_campaign[may_be:]
        yield MerchantDisputes(
            merchant_id=merchant_id,
            currency=currency,
            accepted=each.accepted,
            disputed=each.disputed,
            share_bp=_share_bp(each.disputed, each.decided),
            tolerated=may_be,
            campaign_minor=sum(by_campaign),
            merchant_minor=sum(borne[merchant_id, currency, Liable.MERCHANT]),
            over=len(over),
            over_minor=sum(over),
        )


# An entry is decided after it was made, and by that the index knows it.
_ENTRIES = """
    FROM terminal
    JOIN store ON store.operator_id = terminal.operator_id AND store.id = terminal.store_id
    JOIN journal_entry AS entry
      ON entry.operator_id = terminal.operator_id AND entry.terminal_id = terminal.id
      AND entry.decided_at >= %(by)s AND entry.at >= %(since)s AND entry.redemption_id IS NOT NULL
"""
_OF_TIME = """
    JOIN campaign
      ON campaign.operator_id = entry.operator_id AND campaign.id = entry.campaign_id
    WHERE terminal.operator_id = %(operator_id)s AND entry.at < %(until)s
"""
_ENDED = """
    count(*) FILTER (WHERE entry.answer = 'accepted') AS accepted,
    count(*) FILTER (WHERE entry.answer = 'disputed') AS disputed
"""
_COUNTS = f"""
    SELECT terminal.id AS terminal_id, terminal.store_id, store.merchant_id, campaign.currency,
           {_ENDED}
    {_ENTRIES} {_OF_TIME}
    GROUP BY terminal.id, terminal.store_id, store.merchant_id, campaign.currency
"""
_DISPUTED = f"""
    SELECT store.merchant_id, campaign.currency, entry.liable, entry.discount_minor
    {_ENTRIES} {_OF_TIME} AND entry.answer = 'disputed'
    ORDER BY entry.at, entry.terminal_id, entry.seq
"""
_ALONE = """
    SELECT pg_advisory_xact_lock(hashtextextended(
        concat_ws('/', 'disputes', %(operator_id)s::uuid, %(terminal_id)s::uuid), 0))
"""
_COUNT = f"""
    SELECT terminal.store_id, {_ENDED}
    {_ENTRIES}
    WHERE terminal.operator_id = %(operator_id)s AND terminal.id = %(terminal_id)s
    GROUP BY terminal.store_id
"""
_TOLD = """
    SELECT FROM event
    WHERE operator_id = %(operator_id)s AND subject_id = %(terminal_id)s
      AND kind = 'many_disputed' AND at > %(since)s
    LIMIT 1
"""
