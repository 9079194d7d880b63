"""The journal: all that a terminal did, each entry signed, chained to the one before, and on disk.

One transaction writes the entry, remembers the coupon as spent and takes from the allowance. It is
durable when `append` returns (SQLite, WAL, `synchronous=FULL`), so nothing that a cashier has seen
is lost, whatever happens to the machine. What the server has not acknowledged is never removed.

One process holds the file at a time: the next one is refused until the first has ended or died.
A copy that was put back is known by the mark beside the file, which says how far the journal has
been; whoever puts that back as well forks the journal, which the server sees.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any, Self, cast
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm
from pydantic import ValidationError

from coupon_engine.validation.token import Typ, verify_typed
from coupon_engine.validation.token_refused import TokenRefused
from scanner.identity import DeviceKey
from scanner.terminal import journal_file, ledger
from scanner.terminal.checking import Finding, Flaw
from scanner.terminal.clock import Reading
from scanner.terminal.journal_file import JournalOfAnother, Mark
from scanner.terminal.ledger import Ledger, OpenReceipt, Spending, Spent, millis
from schemas.coupons import HolderKey
from schemas.journals import (
    FIRST_PREV,
    LONGEST_ENTRY,
    Acknowledgement,
    AnswerView,
    Entry,
    EntryAnswer,
    EntryKind,
    Mode,
)


class EntryTooLong(Exception):
    """No server would take it, so it must not be promised. Nothing was written."""


class AcknowledgementRefused(Exception):
    """It is not the server's word about this journal. Nothing was removed or changed."""


class JournalRolledBack(AcknowledgementRefused):
    """The server has entries that this file does not know: an older copy was put back."""


@dataclass(frozen=True, slots=True)
class Last:
    """Where the chain ends."""

    seq: int
    hash: str
    ts: int  # milliseconds; 0 before the first entry


