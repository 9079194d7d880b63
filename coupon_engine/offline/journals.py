"""Journals that come in from terminals: recorded first, judged second.

An entry is one line of a terminal's journal, signed and chained to the one before. Whatever it
says, it is kept; what becomes of it, `claims.py` says. Entries are judged in the order of their
numbers and each of them once, so an entry after a gap waits until the gap is filled, or until
nothing of its lease can come in any more.

Uploading is harmless to repeat: an entry is known by its terminal and number, and the answers are
those in the record. Another entry under a known number, or one that does not go on from the one
before, is a fork: somebody has copied the device, or rewritten its journal. From then on nothing of
that terminal is paid by itself, and it is given nothing more to judge by.
"""

from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from jwt import PyJWK
from pydantic import ValidationError
from pydantic_core import from_json, to_jsonable_python
from sqlmodel import Session, col, select

from coupon_engine import bulk, events
from coupon_engine.errors import Unknown
from coupon_engine.offline import claims, dispute_shares, server_keys
from coupon_engine.offline.hearing import (
    LATEST_UPLOAD,
    Link,
    Verdict,
    is_claim,
    moment_of,
    rejected,
)
from coupon_engine.rows import found, locked
from coupon_engine.tables import JournalEntry, JournalFork, JournalGap, Terminal
from coupon_engine.terminals.terminals import Stores, see_store
from coupon_engine.validation.issuer_keys import KeyRing, public_jwk
from coupon_engine.validation.token import Typ, sign_typed, verify_typed
from coupon_engine.validation.token_refused import TokenRefused
from schemas.base import MOST_COUNT
from schemas.journals import (
    FIRST_PREV,
    AnswerView,
    Entry,
    EntryAnswer,
    Mode,
    NewUpload,
    Rejection,
    UploadView,
)
from schemas.offline import LONGEST_LEASE_SECONDS

LONGEST_LEASE = timedelta(seconds=LONGEST_LEASE_SECONDS)
# So far a clock may be ahead of ours, as with a phone's proof and some more.
AHEAD = timedelta(seconds=120)
# Nobody reads a code, looks at the customer and reads the next one faster than this.
HURRIED = timedelta(seconds=2)
MOST_ANSWERS = 8_000  # in one acknowledgement besides those of the upload itself
# What commits late bears an earlier moment; so far back is told once more.
TOLD_AGAIN = timedelta(seconds=30)
MOST_GAPS_TOLD = 500
MOST_SETTLED = 500  # entries after a gap, in one transaction

A = EntryAnswer


def receive(
    session: Session,
    operator_id: UUID,
    terminal_id: UUID,
    request: NewUpload,
    *,
    ring: KeyRing,
    passphrase: bytes,
    store_ids: Stores = None,
    now: datetime,
) -> UploadView:
    """Keep these entries and say what becomes of them. Repeating it gets the same answers.

    What is not signed by the terminal's key is no entry, and its place in the upload is told. A
    revoked terminal's entries are kept like any others, and never paid by themselves.

    Raises:
        Unknown: No such terminal in one's stores, or it never had a key.
    """
    terminal = found(session, Terminal, operator_id, terminal_id)
    see_store(store_ids, terminal.store_id, "terminal", terminal.id)
    signed, unread = _verified(request.entries, terminal, now=now)
    terminal = locked(session, Terminal, operator_id, terminal_id)
    fresh = _fresh(session, terminal, signed, now=now)
    _take(session, terminal, fresh, ring=ring, now=now)
    return UploadView(
        id=request.id,
        acknowledgement=_acknowledged(
            session,
            terminal,
            seqs={each.seq for each in signed},
            after=request.after or None,
            passphrase=passphrase,
            now=now,
        ),
        unread=tuple(unread),
    )


def acknowledgement(
    session: Session,
    operator_id: UUID,
    terminal_id: UUID,
    *,
    after: int,
    passphrase: bytes,
    now: datetime,
) -> str:
    """Say how far the journal has come in, and what was decided since `after`.

    Raises:
        Unknown: No such terminal.
    """
    terminal = found(session, Terminal, operator_id, terminal_id)
    return _acknowledged(session, terminal, seqs=set(), after=after, passphrase=passphrase, now=now)


