"""A coupon's code says what its issuer signed, or it says nothing."""

import builtins
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import base45
import cbor2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import assume, example, given
from hypothesis import strategies as st

from coupon_engine.errors import HolderKeyInvalid
from coupon_engine.validation.issuer_keys import jwks, key_ring
from coupon_engine.validation.token import (
    Token,
    Typ,
    compressed,
    coupon_text,
    head,
    presentation_text,
    read,
    read_jwt,
    sign,
    sign_typed,
    signature_of,
    verify_typed,
)
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
    TokenRefused,
    UnknownKey,
)
from schemas.campaigns import Level
from schemas.coupons import HolderKey
from schemas.token import CouponFields, Policy
from tests.vectors import make_token_vectors as vectors
from tests.vectors.make_token_vectors import (
    AT_HOME,
    DIGITS,
    ISSUER,
    KEY,
    NOW,
    PHONE,
    REGIONAL_KEY,
    RING,
    b64,
    bound,
    fields,
    packed,
    presented,
    shown,
    signed,
    unpacked,
)

VECTORS = json.loads(vectors.FILE.read_text(encoding="utf-8"))
GOOD = VECTORS["static"] + VECTORS["bound"]
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


def read_here(text: str, *, nonce: str = "", now: datetime = NOW) -> Token:
    return read(text, RING, now=now, audiences=AT_HOME, nonce=nonce)


def named(cases: list[dict[str, Any]], name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case[name] for case in cases])


# What a code says


@named(GOOD, "name")
def test_a_coupon_says_what_was_signed(case: dict[str, Any]) -> None:
    token = read_here(case["text"], nonce=case.get("nonce", ""))

    assert token.jwt == case["jwt"]
    said = token.fields.model_dump() | {"jti": token.fields.jti.hex()}
    key = token.fields.holder_key
    assert said | {"holder_key": key.hex() if key else None} == case["fields"]
    assert (token.proof.jwt if token.proof else None) == case.get("proof_jwt")


@named(VECTORS["refused"], "why")
def test_this_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused) as refusal:
        read(case["text"], RING, now=NOW, audiences=case["audiences"], nonce=case["nonce"])

    assert refusal.value.code == case["code"]


def test_the_vectors_for_other_languages_are_fresh() -> None:
    assert vectors.FILE.read_text(encoding="utf-8") == vectors.written()


def test_a_code_fits_a_cheap_camera() -> None:
    assert len(shown(fields())) == 165
    assert len(presented(bound())) == 321


def test_a_coupon_knows_its_id_and_its_window() -> None:
    token = read_here(shown(fields()))

    assert token.coupon_id.bytes == fields().jti
    assert token.valid_from == NOW - timedelta(days=1)
    assert token.valid_until == NOW + timedelta(days=30)
    assert token.policy == Policy(quota_class=5, freshness_seconds=15)


def test_an_expired_coupon_is_read_so_that_the_judge_can_say_so() -> None:
    text = shown(fields(exp=vectors.SECOND - 86_400))

    assert read_here(text).valid_until == NOW - timedelta(days=1)


def test_a_coupon_for_another_store_is_read_so_that_the_judge_can_say_so() -> None:
    token = read(presented(bound()), RING, now=NOW, audiences=("cpn:any", "s:7"))

    assert token.proof is not None
    assert token.proof.audience == "s:120345"


def test_any_jwt_library_can_verify_a_coupon_without_us() -> None:
    token = sign(fields(), KEY)
    key = jwt.PyJWKSet.from_dict(jwks([KEY]))[jwt.get_unverified_header(token)["kid"]]

    claims = jwt.decode(
        token, key, issuer=KEY.issuer, options={"verify_exp": False, "verify_nbf": False}
    )

    assert claims["jti"] == b64(fields().jti)
    assert claims["status"]["status_list"]["uri"] == "https://coupons.example/acme/sl/48213"


