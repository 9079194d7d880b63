"""An Apple Wallet pass: a ZIP of what is shown, a list of its hashes, and a signature of that list.

Source: Apple, "Building a Pass" and "Pass" (PassKit package format reference).
"""

import io
import json
import zipfile
from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs7 import (
    PKCS7Options,
    PKCS7SignatureBuilder,
)
from cryptography.x509.oid import NameOID
from PIL import Image, ImageDraw

from coupon_engine.passes.content import PassContent

MEDIA_TYPE = "application/vnd.apple.pkpass"

_LABELS = {
    "en": {"until": "Valid until", "by": "Offered by", "asks": "Conditions", "code": "Code"},
    "zh": {"until": "有效期至", "by": "提供方", "asks": "使用条件", "code": "短码"},
}
_LIGHT, _GREEN = "rgb(255, 255, 255)", "rgb(0, 112, 80)"
_SIZES = {"icon.png": 29, "icon@2x.png": 58, "icon@3x.png": 87}
_SAME_DAY = (1980, 1, 1, 0, 0, 0)  # a ZIP's first


@dataclass(frozen=True, slots=True)
class AppleSigner:
    """A certificate that Apple gave for one kind of pass, its key, and who stands above it."""

    certificate: x509.Certificate
    key: RSAPrivateKey
    authority: x509.Certificate
    pass_type: str
    team: str


def read_signer(certificate: Path, key: Path, authority: Path) -> AppleSigner:
    """Read what signs from three PEM files.

    Raises:
        ValueError: One of them holds something else, or they do not belong together.
        OSError: One of them cannot be read.
    """
    own = x509.load_pem_x509_certificate(certificate.read_bytes())
    private = load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(private, RSAPrivateKey):
        raise ValueError("the key of a pass certificate is an RSA key")
    if own.public_key() != private.public_key():
        raise ValueError("the key is not the certificate's")
    return AppleSigner(
        certificate=own,
        key=private,
        authority=x509.load_pem_x509_certificate(authority.read_bytes()),
        pass_type=_named(own, NameOID.USER_ID),
        team=_named(own, NameOID.ORGANIZATIONAL_UNIT_NAME),
    )


def pkpass(signer: AppleSigner, content: PassContent) -> bytes:
    """Return the file that a phone opens."""
    files = {
        "pass.json": json.dumps(_shown(signer, content), ensure_ascii=False).encode(),
        **{name: _icon(size) for name, size in _SIZES.items()},
    }
    # The format asks for SHA-1 here; what makes it safe is the signature over all of it.
    hashes = {name: sha1(data, usedforsecurity=False).hexdigest() for name, data in files.items()}
    manifest = json.dumps(hashes).encode()
    packed = {**files, "manifest.json": manifest, "signature": _signed(signer, manifest)}
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in packed.items():
            archive.writestr(zipfile.ZipInfo(name, _SAME_DAY), data)
    return whole.getvalue()


def _signed(signer: AppleSigner, manifest: bytes) -> bytes:
    """Sign apart from what is signed, with the time of signing in it, as Apple asks."""
    return (
        PKCS7SignatureBuilder()
        .set_data(manifest)
        .add_signer(signer.certificate, signer.key, SHA256())
        .add_certificate(signer.authority)
        .sign(Encoding.DER, [PKCS7Options.DetachedSignature, PKCS7Options.Binary])
    )


def _shown(signer: AppleSigner, content: PassContent) -> dict[str, Any]:
    labels = _LABELS[content.language]
    code = {
        "format": "PKBarcodeFormatQR",
        "message": content.code,
        "messageEncoding": "iso-8859-1",
        **({"altText": content.short_code} if content.short_code else {}),
    }
    until = {
        "key": "until",
        "label": labels["until"],
        "value": content.valid_until.isoformat(),
        "dateStyle": "PKDateStyleMedium",
        "timeStyle": "PKDateStyleShort",
    }
    back = [
        {"key": "by", "label": labels["by"], "value": content.offered_by},
        {"key": "asks", "label": labels["asks"], "value": "\n".join(content.conditions)},
    ]
    return {
        "formatVersion": 1,
        "passTypeIdentifier": signer.pass_type,
        "teamIdentifier": signer.team,
        "serialNumber": str(content.coupon_id),
        "organizationName": content.operator,
        "description": content.title,
        "logoText": content.offered_by,
        "foregroundColor": _LIGHT,
        "labelColor": _LIGHT,
        "backgroundColor": _GREEN,
        "expirationDate": content.valid_until.isoformat(),
        "barcodes": [code],
        "locations": [
            {"latitude": place.latitude, "longitude": place.longitude, "relevantText": place.name}
            for place in content.places
        ],
        "coupon": {
            "primaryFields": [{"key": "title", "label": "", "value": content.title}],
            "secondaryFields": [
                {"key": "benefit", "label": "", "value": " ".join(content.benefit)}
            ],
            "auxiliaryFields": [until],
            "backFields": back,
        },
    }


@cache
def _icon(size: int) -> bytes:
    """Draw a coupon with its counterfoil torn along the middle."""
    picture = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(picture)
    edge, notch = size // 8, size // 10
    draw.rounded_rectangle((edge, edge, size - edge, size - edge), size // 8, fill="#007050")
    for y in range(edge, size - edge, 2 * max(1, size // 20)):
        draw.rectangle((size // 2, y, size // 2 + max(1, size // 29), y + size // 29), fill="white")
    for y in (edge, size - edge):
        draw.ellipse((size // 2 - notch, y - notch, size // 2 + notch, y + notch), fill="white")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _named(certificate: x509.Certificate, name: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(name)
    if not found:
        raise ValueError("this is no certificate for passes: its pass type or team is missing")
    return str(found[0].value)
