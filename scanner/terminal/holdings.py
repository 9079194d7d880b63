"""What a terminal has been told: its bundle and the status lists, newest only, across restarts.

Each is signed by the server key that the terminal learnt at its pairing. An older one than is held
is refused whatever it says, so that nobody brings back a withdrawn key or a forgotten redemption.
The folder holds public keys, offers and bits; no secret and nobody's data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import MappingProxyType
from typing import Any
from uuid import UUID

from jwt import PyJWK, PyJWTError
from pydantic import ValidationError

from coupon_engine.validation import status_lists
from coupon_engine.validation.issuer_keys import IssuerKey, KeyRing, issuer_key, key_ring
from coupon_engine.validation.token import Typ, verify_typed
from coupon_engine.validation.token_refused import TokenRefused
from scanner import files
from schemas.base import Wire
from schemas.coupons import HolderKey
from schemas.offline import Bundle, BundleKey, Changed, Millis, StatusListClaims
from schemas.token import Number, Second

BUNDLE_FILE = "bundle.jwt"


class HoldingRefused(Exception):
    """What was sent is not taken; what was held before still counts. `why` is for the log."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class ListHeld(Wire):
    """A shard of a status list as its file keeps it."""

    cmp: Number
    shard: int
    ver: Millis
    iat: Second
    exp: Second
    lst: str


@dataclass(frozen=True, slots=True)
class _Shard:
    ver: int
    exp: int
    bits: bytes


class Holdings:
    """The newest bundle and lists of one terminal, in a folder of its own."""

    def __init__(
        self, folder: Path, server_key: HolderKey, *, terminal_id: UUID, store_id: UUID
    ) -> None:
        self._folder = folder
        self._key = PyJWK(server_key.model_dump(), "ES256")
        self.terminal_id = terminal_id
        self.store_id = store_id
        self._lock = RLock()
        self._bundle: Bundle | None = None
        self._bundle_jwt = ""
        self._ring: KeyRing = MappingProxyType({})
        self._shards: dict[tuple[int, int], _Shard] = {}
        self._heard_at: datetime | None = None
        self._read()

    @property
    def bundle(self) -> Bundle | None:
        """Return the newest bundle, which may be over: it still tells forgeries from coupons."""
        return self._bundle

    @property
    def ring(self) -> KeyRing:
        return self._ring

    @property
    def heard_at(self) -> datetime | None:
        """Return the latest instant that the server has signed: it is past."""
        return self._heard_at

    def learn_bundle(self, bundle_jwt: str, now: datetime) -> Bundle:
        """Judge by this bundle from now on. The same one again is no news, and no error.

        Raises:
            HoldingRefused: Not signed by our server, not for this terminal and store, over, or
                older than the one that is held.
        """
        with self._lock:
            if bundle_jwt == self._bundle_jwt and self._bundle is not None:
                return self._bundle
            bundle = self._bundle_in(bundle_jwt)
            if _instant(min(bundle.exp, bundle.lease_until)) <= now:
                raise HoldingRefused("the bundle is over")
            if self._bundle is not None and bundle.ver <= self._bundle.ver:
                raise HoldingRefused("the bundle is older than the one that is held")
            ring = _ring_of(bundle)
            files.write(self._folder / BUNDLE_FILE, bundle_jwt.encode())
            self._take(bundle, bundle_jwt, ring)
            return bundle

    def learn_list(self, list_jwt: str, now: datetime) -> int:
        """Judge by this list, or by what it says has changed, and return its version.

        Raises:
            HoldingRefused: Not signed by our server, not of this operator, over, older than what
                is held, or it goes on from a version that is not held: ask for the whole list.
        """
        with self._lock:
            claims = self._list_in(list_jwt)
            cmp = self._campaign_in(claims.sub)
            held = self._shards.get((cmp, claims.shard))
            if _instant(claims.exp) <= now:
                raise HoldingRefused("the list is over")
            if held is not None and claims.ver < held.ver:
                raise HoldingRefused("the list is older than the one that is held")
            shard = _Shard(claims.ver, claims.exp, _bits_in(claims, held))
            kept = ListHeld(
                cmp=cmp,
                shard=claims.shard,
                ver=shard.ver,
                iat=claims.iat,
                exp=shard.exp,
                lst=status_lists.pack(shard.bits),
            )
            files.write(self._list_file(cmp, claims.shard), kept.model_dump_json().encode())
            self._shards[cmp, claims.shard] = shard
            self._hear(_instant(claims.iat))
            return claims.ver

    def status(self, cmp: int, idx: int, *, now: datetime) -> bool | None:
        """Say whether this place of a campaign's list is set; None if no list counts now."""
        at, place = status_lists.shard_of(idx)
        shard = self._shards.get((cmp, at))
        if shard is None or _instant(shard.exp) <= now:
            return None
        if place >= len(shard.bits) * 8:
            return None
        return status_lists.is_set(shard.bits, place)

    def list_ver(self, cmp: int, shard: int) -> int:
        """Return which version of a shard is held; 0 is none."""
        held = self._shards.get((cmp, shard))
        return held.ver if held else 0

    def list_ver_for(self, cmp: int, idx: int) -> int:
        """Return by which version of its list this coupon is judged; 0 is none."""
        return self.list_ver(cmp, status_lists.shard_of(idx)[0])

    def _take(self, bundle: Bundle, bundle_jwt: str, ring: KeyRing) -> None:
        self._bundle, self._bundle_jwt, self._ring = bundle, bundle_jwt, ring
        self._hear(_instant(bundle.iat))

    def _hear(self, at: datetime) -> None:
        self._heard_at = max(at, self._heard_at or at)

    def _bundle_in(self, bundle_jwt: str) -> Bundle:
        try:
            bundle = Bundle.model_validate(self._claims(bundle_jwt, Typ.BUNDLE))
        except ValidationError:
            raise HoldingRefused("not a bundle that this version understands") from None
        if bundle.terminal_id != self.terminal_id:
            raise HoldingRefused("the bundle is another terminal's")
        if bundle.store_id != self.store_id:
            raise HoldingRefused("the bundle is for another store")
        return bundle

    def _list_in(self, list_jwt: str) -> StatusListClaims:
        try:
            return StatusListClaims.model_validate(self._claims(list_jwt, Typ.STATUS_LIST))
        except ValidationError:
            raise HoldingRefused("not a list that this version understands") from None

    def _campaign_in(self, sub: str) -> int:
        """Return which campaign's list it is; of another operator's campaign it is none."""
        if self._bundle is None:
            raise HoldingRefused("no bundle is held, which comes first")
        start = f"{self._bundle.iss}/sl/"
        number = sub.removeprefix(start)
        if not sub.startswith(start) or not number.isascii() or not number.isdigit():
            raise HoldingRefused("the list is not this operator's")
        return int(number)

    def _claims(self, token: str, typ: Typ) -> Mapping[str, Any]:
        try:
            return verify_typed(token, self._key, typ)
        except TokenRefused as refused:
            raise HoldingRefused(f"not signed by our server as {typ}: {refused.code}") from None

    def _list_file(self, cmp: int, shard: int) -> Path:
        return self._folder / f"list-{cmp}-{shard}.json"

    def _read(self) -> None:
        """Go on with what was held. A file that cannot be read is as good as none: ask again."""
        file = self._folder / BUNDLE_FILE
        if not file.exists():
            return
        try:
            bundle_jwt = file.read_text(encoding="ascii")
            bundle = self._bundle_in(bundle_jwt)
            self._take(bundle, bundle_jwt, _ring_of(bundle))
        except (HoldingRefused, ValueError):
            return
        for file in self._folder.glob("list-*-*.json"):
            try:
                kept = ListHeld.model_validate_json(file.read_bytes())
                bits = status_lists.unpack(kept.lst)
            except ValueError:
                continue
            self._shards[kept.cmp, kept.shard] = _Shard(kept.ver, kept.exp, bits)
            self._hear(_instant(kept.iat))


