"""A shop's terminal with real keys, real files and a clock that a test can set."""

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from coupon_engine.validation import status_lists
from coupon_engine.validation.issuer_keys import new_private_key, public_jwk
from coupon_engine.validation.token import Typ, sign_typed
from scanner.identity import FileKey
from scanner.terminal.clock import GuardedClock
from scanner.terminal.holdings import Holdings
from scanner.terminal.journal import Journal
from scanner.terminal.judging import Accepted, Counter, Refused, Verdict
from schemas.baskets import Basket
from schemas.campaigns import Level, OfflinePolicy
from schemas.coupons import HolderKey
from schemas.ids import new_id
from schemas.offers import AmountOff, Benefit, Conditions, Terms, Title, Validity
from schemas.offline import (
    Bundle,
    BundleCampaign,
    BundleKey,
    BundleOffer,
    Changed,
    StatusListClaims,
)
from schemas.refusals import Why
from schemas.token import CouponFields, Policy
from tests.vectors import make_token_vectors as vectors
from tests.vectors.make_token_vectors import ISSUER, KEY, NOW, SECOND

TERMINAL = UUID(int=1)
STORE = UUID(int=2)
STORE_NUMBER = 7
CAMPAIGN = UUID(int=3)
NUMBER = 48_213  # of the campaign
LEASE = UUID(int=4)
OFFER = UUID(int=5)
SERVER = new_private_key()
FIVE_OFF = AmountOff(amount_minor=500)
A_DAY = timedelta(days=1)


def jwk(key: EllipticCurvePrivateKey) -> HolderKey:
    public = public_jwk(key)
    return HolderKey(x=public["x"], y=public["y"])


def terms(benefit: Benefit = FIVE_OFF, **conditions: Any) -> Terms:
    return Terms(
        title=Title(en="Five off", zh="立减五元"),
        benefit=benefit,
        conditions=Conditions(**conditions),
        validity=Validity(days_after_issue=30),
    )


def campaign(offline: OfflinePolicy = OfflinePolicy.DEVICE_QUOTA, **changes: Any) -> BundleCampaign:
    usual: dict[str, Any] = {
        "number": NUMBER,
        "id": CAMPAIGN,
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "offline": offline,
        "is_live": True,
        "is_paused": False,
        "has_ended_for_good": False,
        "offers": (BundleOffer(quota_class=5, id=OFFER, terms=terms()),),
        "max_count": 20,
        "max_minor": 100_000,
    }
    return BundleCampaign(**{**usual, **changes})


def bundle(*campaigns: BundleCampaign, **changes: Any) -> Bundle:
    until = SECOND + 12 * 3_600
    usual: dict[str, Any] = {
        "ver": 10,
        "iat": SECOND - 60,
        "exp": until,
        "iss": KEY.issuer,
        "terminal_id": TERMINAL,
        "store_id": STORE,
        "store_number": STORE_NUMBER,
        "store_zone": "Europe/Berlin",
        "lease_id": LEASE,
        "lease_number": 1,
        "lease_until": until,
        "is_authority": False,
        "hub_id": None,
        "keys": (
            BundleKey(
                letter=KEY.letter,
                kid=KEY.kid,
                jwk=jwk(ISSUER),
                nbf=int(KEY.valid_from.timestamp()),
                exp=None,
            ),
        ),
        "campaigns": campaigns or (campaign(),),
        "lists": (),
        "terminals": (),
    }
    return Bundle(**{**usual, **changes})


def bundle_jwt(told: Bundle, key: EllipticCurvePrivateKey = SERVER) -> str:
    return sign_typed(told.model_dump(mode="json"), key, Typ.BUNDLE)


