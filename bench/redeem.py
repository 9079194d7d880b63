"""How many redemptions a second, and how long each waits: `python -m bench.redeem`.

Two ways in, one hot campaign budget. Through the door: uvicorn in a process of its own, codes that
are really signed and verified, counters that never pause. And the engine alone, called with so
many requests at once. Beside each, in the same minute on the same server, pgbench makes the same
rows in raw SQL; the two take turns, so that what else the machine does weighs on both.
"""

import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy import Engine, text

from bench import door, load, machine, peers, shop
from bench.door import Door
from bench.machine import Case, Round
from bench.peers import Peer
from bench.shop import Shop
from coupon_engine import redemption
from coupon_engine.acting import by_system
from coupon_engine.database import repeating
from coupon_engine.redemption import Outcome, Presented
from coupon_engine.validation.showing import Shown

CLIENTS = (1, 8, 32)
BATCHES = (1, 32, 128)
SECONDS = 2.0
ROUNDS = 5
WARM_UP = 100
# What is made ready for a second of measuring, until the first round has told how much is needed.
DOOR_PER_S = 2_500
ENGINE_PER_S = 8_000
PEER_COUPONS_PER_S = 25_600  # enough for every number of clients and of redemptions together
PEER_USES = 1_000


@dataclass
class Bench:
    """What all measurements share. What is made ready for one and not needed serves the next."""

    engine: Engine
    limited: Engine
    at: Shop
    batch_id: UUID
    door: Door
    peer: Peer
    database_pid: int
    seconds: float
    requests: deque[bytes] = field(default_factory=deque[bytes])
    presented: deque[Presented] = field(default_factory=deque[Presented])
    accepted_count: int = 0

    def cpu_seconds(self) -> dict[str, float]:
        return {
            "door": machine.cpu_seconds(self.door.pid),
            "database": machine.cpu_seconds(self.database_pid),
        }