def test_a_presentation_is_a_standard_one() -> None:
    token = read_here(presented(bound()))

    coupon, proof = token.presentation.split("~")

    cnf = jwt.decode(coupon, options={"verify_signature": False})["cnf"]["jwk"]
    claims = jwt.decode(proof, jwt.PyJWK(cnf), audience="s:120345", options={"verify_iat": False})
    sd_hash = hashlib.sha256(f"{coupon}~".encode()).digest()
    assert claims["sd_hash"] == b64(sd_hash)
    assert jwt.get_unverified_header(proof) == {"alg": "ES256", "typ": "kb+jwt"}


def test_the_phones_half_in_python_is_read() -> None:
    coupon = bound(sto=0)
    token = sign(coupon, KEY)

    text = presentation_text(token, head(coupon), "A", PHONE, at=NOW, audience=coupon.audience)

    assert read_here(text).jwt == token


@given(
    level=st.sampled_from([Level.STATIC, Level.ROTATING, Level.HOLDER_SIGNED, Level.CHALLENGED]),
    quota=st.integers(0, 15),
    freshness=st.sampled_from([15, 30, 60, 120, 300]),
    bits=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_a_policy_survives_its_sixteen_bits(
    level: Level, quota: int, freshness: int, bits: tuple[bool, bool, bool]
) -> None:
    policy = Policy(
        level=level,
        quota_class=quota,
        freshness_seconds=freshness,
        paper_allowed=bits[0],
        activation_required=bits[1],
        multi_use=bits[2],
    )

    assert Policy.unpack(policy.pack()) == policy


@given(off=st.integers(0, 2**16 - 1))
def test_bits_mean_one_policy_or_none(off: int) -> None:
    try:
        policy = Policy.unpack(off)
    except ValueError:
        assert off >= 2**14 or (off >> 8 & 7) > 4
    else:
        assert policy.pack() == off


# When a proof counts (T1, T2)


@pytest.mark.parametrize("seconds_ago", [-60, 0, 74])
def test_a_proof_counts_while_it_is_fresh(seconds_ago: int) -> None:
    text = presented(bound(freshness_seconds=15), seconds_ago=seconds_ago)

    assert read_here(text).proof is not None


def test_a_photograph_is_stale_a_minute_after_its_time() -> None:
    text = presented(bound(freshness_seconds=60), seconds_ago=0)

    assert read_here(text, now=NOW + timedelta(seconds=119)).proof is not None
    with pytest.raises(Stale) as refusal:
        read_here(text, now=NOW + timedelta(seconds=120))
    assert refusal.value.details == {"behind_seconds": 120}


def test_a_proof_prepared_for_tomorrow_is_refused_today() -> None:
    with pytest.raises(ClockAhead) as refusal:
        read_here(presented(bound(), seconds_ago=-86_400))

    assert refusal.value.details == {"ahead_seconds": 86_400}


def test_the_right_digits_need_no_clock() -> None:
    text = presented(bound(Level.CHALLENGED), seconds_ago=-86_400, nonce=DIGITS)

    assert read_here(text, nonce=DIGITS).proof is not None


@pytest.mark.parametrize("answered", ["", "4712"])
def test_a_challenged_coupon_needs_the_right_digits(answered: str) -> None:
    text = presented(bound(Level.CHALLENGED), nonce=answered)

    with pytest.raises(ChallengeRequired):
        read_here(text, nonce=DIGITS)


def test_a_challenged_coupon_is_not_read_without_a_challenge() -> None:
    with pytest.raises(ChallengeRequired):
        read_here(presented(bound(Level.CHALLENGED), nonce=DIGITS))


def test_a_proof_for_one_counter_says_nothing_to_another() -> None:
    text = presented(bound(sto=0), audience="s:7")

    assert read(text, RING, now=NOW, audiences=("cpn:any", "s:7")).proof is not None
    with pytest.raises(BadHolderSignature):
        read(text, RING, now=NOW, audiences=("cpn:any", "s:8"))


# Threat 11, what a key may sign


def test_a_key_counts_only_in_its_time() -> None:
    regional = fields(cmp=1_500)
    text = shown(regional, REGIONAL_KEY)
    assert REGIONAL_KEY.valid_until is not None
    last = REGIONAL_KEY.valid_until - timedelta(microseconds=1)

    assert read_here(text, now=REGIONAL_KEY.valid_from).fields == regional
    assert read_here(text, now=last).fields == regional
    for moment in (
        REGIONAL_KEY.valid_from - timedelta(microseconds=1),
        REGIONAL_KEY.valid_until,
    ):
        with pytest.raises(KeyScope):
            read_here(text, now=moment)


def test_a_key_does_not_sign_outside_its_campaigns() -> None:
    with pytest.raises(KeyScope):
        sign(fields(cmp=2_000), REGIONAL_KEY)


def test_a_withdrawn_key_is_unknown() -> None:
    with pytest.raises(UnknownKey):
        read(shown(fields()), key_ring([REGIONAL_KEY]), now=NOW, audiences=AT_HOME)


def test_another_operators_key_of_the_same_letter_does_not_count() -> None:
    theirs = replace(KEY, issuer="https://coupons.example/rival")

    with pytest.raises(BadSignature):
        read(shown(fields()), key_ring([theirs]), now=NOW, audiences=AT_HOME)


def test_a_key_that_can_only_verify_does_not_sign() -> None:
    with pytest.raises(ValueError, match="can only verify"):
        sign(fields(), replace(KEY, private=None))


def test_a_phone_key_off_the_curve_is_no_key() -> None:
    zero = b64(bytes(32))

    with pytest.raises(HolderKeyInvalid):
        compressed(HolderKey(x=zero, y=zero))
    with pytest.raises(HolderKeyInvalid):
        sign(bound().model_copy(update={"holder_key": bytes(33)}), KEY)


# Threat 3, the same coupon in another dress


def test_the_twin_of_a_signature_shows_the_same_coupon() -> None:
    text = shown(fields())
    raw = unpacked(text)

    twin = packed("CP1A", raw[:-64], other_twin(raw[-64:]))

    assert twin != text
    assert read_here(twin).coupon_id == read_here(text).coupon_id


def test_the_twin_of_a_phones_signature_shows_the_same_coupon() -> None:
    text = presented(bound())
    raw = unpacked(text)

    twin = packed("CP2A", raw[:-64], other_twin(raw[-64:]))

    assert twin != text
    assert read_here(twin).coupon_id == read_here(text).coupon_id


def test_a_coupon_signed_again_is_the_same_coupon() -> None:
    texts = {coupon_text(fields(), signature_of(sign(fields(), KEY)), "A") for _ in range(8)}

    assert len(texts) == 8
    assert {read_here(text).coupon_id for text in texts} == {read_here(shown(fields())).coupon_id}


@pytest.mark.parametrize("place", range(7))
def test_a_number_spelled_longer_is_refused(place: int) -> None:
    """Whatever the CBOR, only one spelling of a coupon's fields is read."""
    raw = unpacked(shown(fields()))
    items = [cbor2.dumps(item) for item in cbor2.loads(raw[:-64])]
    items[place] = spelled_longer(items[place])

    with pytest.raises(Malformed):
        read_here(packed("CP1A", b"\x87" + b"".join(items), raw[-64:]))


@given(text=st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:", min_size=1, max_size=12))
def test_the_same_bytes_have_one_text(text: str) -> None:
    """So another text holds other bytes, and those are a twin or refused."""
    try:
        raw = base45.b45decode(text)
    except ValueError:
        return
    assert base45.b45encode(raw).decode() == text


def other_twin(signature: bytes) -> bytes:
    """Return (r, n - s) for (r, s): it verifies as well."""
    r, s = signature[:32], int.from_bytes(signature[32:])
    return r + (ORDER - s).to_bytes(32)


def spelled_longer(item: bytes) -> bytes:
    """Write a CBOR item's length or value in eight bytes."""
    kind, value = item[0] & 0b11100000, item[0] & 31
    more = {24: 1, 25: 2, 26: 4, 27: 8}.get(value, 0)
    number = int.from_bytes(item[1 : 1 + more]) if more else value
    return bytes([kind | 27]) + number.to_bytes(8) + item[1 + more :]


# Threat 6, forged or edited


@pytest.mark.parametrize(("text", "bits"), [(shown(fields()), 856), (presented(bound()), 1_688)])
def test_no_bit_of_a_coupon_can_be_changed(text: str, bits: int) -> None:
    raw = unpacked(text)
    assert len(raw) * 8 == bits

    for bit in range(bits):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TokenRefused):
            read_here(packed(text[:4], bytes(changed), b""))


@given(place=st.integers(0, 320), character=st.sampled_from("0123456789ABCDEFGHIJ $%*+-./:Z"))
def test_any_changed_character_spoils_a_coupon(place: int, character: str) -> None:
    for text in (shown(fields()), presented(bound())):
        at = place % len(text)
        assume(text[at] != character)

        with pytest.raises(TokenRefused):
            read_here(text[:at] + character + text[at + 1 :])


# Threat 7, another algorithm


def test_an_unsigned_coupon_is_refused() -> None:
    payload = signed(fields()).split(".")[1]
    header = {"alg": "none", "kid": KEY.kid, "typ": "coupon+jwt"}

    with pytest.raises(BadSignature):
        read_jwt(f"{b64(vectors.compact(header))}.{payload}.", RING, now=NOW)


@pytest.mark.parametrize("alg", ["HS256", "ES256"])
def test_a_coupon_signed_with_the_public_key_as_a_secret_is_refused(alg: str) -> None:
    pem = ISSUER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {"alg": alg, "kid": KEY.kid, "typ": "coupon+jwt"}
    body = f"{b64(vectors.compact(header))}.{signed(fields()).split('.')[1]}"
    mac = b64(hmac.digest(pem, body.encode(), "sha256"))

    with pytest.raises(BadSignature):
        read_jwt(f"{body}.{mac}", RING, now=NOW)


@pytest.mark.parametrize("alg", ["ES384", "ES512", "ES256K", "EdDSA", "RS256", "PS256", "es256"])
def test_a_coupon_naming_another_algorithm_is_refused(alg: str) -> None:
    _, payload, signature = signed(fields()).split(".")
    header = {"alg": alg, "kid": KEY.kid, "typ": "coupon+jwt"}

    with pytest.raises(BadSignature):
        read_jwt(f"{b64(vectors.compact(header))}.{payload}.{signature}", RING, now=NOW)


def test_a_coupon_signed_on_another_curve_is_refused() -> None:
    other = generate_private_key(SECP384R1())
    token = jwt.encode(
        claims_of(fields()), other, "ES384", headers={"kid": KEY.kid, "typ": "coupon+jwt"}
    )

    with pytest.raises(BadSignature):
        read_jwt(token, RING, now=NOW)


# Threat 8, a key brought along


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jku", "https://evil.example/jwks.json"),
        ("jwk", vectors.public_jwk(PHONE)),
        ("x5u", "https://evil.example/chain.pem"),
        ("x5c", ["MIIB"]),
        ("crit", ["exp"]),
        ("crit", ["b64"]),
        ("b64", True),
        ("zip", "DEF"),
    ],
)
def test_a_coupon_cannot_bring_its_own_key(name: str, value: object) -> None:
    header = {"alg": "ES256", "kid": KEY.kid, "typ": "coupon+jwt", name: value}
    token = resigned(header, claims_of(fields()))

    with pytest.raises(Malformed):
        read_jwt(token, RING, now=NOW)
    with pytest.raises(Malformed):
        verify_typed(token, KEY.public, Typ.COUPON)


