"""What leaves the counter's door: one coupon's code, or a reason."""

import hashlib
import logging
from collections.abc import Iterable

from coupon_engine.validation.short_code import is_short_code, normalise
from coupon_engine.validation.token import looks_like_a_coupon
from coupon_engine.validation.token_refused import NotACoupon, TwoCodes

log = logging.getLogger(__name__)


def pick(texts: Iterable[str]) -> str:
    """Return the one coupon or short code among these texts.

    A poster's address beside the coupon does not matter. Nothing that was shown is opened, passed
    on or written down: the log gets a hash, enough to see that the same thing came again.

    Raises:
        NotACoupon: None of them is ours.
        TwoCodes: Two different ones are; guessing would spend the wrong one.
    """
    ours: set[str] = set()
    for text in texts:
        if looks_like_a_coupon(text):
            ours.add(text)
        elif is_short_code(text):
            ours.add(normalise(text))
        else:
            log.info("not a coupon: %s", fingerprint(text))
    if len(ours) > 1:
        raise TwoCodes
    if not ours:
        raise NotACoupon
    return ours.pop()


def fingerprint(text: str) -> str:
    """Name a text in a log without repeating it."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
