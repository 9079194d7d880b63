"""A customer's wallet: a key on a phone, what it holds, and the little we may know of its owner."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from schemas.base import Ask, Count, Json, Minor, Moment, Name, Slug, Wire
from schemas.campaigns import CustomerView, Latitude, Level, Longitude
from schemas.coupons import CouponView
from schemas.money import Currency
from schemas.offers import Face, Title
from schemas.redemptions import RedemptionState

CompressedKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{44}$")]
"""A P-256 public key in the 33 bytes of SEC 1, base64url."""

Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{86}$")]
"""r and s of an ES256 signature, as WebCrypto gives them, base64url without padding."""

CodeOrSecret = Annotated[str, StringConstraints(pattern=r"^(?:[0-9]{6}|[A-Za-z0-9_-]{22})$")]
"""Six digits that somebody typed, or the secret of the link in a mail."""

GiftSecret = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{22}$")]
"""128 bits, base64url."""

MOST_STORES_SHOWN = 100

Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Language = Literal["en", "zh"]


class ContactKind(StrEnum):
    NAME = "name"
    EMAIL = "email"
    PHONE = "phone"


class NewWallet(Wire):
    """A phone shows its key, and that it has the other half of it.

    It signs `counterfoil wallet 1`, the operator, the key and the time in seconds since 1970, each
    on a line of its own. The key is the id: asking again gives the same wallet.
    """

    operator: Slug = Field(description="Whose coupons; the name in the operator's addresses.")
    holder_key: CompressedKey
    at: Moment
    proof: Signature


class WalletView(Wire):
    """The id is the `keyid` of everything that the phone signs."""

    id: UUID
    customer_id: UUID
    created_at: Moment


class ContactView(Wire):
    """Enough to recognise one's own number or address, and too little to use it."""

    kind: ContactKind
    masked: str
    verified_at: Moment | None


class ShownOffer(Wire):
    """What a phone shows of an offer: in words, from whom, and where it works."""

    face: Face
    operator: str
    merchant: str | None = Field(description="Whose stores they are, where it is one merchant's.")
    zone: str = Field(description="On whose clock its days begin and end.")
    level: Level
    needs_activation: bool = Field(description="It works only once it is activated for a store.")
    store_ids: tuple[UUID, ...] = Field(
        description=f"Where it works, at most {MOST_STORES_SHOWN} of them; none means everywhere."
    )
    store_count: Count = Field(description="Where it works; 0 means everywhere.")


class WalletCouponView(CouponView, ShownOffer):
    """One's own coupon, with all that the phone shows of it."""

    activated_store_id: UUID | None
    activated_until: Moment | None
    given_until: Moment | None = Field(
        description="Until then a friend may take it, and it works for nobody."
    )


class HoldingsView(Wire):
    """What is in a wallet, a page of coupons at a time."""

    wallet: WalletView
    contacts: tuple[ContactView, ...]
    coupons: tuple[WalletCouponView, ...]


class ClaimableView(ShownOffer):
    """What a claim of this batch would give, and whether it would give anything now."""

    batch_id: UUID
    offer_id: UUID
    currency: Currency
    needs_contact: bool
    refused: str | None = Field(description="The code of the problem that a claim would get now.")


class ReceiptView(Wire):
    """What one of one's own coupons took off one basket."""

    id: UUID
    coupon_id: UUID
    title: Title
    store_id: UUID
    store: str
    merchant: str
    zone: str
    order_ref: str | None
    redeemed_at: Moment
    state: RedemptionState
    currency: Currency
    basket_minor: Minor
    discount_minor: Minor
    reversed_minor: Minor = Field(description="Of that, so much was taken back.")


class WalletStoreView(Wire):
    """A store where one of one's own coupons works, and the way there."""

    id: UUID
    name: str
    merchant: str
    zone: str
    address: str | None
    latitude_microdegrees: Latitude | None
    longitude_microdegrees: Longitude | None


class NewWalletClaim(Ask):
    """Take a fresh coupon of a batch, or the one with this short code, into the own wallet."""

    batch_id: UUID | None = None
    short_code: Annotated[str, Field(min_length=1, max_length=40)] | None = None