class Journal:
    """One terminal's journal in one file."""

    def __init__(self, path: Path, key: DeviceKey, terminal_id: UUID) -> None:
        """Open the file, making it the first time.

        Raises:
            JournalInUse: Another process holds it.
            JournalOfAnother: It is another terminal's.
        """
        self._key = key
        self._terminal_id = terminal_id
        self._lock = RLock()
        self._mark = Mark(path.with_name(path.name + ".mark"))
        self._database = journal_file.opened(path, ledger.TABLES)
        self._ledger = Ledger(self._database)
        try:
            kept = self._kept("terminal")
            if kept not in (None, str(terminal_id)):
                raise JournalOfAnother(f"{path} is another terminal's journal")
            if kept is None:
                self._keep(terminal=str(terminal_id))
            self._last = self._last_in_file()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._database.close()
            self._mark.close()

    @property
    def last(self) -> Last:
        return self._last

    def append(
        self,
        kind: EntryKind,
        mode: Mode,
        *,
        at: Reading,
        spending: Spending | None = None,
        **said: Any,
    ) -> Entry:
        """Sign and write one entry. It is on disk when this returns.

        `said` are the other fields of `Entry`. With `spending`, coupon and allowance are taken in
        the same transaction.

        Raises:
            AlreadySpent: The ledger has this coupon, or another coupon under this id.
            AllowanceUsedUp: One more would exceed the lease's allowance.
            EntryTooLong: The basket is longer than an entry may be.
            sqlite3.Error: It could not be written.
        """
        with self._lock:
            last = self._last
            entry = Entry(
                dev=self._terminal_id,
                seq=last.seq + 1,
                prev=last.hash,
                ts=max(millis(at.now), last.ts),
                t_min=millis(at.t_min),
                kind=kind,
                mode=mode,
                **said,
            )
            jwt = self._signed(entry)
            if len(jwt) > LONGEST_ENTRY:
                raise EntryTooLong
            with self._transaction():
                if spending is not None:
                    self._ledger.spend(entry, spending)
                self._database.execute(
                    "INSERT INTO entry (seq, hash, jwt, ts) VALUES (?, ?, ?, ?)",
                    (entry.seq, hash_of(jwt), jwt, entry.ts),
                )
            self._last = Last(entry.seq, hash_of(jwt), entry.ts)
            with suppress(OSError):  # the entry is safe; a mark that lags behind does no harm
                self._mark.set(self._last.seq, self._last.hash)
            return entry

    def unsent(self, most: int) -> list[str]:
        """Return the first entries that the server has not acknowledged, in order."""
        query = "SELECT jwt FROM entry WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._lock:
            rows = self._database.execute(query, (self.acknowledged_seq, most))
            return [jwt for (jwt,) in rows]

    @property
    def acknowledged_seq(self) -> int:
        """Return up to which entry the server has everything."""
        heard = self.acknowledgement
        return heard.seq if heard else 0

    @property
    def acknowledgement(self) -> Acknowledgement | None:
        """Return the latest that was taken."""
        kept = self._kept("acknowledgement")
        return None if kept is None else Acknowledgement.model_validate_json(kept)

    def acknowledged(self, ack_jwt: str, server_key: HolderKey) -> Acknowledgement:
        """Take the server's word: entries up to there are safe, and what became of some of them.

        One that is older than another that was taken changes nothing.

        Raises:
            JournalRolledBack: The server knows entries that this file does not.
            AcknowledgementRefused: Not signed by the server, not for this terminal, or about
                another chain than this one.
        """
        heard = _acknowledgement_in(ack_jwt, server_key)
        if heard.dev != self._terminal_id:
            raise AcknowledgementRefused("for another terminal")
        with self._lock:
            earlier = self.acknowledgement
            if earlier is not None and (heard.seq, heard.iat) < (earlier.seq, earlier.iat):
                return earlier
            if heard.seq > self._last.seq:
                raise JournalRolledBack("the server has entries that are not in this file")
            if heard.hash != self.hash_at(heard.seq):
                raise AcknowledgementRefused("about another chain")
            with self._transaction():
                heard_at = datetime.fromtimestamp(heard.iat, UTC)
                for answer in heard.answers:
                    self._answer(answer)
                    # Behind a gap an entry waits, and the server has not looked at its coupon.
                    if answer.answer in _ON_RECORD and answer.seq <= heard.seq:
                        self._ledger.hear(answer.seq, heard_at)
                bare = heard.model_copy(update={"answers": ()})
                self._keep(acknowledgement=bare.model_dump_json())
            return heard

    def answer_to(self, seq: int) -> AnswerView | None:
        """Return what became of an entry, if the server has said so."""
        with self._lock:
            query = "SELECT answer FROM entry WHERE seq = ? AND answer IS NOT NULL"
            row = self._database.execute(query, (seq,)).fetchone()
        return None if row is None else AnswerView.model_validate_json(row[0])

    def spent(self, jti: UUID) -> Spent | None:
        """Return what this terminal knows of a coupon that was redeemed here."""
        with self._lock:
            return self._ledger.spent(jti)

    def redeemed(self, id: UUID) -> Spent | None:
        """Return the redemption that was accepted here under this id."""
        with self._lock:
            return self._ledger.redeemed(id)

    def used(self, lease_id: UUID, campaign_id: UUID) -> tuple[int, int]:
        """Return how often and how much this lease has given away of a campaign."""
        with self._lock:
            return self._ledger.used(lease_id, campaign_id)

    def receipt(self, order_ref: str) -> OpenReceipt | None:
        """Return the basket that coupons have shared here under this number."""
        with self._lock:
            return self._ledger.receipt(order_ref)

    def prune(self, before: datetime) -> int:
        """Remove what the server has acknowledged and answered for good, and return how many.

        Only from the beginning of the chain, so that the rest still hangs together. A spent
        coupon stays in the ledger until it would have ended.
        """
        with self._lock, self._transaction():
            kept_from = self._first_to_stay(before)
            query = "SELECT seq, hash FROM entry WHERE seq = ?"
            row = self._database.execute(query, (kept_from - 1,)).fetchone()
            if row is not None:
                self._keep(pruned_seq=str(row[0]), pruned_hash=row[1])
            gone = self._database.execute("DELETE FROM entry WHERE seq < ?", (kept_from,)).rowcount
            self._ledger.prune(kept_from, before)
            return gone

    def _first_to_stay(self, before: datetime) -> int:
        """Return the first entry that is needed still; the last one always is, for the chain."""
        (seq,) = self._database.execute(
            "SELECT min(seq) FROM entry WHERE seq > ? OR ts >= ? OR answer LIKE ?"
            " OR (answer IS NULL AND seq IN (SELECT seq FROM spent))",
            (self.acknowledged_seq, millis(before), f'%"{EntryAnswer.PROVISIONAL}"%'),
        ).fetchone()
        return self._last.seq if seq is None else min(seq, self._last.seq)

    def check(self, *, every_signature: bool = True) -> list[Finding]:
        """Go through the whole file and return what is wrong with it; nothing is none.

        A signature costs ten times what the rest does. The chain holds all entries together by
        their hashes, so the last one's vouches for all before: enough whenever a terminal starts.
        """
        with self._lock:
            return [
                *self._chain_flaws(every_signature=every_signature),
                *self._ledger_flaws(),
                *self._mark_flaws(),
            ]

    def _chain_flaws(self, *, every_signature: bool) -> Generator[Finding]:
        key = public_of(self._key)
        seq, prev = int(self._kept("pruned_seq") or 0), self._kept("pruned_hash") or FIRST_PREV
        rows = self._database.execute("SELECT seq, hash, jwt FROM entry ORDER BY seq").fetchall()
        for at, named, jwt in rows:
            if at != seq + 1:
                yield Finding(seq + 1, Flaw.MISSING)
            claims = _said_in(jwt)
            if every_signature or at == rows[-1][0]:
                try:
                    verify_typed(jwt, key, Typ.JOURNAL)
                except TokenRefused:
                    yield Finding(at, Flaw.SIGNATURE)
            if claims.get("dev") != str(self._terminal_id):
                yield Finding(at, Flaw.OTHER_TERMINAL)
            is_linked = claims.get("seq") == at and claims.get("prev") == prev
            if named != hash_of(jwt) or (at == seq + 1 and not is_linked):
                yield Finding(at, Flaw.CHAIN)
            seq, prev = at, hash_of(jwt)
        if seq < self._last.seq:
            yield Finding(seq + 1, Flaw.MISSING)
        if (heard := self.acknowledgement) is not None and heard.seq > seq:
            yield Finding(heard.seq, Flaw.OLDER_COPY)

    def _ledger_flaws(self) -> Generator[Finding]:
        """Every coupon that was accepted here is in the ledger as long as its entry is."""
        known = {jti for (jti,) in self._database.execute("SELECT jti FROM spent")}
        for seq, jwt in self._database.execute("SELECT seq, jwt FROM entry ORDER BY seq"):
            claims = _said_in(jwt)
            is_ours = claims.get("kind") == EntryKind.REDEEMED and claims.get("mode") != Mode.ONLINE
            if is_ours and claims.get("jti") not in known:
                yield Finding(seq, Flaw.LEDGER)

    def _mark_flaws(self) -> Generator[Finding]:
        mark = self._mark.get()
        if mark is None:
            return
        seq, named = mark
        known = self.hash_at(seq)
        if seq > self._last.seq or (known is not None and named != known):
            yield Finding(seq, Flaw.OLDER_COPY)

    def _answer(self, answer: AnswerView) -> None:
        """Keep an answer. What was answered for good is not answered otherwise later."""
        earlier = self.answer_to(answer.seq)
        if earlier is None or earlier.answer is EntryAnswer.PROVISIONAL:
            self._database.execute(
                "UPDATE entry SET answer = ? WHERE seq = ?", (answer.model_dump_json(), answer.seq)
            )

    def hash_at(self, seq: int) -> str | None:
        """Return by what the entry after this one names it; None where nobody knows any more."""
        if seq == 0:
            return FIRST_PREV
        if str(seq) == self._kept("pruned_seq"):
            return self._kept("pruned_hash")
        query = "SELECT hash FROM entry WHERE seq = ?"
        row = self._database.execute(query, (seq,)).fetchone()
        return None if row is None else cast("str", row[0])

    def _last_in_file(self) -> Last:
        query = "SELECT seq, hash, ts FROM entry ORDER BY seq DESC LIMIT 1"
        row = self._database.execute(query).fetchone()
        return Last(*row) if row else Last(0, FIRST_PREV, 0)

    def _signed(self, entry: Entry) -> str:
        claims = entry.model_dump(mode="json", exclude_none=True)
        signing = f"{_HEADER}.{_b64(_compact(claims))}"
        return f"{signing}.{_b64(self._key.sign(signing.encode()))}"

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # SQLite has taken some errors back by itself
                self._database.execute("ROLLBACK")
            raise

    def _kept(self, name: str) -> str | None:
        with self._lock:
            query = "SELECT value FROM kept WHERE name = ?"
            row = self._database.execute(query, (name,)).fetchone()
        return None if row is None else cast("str", row[0])

    def _keep(self, **values: str) -> None:
        self._database.executemany(
            "INSERT INTO kept (name, value) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            list(values.items()),
        )


