"""No, and why: one shape for every refusal, for people and for machines."""

from enum import StrEnum

from schemas.base import Json, Wire


class Why(StrEnum):
    """Why a coupon does not work. Codes never change: phones in the field know them."""

    # the code itself
    NOT_A_COUPON = "not_a_coupon"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    KEY_SCOPE = "key_scope"
    BAD_SIGNATURE = "bad_signature"
    BAD_HOLDER_SIGNATURE = "bad_holder_signature"
    STALE = "stale"
    CLOCK_AHEAD = "clock_ahead"
    CHALLENGE_REQUIRED = "challenge_required"
    LIVE_CODE_REQUIRED = "live_code_required"
    SHORT_CODE_UNKNOWN = "short_code_unknown"
    COUPON_UNKNOWN = "coupon_unknown"
    # the coupon
    UNCLAIMED = "unclaimed"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"
    NOT_YET = "not_yet"
    EXPIRED = "expired"
    ALREADY_REDEEMED = "already_redeemed"
    BALANCE_EMPTY = "balance_empty"
    HELD = "held"
    GIVEN = "given"  # its holder is giving it to a friend, who has not taken it yet
    # the campaign
    CAMPAIGN_NOT_RUNNING = "campaign_not_running"
    CAMPAIGN_PAUSED = "campaign_paused"
    CAMPAIGN_ENDED = "campaign_ended"
    BATCH_CLOSED = "batch_closed"
    # place and hour
    WRONG_STORE = "wrong_store"
    OUTSIDE_HOURS = "outside_hours"
    # the person
    WRONG_CUSTOMER = "wrong_customer"
    NOT_FIRST_PURCHASE = "not_first_purchase"
    WRONG_SEGMENT = "wrong_segment"
    # the basket
    BASKET_CHANGED = "basket_changed"
    BASKET_REQUIRED = "basket_required"
    LINES_REQUIRED = "lines_required"
    WRONG_CURRENCY = "wrong_currency"
    BELOW_MINIMUM = "below_minimum"
    NO_MATCHING_ITEM = "no_matching_item"
    TOO_FEW_ITEMS = "too_few_items"
    NOTHING_TO_DISCOUNT = "nothing_to_discount"
    NOT_COMBINABLE = "not_combinable"
    STACKING_ORDER = "stacking_order"
    # the ceilings
    BUDGET_SPENT = "budget_spent"
    LIMIT_REACHED = "limit_reached"
    CUSTOMER_LIMIT_REACHED = "customer_limit_reached"
    # without a network
    SUSPENDED = "suspended"  # activated for another store, or the phone is in too many disputes
    ONLINE_REQUIRED = "online_required"
    QUOTA_REACHED = "quota_reached"  # of this terminal, under this lease
    LEASE_EXPIRED = "lease_expired"


class Sentences(Wire):
    """One sentence in both languages."""

    en: str
    zh: str


class Reason(Wire):
    """One rule that was not met."""

    code: Why
    rule: str  # where the rule stands, such as "conditions.minimum_basket_minor"
    needs: Json  # what would make it pass, such as {"add_minor": 350, "currency": "EUR"}


class Refusal(Wire):
    """A whole no: the first reason decides the code, the others are told as well."""

    code: Why
    reasons: tuple[Reason, ...]
    customer: Sentences
    cashier: Sentences
    developer: Sentences
