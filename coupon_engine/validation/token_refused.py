"""Why a code is not taken.

A cashier hears one sentence for every forgery; the codes are for the record.
"""

from coupon_engine.errors import CouponError


class TokenRefused(CouponError):
    """What was shown cannot be read as a coupon, or not now."""

    code = "token_refused"
    message = "This is not a valid coupon."


class NotACoupon(TokenRefused):
    """Something else: an address, a Wi-Fi code, a product."""

    code = "not_a_coupon"
    message = "No coupon found."


class TwoCodes(TokenRefused):
    code = "two_codes"
    message = "Two different coupons were shown at once; show one."


class Malformed(TokenRefused):
    code = "malformed"


class UnknownKey(TokenRefused):
    """No such letter or key id in this ring. With an old bundle: time to fetch a new one."""

    code = "unknown_key"


class KeyScope(TokenRefused):
    """Well signed, by a key that may not sign for this campaign or at this time."""

    code = "key_scope"


class BadSignature(TokenRefused):
    code = "bad_signature"


class BadHolderSignature(TokenRefused):
    """Not made by the phone that this coupon is bound to, or made for another counter."""

    code = "bad_holder_signature"


class Stale(TokenRefused):
    """Made too long ago: a photograph, or a phone whose clock is slow."""

    code = "stale"
    message = "This code is too old; refresh it on the phone."

    def __init__(self, *, behind_seconds: int) -> None:
        super().__init__(behind_seconds=behind_seconds)


class ClockAhead(TokenRefused):
    """Made in the future: prepared beforehand, or a phone whose clock is fast."""

    code = "clock_ahead"
    message = "The phone's clock is ahead; set it, or answer a challenge."

    def __init__(self, *, ahead_seconds: int) -> None:
        super().__init__(ahead_seconds=ahead_seconds)


class ChallengeRequired(TokenRefused):
    """The proof does not answer the digits that the counter shows."""

    code = "challenge_required"
    message = "Type the digits from the counter into the phone."


class LiveCodeRequired(TokenRefused):
    """Signed by the issuer, but this coupon counts only with its phone's own proof."""

    code = "live_code_required"
    message = "A picture or paper is not enough; open the coupon on the phone."
