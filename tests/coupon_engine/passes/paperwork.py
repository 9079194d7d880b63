"""Certificates and accounts as Apple and Google give them, made by ourselves."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

PASS_TYPE, TEAM = "pass.com.example.coupons", "AB12CD34EF"
ACCOUNT, ISSUER = "passes@example.iam.gserviceaccount.com", "3388000000012345678"


@dataclass(frozen=True)
class AppleFiles:
    certificate: Path
    key: Path
    authority: Path


def apple_files(folder: Path, *, is_for_passes: bool = True) -> AppleFiles:
    """An authority, a certificate below it for one kind of pass, and its key."""
    root, own = rsa_key(0), rsa_key(1)
    above = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "Passes")]
    if is_for_passes:
        names += [
            x509.NameAttribute(NameOID.USER_ID, PASS_TYPE),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, TEAM),
        ]
    files = AppleFiles(folder / "own.pem", folder / "own.key", folder / "authority.pem")
    authority = certificate(above, root, above, root, is_authority=True)
    files.authority.write_bytes(authority.public_bytes(Encoding.PEM))
    below = certificate(x509.Name(names), own, above, root, is_authority=False)
    files.certificate.write_bytes(below.public_bytes(Encoding.PEM))
    files.key.write_text(pem(own))
    return files


def google_file(folder: Path) -> Path:
    file = folder / "account.json"
    told = {"type": "service_account", "client_email": ACCOUNT, "private_key": pem(rsa_key(1))}
    file.write_text(json.dumps(told))
    return file


def certificate(
    subject: x509.Name,
    key: RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: RSAPrivateKey,
    *,
    is_authority: bool,
) -> x509.Certificate:
    now = datetime.now(UTC)  # openssl looks at the real clock
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(issuer_key, SHA256())
    )


def pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@cache
def rsa_key(number: int) -> RSAPrivateKey:
    """The same few keys for all tests: to make one takes a while."""
    assert number >= 0
    return generate_private_key(65_537, 2_048)
