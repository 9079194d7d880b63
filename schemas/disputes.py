"""Disputed redemptions: their share at each terminal, and the phones they are held against."""

from uuid import UUID

from pydantic import Field

from schemas.base import Ask, Count, Minor, Moment, Name, Wire
from schemas.money import Currency
from schemas.wallets import CompressedKey


class TerminalDisputes(Wire):
    """What became of the redemptions that one terminal made alone.

    `is_over`: so many are disputed that the operator should look into it.
    """

    terminal_id: UUID
    store_id: UUID
    accepted: Count
    disputed: Count
    share_bp: Count = Field(description="Disputed of all, in hundredths of a percent.")
    is_over: bool


class MerchantDisputes(Wire):
    """The same of all terminals of a merchant, and who bears what was disputed.

    `over` are those of the campaign's that go beyond what is tolerated, the latest first: in a
    settlement of this time the merchant bears them too.
    """

    merchant_id: UUID
    currency: Currency
    accepted: Count
    disputed: Count
    share_bp: Count
    tolerated: Count
    campaign_minor: Minor = Field(description="What the campaign bears, `over_minor` included.")
    merchant_minor: Minor
    over: Count
    over_minor: Minor


class DisputesView(Wire):
    """Redemptions without a network that are decided, by the time at which they were made."""

    since: Moment
    until: Moment
    most_disputed_bp: Count
    terminals: tuple[TerminalDisputes, ...]
    merchants: tuple[MerchantDisputes, ...]


class NewLift(Ask):
    """Let the coupons of a phone's key work again."""

    holder_id: UUID
    reason: Name


class DisputedHolderView(Wire):
    """A phone's key of which redemptions ended disputed."""

    id: UUID
    holder_key: CompressedKey
    wallet_id: UUID | None = Field(description="The wallet that has this key, if one has.")
    disputed: Count
    forgiven: Count = Field(description="Of those, when a suspension was lifted last.")
    suspended_at: Moment | None
    lifted_at: Moment | None