@pytest.mark.parametrize("kid", [None, "", "../../etc/passwd", "' OR 1=1", "https://evil.example"])
def test_a_key_that_is_not_in_the_ring_is_unknown(kid: str | None) -> None:
    token = sign_typed(claims_of(fields()), PHONE, Typ.COUPON, kid=kid)

    with pytest.raises(UnknownKey):
        read_jwt(token, RING, now=NOW)


def test_a_key_id_that_is_no_text_is_malformed() -> None:
    header = {"alg": "ES256", "kid": ["A"], "typ": "coupon+jwt"}

    with pytest.raises(Malformed):
        read_jwt(resigned(header, claims_of(fields())), RING, now=NOW)


def test_reading_opens_no_file_and_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text_of(letter) for letter in "CDEFGHIJKLMNOPQRSTUVWXYZ"]
    forbid(monkeypatch)

    for text in texts:
        with pytest.raises(UnknownKey):
            read_here(text)
    for case in VECTORS["refused"]:
        with pytest.raises(TokenRefused):
            read_here(case["text"], nonce=case["nonce"])
    for case in GOOD:
        read_here(case["text"], nonce=case.get("nonce", ""))


def text_of(letter: str) -> str:
    return f"CP1{letter}{shown(fields())[4:]}"


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("reading a coupon touched the world outside")

    monkeypatch.setattr(builtins, "open", fail)
    monkeypatch.setattr(socket, "socket", fail)
    monkeypatch.setattr(socket, "getaddrinfo", fail)


