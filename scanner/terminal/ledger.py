"""The ledger: what has been spent here, and what the lease may still give away.

Rows in the journal's file, written in the transaction that writes the entry. A coupon stays in the
ledger until it would have ended, or until the server says that it works again: a status list that
is newer than the server's knowledge of this redemption does not have it (a reversal).
"""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pydantic import TypeAdapter

from coupon_engine.validation.alone import over_allowance
from coupon_engine.validation.facts import Applied
from schemas.baskets import Basket
from schemas.journals import Entry


class AlreadySpent(Exception):
    """This coupon stands in the ledger. Nothing was written."""

    def __init__(self, spent: "Spent") -> None:
        super().__init__("this coupon was redeemed here")
        self.spent = spent


class AllowanceUsedUp(Exception):
    """The lease allows no more of this campaign. Nothing was written."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Spent:
    """What the ledger knows of a coupon that was redeemed here."""

    id: UUID
    seq: int
    at: datetime
    ask: str  # tells whether an id came again with the same contents
    answer: str  # as it was told, for whoever asks again with the same id
    heard_at: datetime | None  # by the server's clock: from then on it knew of this redemption


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """So much of what a lease may give away of one campaign."""

    lease_id: UUID
    campaign_id: UUID
    minor: int
    max_count: int
    max_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What an accepted redemption takes: the coupon, and a part of the lease's allowance.

    Without a `taking` the server has accepted it, and the ledger only remembers the coupon.
    """

    jti: UUID
    id: UUID
    until: datetime  # when the coupon would have ended: so long the ledger keeps it
    taking: Taking | None = None
    ask: str = ""
    answer: str = ""
    is_over: bool = True  # the coupon has no use left
    reversed_id: UUID | None = None  # an earlier redemption here that counts no more
    order_ref: str | None = None
    basket: Basket | None = None
    applied: Applied | None = None


@dataclass(frozen=True, slots=True)
class OpenReceipt:
    """A basket that coupons have shared here; `applied` is None where not all of them are known."""

    basket: Basket | None
    applied: tuple[Applied, ...] | None


TABLES = """
    CREATE TABLE IF NOT EXISTS spent (
        jti TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
        until INTEGER NOT NULL, ask TEXT NOT NULL, answer TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS heard (id TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS used (
        lease_id TEXT NOT NULL, campaign_id TEXT NOT NULL, count INTEGER NOT NULL,
        minor INTEGER NOT NULL, PRIMARY KEY (lease_id, campaign_id)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS receipt (
        order_ref TEXT NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL, basket TEXT,
        applied TEXT, PRIMARY KEY (order_ref, seq)
    ) STRICT;
"""