def settle_late(session: Session, operator_id: UUID, *, now: datetime) -> int:
    """Answer what has waited behind a gap until nothing of its lease can come in any more.

    The gap stays named, and what fills it afterwards is too late as well. Return how many entries
    were answered; calling it again does no harm.
    """
    before = now - LATEST_UPLOAD - LONGEST_LEASE
    named = {"operator_id": operator_id, "before": before}
    settled = 0
    for row in bulk.read(session, _WAITING_TERMINALS, named):
        terminal = locked(session, Terminal, operator_id, row.terminal_id)
        waiting = [
            each for each in _behind(session, terminal)[:MOST_SETTLED] if each.received_at <= before
        ]
        if waiting:
            _pass_over(session, terminal, waiting, now=now)
            settled += len(waiting)
    return settled


@dataclass(frozen=True, slots=True)
class _Signed:
    """An entry whose signature holds. `entry` is None if it is none as we know them."""

    seq: int
    hash: bytes
    prev: str
    jwt: str
    entry: Entry | None
    received_at: datetime
    is_kept: bool = False


def _verified(
    entries: Sequence[str], terminal: Terminal, *, now: datetime
) -> tuple[list[_Signed], list[int]]:
    """Return the entries that this terminal has signed, and the places of what it has not."""
    if terminal.public_key is None:
        raise Unknown("terminal", terminal.id)
    key = _key(terminal.public_key)
    signed: list[_Signed] = []
    unread: list[int] = []
    for place, jwt in enumerate(entries):
        try:
            claims_in = verify_typed(jwt, key, Typ.JOURNAL)
        except TokenRefused:
            claims_in = {}
        if _is_of(terminal, claims_in):
            signed.append(_read(jwt, claims_in, now))
        else:
            unread.append(place)
    return signed, unread


def _is_of(terminal: Terminal, claims_in: Mapping[str, Any]) -> bool:
    seq = claims_in.get("seq")
    return (
        claims_in.get("dev") == str(terminal.id)
        and type(seq) is int
        and 1 <= seq <= MOST_COUNT
        and isinstance(claims_in.get("prev"), str)
    )


def _read(
    jwt: str, claims_in: Mapping[str, Any], received_at: datetime, *, is_kept: bool = False
) -> _Signed:
    try:
        entry = Entry.model_validate(claims_in)
    except ValidationError:
        entry = None
    return _Signed(
        seq=claims_in["seq"],
        hash=sha256(jwt.encode()).digest(),
        prev=claims_in["prev"],
        jwt=jwt,
        entry=entry,
        received_at=received_at,
        is_kept=is_kept,
    )


def _key(public_key: bytes) -> PyJWK:
    point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), public_key)
    return PyJWK(public_jwk(point), "ES256")


def _fresh(
    session: Session, terminal: Terminal, signed: Iterable[_Signed], *, now: datetime
) -> list[_Signed]:
    """Return the entries that nobody has seen. Two under one number freeze the terminal."""
    every = list(signed)
    rows = bulk.read(
        session, _KNOWN, {**_named(terminal), "seqs": list({each.seq for each in every})}
    )
    known = {row.seq: bytes(row.hash) for row in rows}
    seen = set(known)
    fresh: list[_Signed] = []
    forked: list[_Signed] = []
    for each in every:
        first = known.setdefault(each.seq, each.hash)
        if first != each.hash:
            forked.append(each)
        elif each.seq not in seen:
            seen.add(each.seq)
            fresh.append(each)
    if forked:
        _freeze(session, terminal, forked, now=now)
    return fresh


def _take(
    session: Session,
    terminal: Terminal,
    fresh: Sequence[_Signed],
    *,
    ring: KeyRing,
    now: datetime,
) -> None:
    """Judge what follows on the entry before, keep what does not yet, and name what is missing."""
    gaps = _open_gaps(session, terminal)
    behind = _behind(session, terminal) if gaps else []
    known_to = max([terminal.journal_seq, *(each.seq for each in behind)])
    late = [each for each in fresh if each.seq <= terminal.journal_seq]
    waiting = {each.seq: each for each in [*behind, *fresh] if each.seq > terminal.journal_seq}
    run: list[_Signed] = []
    for seq in count(terminal.journal_seq + 1):
        if seq not in waiting:
            break
        run.append(waiting.pop(seq))
    kept = [each for each in waiting.values() if not each.is_kept]
    _judge(session, terminal, run, kept, late=late, ring=ring, now=now)
    _mend_gaps(session, terminal, gaps, {each.seq for each in fresh}, known_to, now=now)


