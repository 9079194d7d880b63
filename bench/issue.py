"""How many coupons a second come into the world: `python -m bench.issue`.

One at a time through the door and by the engine, and many in one call. Beside the single ones
pgbench makes the same rows in raw SQL; beside the many stands the limit: COPY of text that lies
ready into the very same table, with the same indexes and constraints, and nothing else: no ids
made, no codes hashed, no events. The two take turns, as in `bench/redeem.py`.
"""

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID

import psycopg
import typer
from sqlalchemy import Engine, text

from bench import door, load, machine, peers, shop
from bench.door import Door
from bench.machine import Case, Figure, Round
from bench.peers import Peer
from bench.shop import CODE_SECRET, Shop
from coupon_engine import issuing
from coupon_engine.acting import by_system
from coupon_engine.database import transaction
from schemas.coupons import NewCoupon, NewCoupons
from schemas.ids import new_id

CLIENTS = (1, 8)
ROWS = 100_000
SECONDS = 2.0
ROUNDS = 3
DOOR_PER_S = 1_500
# Where the copies lie in the status list: past all places of ours, and each past the one before.
FAR = 2**29
FURTHER = 2**23


@dataclass
class Bench:
    """What all measurements share."""

    engine: Engine
    limited: Engine
    at: Shop
    batch_id: UUID  # of the coupons that are issued one at a time
    with_codes_id: UUID  # batches for many, with and without short codes
    without_codes_id: UUID
    copied_id: UUID  # a batch of the peer's
    door: Door
    peer: Peer
    database_pid: int
    seconds: float
    rows: int
    issued_count: int = 0
    copied_count: int = 0

    def database_seconds(self) -> float:
        return machine.cpu_seconds(self.database_pid)


