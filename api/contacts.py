"""What an operator's people may see of a person, and how a person is forgotten."""

from uuid import UUID

from fastapi import APIRouter, status

from api.deps import CodeSecret, Looking, Now, OperatorId, Transaction, VaultOf
from api.problems import can_fail_with
from coupon_engine.customers import contacts, erasing, exporting
from coupon_engine.errors import ContactNotUsable, NameTaken, RequestReused, Unknown
from schemas.wallets import ContactView, ErasureView, ExportView, NewContact, NewErasure

router = APIRouter(tags=["Personal data"])


@router.post(
    "/contacts",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(Unknown, ContactNotUsable, NameTaken),
)
def tell(
    request: NewContact, session: Transaction, operator_id: OperatorId, vault: VaultOf, now: Now
) -> ContactView:
    """Tell a customer's name, address or number. Telling it again changes nothing."""
    return contacts.tell(session, operator_id, request, vault=vault, now=now)


@router.get("/customers/{customer_id}/contacts", responses=can_fail_with(Unknown))
def contacts_of(
    customer_id: UUID, session: Looking, operator_id: OperatorId, vault: VaultOf
) -> list[ContactView]:
    """A customer's contacts, masked for everybody. In clear they stand in the export alone."""
    return contacts.views(session, operator_id, customer_id, vault=vault)


@router.get("/customers/{customer_id}/export", responses=can_fail_with(Unknown))
def export(
    customer_id: UUID,
    session: Transaction,
    operator_id: OperatorId,
    vault: VaultOf,
    code_secret: CodeSecret,
    now: Now,
) -> ExportView:
    """Everything that is known about one person. That it was asked for is recorded."""
    return exporting.export(
        session, operator_id, customer_id, vault=vault, code_secret=code_secret, now=now
    )


@router.post(
    "/erasures",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown),
)
def erase(
    request: NewErasure, session: Transaction, operator_id: OperatorId, now: Now
) -> ErasureView:
    """Forget a person. What happened stays in the record, under no name."""
    return erasing.erase(session, operator_id, request, now=now)
