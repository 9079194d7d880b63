"""Do losses without a network stay below what the policies promise, whatever happens?

    python -m bench.offline                          # 10,000 acceptances: some minutes
    python -m bench.offline --acceptances 100000     # the whole
    python -m bench.offline --kills 500              # and kill a terminal after its green answers

Terminals of several stores redeem for three simulated days, by the real verbs, journals and
database. Lines fail for hours, of single terminals and of whole stores; clocks go wrong; some
coupons are shown a second time elsewhere, and once some are shown at every terminal while nobody
has a network; one terminal is stolen, another's journal is cloned. Journals come in in pieces, out
of order and more than once. What each policy may lose is known before it begins and held against
what the record says in the end. A bound that was broken ends it with 1 and is named.

Every journal is written as in a shop, with `synchronous=FULL`. Only the simulation's PostgreSQL
does not wait for its disk; the one to which 10,000 entries are uploaded against the clock does.
"""

import json
import sqlite3
import subprocess
import sys
import time
from collections import Counter as Tally
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text
from sqlmodel import Session

from bench import machine, shop
from bench.outages import (
    PASSPHRASE,
    START,
    Bound,
    Carried,
    Device,
    Plan,
    World,
    live,
    new_campaign,
    new_world,
)
from coupon_engine import embedded
from coupon_engine.database import open_engine, transaction
from coupon_engine.migrating import migrate
from coupon_engine.offline import server_keys
from coupon_engine.tables import Terminal
from schemas.campaigns import OfflinePolicy
from schemas.coupons import HolderKey
from schemas.journals import MOST_ENTRIES

UPLOADED = 10_000
UPLOAD_SECONDS = 60
UNPAID = ("rejected", "unproven", "forked")


# What the record says afterwards.


@dataclass(frozen=True)
class Loss:
    """What one campaign gave away, and what it lost thereby."""

    policy: OfflinePolicy
    accepted: int
    disputed: int
    unpaid: int  # accepted at a counter and borne by the merchant
    between_terminals_minor: int
    with_the_server_minor: int
    bound: Bound
    over_count: int
    over_minor: int
    books_count: int  # of the budget row: what is taken and nobody can name
    books_minor: int

    @property
    def minor(self) -> int:
        return self.between_terminals_minor + self.with_the_server_minor


@dataclass(frozen=True)
class Account:
    losses: tuple[Loss, ...]
    green: int
    answered: Mapping[str, int]
    unanswered: int
    answered_twice: int
    provisional: int
    open_allowances: int
    used_too_often: int


def account(session: Session, world: World) -> Account:
    """Return what the record says of everything that cashiers have seen."""
    session.connection().execute(text("SET statement_timeout = '600s'"))
    answers = session.connection().execute(text(_ANSWERS)).all()
    forked = {bytes(row.hash).hex() for row in session.connection().execute(text(_FORKED))}
    online = set(session.connection().execute(text(_ONLINE)).scalars())
    counts = session.connection().execute(text(_COUNTS)).one()
    rows = {row.campaign_id: row for row in session.connection().execute(text(_LOSSES))}
    answer_of: dict[str, list[str]] = {}
    for row in answers:
        answer_of.setdefault(bytes(row.hash).hex(), []).append(row.answer)
    for each in forked:
        answer_of.setdefault(each, ["forked"])
    told = [
        answer_of.get(each.entry, []) if each.entry else ["accepted online"] * (each.id in online)
        for each in world.green
    ]
    unpaid = Tally(
        green.policy
        for green, answers in zip(world.green, told, strict=True)
        if answers and answers[0].startswith(UNPAID)
    )
    bounds = world.plan.bounds()
    return Account(
        losses=tuple(
            _loss(policy, rows[id], unpaid[policy], bounds[policy])
            for policy, id in world.campaign_ids.items()
        ),
        green=len(world.green),
        answered=Tally(each[0] for each in told if len(each) == 1),
        unanswered=sum(not each or "provisional" in each for each in told),
        answered_twice=sum(len(each) > 1 for each in told),
        provisional=counts.provisional,
        open_allowances=counts.open_allowances,
        used_too_often=counts.used_too_often,
    )