def _bits_in(claims: StatusListClaims, held: _Shard | None) -> bytes:
    try:
        if claims.status_list is not None:
            lst = claims.status_list.get("lst")
            if claims.status_list.get("bits") != 1 or not isinstance(lst, str):
                raise HoldingRefused("not a list of one bit each")
            return status_lists.unpack(lst)
        return _changed(held, claims.since, claims.changed)
    except ValueError:
        raise HoldingRefused("not a list that this version understands") from None


def _changed(held: _Shard | None, since: int | None, changed: Changed | None) -> bytes:
    """Return the held list with these changes; those since an older version hold them all."""
    if changed is None or since is None:
        raise HoldingRefused("neither a list nor what has changed of one")
    if held is None or held.ver < since:
        raise HoldingRefused("the changes go on from a version that is not held")
    return status_lists.apply(held.bits, changed)


def _ring_of(bundle: Bundle) -> KeyRing:
    try:
        return key_ring(_issuer_key(each, bundle.iss) for each in bundle.keys)
    except (PyJWTError, ValueError):
        raise HoldingRefused("the bundle's keys are no key ring") from None


def _issuer_key(key: BundleKey, issuer: str) -> IssuerKey:
    return issuer_key(
        {**key.jwk.model_dump(), "kid": key.kid},
        letter=key.letter,
        issuer=issuer,
        valid_from=_instant(key.nbf),
        valid_until=None if key.exp is None else _instant(key.exp),
    )


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
