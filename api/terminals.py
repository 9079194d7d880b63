"""Terminals: pairing a device with a store, and the end of one."""

from collections.abc import Iterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, status

from api.asking.who import Asking, network_of
from api.deps import (
    Looking,
    Now,
    OpenNow,
    OpenTransaction,
    Passphrase,
    Transaction,
    VaultOf,
)
from api.door import door_of
from api.problems import can_fail_with
from coupon_engine.errors import (
    CodeWrong,
    HolderKeyInvalid,
    MoveNotAllowed,
    NameTaken,
    NotSignedIn,
    PairingTaken,
    RequestReused,
    TerminalHasJournal,
    TooManyTries,
    Unknown,
)
from coupon_engine.terminals import pairing, terminals
from schemas.campaigns import TerminalView
from schemas.terminals import (
    NewPairing,
    NewPairingAnswer,
    NewPairingConfirmation,
    NewPairingRefusal,
    NewTerminalRevocation,
    PairingAnswerView,
    PairingPictureView,
    PairingView,
)

router = APIRouter(tags=["Terminals"])


async def issuer_url_of(request: Request) -> str:
    return door_of(request).issuer_url


def forget_device(request: Request) -> Iterator[list[UUID]]:
    """Let this process see at once whose key is another, or none, from now on."""
    changed: list[UUID] = []
    yield changed
    for id in changed:
        door_of(request).devices.forget(str(id))


IssuerUrl = Annotated[str, Depends(issuer_url_of)]
Network = Annotated[str | None, Depends(network_of)]
Changed = Annotated[list[UUID], Depends(forget_device, scope="function")]


@router.post(
    "/pairings",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(Unknown, MoveNotAllowed, RequestReused, TerminalHasJournal),
)
def begin_pairing(
    request: NewPairing,
    session: Transaction,
    caller: Asking,
    vault: VaultOf,
    issuer_url: IssuerUrl,
    now: Now,
) -> PairingPictureView:
    """Show a picture that makes one device a terminal: once, within ten minutes."""
    return pairing.begin(
        session,
        caller.operator_id,
        request,
        store_ids=caller.store_ids,
        vault=vault,
        server_url=issuer_url,
        now=now,
    )


@router.get("/pairings/{pairing_id}", responses=can_fail_with(Unknown))
def one_pairing(pairing_id: UUID, session: Looking, caller: Asking, now: Now) -> PairingView:
    return pairing.pairing_view(
        session, caller.operator_id, pairing_id, store_ids=caller.store_ids, now=now
    )


@router.post(
    "/pairing-answers",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, HolderKeyInvalid, PairingTaken, TooManyTries),
)
def answer_pairing(
    request: NewPairingAnswer,
    session: OpenTransaction,
    network: Network,
    vault: VaultOf,
    passphrase: Passphrase,
    now: OpenNow,
) -> PairingAnswerView:
    """Answer a picture with a key that the device has just made; ask again how things stand."""
    return pairing.answer(
        session, request, address=network or "", vault=vault, passphrase=passphrase, now=now
    )


@router.post(
    "/pairing-confirmations",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        Unknown, MoveNotAllowed, CodeWrong, TooManyTries, NameTaken, TerminalHasJournal
    ),
)
def confirm_pairing(
    request: NewPairingConfirmation,
    changed: Changed,
    session: Transaction,
    caller: Asking,
    now: Now,
) -> PairingView:
    """Say that both screens show the same six digits. From then on the device may sign."""
    view = pairing.confirm(
        session, caller.operator_id, request, store_ids=caller.store_ids, now=now
    )
    changed.append(view.terminal_id)
    return view


@router.post(
    "/pairing-refusals",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(Unknown, MoveNotAllowed),
)
def refuse_pairing(
    request: NewPairingRefusal, session: Transaction, caller: Asking, now: Now
) -> PairingView:
    """Say that they do not, or that it was a mistake."""
    return pairing.refuse(session, caller.operator_id, request, store_ids=caller.store_ids, now=now)


@router.post(
    "/terminal-revocations",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(RequestReused, Unknown),
)
def revoke_terminal(
    request: NewTerminalRevocation,
    changed: Changed,
    session: Transaction,
    caller: Asking,
    now: Now,
) -> TerminalView:
    """Let a terminal's key open nothing any more, for good."""
    changed.append(request.terminal_id)
    return terminals.revoke(
        session, caller.operator_id, request, store_ids=caller.store_ids, now=now
    )