# Threat 9, one kind of document taken for another

# Every claim that any kind needs, so that nothing but the kind can decide.
ALL_CLAIMS: dict[str, Any] = {
    "iss": KEY.issuer, "jti": "x", "nbf": 0, "exp": 1, "cmp": 0, "off": 0, "sto": 0, "status": {},
    "iat": 0, "aud": "cpn:any", "nonce": "", "sd_hash": "x", "dev": "x", "seq": 0, "prev": "x",
    "ts": 0, "sub": "x", "status_list": {}, "ver": 1, "hash": "x",
}  # fmt: skip


@pytest.mark.parametrize("made", Typ)
@pytest.mark.parametrize("wanted", Typ)
def test_only_its_own_kind_is_taken(made: Typ, wanted: Typ) -> None:
    token = sign_typed(ALL_CLAIMS, ISSUER, made, kid=KEY.kid)

    if made is wanted:
        assert verify_typed(token, KEY.public, wanted) == ALL_CLAIMS
    else:
        with pytest.raises(Malformed):
            verify_typed(token, KEY.public, wanted)


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt", "COUPON+JWT", "application/coupon+jwt"])
@pytest.mark.parametrize("wanted", Typ)
def test_no_other_kind_is_taken(typ: str | None, wanted: Typ) -> None:
    header = {"alg": "ES256", "kid": KEY.kid, "typ": typ}
    token = resigned({name: value for name, value in header.items() if value}, ALL_CLAIMS)

    with pytest.raises(Malformed):
        verify_typed(token, KEY.public, wanted)


