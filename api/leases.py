"""Leases: a terminal may work for a while without the server."""

from fastapi import APIRouter, status

from api.asking.who import Asking
from api.deps import Now, Transaction
from api.problems import can_fail_with
from coupon_engine.errors import JournalIncomplete, RequestReused, TerminalFrozen
from coupon_engine.offline import leases
from schemas.offline import LeaseView, NewLease

router = APIRouter(tags=["Without a network"])


@router.post(
    "/leases",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, JournalIncomplete, TerminalFrozen),
)
def grant(request: NewLease, session: Transaction, caller: Asking, now: Now) -> LeaseView:
    """Let the terminal that asks work alone. What it may give away leaves the budgets at once."""
    assert caller.terminal_id
    return leases.grant(session, caller.operator_id, caller.terminal_id, request, now=now)