class NewRebind(Ask):
    """Bind one's own coupon to the phone that asks."""

    coupon_id: UUID


class NewUnbinding(Ask):
    """Let one's own coupon go from the phone that asks, so that a pass or paper can show it."""

    coupon_id: UUID


class NewGift(Ask):
    """Give a coupon of one's own to whoever gets the link. It works for nobody meanwhile."""

    coupon_id: UUID
    lasts_days: Annotated[int, Field(strict=True, ge=1, le=7)] = 3


class GiftView(Wire):
    """The secret goes into a link; whoever opens it first may take the coupon."""

    id: UUID
    coupon_id: UUID
    secret: str
    given_until: Moment


class NewGiftAcceptance(Ask):
    """Take what somebody gives away into the wallet that asks."""

    secret: GiftSecret


class NewGiftWithdrawal(Ask):
    """Take a coupon back that nobody has taken yet."""

    coupon_id: UUID


class NewOwnActivation(Ask):
    """Let one's own coupon work in one store alone for a while, there also without a network."""

    coupon_id: UUID
    store_id: UUID
    lasts_seconds: Annotated[int, Field(strict=True, ge=300, le=7_200)] = 7_200


class GooglePassView(Wire):
    """Open it on the phone: Google's app asks whether to save the coupon."""

    coupon_id: UUID
    save_url: str


class NewContact(Wire):
    """Tell what a customer's name, address or number is. Telling it again changes nothing."""

    customer_id: UUID
    kind: ContactKind
    value: Name
    region: Region | None = None


class NewPasscode(Ask):
    """Send a code to an address or number, to show that it is one's own."""

    kind: Literal[ContactKind.EMAIL, ContactKind.PHONE]
    to: Name
    region: Region | None = Field(
        default=None, description="Of a number without `+`: the country it is dialled in."
    )
    language: Language = "en"


class PasscodeView(Wire):
    """The same, whoever the address belongs to."""

    id: UUID
    expires_at: Moment


class NewPasscodeAnswer(Wire):
    """The code, or the link's secret, from the phone that asked for it."""

    passcode_id: UUID
    code: CodeOrSecret
    end_others: bool = Field(
        default=False, strict=True, description="Also end the customer's wallets on other phones."
    )


class PasscodeAnswerView(Wire):
    wallet: WalletView
    has_moved: bool = Field(description="The wallet now belongs to a customer known before.")
    moved_coupons: Count
    ended_wallets: Count
    contact: ContactView


class NewErasure(Ask):
    """Forget a person. What happened stays in the record, under a name that means nobody."""

    customer_id: UUID
    erase_ref: bool = Field(
        default=False, strict=True, description="Also replace the operator's own name for them."
    )


class NewOwnErasure(Ask):
    """Forget whoever asks."""


class ErasureView(Wire):
    id: UUID
    customer_id: UUID
    contacts: Count
    passcodes: Count
    wallets: Count
    erased_at: Moment


class FullContactView(Wire):
    kind: ContactKind
    value: str
    verified_at: Moment | None


class ExportedWallet(Wire):
    id: UUID
    created_at: Moment
    seen_at: Moment | None
    ended_at: Moment | None


class ExportedRedemption(Wire):
    id: UUID
    coupon_id: UUID
    store_id: UUID
    order_ref: str | None
    redeemed_at: Moment
    currency: Currency
    basket_minor: Minor
    discount_minor: Minor
    reversed_minor: Minor


class ExportedEvent(Wire):
    id: UUID
    kind: str
    subject_id: UUID
    at: Moment
    data: Json


class ExportView(Wire):
    """Everything that is known about one person."""

    exported_at: Moment
    customer: CustomerView
    contacts: tuple[FullContactView, ...]
    wallets: tuple[ExportedWallet, ...]
    coupons: tuple[CouponView, ...]
    redemptions: tuple[ExportedRedemption, ...]
    events: tuple[ExportedEvent, ...]