@pytest.mark.parametrize("made", [typ for typ in Typ if typ is not Typ.COUPON])
def test_no_other_kind_is_taken_for_a_coupon(made: Typ) -> None:
    token = sign_typed({**ALL_CLAIMS, **claims_of(fields())}, ISSUER, made, kid=KEY.kid)

    with pytest.raises(Malformed):
        read_jwt(token, RING, now=NOW)


def test_a_coupon_is_not_taken_for_a_phones_proof() -> None:
    """Not even when phone and issuer share a key: the rebuilt headers differ."""
    coupon = fields(Policy(level=Level.HOLDER_SIGNED), holder_key=vectors.phone_key(ISSUER))
    raw = unpacked(presented(coupon, ISSUER))
    issuer_signature = raw[-128:-64]

    with pytest.raises(BadHolderSignature):
        read_here(packed("CP2A", raw[:-128], issuer_signature * 2))


# Threat 10, a claim left out


@pytest.mark.parametrize("claim", ["iss", "jti", "nbf", "exp", "cmp", "off", "sto", "status"])
def test_a_well_signed_coupon_without_a_claim_is_refused(claim: str) -> None:
    claims = claims_of(fields())
    del claims[claim]
    token = sign_typed(claims, ISSUER, Typ.COUPON, kid=KEY.kid)

    with pytest.raises(Malformed):
        read_jwt(token, RING, now=NOW)
    with pytest.raises(Malformed):
        verify_typed(token, KEY.public, Typ.COUPON)


