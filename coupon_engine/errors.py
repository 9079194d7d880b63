"""Everything the engine can say no to. Errors speak of coupons; `api/problems.py` words them."""

import math
from datetime import datetime, timedelta
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


class TerminalHasJournal(CouponError):
    """Another device would begin a second journal under the same name."""

    code = "terminal_has_journal"
    message = "This terminal has worked without a network. Revoke it and pair a new one."


class NameTaken(CouponError):
    code = "name_taken"
    message = "Another one has this name or id already."


class SheetUnreadable(CouponError):
    """`why` says what is wrong with the file."""

    code = "sheet_unreadable"
    message = "This file cannot be read as a list."


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


class ChangedSince(CouponError):
    """Compare-and-set failed: what the approver has seen is not what stands."""

    code = "changed_since"
    message = "This has changed since you looked; look again."


class ApprovalNeeded(CouponError):
    code = "approval_needed"
    message = "A breaker has stopped this; somebody must look and approve before it goes on."


class TooManyListeners(CouponError):
    code = "too_many_listeners"
    message = "So many are listening for you already; close one first."


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


class StillActivated(CouponError):
    """One store may be accepting it without a network; nobody can tell it to stop before then."""

    code = "still_activated"
    message = "This coupon is activated for a store already."


class TooManyHolderKeys(CouponError):
    code = "too_many_holder_keys"
    message = "This coupon has moved to another phone too often."


class HolderSuspended(CouponError):
    """Too many redemptions by this phone were disputed; a person of the operator has to look."""

    code = "holder_suspended"
    message = "The coupons on this phone are suspended. Please ask the shop."


class PasscodeNeeded(CouponError):
    code = "passcode_needed"
    message = "Ask for a code to your number or mail address, type it here, then try again."


class HolderKeyInvalid(CouponError):
    code = "holder_key_invalid"
    message = "This is not a usable P-256 public key."


class HolderKeyRequired(CouponError):
    code = "holder_key_required"
    message = "This campaign's coupons are bound to a phone; a holder key is needed."


class ProofInvalid(CouponError):
    code = "proof_invalid"
    message = "This does not show that the key is yours."


class ContactNotUsable(CouponError):
    code = "contact_not_usable"
    message = "No code can be sent there."


class ContactNeeded(CouponError):
    """The try was counted, so the no stands."""

    code = "contact_needed"
    message = "Show first that a number or mail address is yours."

    def __init__(self, **details: Any) -> None:
        super().__init__(**details)
        self.is_answered = True


class PasscodeWrong(CouponError):
    """The try was counted, so the no stands."""

    code = "passcode_wrong"
    message = "This is not the code that was sent."

    def __init__(self, **details: Any) -> None:
        super().__init__(**details)
        self.is_answered = True


class PasscodeOver(CouponError):
    """Used, too old, guessed at too often, or never sent to this phone: it all looks the same."""

    code = "passcode_over"
    message = "This code works no more. Ask for a new one."


class GiftOver(CouponError):
    """Unknown, taken, taken back, late, and one's own: none of them is a gift to take."""

    code = "gift_over"
    message = "This gift has been taken, taken back, or is over."


class HoldOver(CouponError):
    code = "hold_over"
    message = "This hold has been used, released or has timed out."


class UndoWindowClosed(CouponError):
    code = "undo_window_closed"
    message = "This redemption has cleared; only an adjustment can correct it now."

    def __init__(self, undo_until: datetime) -> None:
        super().__init__(undo_until=undo_until.isoformat())


class StillProvisional(CouponError):
    """It was made without the server. Once it is decided, its undo window begins."""

    code = "still_provisional"
    message = (
        "An earlier redemption of this coupon may still come in. Ask again when it is decided."
    )


class AlreadyReversed(CouponError):
    code = "already_reversed"
    message = "This was taken back before."


class LineUnknown(CouponError):
    code = "line_unknown"
    message = "The redemption gave nothing on this line."


class PassesNotSetUp(CouponError):
    code = "passes_not_set_up"
    message = "This server makes no passes for this app."


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


class NotSignedIn(CouponError):
    """Unknown, wrong, ended and foreign credentials all look the same."""

    code = "not_signed_in"
    message = "This sign-in, key or signature opens nothing here."


class NotAllowed(CouponError):
    code = "not_allowed"
    message = "This role or key does not allow this."


class StepUpNeeded(CouponError):
    code = "step_up_needed"
    message = "Confirm that it is you, then ask again."


class PasskeyRefused(CouponError):
    code = "passkey_refused"
    message = "This passkey cannot be used here. Begin again."


class LastSecondFactor(CouponError):
    code = "last_second_factor"
    message = "Without it nobody could be sure of you; set up another second factor first."


class TooManyKeys(CouponError):
    code = "too_many_keys"
    message = "Two keys of this name still open; revoke one first."


class NotASandbox(CouponError):
    code = "not_a_sandbox"
    message = "Only a sandbox has a clock that can be set."


class ClockTooFar(CouponError):
    code = "clock_too_far"
    message = "A sandbox's clock goes no further than this from the hour that it is."


class TooManyTries(CouponError):
    """Tried too often; the try was counted, so the no stands."""

    code = "too_many_tries"
    message = "This was tried too often. Wait, then try again."

    def __init__(self, wait: timedelta) -> None:
        super().__init__(retry_after_seconds=max(1, math.ceil(wait.total_seconds())))
        self.is_answered = True


class CrossSite(CouponError):
    """A write with a cookie that no page of ours has made, as far as can be told."""

    code = "cross_site"
    message = "This was not sent by one of our own pages."


class CodeWrong(CouponError):
    """The try was counted, so the no stands."""

    code = "code_wrong"
    message = "This is not right, or was used before."

    def __init__(self) -> None:
        super().__init__()
        self.is_answered = True


class PasswordRefused(CouponError):
    code = "password_refused"
    message = "Choose another password."


class InvitationOver(CouponError):
    """Unknown, used, withdrawn and late invitations all look the same."""

    code = "invitation_over"
    message = "This invitation opens nothing (any more); ask for a new one."


class PairingTaken(CouponError):
    code = "pairing_taken"
    message = "Another device has answered this picture. Refuse it, and begin anew."


class JournalIncomplete(CouponError):
    """What a terminal did before must come in first, or nobody could tell what is left."""

    code = "journal_incomplete"
    message = "Entries of this terminal's journal are missing; upload them first."


class TerminalFrozen(CouponError):
    code = "terminal_frozen"
    message = "Two journals speak for this terminal. It works alone no more; pair another one."


class NoLease(CouponError):
    code = "no_lease"
    message = "This terminal has no lease that lasts; ask for one first."


class SecondPersonNeeded(CouponError):
    code = "second_person_needed"
    message = "This takes a second person: somebody else than whoever did the first part."


class StoresMismatch(CouponError):
    code = "stores_mismatch"
    message = "Shop managers and cashiers have stores, and nobody else has."
