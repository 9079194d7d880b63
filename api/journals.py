"""Journals: what terminals did while they were alone."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response, status

from api.asking.callers import Caller
from api.asking.who import Asking
from api.deps import Keys, Now, Passphrase, Transaction
from api.problems import can_fail_with
from coupon_engine.errors import NotAllowed, Unknown
from coupon_engine.offline import journals
from schemas.journals import NewUpload, UploadView

router = APIRouter(tags=["Without a network"])

After = Annotated[
    int,
    Query(ge=0, lt=2**33, description="The `iat` of the acknowledgement that one has; 0: none."),
]


@router.post(
    "/journals",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(Unknown, NotAllowed),
)
def upload_journal(
    request: NewUpload,
    session: Transaction,
    caller: Asking,
    keys: Keys,
    passphrase: Passphrase,
    now: Now,
) -> UploadView:
    """Send entries in the order of their numbers. Sending them again gets the same answers."""
    return journals.receive(
        session,
        caller.operator_id,
        _whose(caller, request),
        request,
        ring=keys,
        passphrase=passphrase,
        store_ids=caller.store_ids,
        now=now,
    )


@router.get(
    "/journals/acknowledgement",
    response_class=Response,
    responses={
        200: {"content": {"application/jwt": {}}, "description": "An `ack+jwt`."},
        **can_fail_with(),
    },
)
def acknowledged(
    session: Transaction,
    caller: Asking,
    passphrase: Passphrase,
    now: Now,
    after: After = 0,
) -> Response:
    """What the server has of the journal of the terminal that asks, and what was decided since."""
    assert caller.terminal_id
    told = journals.acknowledgement(
        session,
        caller.operator_id,
        caller.terminal_id,
        after=after,
        passphrase=passphrase,
        now=now,
    )
    return Response(told, media_type="application/jwt")


def _whose(caller: Caller, request: NewUpload) -> UUID:
    """Return whose journal it is: the terminal's that signs, or the one that somebody brings."""
    if caller.terminal_id is None:
        if request.terminal_id is None:
            raise NotAllowed
        return request.terminal_id
    if request.terminal_id not in (None, caller.terminal_id):
        raise Unknown("terminal", request.terminal_id)
    return caller.terminal_id
