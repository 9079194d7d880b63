"""A coupon for the wallet app that a phone came with."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, status
from fastapi.responses import Response

from api.deps import CodeSecret, Keys, Looking, Now, OperatorId, Transaction
from api.door import door_of
from api.problems import can_fail_with
from api.wallets import OwnWallet
from coupon_engine.customers import unbinding
from coupon_engine.errors import (
    CouponNotUsable,
    HolderKeyRequired,
    HolderSuspended,
    NoSigningKey,
    NotSignedIn,
    PassesNotSetUp,
    RequestReused,
    TooManyHolderKeys,
    Unknown,
)
from coupon_engine.passes import apple, google
from coupon_engine.passes.apple import AppleSigner
from coupon_engine.passes.content import PassContent, content
from coupon_engine.passes.google import GoogleSigner
from coupon_engine.validation.token_refused import LiveCodeRequired
from schemas.money import Language
from schemas.wallets import GooglePassView, NewUnbinding, WalletCouponView

router = APIRouter(tags=["Wallets"])

_PROBLEMS = can_fail_with(
    NotSignedIn,
    PassesNotSetUp,
    Unknown,
    NoSigningKey,
    CouponNotUsable,
    HolderSuspended,
    HolderKeyRequired,
    LiveCodeRequired,
)


# Who asks is looked at first: a stranger learns nothing of what is set up here.


async def apple_signer(request: Request, _: OwnWallet) -> AppleSigner:
    return door_of(request).passes.of_apple()


async def google_signer(request: Request, _: OwnWallet) -> GoogleSigner:
    return door_of(request).passes.of_google()


def content_of(
    coupon_id: UUID,
    session: Looking,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    keys: Keys,
    code_secret: CodeSecret,
    now: Now,
    language: Language = "en",
) -> PassContent:
    return content(
        session,
        operator_id,
        wallet_id,
        coupon_id,
        keys,
        language=language,
        code_secret=code_secret,
        now=now,
    )


Content = Annotated[PassContent, Depends(content_of)]


@router.post(
    "/wallet/unbindings",
    status_code=status.HTTP_201_CREATED,
    responses=can_fail_with(
        NotSignedIn, Unknown, RequestReused, CouponNotUsable, HolderSuspended, TooManyHolderKeys
    ),
)
def unbind(
    request: NewUnbinding,
    session: Transaction,
    operator_id: OperatorId,
    wallet_id: OwnWallet,
    code_secret: CodeSecret,
    now: Now,
) -> WalletCouponView:
    """Let a coupon with a static code go from the phone's key; before it becomes a pass."""
    return unbinding.unbind(
        session, operator_id, wallet_id, request, code_secret=code_secret, now=now
    )


@router.get(
    "/wallet/coupons/{coupon_id}/pass.pkpass",
    response_class=Response,
    responses={200: {"content": {apple.MEDIA_TYPE: {}}}, **_PROBLEMS},
)
def apple_pass(signer: Annotated[AppleSigner, Depends(apple_signer)], content: Content) -> Response:
    """One's own coupon for Apple Wallet, where the server has a certificate for that."""
    headers = {"Content-Disposition": 'attachment; filename="coupon.pkpass"'}
    return Response(apple.pkpass(signer, content), media_type=apple.MEDIA_TYPE, headers=headers)


@router.get("/wallet/coupons/{coupon_id}/google-pass", responses=_PROBLEMS)
def google_pass(
    signer: Annotated[GoogleSigner, Depends(google_signer)], content: Content, now: Now
) -> GooglePassView:
    """A link that saves one's own coupon in Google Wallet, where the server has an account."""
    return GooglePassView(
        coupon_id=content.coupon_id, save_url=google.save_link(signer, content, now=now)
    )
