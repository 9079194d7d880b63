"""The code that a customer shows: from fields to text, and from text back to verified fields.

A coupon is a plain JWT (ES256, `typ: coupon+jwt`); with its phone's proof it is a plain SD-JWT+KB
(RFC 9901, nothing to disclose). Neither travels. The QR code carries their field values and
signatures, and the reader rebuilds the very same JWTs from the template below:

    CP1<K> base45(CBOR[jti, cmp, nbf, exp, off, sto, idx] issuer's 64 bytes)
    CP2<K> base45(CBOR[jti, cmp, nbf, exp, off, sto, idx, holder_key, iat] issuer's 64 holder's 64)

    <K>         a letter, A to Z, into the operator's key ring
    CBOR        one array, shortest form; jti 16 bytes, holder_key 33 (compressed P-256), else
                whole numbers below 2^40 (`schemas/token.py`)
    signatures  r and s, 32 bytes each, as in a JWS

    coupon      {"alg":"ES256","kid":<from the ring>,"typ":"coupon+jwt"}
                {"iss":<from the ring>,"jti":b64url,"nbf":,"exp":,"cmp":,"off":,"sto":,
                 "status":{"status_list":{"idx":,"uri":"<iss>/sl/<cmp>"}},
                 "cnf":{"jwk":{"kty":"EC","crv":"P-256","x":,"y":}}}             cnf in CP2 only
    proof       {"alg":"ES256","typ":"kb+jwt"}
                {"iat":,"aud":"s:<sto>" or "cpn:any","nonce":<digits or "">,"sd_hash":
                 b64url(SHA-256("<coupon>~"))}

The order of names is part of the format; JSON has no spaces. Another template is another digit.
So nothing in a picture can choose an algorithm, a key or an address.

An ES256 signature has a twin that verifies as well: one coupon has many texts. Count by `jti`,
never by text. `tests/vectors/token.json` pins all of this for other languages.
"""

import hashlib
import json
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, cast
from uuid import UUID

import base45
import cbor2
import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm
from jwt.types import Options

from coupon_engine.errors import HolderKeyInvalid
from coupon_engine.validation.issuer_keys import IssuerKey, KeyRing
from coupon_engine.validation.token_refused import (
    BadHolderSignature,
    BadSignature,
    ChallengeRequired,
    ClockAhead,
    KeyScope,
    LiveCodeRequired,
    Malformed,
    NotACoupon,
    Stale,
    UnknownKey,
)
from schemas.campaigns import Level
from schemas.coupons import HolderKey
from schemas.token import CouponFields, Policy

LONGEST_TEXT = 512
LONGEST_JWT = 4_096
SKEW_SECONDS = 60  # by how much a phone's clock may be wrong

_TEXT = re.compile(rf"CP[12][A-Z][0-9A-Z $%*+./:-]{{100,{LONGEST_TEXT - 4}}}")
_SIGNATURE_BYTES = 64
_NUMBERS = ("cmp", "nbf", "exp", "off", "sto", "idx")
_STATIC: Mapping[str, type] = {"jti": bytes, **dict.fromkeys(_NUMBERS, int)}
_BOUND: Mapping[str, type] = {**_STATIC, "holder_key": bytes, "iat": int}


@dataclass(frozen=True, slots=True)
class Proof:
    """What the phone signed just now, for whom, and in answer to what."""

    signed_at: int  # seconds since 1970, by the phone's clock
    audience: str
    nonce: str
    jwt: str


@dataclass(frozen=True, slots=True)
class Token:
    """A coupon whose signatures hold. Whether it works here and now is for the judge to say."""

    fields: CouponFields
    policy: Policy
    key: IssuerKey
    jwt: str  # byte for byte as its issuer signed it, but for the signature's twin
    proof: Proof | None  # of the phone's key; None for a static code

    @property
    def coupon_id(self) -> UUID:
        return UUID(bytes=self.fields.jti)

    @property
    def valid_from(self) -> datetime:
        return datetime.fromtimestamp(self.fields.nbf, UTC)

    @property
    def valid_until(self) -> datetime:
        return datetime.fromtimestamp(self.fields.exp, UTC)

    @property
    def presentation(self) -> str:
        """The standard SD-JWT, with the phone's proof if there is one: evidence for others."""
        return f"{self.jwt}~{self.proof.jwt if self.proof else ''}"


