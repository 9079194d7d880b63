"""Cashiers, and their shifts at a terminal."""

from fastapi import APIRouter, status

from api.asking.who import Asking
from api.deps import Looking, Now, Paging, Transaction, VaultOf
from api.problems import can_fail_with
from coupon_engine.errors import CodeWrong, NotSignedIn, RequestReused, TooManyTries, Unknown
from coupon_engine.terminals import cashiers, shifts
from schemas.terminals import (
    CashierView,
    NewCashier,
    NewCashierChange,
    NewShift,
    NewShiftEnd,
    ShiftEndView,
    ShiftView,
)

router = APIRouter(tags=["Cashiers"])


@router.post(
    "/cashiers",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(Unknown, RequestReused),
)
def create_cashier(
    request: NewCashier, session: Transaction, caller: Asking, vault: VaultOf, now: Now
) -> CashierView:
    """Make a cashier known at a store, with a PIN."""
    return cashiers.create_cashier(
        session, caller.operator_id, request, store_ids=caller.store_ids, vault=vault, now=now
    )


@router.post(
    "/cashier-changes",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(Unknown),
)
def change_cashier(
    request: NewCashierChange, session: Transaction, caller: Asking, vault: VaultOf, now: Now
) -> CashierView:
    """Set another PIN, or let a cashier sign in no more."""
    return cashiers.change_cashier(
        session, caller.operator_id, request, store_ids=caller.store_ids, vault=vault, now=now
    )


@router.get("/cashiers", responses=can_fail_with())
def all_cashiers(
    page: Paging, session: Looking, caller: Asking, vault: VaultOf
) -> list[CashierView]:
    """Who works at one's stores. A terminal also gets what it needs to check a PIN offline."""
    return cashiers.cashiers(
        session,
        caller.operator_id,
        store_ids=caller.store_ids,
        terminal_id=caller.terminal_id,
        after=page.after,
        most=page.most,
        vault=vault,
    )


@router.post(
    "/shifts",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(CodeWrong, TooManyTries, RequestReused, NotSignedIn),
)
def start_shift(
    request: NewShift, session: Transaction, caller: Asking, vault: VaultOf, now: Now
) -> ShiftView:
    """Sit down at the terminal that asks. Send the secret along with what it asks from then on."""
    assert caller.terminal_id
    return shifts.start_shift(
        session, caller.operator_id, caller.terminal_id, request, vault=vault, now=now
    )


@router.post(
    "/shift-ends",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown),
)
def end_shift(request: NewShiftEnd, session: Transaction, caller: Asking, now: Now) -> ShiftEndView:
    """Get up."""
    assert caller.terminal_id
    return shifts.end_shift(
        session, caller.operator_id, request, terminal_id=caller.terminal_id, now=now
    )