def _loss(policy: OfflinePolicy, row: Any, unpaid: int, bound: Bound) -> Loss:
    paid_count, paid_minor = row.accepted + row.disputed, row.accepted_minor + row.disputed_minor
    return Loss(
        policy=policy,
        accepted=row.accepted,
        disputed=row.disputed,
        unpaid=unpaid,
        between_terminals_minor=row.disputed_minor - row.crossed_minor,
        with_the_server_minor=row.crossed_minor,
        bound=bound,
        over_count=max(0, max(row.used_count, paid_count) - row.max_count),
        over_minor=max(0, max(row.spent_minor, paid_minor) - row.max_minor),
        books_count=row.used_count - paid_count - row.kept_count,
        books_minor=row.spent_minor - paid_minor - row.kept_minor,
    )


def violations(seen: Account) -> list[str]:
    """Name every promise that was broken."""
    broken: list[str] = []
    for loss in seen.losses:
        bound = loss.bound
        for name, lost, most in (
            ("lost between terminals", loss.between_terminals_minor, bound.between_terminals),
            ("lost with the server", loss.with_the_server_minor, bound.with_the_server),
            ("lost in all", loss.minor, bound.whole),
            ("redemptions over the ceiling", loss.over_count, 0),
            ("money over the budget", loss.over_minor, 0),
            ("redemptions that the books cannot name", abs(loss.books_count), 0),
            ("money that the books cannot name", abs(loss.books_minor), 0),
        ):
            if lost > most:
                broken.append(f"{loss.policy}: {name}: {lost} > {most}")
    for name, many in (
        ("acceptances without a final answer", seen.unanswered),
        ("acceptances with two answers", seen.answered_twice),
        ("entries that are still provisional", seen.provisional),
        ("allowances that are still open", seen.open_allowances),
        ("coupons that count more often than they may", seen.used_too_often),
    ):
        if many:
            broken.append(f"{name}: {many}")
    return broken


_ANSWERS = """
    SELECT hash, concat_ws(': ', answer, reason) AS answer FROM journal_entry
    WHERE kind = 'redeemed' AND mode IN ('offline', 'hub')
"""
_FORKED = "SELECT hash FROM journal_fork"
_ONLINE = """
    SELECT id FROM redemption WHERE decided = 'accepted' AND NOT EXISTS (
        SELECT FROM journal_entry WHERE redemption_id = redemption.id
    )
"""
_COUNTS = """
    SELECT (SELECT count(*) FROM journal_entry WHERE answer = 'provisional') AS provisional,
           (SELECT count(*) FROM allowance WHERE returned_at IS NULL) AS open_allowances,
           (SELECT count(*) FROM (
                SELECT FROM redemption JOIN coupon ON coupon.id = redemption.coupon_id
                WHERE decided = 'accepted' AND reversed_at IS NULL
                GROUP BY coupon.id, coupon.uses HAVING count(*) > coupon.uses
            ) AS often) AS used_too_often
"""
_LOSSES = """
    SELECT campaign.id AS campaign_id, row.max_count, row.max_minor, row.used_count,
           row.spent_minor, paid.*, kept.*
    FROM campaign
    JOIN limit_row AS row ON row.key = '9/' || campaign.id || '/redeem'
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE decided = 'accepted') AS accepted,
               coalesce(sum(one.discount_minor) FILTER (WHERE decided = 'accepted'), 0)::bigint
                   AS accepted_minor,
               count(*) FILTER (WHERE entry.liable = 'campaign') AS disputed,
               coalesce(sum(one.discount_minor) FILTER (WHERE entry.liable = 'campaign'), 0)::bigint
                   AS disputed_minor,
               coalesce(sum(one.discount_minor) FILTER (
                   WHERE entry.liable = 'campaign' AND NOT EXISTS (
                       SELECT FROM journal_entry AS other
                       WHERE other.redemption_id = entry.winner_id)
               ), 0)::bigint AS crossed_minor
        FROM redemption AS one
        LEFT JOIN journal_entry AS entry ON entry.redemption_id = one.id
        WHERE one.campaign_id = campaign.id
    ) AS paid
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(max_count), 0)::bigint AS kept_count,
               coalesce(sum(max_minor), 0)::bigint AS kept_minor
        FROM allowance WHERE campaign_id = campaign.id AND returned_at IS NULL
    ) AS kept
"""