def read(
    text: str,
    keys: KeyRing,
    *,
    now: datetime,
    audiences: Collection[str],
    nonce: str = "",
) -> Token:
    """Return the coupon in this text, with every signature checked.

    The coupon's window and store are told, not judged: an expired coupon is read like any other.
    The age of a phone's proof is judged here. Answering a challenge (`nonce`) proves the moment
    better than any clock, so the phone's clock does not count then.

    A coupon bound to a store speaks to that store, whoever reads it; any other coupon must speak
    to one of `audiences`, such as ("cpn:any", "s:17").

    Raises:
        TokenRefused: A subclass says why; nothing else escapes, whatever the text.
    """
    if not looks_like_a_coupon(text):
        raise NotACoupon
    key = keys.get(text[3])
    if key is None:
        raise UnknownKey

    code = _unpacked(text)
    try:
        coupon_jwt = _coupon_jwt(code.fields, code.issuer_signature, key)
    except HolderKeyInvalid:
        raise Malformed from None
    claims = verify_typed(coupon_jwt, key.public, Typ.COUPON)
    _refuse_out_of_scope(code.fields, key, now)

    policy = code.fields.policy
    if code.iat is None and policy.needs_holder:
        raise LiveCodeRequired
    proof = None
    if code.iat is not None:
        if policy.level is Level.CHALLENGED and not nonce:
            raise ChallengeRequired
        holder = PyJWK(claims["cnf"]["jwk"], "ES256")
        proof = _proof(code, coupon_jwt, holder, audiences=audiences, nonce=nonce)
        if not nonce:
            _refuse_other_times(proof, policy, now)
    return Token(code.fields, policy, key, coupon_jwt, proof)


def read_jwt(coupon_jwt: str, keys: KeyRing, *, now: datetime) -> Token:
    """Return the coupon in a JWT that somebody sent as it is.

    A coupon that needs its phone's proof is refused: the JWT shows who made it, not who holds it.

    Raises:
        TokenRefused: A subclass says why; nothing else escapes, whatever the text.
    """
    if len(coupon_jwt) > LONGEST_JWT:
        raise Malformed
    try:
        kid = _known_header(jwt.get_unverified_header(coupon_jwt)).get("kid")
    except (jwt.PyJWTError, ValueError):
        raise Malformed from None
    key = next((key for key in keys.values() if key.kid == kid), None)
    if key is None:
        raise UnknownKey

    claims = verify_typed(coupon_jwt, key.public, Typ.COUPON)
    fields = _fields(claims)
    if _coupon_jwt(fields, signature_of(coupon_jwt), key) != coupon_jwt:
        raise Malformed  # well signed, but not by our template
    _refuse_out_of_scope(fields, key, now)
    if fields.policy.needs_holder:
        raise LiveCodeRequired
    return Token(fields, fields.policy, key, coupon_jwt, None)


def claimed(text: str) -> CouponFields | None:
    """Return what a text says of itself, with no signature checked; None if it is no code of ours.

    Good for looking things up in what is ours. Nothing may be decided by it.
    """
    if not looks_like_a_coupon(text):
        return None
    try:
        return _unpacked(text).fields
    except Malformed:
        return None


def looks_like_a_coupon(text: str) -> bool:
    """Has it the outward shape of our code? Cheap enough for whatever a camera sees."""
    return _TEXT.fullmatch(text) is not None


class Typ(StrEnum):
    """What a signed document is. One is never taken for another, even under the same key."""

    COUPON = "coupon+jwt"
    KEY_BINDING = "kb+jwt"
    JOURNAL = "journal+jwt"
    STATUS_LIST = "statuslist+jwt"
    BUNDLE = "bundle+jwt"
    ACKNOWLEDGEMENT = "ack+jwt"


def verify_typed(token: str, key: PyJWK, typ: Typ) -> dict[str, Any]:
    """Return the claims of a JWT of this kind, signed with ES256 by this key.

    Times are not judged: PyJWT would read the system's clock. Compare with your own `now`.

    Raises:
        Malformed: Too long, not a JWT, of another kind, or a claim or header is out of place.
        BadSignature: Another key, another algorithm or other contents.
    """
    if len(token) > _LONGEST[typ]:
        raise Malformed
    try:
        decoded = jwt.decode_complete(
            token, key, algorithms=["ES256"], options={**_NO_CLOCK, "require": _REQUIRED[typ]}
        )
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
        raise BadSignature from None
    except (jwt.PyJWTError, ValueError):
        raise Malformed from None
    if _known_header(decoded["header"]).get("typ") != typ:  # PyJWT does not look at it
        raise Malformed
    return decoded["payload"]


def sign_typed(
    claims: Mapping[str, Any],
    private: EllipticCurvePrivateKey,
    typ: Typ,
    *,
    kid: str | None = None,
) -> str:
    """Return these claims as a JWT that `verify_typed` takes for this kind and no other."""
    headers = {"typ": str(typ)} if kid is None else {"kid": kid, "typ": str(typ)}
    return jwt.encode(dict(claims), private, "ES256", headers=headers, sort_headers=True)


