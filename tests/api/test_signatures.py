"""Signed requests: what is let in is exactly what its key has signed, just now, once."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from api.asking.signatures import AHEAD_SECONDS, OLDEST_SECONDS, Nonces, is_signed, signed_by
from coupon_engine.errors import NotSignedIn
from tests.make import NOON

KEY = ec.generate_private_key(ec.SECP256R1())
ANOTHER_KEY = ec.generate_private_key(ec.SECP256R1())
ID = "019caf10-5c00-7000-8000-00000000000a"
ANOTHER_ID = "019caf10-5c00-7000-8000-00000000000b"
BODY = b'{"id": 1}'
CREATED = int(NOON.timestamp())


def compressed(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


KEYS = {ID: compressed(KEY), ANOTHER_ID: compressed(ANOTHER_KEY)}


@dataclass(frozen=True)
class Signing:
    """Signs by the letter of RFC 9421, section 2.5, without the library that verifies."""

    method: str = "POST"
    target: str = "/v1/redemptions"
    body: bytes = BODY
    covered: tuple[str, ...] = ("@method", "@path", "content-digest")
    created: str = str(CREATED)
    keyid: str = f'"{ID}"'
    alg: str = '"ecdsa-p256-sha256"'
    nonce: str = '"AAECAwQFBgcICQoLDA0ODw"'
    tag: str = '"counterfoil"'
    more: str = ""
    label: str = "counterfoil"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    key: ec.EllipticCurvePrivateKey = KEY

    def signed(self) -> dict[str, str]:
        """Return the headers of this request, its signature among them."""
        headers = dict(self.headers)
        if self.body:
            headers.setdefault("content-digest", digest_of(self.body))
        path, _, query = self.target.partition("?")
        values = {"@method": self.method, "@path": path, "@query": f"?{query}", **headers}
        names = " ".join(component(name) for name in self.covered)
        said = "".join(
            f";{name}={value}"
            for name, value in (
                ("created", self.created),
                ("keyid", self.keyid),
                ("alg", self.alg),
                ("nonce", self.nonce),
                ("tag", self.tag),
            )
            if value
        )
        said = f"({names}){said}{self.more}"
        lines = [f"{component(name)}: {values[name.partition(';')[0]]}" for name in self.covered]
        base = "\n".join([*lines, f'"@signature-params": {said}'])
        r, s = decode_dss_signature(self.key.sign(base.encode(), ec.ECDSA(SHA256())))
        signature = base64.b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).decode()
        return {
            **headers,
            "signature-input": f"{self.label}={said}",
            "signature": f"{self.label}=:{signature}:",
        }


def component(name: str) -> str:
    """Write a component as it is named in a signature, such as `content-digest;sf`."""
    name, semicolon, parameters = name.partition(";")
    return f'"{name}"{semicolon}{parameters}'


def digest_of(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(sha256(body).digest()).decode()}:"


def heard(
    signing: Signing,
    *,
    headers: Mapping[str, str] | None = None,
    nonces: Nonces | None = None,
    now: datetime = NOON,
    **other: Any,
) -> str:
    """Return whom the door heard, when this request arrives, perhaps as another one."""
    arrived = replace(signing, **other)
    return signed_by(
        arrived.method,
        arrived.target,
        headers if headers is not None else signing.signed(),
        arrived.body,
        KEYS.get,
        nonces or Nonces(),
        now=now,
    )


def is_refused(signing: Signing, **more: Any) -> None:
    nonces = more.setdefault("nonces", Nonces())
    before = nonces.count

    with pytest.raises(NotSignedIn):
        heard(signing, **more)

    assert nonces.count == before  # a stranger takes no room


def test_a_signed_request_is_heard() -> None:
    assert heard(Signing()) == ID


def test_a_signed_look_is_heard() -> None:
    look = Signing(
        method="GET",
        target="/v1/coupons?after=1&most=2",
        body=b"",
        covered=("@method", "@path", "@query"),
    )

    assert heard(look) == ID


def test_more_may_be_covered() -> None:
    covered = ("content-type", "content-digest", "@path", "@method")
    signing = Signing(covered=covered, headers={"content-type": "application/json"})

    assert heard(signing) == ID


def test_behind_a_proxy_the_same_request_is_heard() -> None:
    """Neither scheme nor host is signed, so what a proxy changes does not matter."""
    headers = {**Signing().signed(), "host": "inside:8000", "x-forwarded-proto": "https"}

    assert heard(Signing(), headers=headers) == ID


def test_a_stranger_claims_nothing() -> None:
    assert not is_signed({"authorization": "Bearer x"})
    assert is_signed({"signature": ""}) is False
    assert is_signed(Signing().signed())


@pytest.mark.parametrize("missing", ["@method", "@path", "content-digest"])
def test_what_is_not_covered_is_not_heard(missing: str) -> None:
    covered = tuple(name for name in Signing().covered if name != missing)

    is_refused(Signing(covered=covered))


def test_another_spelling_of_a_field_is_not_the_field() -> None:
    """The library would verify it; we want one way to say a thing."""
    is_refused(Signing(covered=("@method", "@path", "content-digest;sf")))


def test_a_query_must_be_covered() -> None:
    is_refused(Signing(target="/v1/coupons?most=2"))
    is_refused(Signing(), target="/v1/redemptions?")


def test_a_shift_must_be_covered() -> None:
    signing = Signing(headers={"counterfoil-shift": "s"})

    is_refused(signing)
    assert heard(replace(signing, covered=(*signing.covered, "counterfoil-shift"))) == ID


def test_a_shift_cannot_be_changed_or_added() -> None:
    signing = Signing(
        headers={"counterfoil-shift": "s"}, covered=(*Signing().covered, "counterfoil-shift")
    )

    is_refused(signing, headers={**signing.signed(), "counterfoil-shift": "t"})
    is_refused(Signing(), headers={**Signing().signed(), "Counterfoil-Shift": "t"})


@pytest.mark.parametrize(
    "other",
    [
        {"method": "PUT"},
        {"method": "post"},
        {"target": "/v1/reversals"},
        {"target": "/v1/redemptions/"},
        {"target": "/v1/Redemptions"},
        {"target": "//v1/redemptions"},
        {"target": "/v1/redemptions%"},
        {"target": "@elsewhere/v1/redemptions"},
        {"target": ""},
        {"body": b'{"id": 2}'},
        {"body": b""},
    ],
)
def test_another_request_is_not_what_was_signed(other: dict[str, Any]) -> None:
    is_refused(Signing(), **other)


def test_another_query_is_not_what_was_signed() -> None:
    signing = Signing(
        method="GET", target="/v1/coupons?most=2", body=b"", covered=("@method", "@path", "@query")
    )

    is_refused(signing, target="/v1/coupons?most=500")
    is_refused(signing, target="/v1/coupons")


@pytest.mark.parametrize(
    "digest",
    [
        digest_of(b"another body"),
        "sha-256=:AAAA:",
        "sha-256=:AAAA",
        "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:",
        f"{digest_of(BODY)}, sha-512=:AAAA:",
        f"{digest_of(b'another body')}, {digest_of(BODY)}",
        "sha-256",
    ],
)
def test_a_digest_that_is_not_the_bodys_is_refused(digest: str) -> None:
    is_refused(Signing(headers={"content-digest": digest}))


@pytest.mark.parametrize(
    "changed",
    [
        {"created": ""},
        {"keyid": ""},
        {"alg": ""},
        {"nonce": ""},
        {"tag": ""},
        {"created": f'"{CREATED}"'},
        {"created": f"{CREATED}.5"},
        {"created": "999999999999999"},
        {"keyid": f'"{ANOTHER_ID}"'},
        {"keyid": '"019caf10-5c00-7000-8000-00000000000c"'},
        {"keyid": f'"{ID.upper()}"'},
        {"keyid": '"' + "{" + ID + "}" + '"'},
        {"keyid": '"urn:uuid:1"'},
        {"keyid": "abc"},
        {"alg": '"hmac-sha256"'},
        {"alg": '"ed25519"'},
        {"alg": '"none"'},
        {"alg": '""'},
        {"alg": "ecdsa-p256-sha256"},
        {"nonce": '"short"'},
        {"nonce": '"' + "a" * 65 + '"'},
        {"nonce": '"AAECAwQFBgcICQoLDA0 DQ"'},
        {"tag": '"somebody-else"'},
        {"more": ";expires=1"},
        {"more": ';context="x"'},
        {"more": ';keyid="x"'},
        {"key": ANOTHER_KEY},
        {"covered": ("@method", "@path", "content-digest", "@path")},
        {"method": "post"},
    ],
)
def test_a_signature_that_says_something_else_is_refused(changed: dict[str, Any]) -> None:
    is_refused(replace(Signing(), **changed))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('alg="ecdsa-p256-sha256"', 'alg="hmac-sha256"'),
        (ID, ANOTHER_ID),
        (str(CREATED), str(CREATED + 1)),
        ("AAEC", "AAED"),
        ('"@path"', '"@path" "@query"'),
        ('"@path"', '"@path";req'),
        ('"content-digest"', '"content-digest";sf'),
        ("counterfoil=(", "other=("),
    ],
)
def test_nothing_that_was_signed_can_be_changed(old: str, new: str) -> None:
    headers = Signing().signed()
    changed = headers["signature-input"].replace(old, new, 1)
    assert changed != headers["signature-input"]

    is_refused(Signing(), headers={**headers, "signature-input": changed})


def test_any_bit_of_the_signature_matters() -> None:
    headers = Signing().signed()
    signature = bytearray(base64.b64decode(headers["signature"].split(":")[1]))
    for at in range(0, 512, 37):
        spoilt = bytearray(signature)
        spoilt[at // 8] ^= 1 << at % 8
        text = base64.b64encode(spoilt).decode()

        is_refused(Signing(), headers={**headers, "signature": f"counterfoil=:{text}:"})


@pytest.mark.parametrize("signature", [b"", bytes(64), b"\xff" * 64, bytes(63), bytes(72)])
def test_a_signature_of_noughts_is_none(signature: bytes) -> None:
    text = base64.b64encode(signature).decode()

    is_refused(Signing(), headers={**Signing().signed(), "signature": f"counterfoil=:{text}:"})


def test_two_signatures_are_one_too_many() -> None:
    one, two = Signing().signed(), Signing(label="two", nonce='"BBECAwQFBgcICQoLDA0ODw"').signed()
    both = {name: f"{one[name]}, {two[name]}" for name in ("signature-input", "signature")}
    twice = {name: f"{one[name]}, {one[name]}" for name in ("signature-input", "signature")}

    is_refused(Signing(), headers={**one, **both})
    is_refused(Signing(), headers={**one, **twice})


def test_a_header_that_comes_twice_is_seen_twice() -> None:
    """A second line must not hide behind the first."""
    headers = Signing().signed()
    once = Headers(headers)
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    for name in ("signature-input", "signature", "content-digest"):
        repeated = Headers(raw=[*lines, (name.encode(), headers[name].encode())])

        is_refused(Signing(), headers=repeated)
    assert heard(Signing(), headers=once) == ID


def test_a_signature_is_good_for_a_minute() -> None:
    assert heard(Signing(), now=NOON + timedelta(seconds=OLDEST_SECONDS)) == ID
    is_refused(Signing(), now=NOON + timedelta(seconds=OLDEST_SECONDS + 1))
    assert heard(Signing(), now=NOON - timedelta(seconds=AHEAD_SECONDS)) == ID
    is_refused(Signing(), now=NOON - timedelta(seconds=AHEAD_SECONDS + 1))


def test_nothing_is_heard_twice() -> None:
    nonces, headers = Nonces(), Signing().signed()
    latest = NOON + timedelta(seconds=OLDEST_SECONDS)
    assert heard(Signing(), headers=headers, nonces=nonces) == ID

    is_refused(Signing(), headers=headers, nonces=nonces)
    is_refused(Signing(), headers=headers, nonces=nonces, now=latest)


def test_another_signature_with_the_same_nonce_is_no_news() -> None:
    """ES256 signatures can be turned into others that verify; the nonce is what counts."""
    nonces = Nonces()
    assert heard(Signing(), nonces=nonces) == ID

    is_refused(Signing(), headers=Signing().signed(), nonces=nonces)


def test_two_keys_may_use_the_same_nonce() -> None:
    nonces = Nonces()
    another = Signing(keyid=f'"{ANOTHER_ID}"', key=ANOTHER_KEY)

    assert heard(Signing(), nonces=nonces) == ID
    assert heard(another, nonces=nonces) == ANOTHER_ID


def test_what_is_remembered_has_an_end_in_time_and_in_number() -> None:
    few, now = Nonces(most=3), NOON.timestamp()
    for number in range(10):
        assert few.is_new(ID, str(number), until=now + 60, now=now)
    assert few.count == 3
    assert not few.is_new(ID, "9", until=now + 60, now=now)

    assert few.is_new(ID, "later", until=now + 200, now=now + 61)
    assert few.count == 1


@pytest.mark.parametrize("name", ["signature-input", "signature"])
def test_a_giant_header_is_not_even_read(name: str) -> None:
    headers = Signing().signed()
    asked: list[str] = []

    with pytest.raises(NotSignedIn):
        signed_by(
            "POST",
            "/v1/redemptions",
            {**headers, name: headers[name] + "," + "a" * 1_000_000},
            BODY,
            asked.append,
            Nonces(),
            now=NOON,
        )

    assert asked == []


@pytest.mark.parametrize("keyid", [ID.upper(), f"{{{ID}}}", ID.replace("-", ""), "", "abc"])
def test_nobody_is_asked_for_the_key_of_what_is_no_id(keyid: str) -> None:
    asked: list[str] = []

    def key_of(id: str) -> bytes:
        asked.append(id)
        return KEYS[ID]

    with pytest.raises(NotSignedIn):
        signed_by(
            "POST",
            "/v1/redemptions",
            Signing(keyid=f'"{keyid}"').signed(),
            BODY,
            key_of,
            Nonces(),
            now=NOON,
        )

    assert asked == []


def test_what_breaks_while_a_key_is_looked_up_is_not_taken_for_a_wrong_signature() -> None:
    def broken(_: str) -> bytes | None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        signed_by("POST", "/v1/redemptions", Signing().signed(), BODY, broken, Nonces(), now=NOON)


def test_a_key_that_is_no_point_opens_nothing() -> None:
    for key in (b"", bytes(33), b"\x02" + b"\xff" * 32):
        with pytest.raises(NotSignedIn):
            signed_by(
                "POST",
                "/v1/redemptions",
                Signing().signed(),
                BODY,
                lambda _, key=key: key,
                Nonces(),
                now=NOON,
            )


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_in_the_headers_are_a_plain_no(given: bytes, signature: bytes) -> None:
    is_refused_or_heard(given.decode("latin-1"), signature.decode("latin-1"))


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_in_the_headers_is_a_plain_no(given: str, signature: str) -> None:
    is_refused_or_heard(given, signature)


PIECES = st.sampled_from(
    [*'(),;=:"@?* -1a', "counterfoil", "keyid", '"@method"', '"@path"', ";created=", "tag", ID]
)


@given(st.lists(PIECES, max_size=40), st.integers(0, 200), st.integers(0, 200))
def test_garbled_fields_are_a_plain_no(pieces: list[str], start: int, length: int) -> None:
    headers = Signing().signed()
    whole = headers["signature-input"]
    garbled = whole[:start] + "".join(pieces) + whole[start + length :]

    is_refused_or_heard(garbled, headers["signature"])
    is_refused_or_heard(whole, headers["signature"][:start] + "".join(pieces))


def is_refused_or_heard(given: str, signature: str) -> None:
    headers = {**Signing().signed(), "signature-input": given, "signature": signature}
    with suppress(NotSignedIn):
        assert heard(Signing(), headers=headers) == ID