# How fast a journal comes in.


@dataclass(frozen=True)
class Speed:
    """Entries of one terminal: written, and uploaded and answered for good."""

    entries: int
    written_per_s: float
    commits_per_s: float  # of raw SQLite, `synchronous=FULL`, a row of the same size each
    upload_seconds: float
    answered: int

    @property
    def uploaded_per_s(self) -> float:
        return self.entries / self.upload_seconds


def upload_speed(engine: Engine, folder: Path, entries: int = UPLOADED) -> Speed:
    """Let one terminal accept so many coupons alone, and measure until each has its answer."""
    plan = Plan(terminals=1, hours=24, acceptances=entries)
    early = START - timedelta(days=1)
    at = shop.open_shop(engine, slug="upload", now=early)
    policy = OfflinePolicy.DEVICE_QUOTA
    with transaction(engine) as session:
        count = replace(plan, acceptances=20 * entries)
        campaign_id = new_campaign(session, at, count, policy, now=early)
        key = server_keys.public(session, at.operator_id, passphrase=PASSPHRASE, now=early)
        row = session.get_one(Terminal, (at.operator_id, at.terminal_id))
    server_key = HolderKey(x=key["x"], y=key["y"])
    world = World(engine, at, plan, server_key, {policy: campaign_id})
    device = Device(world, at.terminal_id, 0, at.store_id, folder / "upload", is_hub=False)
    with transaction(engine) as session:
        session.add(row)
        row.public_key, row.paired_at = device.key.public_key, early
    own = replace(at, campaign_id=campaign_id)
    batch_id = shop.new_batch(engine, own, now=early)
    ids = shop.new_coupons(engine, own, batch_id, entries, now=early)
    codes = shop.codes(engine, own, ids, now=START)
    device.meets_the_server()
    device.dark = [(START, START + timedelta(days=1))]
    begun = time.perf_counter()
    for id, code in zip(ids, codes, strict=True):
        world.now += timedelta(seconds=3)
        device.alone(Carried(id, policy, at.customer_ids[0], None, code, code))
    written = entries / (time.perf_counter() - begun)
    assert len(world.green) == entries, world.refused
    commits = _raw_commits_per_s(folder / "raw.db", device.entries()[-1])
    world.now += timedelta(seconds=3)
    begun = time.perf_counter()
    while portion := device.journal.unsent(MOST_ENTRIES):
        device.journal.acknowledged(device.sends(portion), server_key)
    took = time.perf_counter() - begun
    said = (device.journal.answer_to(seq) for seq in range(1, device.journal.last.seq + 1))
    answered = sum(each is not None and each.answer == "accepted" for each in said)
    device.journal.close()
    return Speed(entries, written, commits, took, answered)


def _raw_commits_per_s(path: Path, line: str, many: int = 2_000) -> float:
    """Commit rows like ours one by one: what the disk allows, without any of our work."""
    database = sqlite3.connect(path, isolation_level=None)
    for each in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
        database.execute(f"PRAGMA {each}")
    database.execute("CREATE TABLE line (hash TEXT, jwt TEXT)")
    begun = time.perf_counter()
    for number in range(many):
        named = sha256(b"%d" % number).hexdigest()
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO line VALUES (?, ?)", (named, line))
        database.execute("COMMIT")
    took = time.perf_counter() - begun
    database.close()
    return many / took


# The command.