class Ledger:
    """The ledger of one journal. The journal holds its lock, and begins and ends transactions."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def spend(self, entry: Entry, spending: Spending) -> None:
        """Take coupon and allowance.

        Raises:
            AlreadySpent: The coupon, or another one under this id, stands here.
            AllowanceUsedUp: One more would exceed the lease's allowance.
        """
        if spending.taking is not None:
            earlier = self.spent(spending.jti)
            if earlier is not None and earlier.id == spending.reversed_id:
                self._forget(earlier.id)
                earlier = None
            if spent := earlier or self.redeemed(spending.id):
                raise AlreadySpent(spent)
            self._take(spending.taking)
        if spending.is_over:
            self._remember(entry, spending)
        if spending.order_ref is not None:
            self._database.execute(
                "INSERT INTO receipt (order_ref, seq, ts, basket, applied) VALUES (?, ?, ?, ?, ?)",
                (
                    spending.order_ref,
                    entry.seq,
                    entry.ts,
                    spending.basket.model_dump_json() if spending.basket else None,
                    _APPLIED.dump_json(spending.applied).decode() if spending.applied else None,
                ),
            )

    def spent(self, jti: UUID) -> Spent | None:
        """Return what is known of a coupon that was redeemed here."""
        return self._found("jti", jti)

    def redeemed(self, id: UUID) -> Spent | None:
        """Return the redemption that was accepted here under this id."""
        return self._found("id", id)

    def hear(self, seq: int, at: datetime) -> None:
        """Know that the server has this entry's redemption; the first time counts."""
        self._database.execute(
            "INSERT OR IGNORE INTO heard (id, at) SELECT id, ? FROM spent WHERE seq = ?",
            (millis(at), seq),
        )

    def used(self, lease_id: UUID, campaign_id: UUID) -> tuple[int, int]:
        """Return how often and how much this lease has given away of a campaign."""
        query = "SELECT count, minor FROM used WHERE lease_id = ? AND campaign_id = ?"
        row = self._database.execute(query, (str(lease_id), str(campaign_id))).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def receipt(self, order_ref: str) -> OpenReceipt | None:
        """Return the basket that coupons have shared here under this number."""
        query = "SELECT basket, applied FROM receipt WHERE order_ref = ? ORDER BY seq"
        rows = self._database.execute(query, (order_ref,)).fetchall()
        if not rows:
            return None
        baskets = [Basket.model_validate_json(basket) for basket, _ in rows if basket]
        known = [_APPLIED.validate_json(applied) for _, applied in rows if applied]
        return OpenReceipt(
            basket=baskets[0] if baskets else None,
            applied=tuple(known) if len(known) == len(rows) else None,
        )

    def prune(self, seq: int, before: datetime) -> None:
        """Let go of what no entry from `seq` on needs, and what no coupon can come back to."""
        named = (seq, millis(before))
        self._database.execute("DELETE FROM spent WHERE seq < ? AND until < ?", named)
        self._database.execute("DELETE FROM receipt WHERE seq < ? AND ts < ?", named)
        self._database.execute("DELETE FROM heard WHERE id NOT IN (SELECT id FROM spent)")

    def _remember(self, entry: Entry, spending: Spending) -> None:
        """Write the coupon down. What the server accepts takes the place of what was before."""
        if spending.taking is None:
            earlier = self.spent(spending.jti)
            if self.redeemed(spending.id) is not None:
                return
            if earlier is not None:
                self._forget(earlier.id)
        self._database.execute(
            "INSERT INTO spent (jti, id, seq, ts, until, ask, answer) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                str(spending.jti),
                str(spending.id),
                entry.seq,
                entry.ts,
                millis(spending.until),
                spending.ask,
                spending.answer,
            ),
        )

    def _forget(self, id: UUID) -> None:
        self._database.execute("DELETE FROM spent WHERE id = ?", (str(id),))
        self._database.execute("DELETE FROM heard WHERE id = ?", (str(id),))

    def _take(self, taking: Taking) -> None:
        """Take one redemption out of the allowance, on what the file says now."""
        count, minor = self.used(taking.lease_id, taking.campaign_id)
        if reason := over_allowance(
            max_count=taking.max_count,
            max_minor=taking.max_minor,
            used_count=count,
            used_minor=minor,
            minor=taking.minor,
        ):
            raise AllowanceUsedUp(reason.rule)
        self._database.execute(
            "INSERT INTO used (lease_id, campaign_id, count, minor) VALUES (?, ?, 1, ?)"
            " ON CONFLICT (lease_id, campaign_id) DO UPDATE"
            " SET count = count + 1, minor = minor + excluded.minor",
            (str(taking.lease_id), str(taking.campaign_id), taking.minor),
        )

    def _found(self, column: str, value: UUID) -> Spent | None:
        fields = "spent.id, seq, ts, ask, answer, heard.at"
        query = f"SELECT {fields} FROM spent LEFT JOIN heard USING (id) WHERE {column} = ?"  # noqa: S608 (ours)
        row = self._database.execute(query, (str(value),)).fetchone()
        if row is None:
            return None
        id, seq, ts, ask, answer, heard = row
        return Spent(UUID(id), seq, _instant(ts), ask, answer, _instant(heard) if heard else None)


def millis(instant: datetime) -> int:
    """Return an instant as the file keeps it."""
    return int(instant.timestamp() * 1000)


def _instant(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


_APPLIED = TypeAdapter(Applied)