def main(
    clients: Annotated[list[int] | None, typer.Option(help="Counters at the door.")] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Requests in one call.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each measurement lasts.")] = SECONDS,
    rounds: Annotated[int, typer.Option(help="Measurements, whose median counts.")] = ROUNDS,
    workers: Annotated[int, typer.Option(help="Processes behind the door.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Measure redemptions a second, beside the same writes in raw SQL."""
    with _bench(seconds, workers) as bench:
        _warm_up(bench)
        cases = [_through_the_door(bench, many) for many in clients or CLIENTS]
        cases += [_by_the_engine(bench, many) for many in batch or BATCHES]
        figures = machine.measured(cases, rounds)
        record = _record(bench)
    title = f"Redemptions out of one budget, {workers} worker{'s' * (workers > 1)}"
    machine.say(title, figures, record, unit="redeem", as_json=as_json)


@contextmanager
def _bench(seconds: float, workers: int) -> Generator[Bench]:
    now = _now()
    with ExitStack() as closing:
        database = closing.enter_context(shop.durable_database())
        engine = database.engine
        at = shop.open_shop(engine, now=now)
        # Before the door opens: behind it is who sends the message that the peer copies.
        folder = Path(closing.enter_context(peers.folder()))
        peer = _peer(engine, at, folder, int(seconds * PEER_COUPONS_PER_S), now=now)
        bench = Bench(
            engine=engine,
            limited=database.limited,
            at=at,
            batch_id=shop.new_batch(engine, at, now=now),
            door=closing.enter_context(door.opened(database.settings, workers=workers)),
            peer=peer,
            database_pid=peers.server_pid(engine),
            seconds=seconds,
        )
        yield bench


def _warm_up(bench: Bench) -> None:
    """Let every worker build its routes and prepare its statements, and nobody wait for it."""
    _make_requests(bench, WARM_UP)
    heard = load.send(bench.door.url, bench.requests, clients=8, seconds=WARM_UP)
    bench.accepted_count += load.all_made(heard)


def _peer(engine: Engine, at: Shop, folder: Path, coupons: int, *, now: datetime) -> Peer:
    """Redeem one coupon our way, and let the peer do likewise."""
    batch_id = shop.new_batch(engine, at, uses=PEER_USES, now=now)
    shop.new_coupons(engine, at, batch_id, coupons, now=now)
    like = _presented(engine, at, shop.unused(engine, batch_id)[:1], now=now)
    _redeem(engine, at, like)
    return peers.redeeming(engine, at, batch_id, like[0].request.id, folder)


def _through_the_door(bench: Bench, clients: int) -> Case:
    def ours() -> Round:
        before = bench.cpu_seconds()
        heard = load.send(bench.door.url, bench.requests, clients=clients, seconds=bench.seconds)
        accepted = load.all_made(heard)
        bench.accepted_count += accepted
        after = bench.cpu_seconds()
        return Round(
            per_s=accepted / heard.seconds,
            latencies_ms=heard.latencies_ms,
            cpu_us={
                "app": 1e6 * (after["door"] - before["door"]) / accepted,
                "database": 1e6 * (after["database"] - before["database"]) / accepted,
                "load": 1e6 * heard.cpu_seconds / accepted,
            },
        )

    def measure(number: int) -> Round:
        _make_requests(bench, int(bench.seconds * DOOR_PER_S) + clients)
        return machine.in_turn(
            number, ours, lambda: bench.peer.per_s(clients, together=1, seconds=bench.seconds)
        )

    name = f"HTTP, {clients} client{'s' * (clients > 1)}"
    return Case(name, f"SQL one by one, {clients}", measure)


def _by_the_engine(bench: Bench, together: int) -> Case:
    def ours() -> Round:
        before, computed = bench.cpu_seconds(), time.process_time()
        latencies_ms: list[float] = []
        started = time.perf_counter()
        while len(bench.presented) >= together and time.perf_counter() < started + bench.seconds:
            batch = [bench.presented.popleft() for _ in range(together)]
            asked_at = time.perf_counter()
            outcomes = _redeem(bench.limited, bench.at, batch)
            latencies_ms.append((time.perf_counter() - asked_at) * 1000)
            if refused := [outcome for outcome in outcomes if outcome.error]:
                raise RuntimeError(f"the engine said {refused[0]}")
        seconds = time.perf_counter() - started
        accepted = together * len(latencies_ms)
        bench.accepted_count += accepted
        database = bench.cpu_seconds()["database"] - before["database"]
        return Round(
            per_s=accepted / seconds,
            latencies_ms=latencies_ms,
            cpu_us={
                "app": 1e6 * (time.process_time() - computed) / accepted,
                "database": 1e6 * database / accepted,
            },
        )

    def measure(number: int) -> Round:
        _make_presented(bench, int(bench.seconds * ENGINE_PER_S) + together)
        return machine.in_turn(
            number, ours, lambda: bench.peer.per_s(1, together=together, seconds=bench.seconds)
        )

    peer = "SQL one by one, 1" if together == 1 else f"SQL {together} together, 1"
    return Case(f"engine, batch of {together}", peer, measure)


def _redeem(engine: Engine, at: Shop, batch: Sequence[Presented]) -> list[Outcome]:
    return repeating(
        engine,
        lambda session: redemption.redeem_many(session, at.operator_id, batch, now=_now()),
        by_system(at.operator_id),
    )


def _make_requests(bench: Bench, many: int) -> None:
    """Have so many requests ready, each with the code of a coupon of its own."""
    ids = _new_coupons(bench, many - len(bench.requests))
    headers = {"Authorization": f"Bearer {bench.at.api_key}"}
    for code in shop.codes(bench.engine, bench.at, ids, now=_now()):
        body = shop.request(bench.at, code, now=_now()).model_dump_json(exclude_defaults=True)
        bench.requests.append(load.post("/v1/redemptions", headers, body.encode()))


def _make_presented(bench: Bench, many: int) -> None:
    ids = _new_coupons(bench, many - len(bench.presented))
    bench.presented.extend(_presented(bench.engine, bench.at, ids, now=_now()))


def _presented(
    engine: Engine, at: Shop, coupon_ids: Sequence[UUID], *, now: datetime
) -> list[Presented]:
    """Return requests whose codes the door has read already."""
    number = shop.campaign_number(engine, at)
    return [
        Presented(
            shop.request(at, f"the code of {id}", now=now),
            Shown(coupon_id=id, campaign_number=number),
        )
        for id in coupon_ids
    ]


def _new_coupons(bench: Bench, many: int) -> list[UUID]:
    if many <= 0:
        return []
    return shop.new_coupons(bench.engine, bench.at, bench.batch_id, many, now=_now())


def _record(bench: Bench) -> dict[str, int]:
    """Return what the record holds now: its sums must be what was accepted."""
    with bench.engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        row = (
            connection.execute(
                text(_RECORD), {"campaign_id": bench.at.campaign_id, "batch_id": bench.batch_id}
            )
            .mappings()
            .one()
        )
    return {"accepted": bench.accepted_count, **dict(row)}


def _now() -> datetime:
    return datetime.now(UTC)


_RECORD = """
    SELECT count(*) FILTER (WHERE batch_id = :batch_id) AS redemptions,
           count(DISTINCT coupon_id) FILTER (WHERE batch_id = :batch_id) AS coupons_redeemed,
           count(*) FILTER (WHERE batch_id <> :batch_id) AS redemptions_of_peers,
           (SELECT count(*) FROM answer WHERE verb = 'redeem') AS answers,
           (SELECT count(*) FROM event WHERE kind = 'coupon_redeemed') AS events,
           (SELECT used_count FROM limit_row
            WHERE key = '9/' || CAST(:campaign_id AS text) || '/redeem') AS used_count,
           (SELECT spent_minor FROM limit_row
            WHERE key = '9/' || CAST(:campaign_id AS text) || '/redeem') AS spent_minor
    FROM redemption
"""

if __name__ == "__main__":
    typer.run(main)
