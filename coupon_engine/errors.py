"""Everything the engine can say no to. Errors speak of coupons; `api/problems.py` words them."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from schemas.refusals import Refusal


class CouponError(Exception):
    """A no with a stable code.

    `details` say what a person or program needs to do better next time. `is_answered` is set when
    the no has been written under the asker's id, so that a late repeat hears the same.
    """

    code: ClassVar[str]
    message: ClassVar[str]

    def __init__(self, **details: Any) -> None:
        super().__init__(self.message)
        self.details = details
        self.is_answered = False


class CouponRefused(CouponError):
    """The judge said no; the refusal carries the reason's own code."""

    code = "refused"
    message = "This coupon does not work here and now."

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal=refusal.model_dump(mode="json"))
        self.refusal = refusal


class RequestReused(CouponError):
    code = "request_reused"
    message = "This id was used before, for another request."


class Unknown(CouponError):
    """No such thing at this operator. Another operator's thing is just as unknown."""

    code = "unknown"
    message = "There is no such thing here."

    def __init__(self, kind: str, id: UUID | str) -> None:
        super().__init__(kind=kind, id=str(id))


class NameTaken(CouponError):
    code = "name_taken"
    message = "Another one has this name or id already."


class OfferFrozen(CouponError):
    code = "offer_frozen"
    message = "Coupons of this offer are out; make a new version instead."


class OfferSuperseded(CouponError):
    code = "offer_superseded"
    message = "A newer version has replaced this offer."


class TermsMismatch(CouponError):
    """The parts of an offer or batch do not fit the campaign they are for."""

    code = "terms_mismatch"
    message = "This does not fit the campaign."


class MoveNotAllowed(CouponError):
    code = "move_not_allowed"
    message = "This cannot be decided in the present state."


class CeilingMoved(CouponError):
    """Compare-and-set failed: somebody else moved it first."""

    code = "ceiling_moved"
    message = "The ceiling no longer stands where you believed."


class CeilingBelowUse(CouponError):
    code = "ceiling_below_use"
    message = "More than this has been given out already."


class NotIssuing(CouponError):
    code = "not_issuing"
    message = "No coupons are given out here now."


class BatchExhausted(CouponError):
    code = "batch_exhausted"
    message = "Not so many coupons are left to give out."


class ClaimLimitReached(CouponError):
    code = "claim_limit_reached"
    message = "This customer has had as many of these coupons as anyone may."


class CouponTaken(CouponError):
    code = "coupon_taken"
    message = "Somebody else holds this coupon."


class CouponNotUsable(CouponError):
    """The coupon has ended: it cannot be handed on, bound or withdrawn any more."""

    code = "coupon_not_usable"
    message = "This coupon has come to its end."


class TooManyHolderKeys(CouponError):
    code = "too_many_holder_keys"
    message = "This coupon has moved to another phone too often."


class HolderKeyInvalid(CouponError):
    code = "holder_key_invalid"
    message = "This is not a usable P-256 public key."


class HolderKeyRequired(CouponError):
    code = "holder_key_required"
    message = "This campaign's coupons are bound to a phone; a holder key is needed."


class HoldOver(CouponError):
    code = "hold_over"
    message = "This hold has been used, released or has timed out."


class UndoWindowClosed(CouponError):
    code = "undo_window_closed"
    message = "This redemption has cleared; only an adjustment can correct it now."

    def __init__(self, undo_until: datetime) -> None:
        super().__init__(undo_until=undo_until.isoformat())


class AlreadyReversed(CouponError):
    code = "already_reversed"
    message = "This was taken back before."


class LineUnknown(CouponError):
    code = "line_unknown"
    message = "The redemption gave nothing on this line."


class NoSigningKey(CouponError):
    code = "no_signing_key"
    message = "No key is in use for signing; publish one and take it into use."


class KeyTooYoung(CouponError):
    code = "key_too_young"
    message = "Not every terminal can know this key yet."


class NoFreeLetter(CouponError):
    code = "no_free_letter"
    message = "All letters of the key table are taken; retire a key first."


class Busy(CouponError):
    """A row stayed locked longer than anybody should wait. Nothing was changed."""

    code = "busy"
    message = "Too much is going on at once; ask again with the same id."
