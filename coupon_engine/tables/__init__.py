"""The rows. Every key begins with the operator; the database guards what must never happen.

Rows trust what `schemas/` let in. State that follows from other facts is not here: a coupon has
expired when its window is over, a redemption has cleared when its undo window is over.
"""

from coupon_engine.tables.columns import Row
from coupon_engine.tables.holders import Contact, Customer, DisputedHolder, Passcode, Wallet
from coupon_engine.tables.imports import ImportJob
from coupon_engine.tables.offline import (
    Allowance,
    JournalEntry,
    JournalFork,
    JournalGap,
    Lease,
    ServerKey,
    StatusList,
    VoidPlace,
)
from coupon_engine.tables.places import Cashier, Merchant, Pairing, Shift, Store, Terminal
from coupon_engine.tables.promises import Batch, Campaign, Offer, SigningKey
from coupon_engine.tables.record import Answer, Event, Outbox
from coupon_engine.tables.uses import Coupon, Hold, HoldClaim, Limit, Receipt, Redemption, Reversal
from coupon_engine.tables.who import (
    Account,
    ApiKey,
    Ceremony,
    Invitation,
    Operator,
    Passkey,
    RecoveryCode,
    SignIn,
    Tries,
)

__all__ = [
    "Account",
    "Allowance",
    "Answer",
    "ApiKey",
    "Batch",
    "Campaign",
    "Cashier",
    "Ceremony",
    "Contact",
    "Coupon",
    "Customer",
    "DisputedHolder",
    "Event",
    "Hold",
    "HoldClaim",
    "ImportJob",
    "Invitation",
    "JournalEntry",
    "JournalFork",
    "JournalGap",
    "Lease",
    "Limit",
    "Merchant",
    "Offer",
    "Operator",
    "Outbox",
    "Pairing",
    "Passcode",
    "Passkey",
    "Receipt",
    "RecoveryCode",
    "Redemption",
    "Reversal",
    "Row",
    "ServerKey",
    "Shift",
    "SignIn",
    "SigningKey",
    "StatusList",
    "Store",
    "Terminal",
    "Tries",
    "VoidPlace",
    "Wallet",
]