def _judge(
    session: Session,
    terminal: Terminal,
    run: Sequence[_Signed],
    kept: Sequence[_Signed],
    *,
    late: Sequence[_Signed] = (),
    ring: KeyRing,
    now: datetime,
) -> None:
    """Write entries with their answers: a run that is judged, others that wait or come too late."""
    links = _linked(session, terminal, run, now=now)
    outcome = claims.judge(session, terminal, links, ring=ring, now=now)
    judged = [
        _row(terminal, each, link.at, outcome.verdicts[each.seq])
        for each, link in zip(run, links, strict=True)
    ]
    waits = [_row(terminal, each, _time_of(each, now), Verdict(A.PROVISIONAL)) for each in kept]
    over = [_row(terminal, each, _time_of(each, now), _too_late(each, now)) for each in late]
    was_kept = {each.seq for each in run if each.is_kept}
    bulk.write(
        session,
        bulk.Insert(
            JournalEntry,
            [row for row in [*judged, *waits, *over] if row["seq"] not in was_kept],
        ),
        bulk.Update(
            JournalEntry,
            [row for row in judged if row["seq"] in was_kept],
            key=("operator_id", "terminal_id", "seq"),
        ),
    )
    dispute_shares.watch(session, terminal.operator_id, outcome.disputed_at, now=now)
    if hurried := list(_hurried(links)):
        _tell(session, "redemptions_hurried", terminal, now, seqs=hurried)


def _pass_over(
    session: Session, terminal: Terminal, waiting: Sequence[_Signed], *, now: datetime
) -> None:
    """Go on after these entries, and after the gaps before them. Nothing of it is paid."""
    rows = [_row(terminal, each, _time_of(each, now), _too_late(each, now)) for each in waiting]
    key = ("operator_id", "terminal_id", "seq")
    bulk.write(session, bulk.Update(JournalEntry, rows, key=key))
    terminal.journal_seq, terminal.journal_hash = waiting[-1].seq, waiting[-1].hash
    session.add(terminal)
    session.flush()


def _linked(
    session: Session, terminal: Terminal, run: Sequence[_Signed], *, now: datetime
) -> list[Link]:
    """Put each entry in its place in the chain, with what its place says against it."""
    if not run:
        return []
    before = bulk.read(session, _LAST, {**_named(terminal), "seq": terminal.journal_seq})
    last_at = before[0].at if before else terminal.created_at
    last_seq, last_hash = terminal.journal_seq, terminal.journal_hash
    links: list[Link] = []
    for each in run:
        prev = last_hash.hex() if last_hash else FIRST_PREV
        if each.seq == last_seq + 1 and each.prev != prev:
            _freeze(session, terminal, [each], now=now)
        at, fault = _clocked(each, last_at, now)
        if each.entry is None:
            fault = Rejection.UNREADABLE
        elif terminal.frozen_at is not None:
            fault = Rejection.FORKED
        links.append(Link(each.seq, at, each.entry, fault))
        last_seq, last_hash, last_at = each.seq, each.hash, at
    terminal.journal_seq, terminal.journal_hash = last_seq, last_hash
    session.add(terminal)
    session.flush()
    return links


def _clocked(each: _Signed, last_at: datetime, now: datetime) -> tuple[datetime, Rejection | None]:
    """Return when it was, as far as that can be believed: never before the entry before."""
    if each.entry is None:
        return last_at, None
    said, known = moment_of(each.entry.ts), moment_of(each.entry.t_min)
    is_true = last_at <= said <= now + AHEAD and known <= said
    return max(last_at, min(said, now + AHEAD)), None if is_true else Rejection.CLOCK


def _time_of(each: _Signed, now: datetime) -> datetime:
    return min(moment_of(each.entry.ts), now) if each.entry else now


def _too_late(each: _Signed, now: datetime) -> Verdict:
    if each.entry is None or not is_claim(each.entry):
        return Verdict(A.NOTED, decided_at=now)
    return rejected(Rejection.TOO_LATE, now=now)


