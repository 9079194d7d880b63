"""What a phone asks for the customer who holds it. Whose coupons are meant, its signature says."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, status

from api.asking.flood import neighbours
from api.asking.who import Asking
from api.deps import (
    CodeSecret,
    Keys,
    Looking,
    Now,
    OpenNow,
    OpenTransaction,
    OperatorId,
    Page,
    Paging,
    Transaction,
    VaultOf,
)
from api.door import door_of
from api.problems import can_fail_with
from coupon_engine.customers import (
    claimable,
    erasing,
    exporting,
    passcodes,
    receipts,
    wallets,
    where,
)
from coupon_engine.errors import (
    BatchExhausted,
    ClaimLimitReached,
    ContactNeeded,
    ContactNotUsable,
    CouponNotUsable,
    CouponTaken,
    HolderKeyInvalid,
    HolderKeyRequired,
    HolderSuspended,
    NoSigningKey,
    NotIssuing,
    NotSignedIn,
    PasscodeNeeded,
    PasscodeOver,
    PasscodeWrong,
    ProofInvalid,
    RequestReused,
    StillActivated,
    TermsMismatch,
    TooManyHolderKeys,
    TooManyTries,
    Unknown,
)
from schemas.coupons import ActivationView, TokenView
from schemas.wallets import (
    ClaimableView,
    ErasureView,
    ExportView,
    HoldingsView,
    NewOwnActivation,
    NewOwnErasure,
    NewPasscode,
    NewPasscodeAnswer,
    NewRebind,
    NewWallet,
    NewWalletClaim,
    PasscodeAnswerView,
    PasscodeView,
    ReceiptView,
    WalletCouponView,
    WalletStoreView,
    WalletView,
)

router = APIRouter(tags=["Wallets"])


class StorePage(Page):
    """A page of the stores where this coupon works; left out, any of one's own."""

    coupon_id: UUID | None = None


async def network_of(request: Request) -> str:
    """Return whom a request is counted with."""
    return neighbours(door_of(request).flood.address_of(request))


async def wallet_of(caller: Asking) -> UUID:
    """Return the wallet that signed; no request ever names one."""
    return UUID(caller.id)


Network = Annotated[str, Depends(network_of)]
StorePaging = Annotated[StorePage, Query()]
OwnWallet = Annotated[UUID, Depends(wallet_of)]


@router.post(
    "/wallets",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(Unknown, TooManyTries, HolderKeyInvalid, ProofInvalid),
)
def register(
    request: NewWallet, session: OpenTransaction, network: Network, vault: VaultOf, now: OpenNow
) -> WalletView:
    """Make a wallet for a phone's key. No name, no number: asking again gives the same wallet."""
    return wallets.register(session, request, network=network, vault=vault, now=now)


@router.get("/wallet", responses=can_fail_with(NotSignedIn))
def holdings(
    page: Paging,
    session: Looking,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    vault: VaultOf,
    code_secret: CodeSecret,
    now: Now,
) -> HoldingsView:
    """What is in the wallet that asks: its coupons, and its contacts masked."""
    return wallets.holdings(
        session,
        operator_id,
        wallet_id,
        after=page.after,
        most=page.most,
        vault=vault,
        code_secret=code_secret,
        now=now,
    )


@router.get("/wallet/batches/{batch_id}", responses=can_fail_with(NotSignedIn, Unknown))
def claimable_batch(
    batch_id: UUID, session: Looking, operator_id: OperatorId, wallet_id: OwnWallet, now: Now
) -> ClaimableView:
    """What a claim of this batch would give, in words, and why not, if it would give nothing."""
    return claimable.claimable(session, operator_id, wallet_id, batch_id, now=now)


@router.get("/wallet/receipts", responses=can_fail_with(NotSignedIn))
def own_receipts(
    page: Paging, session: Looking, operator_id: OperatorId, wallet_id: OwnWallet, now: Now
) -> list[ReceiptView]:
    """What one's own coupons took off: where, when, and of what."""
    return receipts.receipts(
        session, operator_id, wallet_id, after=page.after, most=page.most, now=now
    )