@pytest.mark.parametrize("claim", ["iat", "aud", "nonce", "sd_hash"])
def test_a_proof_without_a_claim_is_refused(claim: str) -> None:
    claims = {name: value for name, value in ALL_CLAIMS.items() if name != claim}

    with pytest.raises(Malformed):
        verify_typed(sign_typed(claims, ISSUER, Typ.KEY_BINDING), KEY.public, Typ.KEY_BINDING)


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://coupons.example/rival"},
        {"exp": None},
        {"exp": "2027-01-01"},
        {"exp": 1e9},
        {"exp": True},
        {"exp": float("inf")},
        {"nbf": -1},
        {"cmp": 2**40},
        {"off": 2**15},
        {"jti": "too-short"},
        {"jti": b64(fields().jti) + "="},
        {"jti": 7},
        {"status": {"status_list": {"idx": 734_512, "uri": "https://evil.example"}}},
        {"status": "valid"},
        {"cnf": {}},
        {"cnf": {"jwk": "none"}},
        {"cnf": {"jwk": {"kty": "EC", "crv": "P-256", "x": b64(bytes(32)), "y": b64(bytes(32))}}},
        {"email": "someone@example.com"},
    ],
)
def test_a_well_signed_coupon_of_another_make_is_refused(change: dict[str, Any]) -> None:
    token = sign_typed({**claims_of(fields()), **change}, ISSUER, Typ.COUPON, kid=KEY.kid)

    with pytest.raises(Malformed):
        read_jwt(token, RING, now=NOW)


def test_a_coupon_with_its_claims_in_another_order_is_refused() -> None:
    claims = dict(reversed(claims_of(fields()).items()))

    with pytest.raises(Malformed):
        read_jwt(sign_typed(claims, ISSUER, Typ.COUPON, kid=KEY.kid), RING, now=NOW)


# A coupon sent as a JWT


def test_a_coupon_sent_as_a_jwt_is_the_same_coupon() -> None:
    token = signed(fields())

    assert read_jwt(token, RING, now=NOW) == read_here(shown(fields()))


def test_a_phone_bound_coupon_needs_its_phone_even_as_a_jwt() -> None:
    with pytest.raises(LiveCodeRequired):
        read_jwt(signed(bound()), RING, now=NOW)


def test_a_jwt_by_a_key_out_of_scope_is_refused() -> None:
    abroad = signed(fields(), replace(REGIONAL_KEY, campaigns=KEY.campaigns))

    with pytest.raises(KeyScope):
        read_jwt(abroad, RING, now=NOW)


# Threat 17, oversized and malformed


@given(text=st.text())
@example(text="9" * 7_089)
@example(text="\ud800" * 120)
@example(text="CP1A" + "\ud800" * 120)
def test_any_text_is_a_coupon_or_refused(text: str) -> None:
    with pytest.raises(TokenRefused):
        read_here(text)
    with pytest.raises(TokenRefused):
        read_jwt(text, RING, now=NOW)


@given(data=st.binary(min_size=67, max_size=330), template=st.sampled_from("12"))
@example(data=b"\x81" * 300, template="1")
@example(data=b"\x9b" + b"\x7f" * 8 + bytes(90), template="1")
@example(data=b"\x5b" + b"\x7f" * 8 + bytes(90), template="1")
@example(data=b"\x87\xc5\x82\x1b" + b"\xff" * 8 + b"\x01" + bytes(90), template="1")
@example(data=b"\x82\xd8\x1c\x81\xd8\x1d\x00" + bytes(90), template="1")
def test_any_bytes_are_a_coupon_or_refused(data: bytes, template: str) -> None:
    with pytest.raises(TokenRefused):
        read_here(packed(f"CP{template}A", data, b""))


