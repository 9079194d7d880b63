"""The operator's merchants, stores, terminals and customers."""

from fastapi import APIRouter, status

from api.asking.who import Asking
from api.deps import Looking, Now, OperatorId, Paging, Transaction
from api.problems import can_fail_with
from coupon_engine import operators
from coupon_engine.errors import NameTaken, RequestReused, Unknown
from schemas.campaigns import (
    CustomersView,
    CustomerView,
    MerchantView,
    NewCustomers,
    NewMerchant,
    NewStore,
    NewStoreChange,
    NewTerminal,
    StoreView,
    TerminalView,
)

router = APIRouter()


@router.post(
    "/merchants",
    tags=["Merchants"],
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused),
)
def create_merchant(
    request: NewMerchant, session: Transaction, operator_id: OperatorId, now: Now
) -> MerchantView:
    return operators.create_merchant(session, operator_id, request, now=now)


@router.get("/merchants", tags=["Merchants"], responses=can_fail_with())
def merchants(page: Paging, session: Looking, operator_id: OperatorId) -> list[MerchantView]:
    return operators.merchants(session, operator_id, after=page.after, most=page.most)


@router.post(
    "/stores",
    tags=["Stores"],
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown),
)
def create_store(
    request: NewStore, session: Transaction, operator_id: OperatorId, now: Now
) -> StoreView:
    return operators.create_store(session, operator_id, request, now=now)


@router.post(
    "/store-changes",
    tags=["Stores"],
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown),
)
def change_store(
    request: NewStoreChange, session: Transaction, operator_id: OperatorId, now: Now
) -> StoreView:
    """Tell anew where a store is, for the customers who want to go there."""
    return operators.change_store(session, operator_id, request, now=now)


@router.get("/stores", tags=["Stores"], responses=can_fail_with())
def stores(page: Paging, session: Looking, caller: Asking) -> list[StoreView]:
    """The stores that one may see: a shop manager and a cashier, their own."""
    return operators.stores(
        session, caller.operator_id, store_ids=caller.store_ids, after=page.after, most=page.most
    )


@router.post(
    "/terminals",
    tags=["Terminals"],
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown),
)
def create_terminal(
    request: NewTerminal, session: Transaction, caller: Asking, now: Now
) -> TerminalView:
    caller.see_store(request.store_id)
    return operators.create_terminal(session, caller.operator_id, request, now=now)


@router.get("/terminals", tags=["Terminals"], responses=can_fail_with())
def terminals(page: Paging, session: Looking, caller: Asking) -> list[TerminalView]:
    """The terminals that one may see: a shop manager, those at their own stores."""
    return operators.terminals(
        session, caller.operator_id, store_ids=caller.store_ids, after=page.after, most=page.most
    )


@router.post(
    "/customers",
    tags=["Customers"],
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, NameTaken),
)
def create_customers(
    request: NewCustomers, session: Transaction, operator_id: OperatorId, now: Now
) -> CustomersView:
    """Make customers known by the operator's own names for them, or bring them up to date."""
    return operators.create_customers(session, operator_id, request, now=now)


@router.get("/customers", tags=["Customers"], responses=can_fail_with())
def customers(page: Paging, session: Looking, operator_id: OperatorId) -> list[CustomerView]:
    return operators.customers(session, operator_id, after=page.after, most=page.most)