def sign(fields: CouponFields, key: IssuerKey) -> str:
    """Return the coupon as a JWT.

    Each call signs anew: two JWTs of one coupon differ in their signature and are equally good.

    Raises:
        KeyScope: The key may not sign for this campaign.
        HolderKeyInvalid: The holder's key is not a point of the curve.
        ValueError: The key's private half is not here.
    """
    if key.private is None:
        raise ValueError(f"key {key.kid} can only verify here")
    if fields.cmp not in key.campaigns:
        raise KeyScope
    return sign_typed(_claims(fields, key.issuer), key.private, Typ.COUPON, kid=key.kid)


def signature_of(token: str) -> bytes:
    """Return the 64 bytes at a JWT's end: with the fields, all that need be kept of a coupon."""
    return _from_b64(token.rpartition(".")[2])


def coupon_text(fields: CouponFields, signature: bytes, letter: str) -> str:
    """Return what a static coupon's QR code says."""
    assert fields.holder_key is None, "a coupon bound to a phone is shown by the phone"
    return _packed(f"CP1{letter}", _cbor(fields), signature)


def head(fields: CouponFields) -> bytes:
    """Return what a phone puts before the time of its proof, so that it needs no CBOR library.

    The phone shows "CP2" K base45(head, 0x1a, uint32 of iat, issuer's signature, its own).
    """
    assert fields.holder_key is not None, "only a coupon bound to a phone needs a proof"
    return _cbor(fields, 0)[:-1]


def presentation_text(
    coupon_jwt: str,
    head: bytes,
    letter: str,
    holder: EllipticCurvePrivateKey,
    *,
    at: datetime,
    audience: str,
    nonce: str = "",
) -> str:
    """Return what a phone's QR code says at this moment; the wallet does the same by itself."""
    iat = math.floor(at.timestamp())
    claims = _proof_claims(coupon_jwt, iat, audience, nonce)
    proof = sign_typed(claims, holder, Typ.KEY_BINDING)
    signatures = signature_of(coupon_jwt) + signature_of(proof)
    return _packed(f"CP2{letter}", head + b"\x1a" + iat.to_bytes(4), signatures)


def compressed(holder_key: HolderKey) -> bytes:
    """Return a phone's public key in the 33 bytes that a coupon carries.

    Raises:
        HolderKeyInvalid: The point is not on the curve.
    """
    x, y = (int.from_bytes(_from_b64(value)) for value in (holder_key.x, holder_key.y))
    try:
        point = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    except ValueError:
        raise HolderKeyInvalid from None
    return point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


_NO_CLOCK: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,  # a proof is rebuilt with the reader's own audience
}
_REQUIRED: Mapping[Typ, list[str]] = {
    Typ.COUPON: ["iss", "jti", "nbf", "exp", "cmp", "off", "sto", "status"],
    Typ.KEY_BINDING: ["iat", "aud", "nonce", "sd_hash"],
    Typ.JOURNAL: ["dev", "seq", "prev", "ts"],
    Typ.STATUS_LIST: ["sub", "iat", "exp"],  # and a list, or what changed of one
    Typ.BUNDLE: ["ver", "iat", "exp"],
    Typ.ACKNOWLEDGEMENT: ["dev", "seq", "hash", "iat"],
}
_LONGEST: Mapping[Typ, int] = {
    Typ.COUPON: LONGEST_JWT,
    Typ.KEY_BINDING: LONGEST_JWT,
    Typ.JOURNAL: 16_384,
    Typ.STATUS_LIST: 2**18,  # a shard of a million coupons is at most 167 kB
    Typ.BUNDLE: 2**22,
    Typ.ACKNOWLEDGEMENT: 2**20,
}


class _Code(NamedTuple):
    fields: CouponFields
    iat: int | None
    issuer_signature: bytes
    holder_signature: bytes


def _unpacked(text: str) -> _Code:
    """Take a text apart, believing nothing: one coupon's fields have one spelling only."""
    shape = _BOUND if text[2] == "2" else _STATIC
    signatures_bytes = _SIGNATURE_BYTES * (2 if shape is _BOUND else 1)
    try:
        raw = base45.b45decode(text[4:])
        body, signatures = raw[:-signatures_bytes], raw[-signatures_bytes:]
        # Flat and of known length, so no tag is ever opened: one of them compiles expressions,
        # and 300 well-chosen bytes would keep it busy for a quarter of a second.
        items = cbor2.loads(body, max_depth=1, allow_indefinite=False)
        if not isinstance(items, list):
            raise Malformed
        values = cast("list[Any]", items)
        if [type(value) for value in values] != list(shape.values()):
            raise Malformed
        if cbor2.dumps(values, canonical=True) != body:
            raise Malformed
        named = dict(zip(shape, values, strict=True))
        iat = named.pop("iat", None)
        if iat is not None and not 0 <= iat < 2**40:
            raise Malformed
        fields = CouponFields(**named)
    except (ValueError, cbor2.CBORError):
        raise Malformed from None
    return _Code(fields, iat, signatures[:_SIGNATURE_BYTES], signatures[_SIGNATURE_BYTES:])