def _hurried(links: Sequence[Link]) -> Iterable[int]:
    """Return the redemptions that came faster after another than anybody can read codes."""
    at: datetime | None = None
    for link in links:
        if link.entry and is_claim(link.entry):
            if at is not None and link.at - at < HURRIED:
                yield link.seq
            at = link.at


def _row(terminal: Terminal, each: _Signed, at: datetime, verdict: Verdict) -> dict[str, Any]:
    entry = each.entry
    return {
        **_named(terminal),
        "seq": each.seq,
        "hash": f"\\x{each.hash.hex()}",
        "jwt": each.jwt,
        "kind": entry.kind if entry else "unreadable",
        "mode": entry.mode if entry else Mode.OFFLINE,
        "at": at,
        "received_at": each.received_at,
        "lease_id": entry.lease if entry else None,
        "campaign_id": verdict.campaign_id,
        "coupon_id": verdict.coupon_id,
        "discount_minor": entry.discount_minor if entry else None,
        "holder_key": f"\\x{verdict.holder_key.hex()}" if verdict.holder_key else None,
        "answer": verdict.answer,
        "reason": verdict.reason,
        "why": verdict.why,
        "winner_id": verdict.winner_id,
        "liable": verdict.liable if verdict.answer is not A.PROVISIONAL else None,
        "redemption_id": verdict.redemption_id,
        "decided_at": verdict.decided_at,
    }


def _behind(session: Session, terminal: Terminal) -> list[_Signed]:
    """Return the entries that wait behind a gap, in order."""
    rows = bulk.read(session, _BEHIND, {**_named(terminal), "seq": terminal.journal_seq})
    return [_read(row.jwt, _said_in(row.jwt), row.received_at, is_kept=True) for row in rows]