CBOR_ITEMS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**70), 2**70) | st.text(max_size=9)
    | st.binary(max_size=40) | st.datetimes(timezones=st.just(UTC)) | st.decimals() | st.uuids(),
    lambda item: st.lists(item, max_size=10) | st.dictionaries(st.integers(), item, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(items=CBOR_ITEMS)
def test_any_cbor_is_a_coupon_or_refused(items: object) -> None:
    body = cbor2.dumps(items)
    assume(35 <= len(body) <= 200)

    with pytest.raises(TokenRefused):
        read_here(packed("CP1A", body, bytes(64)))
    with pytest.raises(TokenRefused):
        read_here(packed("CP2A", body, bytes(128)))


@given(header=st.binary(max_size=200), payload=st.binary(max_size=200), alg=st.booleans())
def test_any_jwt_is_a_coupon_or_refused(header: bytes, payload: bytes, alg: bool) -> None:
    known = vectors.compact({"alg": "ES256", "kid": KEY.kid, "typ": "coupon+jwt"})

    with pytest.raises(TokenRefused):
        read_jwt(f"{b64(known if alg else header)}.{b64(payload)}.{b64(bytes(64))}", RING, now=NOW)


@pytest.mark.parametrize(
    "payload",
    [b"[" * 3_000, b'{"exp":' + b"9" * 2_900 + b"}", b"[]", b"NaN", b"", b'{"jti":"\\ud800"}'],
    ids=["deep", "huge number", "a list", "not a number", "nothing", "half a character"],
)
def test_a_well_signed_oddity_is_refused(payload: bytes) -> None:
    header = {"alg": "ES256", "kid": KEY.kid, "typ": "coupon+jwt"}

    with pytest.raises(Malformed):
        read_jwt(jws(header, payload), RING, now=NOW)


def test_eight_megabytes_are_refused_at_once() -> None:
    header = vectors.compact({"alg": "ES256", "kid": KEY.kid, "typ": "coupon+jwt"})
    token = f"{b64(header)}.{'A' * 8_000_000}.{b64(bytes(64))}"
    code = "CP1A" + "0" * 8_000_000

    assert seconds_to_refuse(lambda: read_here(code)) < 0.005
    assert seconds_to_refuse(lambda: read_jwt(token, RING, now=NOW)) < 0.005
    for typ in Typ:
        assert seconds_to_refuse(lambda typ=typ: verify_typed(token, KEY.public, typ)) < 0.005


def test_a_tag_is_not_opened_to_see_what_it_holds() -> None:
    """This one would have Python compile an expression for a quarter of a second."""
    codes = [code_with(cbor2.CBORTag(35, f"(?i){n}" + "[\0-\uffff]" * 32)) for n in range(3)]
    assert max(map(len, codes)) <= 512

    # Another one each time: Python remembers what it has compiled.
    unread = iter(codes)
    assert seconds_to_refuse(lambda: read_here(next(unread))) < 0.005


def code_with(costly: object) -> str:
    return packed("CP1A", cbor2.dumps([bytes(16), costly, 0, 0, 0, 0, 0]), bytes(64))


def seconds_to_refuse(refuse: Callable[[], object]) -> float:
    """Return the processor time it takes, the best of three."""
    spent: list[float] = []
    for _ in range(3):
        start = time.process_time()
        with pytest.raises(TokenRefused):
            refuse()
        spent.append(time.process_time() - start)
    return min(spent)


# Threat 18, something else before the camera


@pytest.mark.parametrize("text", VECTORS["hostile"], ids=range(len(VECTORS["hostile"])))
def test_something_else_is_not_a_coupon(text: str) -> None:
    with pytest.raises(NotACoupon):
        read_here(text)


def test_the_hostile_corpus_is_whole() -> None:
    assert len(set(VECTORS["hostile"])) == 50


def claims_of(coupon: CouponFields) -> dict[str, Any]:
    return jwt.decode(signed(coupon), options={"verify_signature": False})


def resigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return jws(header, vectors.compact(claims))


def jws(header: dict[str, Any], payload: bytes, key: EllipticCurvePrivateKey = ISSUER) -> str:
    """Sign whatever it is, as a careless library would."""
    assert isinstance(key.curve, SECP256R1)
    return vectors.steady(f"{b64(vectors.compact(header))}.{b64(payload)}.", key)
