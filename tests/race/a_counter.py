"""A counter in a process of its own: reads what to redeem, waits for "go", tells each answer.

Run by `test_processes.py`. A line is told only after its commit.
"""

import sys
from uuid import UUID

from sqlmodel import Session

from coupon_engine.database import open_engine, repeating
from coupon_engine.errors import CouponError
from coupon_engine.redemption import Presented, redeem
from coupon_engine.validation.showing import Shown
from schemas.redemptions import NewRedemption, RedemptionView
from tests.make import NOON
from tests.race.together import told


def main(url: str, operator_id: UUID) -> None:
    engine = open_engine(url, pool=1)
    presented: list[Presented] = []
    while (line := sys.stdin.readline().strip()) != "":
        request = NewRedemption.model_validate_json(line)
        coupon_id = UUID(request.code.removeprefix("coupon "))
        presented.append(Presented(request, Shown(coupon_id=coupon_id, campaign_number=1)))
    tell("ready")
    assert sys.stdin.readline().strip() == "go"
    for each in presented:

        def work(session: Session, each: Presented = each) -> RedemptionView:
            return redeem(session, operator_id, each, now=NOON)

        answer: object
        try:
            answer = repeating(engine, work)
        except CouponError as error:
            answer = error
        (word,) = told([answer])
        tell(f"{each.request.id} {word}")


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], UUID(sys.argv[2]))