@router.get("/wallet/stores", responses=can_fail_with(NotSignedIn, Unknown))
def own_stores(
    page: StorePaging, session: Looking, operator_id: OperatorId, wallet_id: OwnWallet, now: Now
) -> list[WalletStoreView]:
    """Where one's own coupons work. Which is nearest, the phone finds out: it tells no position."""
    return where.stores(
        session,
        operator_id,
        wallet_id,
        coupon_id=page.coupon_id,
        after=page.after,
        most=page.most,
        now=now,
    )


@router.post(
    "/wallet/claims",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        NotSignedIn,
        TooManyTries,
        RequestReused,
        Unknown,
        NotIssuing,
        BatchExhausted,
        ClaimLimitReached,
        TermsMismatch,
        ContactNeeded,
    ),
)
def claim(
    request: NewWalletClaim,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    network: Network,
    vault: VaultOf,
    code_secret: CodeSecret,
    now: Now,
) -> WalletCouponView:
    """Take a coupon into the wallet that asks: a fresh one, or the one with this short code."""
    return wallets.claim(
        session,
        operator_id,
        wallet_id,
        request,
        network=network,
        vault=vault,
        code_secret=code_secret,
        now=now,
    )


@router.post(
    "/wallet/rebinds",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        NotSignedIn,
        Unknown,
        RequestReused,
        CouponTaken,
        CouponNotUsable,
        HolderSuspended,
        TooManyHolderKeys,
        PasscodeNeeded,
    ),
)
def rebind(
    request: NewRebind,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    code_secret: CodeSecret,
    now: Now,
) -> WalletCouponView:
    """Bind one's own coupon to the phone that asks, after a move."""
    return wallets.rebind(
        session, operator_id, wallet_id, request, code_secret=code_secret, now=now
    )


@router.post(
    "/wallet/activations",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        NotSignedIn, Unknown, RequestReused, CouponTaken, CouponNotUsable, StillActivated
    ),
)
def activate(
    request: NewOwnActivation,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    now: Now,
) -> ActivationView:
    """Let one's own coupon work in one store alone for a while, there also without a network."""
    return wallets.activate(session, operator_id, wallet_id, request, now=now)


@router.get(
    "/wallet/coupons/{coupon_id}/token",
    responses=can_fail_with(
        NotSignedIn, Unknown, NoSigningKey, CouponNotUsable, HolderSuspended, HolderKeyRequired
    ),
)
def token(
    coupon_id: UUID,
    session: Looking,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    keys: Keys,
    code_secret: CodeSecret,
    now: Now,
) -> TokenView:
    """What the phone keeps of one of its own coupons."""
    return wallets.token(
        session, operator_id, wallet_id, coupon_id, keys, code_secret=code_secret, now=now
    )


@router.post(
    "/passcodes",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, RequestReused, ContactNotUsable, TooManyTries),
)
def ask(
    request: NewPasscode,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    network: Network,
    vault: VaultOf,
    now: Now,
    real_now: OpenNow,
) -> PasscodeView:
    """Send a code to an address or number. The answer is the same, whoever it belongs to."""
    return passcodes.ask(
        session,
        operator_id,
        wallet_id,
        request,
        network=network,
        vault=vault,
        now=now,
        counted_at=real_now,
    )


@router.post(
    "/passcode-answers",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, PasscodeOver, PasscodeWrong),
)
def answer(
    request: NewPasscodeAnswer,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    vault: VaultOf,
    now: Now,
) -> PasscodeAnswerView:
    """Type the code on the phone that asked for it: five guesses, five minutes, once."""
    return passcodes.answer(session, operator_id, wallet_id, request, vault=vault, now=now)


@router.get("/wallet/export", responses=can_fail_with(NotSignedIn))
def export(
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    vault: VaultOf,
    code_secret: CodeSecret,
    now: Now,
) -> ExportView:
    """Everything that is known about whoever asks."""
    return exporting.export_own(
        session, operator_id, wallet_id, vault=vault, code_secret=code_secret, now=now
    )


@router.post(
    "/wallet/erasures",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, RequestReused),
)
def erase(
    request: NewOwnErasure,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    now: Now,
) -> ErasureView:
    """Forget whoever asks. The wallet ends with it."""
    return erasing.erase_own(session, operator_id, wallet_id, request, now=now)
