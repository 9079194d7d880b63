"""The platform's own people: making operators, and looking into one for a reason."""

from fastapi import APIRouter, Response, status

from api.asking import cookies
from api.asking.who import Asking
from api.deps import Looking, Now, Paging, Transaction
from api.problems import can_fail_with
from coupon_engine import break_glass
from coupon_engine.errors import MoveNotAllowed, NameTaken, NotSignedIn, Unknown
from schemas.platform import (
    BreakGlassView,
    NewBreakGlass,
    NewOperatorAndOwner,
    OperatorLine,
    OperatorMade,
)

router = APIRouter(tags=["Platform"])


@router.get("/operators", responses=can_fail_with())
def operators(page: Paging, session: Looking) -> list[OperatorLine]:
    """Whom the platform runs for. Nothing of what is inside."""
    return break_glass.operator_lines(session, after=page.after, most=page.most)


@router.post(
    "/operators",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NameTaken, MoveNotAllowed),
)
def create_operator(request: NewOperatorAndOwner, session: Transaction, now: Now) -> OperatorMade:
    """Make an operator and invite its first owner. The invitation is shown once."""
    return break_glass.create_operator(session, request, now=now)


@router.post(
    "/break-glass",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, Unknown, MoveNotAllowed),
)
def look_inside(
    request: NewBreakGlass, response: Response, session: Transaction, caller: Asking, now: Now
) -> BreakGlassView:
    """Read at one operator what an auditor may, for minutes. Its people see that you did."""
    assert caller.sign_in is not None
    view, opened = break_glass.break_glass(session, caller.sign_in, request, now=now)
    cookies.signed_in(response, opened)
    return view
