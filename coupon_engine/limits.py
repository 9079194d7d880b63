"""Ceilings on count and money, each a row that is judged and moved only under its lock.

Rows are always locked in the order of their keys. A key begins with a digit so that the row that
most people want, the campaign's own, comes last and is held for the shortest time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from coupon_engine import bulk
from coupon_engine.tables import HoldClaim, Limit
from coupon_engine.validation.ceilings import LimitFacts
from coupon_engine.validation.windows import period_start
from schemas.base import MOST_COUNT, MOST_MINOR
from schemas.offers import LimitOf, LimitPer, LimitRule

LOCK = "FOR NO KEY UPDATE"

_OF_CAMPAIGNS = "9/"
_RANK = {LimitPer.CUSTOMER: 1, LimitPer.STORE: 3, LimitPer.ALL: 5}


@dataclass(frozen=True, slots=True)
class Ceiling:
    """One limit that a request comes under, and the row it would have."""

    key: str
    rule: str
    per: LimitPer
    campaign_id: UUID
    max_count: int
    max_minor: int
    is_new_row: bool  # made when first needed; the others were made with campaign and batch

    def over(self, standing: LimitFacts) -> LimitFacts:
        """Return what stands against this ceiling.

        Versions of an offer share the rows of their rules, and each goes by its own figures.
        """
        own = replace(standing, rule=self.rule, per=self.per)
        if not self.is_new_row:
            return own
        return replace(own, max_count=self.max_count, max_minor=self.max_minor)


def campaign_key(campaign_id: UUID, of: LimitOf) -> str:
    return f"{_OF_CAMPAIGNS}{campaign_id}/{of}"


def batch_key(batch_id: UUID, of: LimitOf) -> str:
    return f"7/{batch_id}/{of}"


def of_campaign(campaign_id: UUID, of: LimitOf) -> Ceiling:
    """Return the campaign's own ceiling; its figures stand in the row alone."""
    key = campaign_key(campaign_id, of)
    rule = "campaign" if of is LimitOf.REDEEM else "campaign.issue"
    return Ceiling(key, rule, LimitPer.ALL, campaign_id, 0, 0, is_new_row=False)


def of_batch(batch_id: UUID, campaign_id: UUID, of: LimitOf) -> Ceiling:
    rule = "batch" if of is LimitOf.REDEEM else "batch.issue"
    return Ceiling(batch_key(batch_id, of), rule, LimitPer.ALL, campaign_id, 0, 0, is_new_row=False)


def of_rules(
    rules: Iterable[LimitRule],
    of: LimitOf,
    *,
    place: str,
    owner_id: UUID,
    campaign_id: UUID,
    store_id: UUID | None,
    customer_id: UUID | None,
    zone: str,
    now: datetime,
) -> list[Ceiling]:
    """Return the ceilings that these rules put over one request.

    `place` says where the rules stand, `owner_id` whose they are. A rule per customer asks nothing
    of a coupon that nobody is known to hold.
    """
    who = {LimitPer.ALL: "", LimitPer.STORE: store_id, LimitPer.CUSTOMER: customer_id}
    ceilings: list[Ceiling] = []
    for at, rule in enumerate(rules):
        if rule.of is not of or who[rule.per] is None:
            continue
        start = period_start(rule.period, now, zone)
        key = (
            f"{_RANK[rule.per]}/{owner_id}/{of}/{rule.per}/{who[rule.per]}"
            f"/{rule.period}/{start or ''}"
        )
        ceilings.append(
            Ceiling(
                key=key,
                rule=f"{place}.limits[{at}]",
                per=rule.per,
                campaign_id=campaign_id,
                max_count=rule.max_count,
                max_minor=rule.max_minor or MOST_MINOR,
                is_new_row=True,
            )
        )
    return ceilings


def of_customer(campaign_id: UUID, customer_id: UUID, max_count: int) -> Ceiling:
    """Return the ceiling that every campaign puts over each customer.

    Its row is its own: a rule of the campaign that counts the same keeps another.
    """
    key = f"2/{campaign_id}/{LimitOf.REDEEM}/{LimitPer.CUSTOMER}/{customer_id}"
    rule = "campaign.max_per_customer"
    return Ceiling(
        key, rule, LimitPer.CUSTOMER, campaign_id, max_count, MOST_MINOR, is_new_row=True
    )