def main(
    rows: Annotated[int, typer.Option(help="Coupons in one call of issue_many.")] = ROWS,
    clients: Annotated[list[int] | None, typer.Option(help="Askers at the door.")] = None,
    seconds: Annotated[float, typer.Option(help="How long single ones are issued.")] = SECONDS,
    rounds: Annotated[int, typer.Option(help="Measurements, whose median counts.")] = ROUNDS,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure coupons issued a second, beside the same writes in raw SQL."""
    with _bench(seconds, rows) as bench:
        cases = [_through_the_door(bench, many) for many in clients or CLIENTS]
        cases.append(_by_the_engine(bench))
        cases.append(_many(bench, bench.without_codes_id, "no short codes"))
        cases.append(_many(bench, bench.with_codes_id, "short codes"))
        figures: list[Figure] = machine.measured(cases, rounds)
        record = _record(bench)
    machine.say("Coupons issued", figures, record, unit="issue", as_json=as_json)


@contextmanager
def _bench(seconds: float, rows: int) -> Generator[Bench]:
    now = _now()
    with ExitStack() as closing:
        database = closing.enter_context(shop.durable_database())
        engine = database.engine
        at = shop.open_shop(engine, now=now)
        batch_id = shop.new_batch(engine, at, now=now)
        # Before the door opens: behind it is who sends the message that the peer copies.
        peer = _peer(engine, at, batch_id, Path(closing.enter_context(peers.folder())), now=now)
        yield Bench(
            engine=engine,
            limited=database.limited,
            at=at,
            batch_id=batch_id,
            with_codes_id=shop.new_batch(engine, at, has_short_codes=True, now=now),
            without_codes_id=shop.new_batch(engine, at, now=now),
            copied_id=shop.new_batch(engine, at, now=now),
            door=closing.enter_context(door.opened(database.settings, workers=1)),
            peer=peer,
            database_pid=peers.server_pid(engine),
            seconds=seconds,
            rows=rows,
            issued_count=1,
        )


def _peer(engine: Engine, at: Shop, batch_id: UUID, folder: Path, *, now: datetime) -> Peer:
    """Issue one coupon our way, and let the peer do likewise, into a batch of its own."""
    request = NewCoupon(id=new_id(now), batch_id=batch_id)
    _issue(engine, at, request)
    return peers.issuing(engine, shop.new_batch(engine, at, now=now), request.id, folder)


def _through_the_door(bench: Bench, clients: int) -> Case:
    def ours() -> Round:
        many = int(bench.seconds * DOOR_PER_S) + clients
        headers = {"Authorization": f"Bearer {bench.at.api_key}"}
        requests = deque(
            load.post("/v1/coupons", headers, _one(bench).model_dump_json().encode())
            for _ in range(many)
        )
        app, database = machine.cpu_seconds(bench.door.pid), bench.database_seconds()
        heard = load.send(bench.door.url, requests, clients=clients, seconds=bench.seconds)
        issued = load.all_made(heard)
        bench.issued_count += issued
        return Round(
            per_s=issued / heard.seconds,
            latencies_ms=heard.latencies_ms,
            cpu_us={
                "app": 1e6 * (machine.cpu_seconds(bench.door.pid) - app) / issued,
                "database": 1e6 * (bench.database_seconds() - database) / issued,
                "load": 1e6 * heard.cpu_seconds / issued,
            },
        )

    name = f"HTTP, {clients} client{'s' * (clients > 1)}"
    return Case(name, f"SQL one by one, {clients}", _beside_sql(bench, ours, clients))


def _by_the_engine(bench: Bench) -> Case:
    def ours() -> Round:
        computed, database = time.process_time(), bench.database_seconds()
        latencies_ms: list[float] = []
        started = time.perf_counter()
        while time.perf_counter() < started + bench.seconds:
            asked_at = time.perf_counter()
            _issue(bench.limited, bench.at, _one(bench))
            latencies_ms.append((time.perf_counter() - asked_at) * 1000)
        seconds = time.perf_counter() - started
        issued = len(latencies_ms)
        bench.issued_count += issued
        return Round(
            per_s=issued / seconds,
            latencies_ms=latencies_ms,
            cpu_us={
                "app": 1e6 * (time.process_time() - computed) / issued,
                "database": 1e6 * (bench.database_seconds() - database) / issued,
            },
        )

    return Case("engine, one", "SQL one by one, 1", _beside_sql(bench, ours, 1))


def _beside_sql(bench: Bench, ours: Callable[[], Round], clients: int) -> Callable[[int], Round]:
    def peer() -> float:
        return bench.peer.per_s(clients, together=1, seconds=bench.seconds)

    return lambda number: machine.in_turn(number, ours, peer)


def _many(bench: Bench, batch_id: UUID, what: str) -> Case:
    def ours() -> Round:
        computed, database = time.process_time(), bench.database_seconds()
        started = time.perf_counter()
        now = _now()
        asked = NewCoupons(id=new_id(now), batch_id=batch_id, unclaimed=bench.rows)
        with transaction(bench.limited, by_system(bench.at.operator_id)) as session:
            issuing.issue_many(
                session, bench.at.operator_id, asked, code_secret=CODE_SECRET.encode(), now=now
            )
        seconds = time.perf_counter() - started
        bench.issued_count += bench.rows
        return Round(
            per_s=bench.rows / seconds,
            cpu_us={
                "app": 1e6 * (time.process_time() - computed) / bench.rows,
                "database": 1e6 * (bench.database_seconds() - database) / bench.rows,
            },
        )

    def measure(number: int) -> Round:
        # The text is made of coupons that are there, so the first round issues some beforehand.
        if number == 0:
            ours()
        ready = _ready_text(bench, batch_id)
        return machine.in_turn(number, ours, lambda: _copied_per_s(bench, ready))

    return Case(f"issue_many of {bench.rows:,}, {what}", "COPY of ready text", measure)


def _one(bench: Bench) -> NewCoupon:
    return NewCoupon(id=new_id(_now()), batch_id=bench.batch_id)


def _issue(engine: Engine, at: Shop, request: NewCoupon) -> None:
    with transaction(engine, by_system(at.operator_id)) as session:
        issuing.issue(
            session, at.operator_id, request, code_secret=CODE_SECRET.encode(), now=_now()
        )


def _ready_text(bench: Bench, batch_id: UUID) -> list[bytes]:
    """Return coupons like these as COPY wants them, with ids, places and codes nobody has yet."""
    bench.copied_count += bench.rows
    places = FAR + bench.copied_count // bench.rows * FURTHER
    sql = _LIKE_THEM.format(
        batch_id=batch_id, copied_id=bench.copied_id, rows=bench.rows, places=places
    )
    with _copying(bench) as cursor, cursor.copy(f"COPY ({sql}) TO STDOUT".encode()) as copy:
        return [bytes(block) for block in copy]


def _copied_per_s(bench: Bench, ready: list[bytes]) -> float:
    with _copying(bench) as cursor:
        started = time.perf_counter()
        with cursor.copy(f"COPY coupon ({_COLUMNS}) FROM STDIN".encode()) as copy:
            for block in ready:
                copy.write(block)
        cursor.connection.commit()
        return bench.rows / (time.perf_counter() - started)


@contextmanager
def _copying(bench: Bench) -> Generator["psycopg.Cursor[Any]"]:
    """Open a cursor that may take as long as a million rows do."""
    with bench.engine.connect() as connection:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        with driver.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            yield cursor


def _record(bench: Bench) -> dict[str, int]:
    """Return what the record holds now: its sums must be what was issued."""
    ours = [bench.batch_id, bench.with_codes_id, bench.without_codes_id]
    with bench.engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        row = connection.execute(text(_RECORD), {"ours": ours}).mappings().one()
    return {"issued": bench.issued_count, "copied": bench.copied_count, **dict(row)}


def _now() -> datetime:
    return datetime.now(UTC)


_COLUMNS = """operator_id, id, campaign_id, batch_id, offer_id, position, issued_at, valid_from,
    valid_until, uses, code_hash"""
_LIKE_THEM = """
    SELECT operator_id, uuidv7(), campaign_id, '{copied_id}'::uuid, offer_id,
           {places} + position, issued_at, valid_from, valid_until, uses,
           CASE WHEN code_hash IS NOT NULL THEN sha256(uuid_send(gen_random_uuid())) END
    FROM (SELECT * FROM coupon WHERE batch_id = '{batch_id}' ORDER BY id LIMIT {rows}) AS those
"""
_RECORD = """
    SELECT (SELECT count(*) FROM coupon WHERE batch_id = ANY(:ours)) AS coupons,
           (SELECT count(*) FROM coupon WHERE batch_id <> ALL(:ours)) AS coupons_of_peers,
           (SELECT count(*) FROM event JOIN coupon ON coupon.id = event.subject_id
            WHERE kind = 'coupon_issued' AND batch_id = ANY(:ours)) AS events,
           (SELECT count(*) FROM coupon WHERE code_hash IS NOT NULL) AS short_codes
"""

if __name__ == "__main__":
    typer.run(main)