def main(
    terminals: Annotated[int, typer.Option(min=4)] = Plan.terminals,
    hours: Annotated[int, typer.Option(min=12)] = Plan.hours,
    acceptances: Annotated[int, typer.Option(min=50)] = Plan.acceptances,
    seed: Annotated[int, typer.Option()] = Plan.seed,
    entries: Annotated[int, typer.Option(help="How many to upload for the speed.")] = UPLOADED,
    kills: Annotated[int, typer.Option(help="Kill a terminal so often after a green.")] = 0,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Simulate three days without much of a network, and hold losses against their bounds."""
    plan = Plan(terminals, hours, acceptances, seed)
    begun = time.perf_counter()
    with TemporaryDirectory() as made:
        folder = Path(made)
        with shop.durable_database() as database:
            speed = upload_speed(database.engine, folder, entries)
        with _hasty_database() as engine:
            world = simulated(engine, plan, folder)
            with Session(engine) as session:
                seen = account(session, world)
    broken = [*violations(seen), *_slow(speed), *_killed(kills)]
    took = time.perf_counter() - begun
    _say(world, seen, speed, broken, took, kills=kills, as_json=as_json)
    sys.exit(bool(broken))


@contextmanager
def _hasty_database() -> Generator[Engine]:
    """Start a PostgreSQL that does not wait for the disk: here nobody pulls its plug."""
    with embedded.temporary(durable=False) as server:
        engine = open_engine(server.url)
        try:
            migrate(engine)
            yield engine
        finally:
            engine.dispose()


def simulated(engine: Engine, plan: Plan, folder: Path) -> World:
    world = new_world(engine, plan, folder)
    try:
        live(world)
    finally:
        for device in world.devices:
            device.journal.close()
    return world


def _slow(speed: Speed) -> list[str]:
    broken: list[str] = []
    if speed.upload_seconds * UPLOADED / speed.entries >= UPLOAD_SECONDS:
        broken.append(f"{speed.entries} entries took {speed.upload_seconds:.1f} s to come in")
    if speed.answered != speed.entries:
        broken.append(f"of {speed.entries} uploaded entries {speed.answered} are accepted")
    return broken


def _killed(kills: int) -> list[str]:
    """Kill a terminal in a process of its own, again and again, and count what it lost."""
    if not kills:
        return []
    command = [sys.executable, "-m", "tests.scanner.terminal.killing", "--times", str(kills)]
    done = subprocess.run(  # noqa: S603 (our own)
        command, check=False, capture_output=True, text=True
    )
    return [] if done.returncode == 0 else [f"kills: {done.stdout or done.stderr}"]


def _say(
    world: World,
    seen: Account,
    speed: Speed,
    broken: Sequence[str],
    took: float,
    *,
    kills: int,
    as_json: bool,
) -> None:
    happened = {
        "acceptances": seen.green,
        "shown_again": world.shown_again,
        "uploads": world.uploads,
        "refused": {str(why): many for why, many in world.refused.most_common()},
        "answered": dict(seen.answered),
        "kills": kills,
        "seconds": round(took),
    }
    if as_json:
        document = {
            "machine": machine.this_machine(),
            "plan": {**asdict(world.plan), "offline_minor": world.plan.offline_minor},
            "happened": happened,
            "losses": [{**asdict(each), "minor": each.minor} for each in seen.losses],
            "speed": {**asdict(speed), "uploaded_per_s": speed.uploaded_per_s},
            "violations": list(broken),
        }
        print(json.dumps(document, indent=2))
        return
    table = Table(title=f"{seen.green:,} acceptances by {world.plan.terminals} terminals")
    for column in (
        "policy",
        "accepted",
        "disputed",
        "merchant's",
        "lost to terminals",
        "at most",
        "lost to the server",
        "at most",
        "over budget",
        "books",
    ):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for each in seen.losses:
        table.add_row(
            each.policy,
            f"{each.accepted:,}",
            f"{each.disputed:,}",
            f"{each.unpaid:,}",
            _money(each.between_terminals_minor),
            _money(each.bound.between_terminals),
            _money(each.with_the_server_minor),
            _money(each.bound.with_the_server),
            _money(each.over_minor),
            _money(each.books_minor),
        )
    console = Console(width=140)
    console.print(table)
    for name, value in happened.items():
        console.print(f"{name.replace('_', ' ')}: {value}")
    console.print(
        f"{speed.entries:,} entries: written {speed.written_per_s:,.0f}/s beside"
        f" {speed.commits_per_s:,.0f} bare commits/s of SQLite; uploaded and answered in"
        f" {speed.upload_seconds:.1f} s, {speed.uploaded_per_s:,.0f}/s"
    )
    console.print("\n".join(["VIOLATED", *broken]) if broken else "every bound holds")


def _money(minor: int) -> str:
    return f"{minor / 100:,.2f}"


if __name__ == "__main__":
    typer.run(main)
