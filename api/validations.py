"""Looking: would these coupons work?"""

from fastapi import APIRouter

from api.asking import guesses
from api.deps import Looking, Now, Reading
from api.problems import can_fail_with
from coupon_engine import validating
from coupon_engine.errors import Unknown
from schemas.redemptions import NewValidation, ValidationView

router = APIRouter(tags=["Redemptions"])


@router.post("/validations", responses=can_fail_with(Unknown))
def validate(
    request: NewValidation,
    session: Looking,
    reader: Reading,
    now: Now,
) -> ValidationView:
    """Say what each coupon would take off this basket. Changes nothing and promises nothing."""
    reader.caller.see_store(request.store_id)
    codes = reader.read_all(request.codes, request.challenge)
    return guesses.looked_at(
        reader.door,
        reader.caller,
        codes,
        lambda: validating.validate(session, reader.caller.operator_id, request, codes, now=now),
    )