def new_row(
    operator_id: UUID,
    campaign_id: UUID,
    key: str,
    *,
    max_count: int,
    max_minor: int,
    max_per_minute: int = MOST_COUNT,
    max_minor_per_minute: int = MOST_MINOR,
) -> Limit:
    return Limit(
        operator_id=operator_id,
        key=key,
        campaign_id=campaign_id,
        max_count=max_count,
        max_minor=max_minor,
        max_per_minute=max_per_minute,
        max_minor_per_minute=max_minor_per_minute,
    )


class Locked:
    """The limit rows of one transaction, locked, and what it takes of them so far."""

    def __init__(
        self,
        operator_id: UUID,
        facts: dict[str, LimitFacts],
        claims: dict[UUID, dict[str, int]],
        minute: int,
        campaigns: Mapping[str, UUID],
    ) -> None:
        self._operator_id = operator_id
        self._campaigns = campaigns
        self._facts = facts
        self._claims = claims
        self._minute = minute
        self._touched: set[str] = set()

    def facts(
        self, ceilings: Sequence[Ceiling], *, hold_id: UUID | None = None
    ) -> list[LimitFacts]:
        """Return these ceilings as they stand now for whoever redeems this hold, if any."""
        own = self._claims.get(hold_id, {}) if hold_id else {}
        return [each.over(_without(self._facts[each.key], own.get(each.key))) for each in ceilings]

    def take(
        self,
        ceilings: Iterable[Ceiling],
        minor: int,
        *,
        count: int = 1,
        hold_id: UUID | None = None,
        is_lot: bool = False,
    ) -> None:
        """Take from each of them; the judge has said that they allow it.

        What the hold had claimed is redeemed with it and held no longer. A lot, which one person
        asks for once, says nothing about how many come in a minute.
        """
        claimed = self._claims.pop(hold_id, {}) if hold_id else {}
        for key, held_minor in claimed.items():
            self._facts[key] = _without(self._facts[key], held_minor)
        for each in ceilings:
            facts = self._facts[each.key]
            self._facts[each.key] = replace(
                facts,
                used_count=facts.used_count + count,
                spent_minor=facts.spent_minor + minor,
                minute_count=max(0, facts.minute_count + (0 if is_lot else count)),
                minute_minor=facts.minute_minor + minor,
            )
            self._touched.add(each.key)

    def of_campaigns(self) -> Mapping[UUID, LimitFacts]:
        """Return the campaigns' own rows of which something was taken, as they stand now."""
        return {
            self._campaigns[key]: self._facts[key]
            for key in self._touched
            if key in self._campaigns
        }

    def changes(self) -> bulk.Update:
        """Return the write that moves the rows."""
        rows = [
            {
                "operator_id": self._operator_id,
                "key": key,
                "used_count": self._facts[key].used_count,
                "spent_minor": self._facts[key].spent_minor,
                "max_count": self._facts[key].max_count,
                "max_minor": self._facts[key].max_minor,
                "minute": self._minute,
                "minute_count": self._facts[key].minute_count,
                "minute_minor": self._facts[key].minute_minor,
            }
            for key in sorted(self._touched)
        ]
        return bulk.Update(Limit, rows, key=("operator_id", "key"))


def locked(
    session: Session,
    operator_id: UUID,
    ceilings: Iterable[Ceiling],
    *,
    now: datetime,
    holds: Sequence[UUID] = (),
) -> Locked:
    """Lock the rows of these ceilings in key order, making those that are new.

    What open holds have claimed counts as used, but for whoever redeems one of these `holds`:
    its own claim was kept for that.
    """
    by_key: dict[str, Ceiling] = {}
    for each in ceilings:
        known = by_key.get(each.key)
        by_key[each.key] = _wider(each, known) if known else each
    _make_missing(session, operator_id, by_key.values())
    rows = bulk.read(
        session, f"{_SELECT} {LOCK}", {"operator_id": operator_id, "keys": list(by_key)}
    )
    facts: dict[str, LimitFacts] = {}
    promised: list[str] = []
    minute, next_minute = _minute_of(now), _next_minute(now)
    for row in rows:
        each = by_key[row.key]
        facts[row.key] = LimitFacts(
            rule=each.rule,
            per=each.per,
            max_count=max(row.max_count, each.max_count),
            used_count=row.used_count,
            held_count=0,
            max_minor=max(row.max_minor, each.max_minor),
            spent_minor=row.spent_minor,
            held_minor=0,
            minute_count=row.minute_count if row.minute == minute else 0,
            minute_minor=row.minute_minor if row.minute == minute else 0,
            max_per_minute=row.max_per_minute,
            max_minor_per_minute=row.max_minor_per_minute,
            next_minute=next_minute,
        )
        if row.held_until is not None and row.held_until > now:
            promised.append(row.key)
    assert len(facts) == len(by_key), "a campaign or batch without its limit row"
    for key, count, minor in _held(session, operator_id, promised, now):
        facts[key] = replace(facts[key], held_count=count, held_minor=minor)
    claims = _claims(session, operator_id, promised, holds, now)
    campaigns = {
        key: each.campaign_id for key, each in by_key.items() if key.startswith(_OF_CAMPAIGNS)
    }
    return Locked(operator_id, facts, claims, minute, campaigns)


