"""Does the time of a no tell a customer whether there is such a short code?

    python -m bench.guessing --each 300

Claims codes that give nothing, each from a wallet and a network of its own, in random order and
each in a transaction of its own. For every kind it prints the median and p: how often chance alone
would part its times from those of unknown codes as far (Mann and Whitney's test, two-sided).
"""

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Engine, text

from bench import shop
from bench.chance import told
from bench.shop import Shop
from coupon_engine import acting
from coupon_engine.customers import wallets
from coupon_engine.database import transaction
from coupon_engine.errors import Unknown
from coupon_engine.sealing import Vault
from coupon_engine.tables import Wallet
from coupon_engine.validation.issuer_keys import new_private_key
from coupon_engine.validation.short_code import short_code_of
from schemas.ids import new_id
from schemas.wallets import NewWalletClaim

EACH = 300
APART = timedelta(seconds=4)
SECRET = shop.CODE_SECRET.encode()
VAULT = Vault.under(shop.PASSPHRASE.encode())

# What is done to coupons that somebody else holds, so that their codes give nothing.
_GONE: Mapping[str, str] = {
    "taken": "",
    "used": "customer_id = NULL, uses_count = uses",
    "expired": "customer_id = NULL, valid_from = valid_from - interval '1 year', "
    "valid_until = valid_from",
    "withdrawn": "customer_id = NULL, revoked_at = issued_at",
}


def main(each: Annotated[int, typer.Option(help="Guesses of each kind.")] = EACH) -> None:
    """Measure how long a no takes, for each reason."""
    now = datetime.now(UTC)
    with shop.durable_database() as database:
        engine = database.engine
        at = shop.open_shop(engine, now=now)
        other = shop.open_shop(engine, slug="other", now=now)
        codes = {
            "unknown": [short_code_of(new_id(now), SECRET) for _ in range(each)],
            "unknown again": [short_code_of(new_id(now), SECRET) for _ in range(each)],
            "foreign": _codes(engine, other, each, "", now=now),
            **{name: _codes(engine, at, each, change, now=now) for name, change in _GONE.items()},
        }
        wallet_ids = _wallets(engine, at, each * len(codes), now)
        took = _measured(database.limited, at, codes, wallet_ids, now)
    print(told("code", took))


def _codes(engine: Engine, at: Shop, many: int, change: str, *, now: datetime) -> list[str]:
    batch_id = shop.new_batch(engine, at, has_short_codes=True, now=now)
    ids = shop.new_coupons(engine, at, batch_id, many, now=now)
    if change:
        with transaction(engine) as session:
            session.connection().execute(
                text(f"UPDATE coupon SET {change} WHERE batch_id = :id"),  # noqa: S608 (ours)
                {"id": batch_id},
            )
    return [short_code_of(id, SECRET) for id in ids]


def _wallets(engine: Engine, at: Shop, many: int, now: datetime) -> list[UUID]:
    rows = [
        Wallet(
            operator_id=at.operator_id,
            id=new_id(now),
            customer_id=at.customer_ids[number % len(at.customer_ids)],
            public_key=_public_key(),
            created_at=now,
            seen_at=now,
        )
        for number in range(many)
    ]
    with transaction(engine) as session:
        session.add_all(rows)
    return [row.id for row in rows]


def _public_key() -> bytes:
    public = new_private_key().public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def _measured(
    engine: Engine,
    at: Shop,
    codes: Mapping[str, Sequence[str]],
    wallet_ids: Sequence[UUID],
    now: datetime,
) -> dict[str, list[float]]:
    guesses = [(name, code) for name, of_name in codes.items() for code in of_name]
    random.Random(1).shuffle(guesses)
    took: dict[str, list[float]] = {name: [] for name in codes}
    for number, ((name, code), wallet_id) in enumerate(zip(guesses, wallet_ids, strict=True)):
        # An operator's customers together may guess so often an hour, and no more.
        at_moment = now + number * APART
        request = NewWalletClaim(id=new_id(now), short_code=code)
        network = f"10.{number >> 8 & 255}.{number & 255}.1"
        begun = time.perf_counter()
        with (
            suppress(Unknown),
            transaction(engine, acting.by_system(at.operator_id)) as session,
        ):
            wallets.claim(
                session,
                at.operator_id,
                wallet_id,
                request,
                network=network,
                vault=VAULT,
                code_secret=SECRET,
                now=at_moment,
            )
        took[name].append((time.perf_counter() - begun) * 1_000)
    return took


if __name__ == "__main__":
    typer.run(main)