def _packed(start: str, body: bytes, signatures: bytes) -> str:
    return start + base45.b45encode(body + signatures).decode()


def _cbor(fields: CouponFields, *more: int) -> bytes:
    items = [fields.jti, fields.cmp, fields.nbf, fields.exp, fields.off, fields.sto, fields.idx]
    if fields.holder_key is not None:
        items.append(fields.holder_key)
    return cbor2.dumps([*items, *more], canonical=True)


def _coupon_jwt(fields: CouponFields, signature: bytes, key: IssuerKey) -> str:
    header = {"alg": "ES256", "kid": key.kid, "typ": Typ.COUPON}
    return _jwt(header, _claims(fields, key.issuer), signature)


def _claims(fields: CouponFields, issuer: str) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "iss": issuer,
        "jti": _b64(fields.jti),
        "nbf": fields.nbf,
        "exp": fields.exp,
        "cmp": fields.cmp,
        "off": fields.off,
        "sto": fields.sto,
        "status": {"status_list": {"idx": fields.idx, "uri": f"{issuer}/sl/{fields.cmp}"}},
    }
    if fields.holder_key is not None:
        claims["cnf"] = {"jwk": _expanded(fields.holder_key)}
    return claims


def _fields(claims: Mapping[str, Any]) -> CouponFields:
    """Undo `_claims`."""
    try:
        return CouponFields(
            jti=_from_b64(claims["jti"]),
            cmp=claims["cmp"],
            nbf=claims["nbf"],
            exp=claims["exp"],
            off=claims["off"],
            sto=claims["sto"],
            idx=claims["status"]["status_list"]["idx"],
            holder_key=compressed(HolderKey(**claims["cnf"]["jwk"])) if "cnf" in claims else None,
        )
    except (KeyError, TypeError, ValueError, HolderKeyInvalid):
        raise Malformed from None


def _proof(
    code: _Code, coupon_jwt: str, holder: PyJWK, *, audiences: Collection[str], nonce: str
) -> Proof:
    """Rebuild the phone's proof as this counter expects it, and verify it."""
    assert code.iat is not None
    for audience in (code.fields.audience,) if code.fields.sto else audiences:
        claims = _proof_claims(coupon_jwt, code.iat, audience, nonce)
        proof_jwt = _jwt({"alg": "ES256", "typ": Typ.KEY_BINDING}, claims, code.holder_signature)
        try:
            verify_typed(proof_jwt, holder, Typ.KEY_BINDING)
        except BadSignature:
            continue
        return Proof(code.iat, audience, nonce, proof_jwt)
    # With digits asked for, a wrong answer and a forgery look alike: ask again.
    raise ChallengeRequired if nonce else BadHolderSignature


def _proof_claims(coupon_jwt: str, iat: int, audience: str, nonce: str) -> dict[str, Any]:
    sd_hash = hashlib.sha256(f"{coupon_jwt}~".encode()).digest()
    return {"iat": iat, "aud": audience, "nonce": nonce, "sd_hash": _b64(sd_hash)}


def _refuse_out_of_scope(fields: CouponFields, key: IssuerKey, now: datetime) -> None:
    if fields.cmp not in key.campaigns or not key.is_valid(now):
        raise KeyScope


def _refuse_other_times(proof: Proof, policy: Policy, now: datetime) -> None:
    seconds = math.floor(now.timestamp())
    if proof.signed_at > seconds + SKEW_SECONDS:
        raise ClockAhead(ahead_seconds=proof.signed_at - seconds)
    if seconds >= proof.signed_at + policy.freshness_seconds + SKEW_SECONDS:
        raise Stale(behind_seconds=seconds - proof.signed_at)


def _known_header(header: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse any header we do not write: jku, jwk, x5u, x5c, crit, b64 and whatever comes."""
    if not header.keys() <= {"alg", "kid", "typ"}:
        raise Malformed
    return header


def _expanded(holder_key: bytes) -> dict[str, Any]:
    try:
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), holder_key)
    except ValueError:
        raise HolderKeyInvalid from None
    return ECAlgorithm.to_jwk(point, as_dict=True)


def _jwt(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes) -> str:
    return f"{_b64(_json(header))}.{_b64(_json(claims))}.{_b64(signature)}"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_b64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
