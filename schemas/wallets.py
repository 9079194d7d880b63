"""A customer's wallet: a key on a phone, what it holds, and the little we may know of its owner."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from schemas.base import Ask, Count, Json, Minor, Moment, Name, Slug, Wire
from schemas.campaigns import CustomerView
from schemas.coupons import CouponView
from schemas.money import Currency

CompressedKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{44}$")]
"""A P-256 public key in the 33 bytes of SEC 1, base64url."""

Signature = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{86}$")]
"""r and s of an ES256 signature, as WebCrypto gives them, base64url without padding."""

CodeOrSecret = Annotated[str, StringConstraints(pattern=r"^(?:[0-9]{6}|[A-Za-z0-9_-]{22})$")]
"""Six digits that somebody typed, or the secret of the link in a mail."""

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


class HoldingsView(Wire):
    """What is in a wallet, a page of coupons at a time."""

    wallet: WalletView
    contacts: tuple[ContactView, ...]
    coupons: tuple[CouponView, ...]


class NewWalletClaim(Ask):
    """Take a fresh coupon of a batch, or the one with this short code, into the own wallet."""

    batch_id: UUID | None = None
    short_code: Annotated[str, Field(min_length=1, max_length=40)] | None = None


class NewRebind(Ask):
    """Bind one's own coupon to the phone that asks."""

    coupon_id: UUID


class NewOwnActivation(Ask):
    """Let one's own coupon work in one store alone for a while, there also without a network."""

    coupon_id: UUID
    store_id: UUID
    lasts_seconds: Annotated[int, Field(strict=True, ge=300, le=7_200)] = 7_200


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