def _said_in(jwt: str) -> dict[str, Any]:
    """Return the claims of an entry whose signature was verified when it came in."""
    body = jwt.split(".")[1]
    return from_json(urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def _freeze(
    session: Session, terminal: Terminal, forked: Sequence[_Signed], *, now: datetime
) -> None:
    rows = [
        {
            **_named(terminal),
            "seq": each.seq,
            "hash": f"\\x{each.hash.hex()}",
            "jwt": each.jwt,
            "received_at": now,
        }
        for each in forked
    ]
    session.flush()
    is_new = bulk.write(session, bulk.Insert(JournalFork, rows, unless_there=True))
    if terminal.frozen_at is None:
        terminal.frozen_at = now
        session.add(terminal)
        session.flush()
    if is_new:
        seqs = [each.seq for each in forked]
        _tell(session, "journal_forked", terminal, now, seqs=seqs, frozen_at=terminal.frozen_at)


def _open_gaps(session: Session, terminal: Terminal) -> list[JournalGap]:
    query = select(JournalGap).where(
        col(JournalGap.operator_id) == terminal.operator_id,
        col(JournalGap.terminal_id) == terminal.id,
        col(JournalGap.filled_at).is_(None),
    )
    query = query.order_by(col(JournalGap.first_seq)).execution_options(populate_existing=True)
    return list(session.exec(query).all())


def _mend_gaps(
    session: Session,
    terminal: Terminal,
    gaps: Iterable[JournalGap],
    seqs: set[int],
    known_to: int,
    *,
    now: datetime,
) -> None:
    """Name the gaps that these entries leave, and close those that they fill."""
    found_now: list[tuple[int, int]] = []
    for seq in sorted(seq for seq in seqs if seq > known_to):
        if seq > known_to + 1:
            found_now.append((known_to + 1, seq - 1))
        known_to = seq
    for gap in gaps:
        left = _without(gap.first_seq, gap.last_seq, seqs)
        if left == [(gap.first_seq, gap.last_seq)]:
            continue
        if left and left[0][0] == gap.first_seq:
            gap.last_seq = left.pop(0)[1]
        else:
            gap.filled_at = now
            _tell(session, "journal_gap_filled", terminal, now, first_seq=gap.first_seq)
        session.add_all([gap, *(_gap(terminal, *each, gap.noticed_at) for each in left)])
    if found_now:
        session.add_all(_gap(terminal, *each, now) for each in found_now)
        _tell(session, "journal_gap_found", terminal, now, gaps=found_now)
    session.flush()


def _without(first: int, last: int, seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Return what is left of a range when these numbers are taken out."""
    left: list[tuple[int, int]] = []
    for seq in sorted(seq for seq in seqs if first <= seq <= last):
        if seq > first:
            left.append((first, seq - 1))
        first = seq + 1
    return [*left, (first, last)] if first <= last else left


def _gap(terminal: Terminal, first: int, last: int, noticed_at: datetime) -> JournalGap:
    return JournalGap(
        operator_id=terminal.operator_id,
        terminal_id=terminal.id,
        first_seq=first,
        last_seq=last,
        noticed_at=noticed_at,
    )


def _acknowledged(
    session: Session,
    terminal: Terminal,
    *,
    seqs: set[int],
    after: int | None,
    passphrase: bytes,
    now: datetime,
) -> str:
    """Sign what the server has of this journal, and what became of it."""
    asked = {**_named(terminal), "seqs": list(seqs)}
    rows = {row.seq: row for row in bulk.read(session, _ANSWERS, asked)}
    if after is not None:
        since = {
            **_named(terminal),
            "since": moment_of(1_000 * after) - TOLD_AGAIN,
            "most": MOST_ANSWERS,
        }
        rows |= {row.seq: row for row in bulk.read(session, _DECIDED, since)}
    gaps = _open_gaps(session, terminal)[:MOST_GAPS_TOLD]
    claims_out = {
        "dev": terminal.id,
        "seq": terminal.journal_seq,
        "hash": terminal.journal_hash.hex() if terminal.journal_hash else FIRST_PREV,
        "iat": int(now.timestamp()),
        "gaps": [
            {"first_seq": gap.first_seq, "last_seq": gap.last_seq, "noticed_at": gap.noticed_at}
            for gap in gaps
        ],
        "answers": [
            {name: value for name in _TOLD if (value := getattr(rows[seq], name)) is not None}
            for seq in sorted(rows)
        ],
    }
    key = server_keys.in_use(session, terminal.operator_id, passphrase=passphrase, now=now)
    told = to_jsonable_python(claims_out)
    return sign_typed(told, key.private, Typ.ACKNOWLEDGEMENT, kid=key.kid)


def _named(terminal: Terminal) -> dict[str, UUID]:
    return {"operator_id": terminal.operator_id, "terminal_id": terminal.id}


def _tell(session: Session, kind: str, terminal: Terminal, now: datetime, **data: Any) -> None:
    events.record(
        session,
        events.happened(
            kind,
            terminal.id,
            operator_id=terminal.operator_id,
            campaign_id=None,
            at=now,
            data={"store_id": terminal.store_id, **data},
        ),
    )


_TOLD = tuple(AnswerView.model_fields)

_KNOWN = """
    SELECT seq, hash FROM journal_entry
    WHERE operator_id = %(operator_id)s AND terminal_id = %(terminal_id)s AND seq = ANY(%(seqs)s)
"""
_LAST = """
    SELECT at FROM journal_entry
    WHERE operator_id = %(operator_id)s AND terminal_id = %(terminal_id)s AND seq = %(seq)s
"""
_BEHIND = """
    SELECT jwt, received_at FROM journal_entry
    WHERE operator_id = %(operator_id)s AND terminal_id = %(terminal_id)s AND seq > %(seq)s
    ORDER BY seq
"""
_WAITING_TERMINALS = """
    SELECT DISTINCT terminal_id FROM journal_entry
    WHERE operator_id = %(operator_id)s AND answer = 'provisional' AND redemption_id IS NULL
      AND received_at <= %(before)s
    ORDER BY terminal_id
"""
_ANSWERS = """
    SELECT seq, answer, reason, why, winner_id, liable FROM journal_entry
    WHERE operator_id = %(operator_id)s AND terminal_id = %(terminal_id)s AND seq = ANY(%(seqs)s)
"""
_DECIDED = """
    SELECT seq, answer, reason, why, winner_id, liable FROM journal_entry
    WHERE operator_id = %(operator_id)s AND terminal_id = %(terminal_id)s
      AND decided_at >= %(since)s
    ORDER BY decided_at DESC, seq DESC LIMIT %(most)s
"""