def list_jwt(
    places: Collection[int] = (),
    *,
    ver: int = 1_000,
    since: int | None = None,
    cleared: Collection[int] = (),
    key: EllipticCurvePrivateKey = SERVER,
    **changes: Any,
) -> str:
    """A whole list in which these places are set, or with `since` what has changed of one."""
    bits = bytearray(status_lists.empty())
    for place in places:
        status_lists.put(bits, place, is_on=True)
    usual: dict[str, Any] = {
        "sub": f"{KEY.issuer}/sl/{NUMBER}",
        "iat": SECOND - 60,
        "exp": SECOND + 12 * 3_600,
        "ttl": 60,
        "ver": ver,
        "shard": 0,
    }
    if since is None:
        usual["status_list"] = {"bits": 1, "lst": status_lists.pack(bytes(bits))}
    else:
        usual["since"] = since
        usual["changed"] = Changed(
            set=status_lists.gaps_encoded(places), cleared=status_lists.gaps_encoded(cleared)
        )
    claims = StatusListClaims(**{**usual, **changes})
    return sign_typed(claims.model_dump(mode="json", exclude_none=True), key, Typ.STATUS_LIST)


def coupon(
    offline: OfflinePolicy = OfflinePolicy.DEVICE_QUOTA,
    *,
    level: Level = Level.STATIC,
    policy: dict[str, Any] | None = None,
    **changes: Any,
) -> CouponFields:
    """A coupon of its own; `sto` is any store, unless a test says otherwise."""
    is_activated = offline is OfflinePolicy.ACTIVATED
    told: dict[str, Any] = {
        "level": level,
        "offline": OfflinePolicy.STORE_BOUND if is_activated else offline,
        "activation_required": is_activated,
        "quota_class": 5,
    }
    bits = Policy(**{**told, **(policy or {})})
    usual: dict[str, Any] = {
        "jti": new_id(NOW).bytes,
        "cmp": NUMBER,
        "sto": 0,
        "idx": 100,
        "holder_key": vectors.phone_key() if bits.needs_holder else None,
    }
    return vectors.fields(bits, **{**usual, **changes})


def shown(fields: CouponFields | None = None) -> str:
    """What a screen or paper shows."""
    return vectors.shown(fields or coupon())


def presented(
    fields: CouponFields, phone: EllipticCurvePrivateKey = vectors.PHONE, **how: Any
) -> str:
    """What the phone shows that the coupon is bound to, signed five seconds ago."""
    audience = how.pop("audience", None) or fields.audience
    return vectors.presented(fields, phone, audience=audience, **how)


class Hands:
    """The hands of the terminal's clocks."""

    def __init__(self, now: datetime = NOW) -> None:
        self.wall = now
        self.steady = 0.0

    def pass_by(self, **time: float) -> None:
        gone = timedelta(**time)
        self.wall += gone
        self.steady += gone.total_seconds()


class Shop:
    """One terminal, its files in a folder, and the server's word as a test gives it."""

    def __init__(self, folder: Path, now: datetime = NOW) -> None:
        self.folder = folder
        self.hands = Hands(now)
        self.key = FileKey.kept_in(folder / "key.pem")
        self._open()

    def _open(self) -> None:
        self.holdings = Holdings(
            self.folder / "held", jwk(SERVER), terminal_id=TERMINAL, store_id=STORE
        )
        self.journal = Journal(self.folder / "journal.db", self.key, TERMINAL)
        clock = GuardedClock(lambda: self.hands.wall, lambda: self.hands.steady)
        self.counter = Counter(self.holdings, self.journal, clock)

    def learn(self, told: Bundle | None = None, *, places: Collection[int] | None = ()) -> None:
        """Take a bundle, and a status list with these places set; None is no list."""
        now = self.counter.look().now
        self.holdings.learn_bundle(bundle_jwt(told or bundle()), now)
        if places is not None:
            self.holdings.learn_list(list_jwt(places), now)

    def restart(self) -> None:
        self.close()
        self._open()

    def close(self) -> None:
        self.journal.close()

    def redeem(self, text: str, **more: Any) -> Verdict:
        return self.counter.redeem(text, **more)

    def why(self, text: str, **more: Any) -> Why | None:
        """Redeem, and return why not; None is a yes."""
        verdict = self.redeem(text, **more)
        return verdict.refusal.code if isinstance(verdict, Refused) else None

    def accepts(self, text: str, **more: Any) -> Accepted:
        verdict = self.redeem(text, **more)
        assert isinstance(verdict, Accepted), verdict
        return verdict


def total(minor: int) -> Basket:
    return Basket(currency="EUR", total_minor=minor)
