"""A key that signs coupons lies locked, opens with its passphrase alone, shows half of itself."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from coupon_engine.validation.issuer_keys import (
    issuer_key,
    jwks,
    key_ring,
    locked,
    new_private_key,
    public_jwk,
    thumbprint,
    unlocked,
)
from coupon_engine.validation.token import read_jwt, sign
from tests.vectors.make_token_vectors import KEY, NOW, REGIONAL_KEY, fields

PASSPHRASE = b"not written down anywhere"


def test_a_locked_key_opens_with_its_passphrase() -> None:
    key = new_private_key()

    pem = locked(key, PASSPHRASE)

    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert unlocked(pem, PASSPHRASE).private_numbers() == key.private_numbers()


def test_a_locked_key_opens_with_nothing_else() -> None:
    pem = locked(new_private_key(), PASSPHRASE)

    with pytest.raises(ValueError, match="password"):
        unlocked(pem, PASSPHRASE + b"!")


def test_a_key_is_not_locked_without_a_passphrase() -> None:
    with pytest.raises(ValueError, match="1 or more bytes"):
        locked(new_private_key(), b"")


@pytest.mark.parametrize("other", [generate_private_key(SECP384R1()), Ed25519PrivateKey.generate()])
def test_a_key_of_another_kind_does_not_open(other: object) -> None:
    pem = locked(other, PASSPHRASE)  # pyright: ignore[reportArgumentType]  # that is the point

    with pytest.raises(ValueError, match="not a P-256 key"):
        unlocked(pem, PASSPHRASE)


def test_a_thumbprint_is_the_standards() -> None:
    """The key of RFC 7515 A.3; its thumbprint computed by hand from RFC 7638."""
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        "use": "ignored",
    }

    assert thumbprint(jwk) == "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"


def test_the_published_keys_hold_no_secret() -> None:
    published = jwks([KEY, REGIONAL_KEY])["keys"]

    assert [set(key) for key in published] == [{"kty", "crv", "x", "y", "kid", "alg", "use"}] * 2
    assert [key["kid"] for key in published] == [KEY.kid, REGIONAL_KEY.kid]


def test_a_key_does_not_show_its_secret_when_printed() -> None:
    assert "private" not in repr(KEY)


def test_a_key_made_anew_signs_what_its_public_half_reads() -> None:
    private = new_private_key()
    jwk = public_jwk(private)
    signer = issuer_key(
        jwk, letter="C", issuer=KEY.issuer, valid_from=KEY.valid_from, private=private
    )
    reader = issuer_key(jwk, letter="C", issuer=KEY.issuer, valid_from=KEY.valid_from)

    token = read_jwt(sign(fields(), signer), key_ring([reader]), now=NOW)

    assert token.fields == fields()


@pytest.mark.parametrize("letter", ["", "a", "AB", "1", "Ä"])
def test_a_key_has_one_letter(letter: str) -> None:
    with pytest.raises(ValueError, match="A to Z"):
        issuer_key(
            public_jwk(new_private_key()),
            letter=letter,
            issuer=KEY.issuer,
            valid_from=KEY.valid_from,
        )


def test_a_ring_belongs_to_one_operator_and_names_each_key_once() -> None:
    assert dict(key_ring([KEY, REGIONAL_KEY])) == {"A": KEY, "B": REGIONAL_KEY}
    with pytest.raises(ValueError, match="one operator"):
        key_ring([KEY, replace(REGIONAL_KEY, issuer="https://coupons.example/rival")])
    with pytest.raises(ValueError, match="share"):
        key_ring([KEY, replace(REGIONAL_KEY, letter="A")])
    with pytest.raises(ValueError, match="share"):
        key_ring([KEY, replace(REGIONAL_KEY, kid=KEY.kid)])


def test_a_key_without_an_end_stays_valid() -> None:
    assert KEY.is_valid(NOW + timedelta(days=10_000))
    assert not KEY.is_valid(KEY.valid_from - timedelta(microseconds=1))