def hash_of(jwt: str) -> str:
    """Return by what the next entry names this one."""
    return sha256(jwt.encode()).hexdigest()


def _acknowledgement_in(ack_jwt: str, server_key: HolderKey) -> Acknowledgement:
    try:
        claims = verify_typed(ack_jwt, PyJWK(server_key.model_dump(), "ES256"), Typ.ACKNOWLEDGEMENT)
        return Acknowledgement.model_validate(claims)
    except TokenRefused as refused:
        raise AcknowledgementRefused(f"not signed by our server: {refused.code}") from None
    except ValidationError:
        raise AcknowledgementRefused("not one that this version understands") from None


def public_of(key: DeviceKey) -> PyJWK:
    """Return by what this terminal's entries are verified."""
    point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key.public_key)
    return PyJWK(ECAlgorithm.to_jwk(point, as_dict=True), "ES256")


def _said_in(jwt: str) -> Mapping[str, Any]:
    """Return what an entry says, without a look at its signature; nothing if it is spoilt."""
    parts: Sequence[str] = jwt.split(".")
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (IndexError, ValueError):
        return {}
    return cast("Mapping[str, Any]", claims) if isinstance(claims, dict) else {}


def _compact(claims: Mapping[str, Any]) -> bytes:
    return json.dumps(claims, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


_HEADER = _b64(_compact({"alg": "ES256", "typ": str(Typ.JOURNAL)}))
# The server has the redemption itself, and its coupon as used up by it.
_ON_RECORD = (EntryAnswer.PROVISIONAL, EntryAnswer.ACCEPTED, EntryAnswer.DUPLICATE_OF_SELF)
