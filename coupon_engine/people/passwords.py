"""Passwords: which are good enough, and the slow hash that is all we keep of one.

Pure functions, which take a twentieth of a second on purpose: no transaction may be open meanwhile.
Argon2id by twice OWASP's least memory (19 MiB, two passes, one lane). NIST SP 800-63B-4: length,
no rules of composition, and a list of what everybody tries first.
"""

from itertools import cycle, islice
from unicodedata import normalize

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from coupon_engine.errors import PasswordRefused

FEWEST = 15
MOST = 200

_HASHER = PasswordHasher(time_cost=2, memory_cost=38 * 1024, parallelism=1)
# Of a password that nobody knows: where there is no account, as much work is done.
_DUMMY = (
    "$argon2id$v=19$m=38912,t=2,p=1$"
    "CObdKQ/gLyUzdfi8dg4c9w$FDJQv9p0j6r8kSeohbDFPlFJcL5QMdv0v33kB5IXSEg"
)

_PRODUCT = "counterfoil"
_WALKS = (
    "0123456789012345678901234567890",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
)
# Long ones from public lists of what is tried first, without spaces and signs.
_TRIED_FIRST = frozenset(
    """
    passwordpassword password123456 password12345678 passwordpassword1 mypasswordispassword
    correcthorsebatterystaple correcthorsebattery iloveyouiloveyou iloveyousomuch iloveyouforever
    letmeinletmein letmeinplease adminadminadmin administratoradministrator administrator1
    administrator123 changemechangeme changeme123456 welcomewelcome welcome123456 qwertyqwerty
    qwertyqwertyqwerty qwerty123456789 qwertyuiop12345 qwertyuiop123456 123456789qwerty
    1234567890qwerty 1234567890abcde abcdefg12345678 thisisapassword thisismypassword
    mysecretpassword supersecretpassword secretpassword123 donttouchthis trustno1trustno1
    monkeymonkeymonkey dragondragondragon footballfootball baseballbaseball superman12345678
    princessprincess sunshinesunshine chocolatechocolate internetinternet computercomputer
    mynameismyname yourpasswordhere enteryourpassword pleaseletmein openopenopenopen
    woaini1314520520 woaini5201314520 woainiwoainiwoaini 5201314520131452 wodemimashimima
    """.split()  # noqa: SIM905 (a paragraph of words reads better than a list of texts)
)


def check(password: str, *, email: str) -> None:
    """Refuse a new password that others guess.

    Raises:
        PasswordRefused: It says why; what was sent is not repeated.
    """
    if why := _why_not(normalize("NFKC", password), email):
        raise PasswordRefused(why=why)


def hash_of(password: str) -> str:
    """Return what is kept of a password."""
    return _HASHER.hash(normalize("NFKC", password))


def is_right(password: str, kept: str | None) -> bool:
    """Is it the password of which this was kept? Without one the same work is done for nothing."""
    try:
        return _HASHER.verify(kept or _DUMMY, normalize("NFKC", password)) and kept is not None
    except VerificationError:
        return False


def judged(password: str, kept: str | None) -> tuple[bool, str | None]:
    """Return whether it is right, and what to keep from now on if today's parameters are others."""
    if not is_right(password, kept):
        return False, None
    assert kept is not None
    return True, hash_of(password) if _HASHER.check_needs_rehash(kept) else None


def _why_not(password: str, email: str) -> str | None:
    if len(password) < FEWEST:
        return f"it has fewer than {FEWEST} characters"
    if len(password) > MOST:
        return f"it has more than {MOST} characters"
    bare = "".join(filter(str.isalnum, password.casefold())) or password
    if email in password.casefold():
        return "it contains the e-mail address"
    if _PRODUCT in bare:
        return "it contains the name of this product"
    if bare in _TRIED_FIRST or _repeats(bare) or any(bare in walk for walk in _WALKS):
        return "it is one of those that everybody tries first"
    return None


def _repeats(text: str) -> bool:
    """Is it one short piece again and again, such as `abcabcabcabcabc`?"""
    return any("".join(islice(cycle(text[:most]), len(text))) == text for most in range(1, 5))
