"""The operator's sandbox: where programs are tried out, at any hour of any day."""

from collections.abc import Iterator

from fastapi import APIRouter, Depends, Request, status

from api.asking.callers import bearer_of
from api.deps import OpenNow, OperatorId, Passphrase, Transaction
from api.door import door_of
from api.problems import can_fail_with
from coupon_engine import sandboxes
from coupon_engine.errors import ClockTooFar, NameTaken, NotASandbox, RequestReused, Unknown
from schemas.api_keys import ClockView, NewClockSetting, NewSandbox, SandboxView

router = APIRouter(tags=["Sandbox"])


def forget_caller(request: Request) -> Iterator[None]:
    """Let this process see at once what time it is now for whoever has set the clock."""
    yield
    if key := bearer_of(request):
        door_of(request).callers.forget(key)


@router.post(
    "/sandboxes",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, NameTaken, Unknown),
)
def open_sandbox(
    request: NewSandbox,
    session: Transaction,
    operator_id: OperatorId,
    passphrase: Passphrase,
    now: OpenNow,
) -> SandboxView:
    """Make an operator apart, with data and signing keys of its own. One is enough."""
    return sandboxes.open_sandbox(session, operator_id, request, passphrase=passphrase, now=now)


@router.post(
    "/clock-settings",
    status_code=status.HTTP_201_CREATED,
    dependencies=[Depends(forget_caller, scope="function")],
    responses=can_fail_with(RequestReused, NotASandbox, ClockTooFar),
)
def set_clock(
    request: NewClockSetting, session: Transaction, operator_id: OperatorId, now: OpenNow
) -> ClockView:
    """Let it be another moment in the sandbox whose key this is, up to five years off."""
    return sandboxes.set_clock(session, operator_id, request, now=now)