def locked_of_campaign(
    session: Session, operator_id: UUID, campaign_id: UUID, *, now: datetime
) -> Mapping[str, LimitFacts]:
    """Lock both of a campaign's own rows; whoever locks the campaign as well does it after this."""
    own = [of_campaign(campaign_id, of) for of in LimitOf]
    facts = locked(session, operator_id, own, now=now).facts(own)
    return {each.key: standing for each, standing in zip(own, facts, strict=True)}


def _minute_of(now: datetime) -> int:
    return int(now.timestamp()) // 60


def _next_minute(now: datetime) -> datetime:
    return datetime.fromtimestamp(60 * _minute_of(now), UTC) + timedelta(minutes=1)


def _wider(one: Ceiling, other: Ceiling) -> Ceiling:
    return replace(
        one,
        max_count=max(one.max_count, other.max_count),
        max_minor=max(one.max_minor, other.max_minor),
    )


def _without(facts: LimitFacts, held_minor: int | None) -> LimitFacts:
    if held_minor is None:
        return facts
    return replace(
        facts,
        held_count=facts.held_count - 1,
        held_minor=facts.held_minor - held_minor,
        minute_count=facts.minute_count - 1,  # a promise had its place in the minute it was made
    )


def give_back(
    session: Session, operator_id: UUID, keys: Sequence[str], *, count: int, minor: int
) -> None:
    """Return what a reversed redemption took, to exactly the rows it came from."""
    session.connection().exec_driver_sql(
        f"{_SELECT} {LOCK}", {"operator_id": operator_id, "keys": list(keys)}
    ).all()
    session.connection().execute(
        _GIVE_BACK,
        {"operator_id": operator_id, "keys": list(keys), "count": count, "minor": minor},
    )


def set_aside(session: Session, operator_id: UUID, amounts: Mapping[str, tuple[int, int]]) -> None:
    """Count so many redemptions, and so much money, of each row as used; less than nought comes
    back. Whoever calls holds the rows.

    Nothing is redeemed by it, so neither the minute nor the breaker hears of it.
    """
    session.connection().execute(
        _SET_ASIDE,
        {
            "operator_id": operator_id,
            "keys": list(amounts),
            "counts": [count for count, _ in amounts.values()],
            "minors": [minor for _, minor in amounts.values()],
        },
    )


