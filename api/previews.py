"""An offer that is still being written, as customers and counters would meet it."""

from fastapi import APIRouter

from api.deps import Looking, Now, OperatorId
from api.problems import can_fail_with
from coupon_engine import previewing
from coupon_engine.errors import Unknown
from schemas.previews import NewPreview, NewTrial, PreviewView, TrialView

router = APIRouter(tags=["Offers"])


@router.post("/previews", responses=can_fail_with(Unknown))
def preview(request: NewPreview, session: Looking, operator_id: OperatorId) -> PreviewView:
    """Say in words what these terms give and ask, as a customer would read them."""
    return previewing.preview(session, operator_id, request)


@router.post("/trials", responses=can_fail_with(Unknown))
def trial(request: NewTrial, session: Looking, operator_id: OperatorId, now: Now) -> TrialView:
    """Try these terms on a basket. Changes nothing; budgets and ceilings are not judged."""
    return previewing.trial(session, operator_id, request, now=now)
