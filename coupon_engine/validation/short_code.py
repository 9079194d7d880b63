"""The code a person types or reads aloud when no camera helps: `XXXX-XXXX-XXXX`, online only.

Eleven symbols (55 bits) and a check symbol from the same 32, by ISO 7064 MOD 37,36 with that
alphabet. It catches a mistyped symbol, always; it adds no security. Rate limits do.
"""

import hmac
import re
import unicodedata
from uuid import UUID

from stdnum.iso7064 import mod_37_36

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U

_SYMBOLS = re.compile(f"[{ALPHABET}]{{12}}")
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", " ": None, "-": None})
_LONGEST = 40


def normalise(text: str) -> str:
    """Return what was meant: upper case, O as 0, I and L as 1, no spaces, no hyphens.

    A Chinese keyboard types letters and digits in double width; those count as well.
    What is too long to be a short code comes back empty.
    """
    if len(text) > _LONGEST:
        return ""
    return unicodedata.normalize("NFKC", text).upper().translate(_MISREAD)


def is_short_code(text: str) -> bool:
    """Could this be a code of ours? Says nothing about whether it was ever given out."""
    code = normalise(text)
    return bool(_SYMBOLS.fullmatch(code)) and mod_37_36.is_valid(code, ALPHABET)


def short_code_of(coupon_id: UUID, secret: bytes) -> str:
    """Return the coupon's code. The same secret gives the same code, so none need be stored.

    Two coupons can meet in one code: among 100 million, about once in seven such sets.
    """
    digest = hmac.digest(secret, b"short code:" + coupon_id.bytes, "sha256")
    number = int.from_bytes(digest[:7]) >> 1
    symbols = "".join(ALPHABET[number >> shift & 31] for shift in range(50, -1, -5))
    code = symbols + mod_37_36.calc_check_digit(symbols, ALPHABET)
    return f"{code[:4]}-{code[4:8]}-{code[8:]}"


def fingerprint(code: str, pepper: bytes) -> bytes:
    """Return what the database keeps: 55 bits could be guessed back from a plain hash."""
    return hmac.digest(pepper, normalise(code).encode(), "sha256")
