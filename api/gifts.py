"""A customer gives a coupon to a friend, who takes it, or takes it back."""

from fastapi import APIRouter, status

from api.deps import CodeSecret, Now, OperatorId, Transaction, VaultOf
from api.problems import can_fail_with
from api.wallets import Network, OwnWallet
from coupon_engine.customers import gifts
from coupon_engine.errors import (
    ContactNeeded,
    CouponNotUsable,
    CouponTaken,
    GiftOver,
    HolderSuspended,
    NotSignedIn,
    RequestReused,
    StillActivated,
    TooManyTries,
    Unknown,
)
from schemas.wallets import (
    GiftView,
    NewGift,
    NewGiftAcceptance,
    NewGiftWithdrawal,
    WalletCouponView,
)

router = APIRouter(tags=["Wallets"])


@router.post(
    "/wallet/gifts",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        NotSignedIn,
        Unknown,
        TooManyTries,
        RequestReused,
        CouponTaken,
        CouponNotUsable,
        StillActivated,
        HolderSuspended,
    ),
)
def give(
    request: NewGift,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    code_secret: CodeSecret,
    now: Now,
) -> GiftView:
    """Give one's own coupon to whoever gets the secret; until then it works for nobody."""
    return gifts.give(session, operator_id, wallet_id, request, code_secret=code_secret, now=now)


@router.post(
    "/wallet/gift-acceptances",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        NotSignedIn,
        TooManyTries,
        RequestReused,
        GiftOver,
        ContactNeeded,
        CouponNotUsable,
        HolderSuspended,
    ),
)
def accept(
    request: NewGiftAcceptance,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    network: Network,
    vault: VaultOf,
    code_secret: CodeSecret,
    now: Now,
) -> WalletCouponView:
    """Take a gift into the wallet that asks. The giver's codes no longer work."""
    return gifts.accept(
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
    "/wallet/gift-withdrawals",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(NotSignedIn, Unknown, RequestReused, GiftOver),
)
def withdraw(
    request: NewGiftWithdrawal,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    code_secret: CodeSecret,
    now: Now,
) -> WalletCouponView:
    """Take back a gift that nobody has taken yet."""
    return gifts.withdraw(
        session, operator_id, wallet_id, request, code_secret=code_secret, now=now
    )