def claim(
    session: Session,
    operator_id: UUID,
    hold_id: UUID,
    ceilings: Iterable[Ceiling],
    *,
    minor: int,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Write down what an open hold keeps of each limit, its place in the minute included."""
    keys = sorted({each.key for each in ceilings})
    claims = [
        {
            "operator_id": operator_id,
            "limit_key": key,
            "hold_id": hold_id,
            "minor": minor,
            "expires_at": expires_at,
        }
        for key in keys
    ]
    bulk.write(session, bulk.Insert(HoldClaim, claims))
    session.connection().execute(
        _PROMISE,
        {
            "operator_id": operator_id,
            "keys": keys,
            "until": expires_at,
            "minute": _minute_of(now),
        },
    )


def _make_missing(session: Session, operator_id: UUID, ceilings: Iterable[Ceiling]) -> None:
    rows: list[dict[str, Any]] = [
        {
            "operator_id": operator_id,
            "key": each.key,
            "campaign_id": each.campaign_id,
            "max_count": min(each.max_count, MOST_COUNT),
            "used_count": 0,
            "max_minor": each.max_minor,
            "spent_minor": 0,
        }
        for each in sorted(ceilings, key=lambda each: each.key)
        if each.is_new_row
    ]
    bulk.write(session, bulk.Insert(Limit, rows, unless_there=True))


def _held(
    session: Session, operator_id: UUID, keys: Sequence[str], now: datetime
) -> Iterable[tuple[str, int, int]]:
    if not keys:
        return ()
    rows = session.connection().execute(
        _HELD, {"operator_id": operator_id, "keys": list(keys), "now": now}
    )
    return [(row.limit_key, row.holds, int(row.minor)) for row in rows]


def _claims(
    session: Session,
    operator_id: UUID,
    keys: Sequence[str],
    holds: Sequence[UUID],
    now: datetime,
) -> dict[UUID, dict[str, int]]:
    """Return what each of these holds keeps of these limits."""
    if not keys or not holds:
        return {}
    claims: dict[UUID, dict[str, int]] = {}
    for row in session.connection().execute(
        _CLAIMS,
        {"operator_id": operator_id, "keys": list(keys), "holds": list(holds), "now": now},
    ):
        claims.setdefault(row.hold_id, {})[row.limit_key] = row.minor
    return claims


def seen(
    session: Session, operator_id: UUID, ceilings: Sequence[Ceiling], *, now: datetime
) -> list[LimitFacts]:
    """Return these ceilings as they stand, without a lock; a row still to be made is empty."""
    standing = figures(session, operator_id, [each.key for each in ceilings], now=now)
    return [
        each.over(
            standing.get(each.key)
            or LimitFacts(each.rule, each.per, each.max_count, 0, 0, each.max_minor, 0, 0)
        )
        for each in ceilings
    ]


def figures(
    session: Session, operator_id: UUID, keys: Sequence[str], *, now: datetime
) -> Mapping[str, LimitFacts]:
    """Return limit rows as they stand, without locking them: for looking, never for judging."""
    rows = session.connection().exec_driver_sql(
        _SELECT, {"operator_id": operator_id, "keys": list(keys)}
    )
    facts = {
        row.key: LimitFacts(
            rule=row.key,
            per=LimitPer.ALL,
            max_count=row.max_count,
            used_count=row.used_count,
            held_count=0,
            max_minor=row.max_minor,
            spent_minor=row.spent_minor,
            held_minor=0,
            minute_count=row.minute_count if row.minute == _minute_of(now) else 0,
            minute_minor=row.minute_minor if row.minute == _minute_of(now) else 0,
            max_per_minute=row.max_per_minute,
            max_minor_per_minute=row.max_minor_per_minute,
            next_minute=_next_minute(now),
        )
        for row in rows
    }
    for key, count, minor in _held(session, operator_id, list(facts), now):
        facts[key] = replace(facts[key], held_count=count, held_minor=minor)
    return facts


_SELECT = """
    SELECT key, max_count, used_count, max_minor, spent_minor, held_until,
           minute, minute_count, minute_minor, max_per_minute, max_minor_per_minute
    FROM limit_row
    WHERE operator_id = %(operator_id)s AND key = ANY(%(keys)s) ORDER BY key
"""
_HELD = text("""
    SELECT limit_key, count(*) AS holds, sum(minor) AS minor FROM hold_claim
    WHERE operator_id = :operator_id AND limit_key = ANY(:keys)
      AND expires_at > :now
    GROUP BY limit_key
""")
_CLAIMS = text("""
    SELECT hold_id, limit_key, minor FROM hold_claim
    WHERE operator_id = :operator_id AND limit_key = ANY(:keys) AND hold_id = ANY(:holds)
      AND expires_at > :now
""")
_GIVE_BACK = text("""
    UPDATE limit_row SET used_count = used_count - :count, spent_minor = spent_minor - :minor
    WHERE operator_id = :operator_id AND key = ANY(:keys)
""")
_SET_ASIDE = text("""
    UPDATE limit_row
    SET used_count = used_count + moved.count, spent_minor = spent_minor + moved.minor
    FROM unnest(CAST(:keys AS text[]), CAST(:counts AS bigint[]), CAST(:minors AS bigint[]))
        AS moved (key, count, minor)
    WHERE operator_id = :operator_id AND limit_row.key = moved.key AND limit_row.key = ANY(:keys)
""")
_PROMISE = text("""
    UPDATE limit_row SET
        held_until = greatest(held_until, :until),
        minute = :minute,
        minute_count = CASE WHEN minute = :minute THEN minute_count ELSE 0 END + 1,
        minute_minor = CASE WHEN minute = :minute THEN minute_minor ELSE 0 END
    WHERE operator_id = :operator_id AND key = ANY(:keys)
""")
