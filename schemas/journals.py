"""What a terminal did while it was alone, entry by entry, and what the server says to each."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from schemas.base import Ask, Count, Minor, Moment, Name, Ref, Wire
from schemas.baskets import Basket, LineDiscount
from schemas.offline import Liable, Millis
from schemas.redemptions import Challenge, Code
from schemas.refusals import Why
from schemas.token import Number, Second

MOST_ENTRIES = 500  # in one upload
LONGEST_ENTRY = 16_384
FIRST_PREV = "0" * 64  # what the first entry says came before it

EntryJwt = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ENTRY)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class EntryKind(StrEnum):
    """What an entry tells."""

    REDEEMED = "redeemed"  # the cashier saw green
    REFUSED = "refused"  # the cashier saw a no
    LEASED = "leased"  # a new lease: what was done under the one before is complete
    CLOCK = "clock"  # the terminal's clock was found wrong


class Mode(StrEnum):
    """How a redemption was judged."""

    ONLINE = "online"  # by the server; the entry only remembers it
    OFFLINE = "offline"  # by the terminal alone
    HUB = "hub"  # by the terminal that decides for the store, at another's asking


class Entry(Wire):
    """One line of a terminal's journal: claims of a `journal+jwt` signed by the device.

    `prev` is the SHA-256 of the JWT of the entry before, so that none can be left out, changed or
    put in later. `t_min` is the latest instant that the terminal knew to be past.
    """

    dev: UUID
    seq: Annotated[int, Field(strict=True, ge=1, lt=2**40)]
    prev: Hash
    ts: Millis
    t_min: Millis
    kind: EntryKind
    mode: Mode
    lease: UUID | None = None
    ver: Number = Field(description="Of the bundle by which it was judged; 0 is none.")
    list_ver: Millis = Field(default=0, description="Of the status list by which it was judged.")
    store: UUID
    cashier: Name | None = None
    cashier_id: UUID | None = Field(
        default=None, description="Who has shown a PIN; a name alone is what somebody typed."
    )
    asked_by: UUID | None = Field(default=None, description="Another terminal, that asked us.")
    # a redemption, or a no
    id: UUID | None = Field(default=None, description="Of the redemption: the asker's own id.")
    jti: UUID | None = None
    cmp: Number | None = None
    offer: UUID | None = None
    shown: Code | None = Field(default=None, description="What the phone showed: the evidence.")
    shown_hash: Hash | None = Field(default=None, description="Of what was shown, for a no.")
    challenge: Challenge | None = None
    order_ref: Ref | None = None
    basket: Basket | None = None
    currency: str | None = None
    discount_minor: Minor | None = None
    lines: tuple[LineDiscount, ...] = ()
    why: Why | None = None
    note: dict[str, Any] | None = None


class NewUpload(Ask):
    """Entries in the order of their numbers, from where the server's acknowledgement ended."""

    entries: tuple[EntryJwt, ...] = Field(min_length=1, max_length=MOST_ENTRIES)
    after: Second = Field(
        default=0,
        description="The `iat` of your last acknowledgement, to hear what was decided since; 0: "
        "only what becomes of these entries.",
    )
    terminal_id: UUID | None = Field(
        default=None,
        description="Whose journal it is, where somebody else brings it: a revoked terminal can "
        "sign no request any more.",
    )


class EntryAnswer(StrEnum):
    """What became of an entry. Only `provisional` changes later, once, into one of the others."""

    PROVISIONAL = "provisional"  # an earlier one for the same coupon may still come in
    ACCEPTED = "accepted"
    DUPLICATE_OF_SELF = "duplicate_of_self"  # this very entry, or its redemption, came before
    DISPUTED = "disputed"  # the coupon was spent by another redemption: the winner
    UNPROVEN = "unproven"  # the phone's proof is missing or does not hold: not paid
    REJECTED = "rejected"  # not paid, and why
    NOTED = "noted"  # no redemption: written down


class Rejection(StrEnum):
    """Why an entry is not paid."""

    FORGED = "forged"  # the coupon's own signature does not hold, or there is no such coupon
    NO_LEASE = "no_lease"  # made outside the lease that it names
    OVER_ALLOWANCE = "over_allowance"
    AFTER_REVOCATION = "after_revocation"
    NOT_OFFLINE = "not_offline"  # this coupon was never to be judged alone
    NOT_DUE = "not_due"  # the same judge says no: expired, wrong store, other discount ...
    CLOCK = "clock"  # its time lies before an earlier entry's, or in the future
    TOO_LATE = "too_late"
    FORKED = "forked"  # it does not go on from the entry before, or comes after one that did not
    ID_TAKEN = "id_taken"  # its id is that of another coupon's redemption
    UNREADABLE = "unreadable"  # well signed, and no entry as we know them


class AnswerView(Wire):
    """The server's word on one entry."""

    seq: Count
    answer: EntryAnswer
    reason: Rejection | None = None
    why: Why | None = None
    winner_id: UUID | None = Field(default=None, description="The redemption that counts instead.")
    liable: Liable | None = None


class GapView(Wire):
    """Entries that a terminal must have written and nobody has seen."""

    first_seq: Count
    last_seq: Count
    noticed_at: Moment


class Acknowledgement(Wire):
    """Claims of an `ack+jwt`: up to `seq` everything is safe with the server.

    `hash` is that of the last entry. `answers` are those that changed since `after`.
    """

    dev: UUID
    seq: Count
    hash: Hash
    iat: Annotated[int, Field(strict=True, ge=0)]
    gaps: tuple[GapView, ...] = Field(description="What is missing; no new lease until it comes.")
    answers: tuple[AnswerView, ...]


class UploadView(Wire):
    id: UUID
    acknowledgement: str = Field(description="An `ack+jwt`, signed as bundles are.")
    unread: tuple[Count, ...] = Field(
        description="Places in the upload of what this terminal has not signed: not kept."
    )


class ForkView(Wire):
    """Two entries with one number: the journal was copied, or rewritten."""

    seq: Count
    noticed_at: Moment
