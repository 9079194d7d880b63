"""Kill a terminal right after a green answer, again and again, and count what is lost.

python -m tests.scanner.terminal.killing --times 500
"""

import os
import signal
import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from uuid import UUID

from coupon_engine.validation.token import Typ, verify_typed
from scanner.terminal.checking import Finding
from scanner.terminal.journal import public_of
from scanner.terminal.judging import Accepted
from tests.scanner.terminal.shop import Shop, bundle, campaign, coupon, shown
from tests.vectors.make_token_vectors import NOW

MOST_GREEN = 6  # before a kill


@dataclass(frozen=True)
class Toll:
    """What was promised over all lives of the terminal, and what its journal has of it."""

    kills: int
    green: int
    lost: int  # green, and not in the journal
    forgotten: int  # green, and not in the ledger: the coupon would be redeemed again
    miscounted: int  # between the entries and what was taken from the allowance
    findings: list[Finding]


def kill_again_and_again(folder: Path, times: int, seed: int = 1) -> Toll:
    """Let a terminal redeem in a process of its own, and kill it so many times (POSIX only)."""
    random = Random(seed)
    prepare(folder)
    green: list[UUID] = []
    for _ in range(times):
        green += _one_life(folder, random.randrange(1, MOST_GREEN), random.random() / 500)
    return _counted(folder, times, green)


def prepare(folder: Path) -> None:
    shop = Shop(folder)
    shop.learn(bundle(campaign(max_count=10**6, max_minor=10**9)))
    shop.close()


def _one_life(folder: Path, greens: int, seconds_more: float) -> list[UUID]:
    """Return which coupons the child has shown green until it was killed.

    It is killed a moment after its last green that was waited for, so often in the midst of the
    next entry.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _redeem_until_killed(folder, writing)
    os.close(writing)
    told = b""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while told.count(b"\n") < greens:
            heard = pipe.read(33)
            assert heard, "the child has ended by itself"
            told += heard
        signal.sigtimedwait((), seconds_more)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        while heard := pipe.read(4_096):
            told += heard
    return [UUID(line.decode()) for line in told.split(b"\n") if len(line) == 32]


def _redeem_until_killed(folder: Path, screen: int) -> None:
    try:
        shop = Shop(folder, NOW + timedelta(minutes=1))
        while True:
            yes = shop.redeem(shown(coupon()))
            assert isinstance(yes, Accepted), yes
            os.write(screen, f"{yes.coupon_id.hex}\n".encode())
    finally:
        os._exit(1)


def _counted(folder: Path, kills: int, green: list[UUID]) -> Toll:
    shop = Shop(folder, NOW + timedelta(minutes=1))
    key = public_of(shop.key)
    texts = shop.journal.unsent(10**9)
    written = {UUID(verify_typed(text, key, Typ.JOURNAL)["jti"]) for text in texts}
    told = bundle()
    used, _ = shop.journal.used(told.lease_id, told.campaigns[0].id)
    toll = Toll(
        kills=kills,
        green=len(green),
        lost=len(set(green) - written),
        forgotten=sum(shop.journal.spent(jti) is None for jti in green),
        miscounted=abs(used - len(texts)),
        findings=shop.journal.check(),
    )
    shop.close()
    return toll


if __name__ == "__main__":
    arguments = ArgumentParser(description=__doc__)
    arguments.add_argument("--times", type=int, default=500)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    with TemporaryDirectory() as made:
        toll = kill_again_and_again(Path(made), given.times, given.seed)
    sys.stdout.write(f"{toll}\n")
    sys.exit(bool(toll.lost or toll.forgotten or toll.miscounted or toll.findings))
