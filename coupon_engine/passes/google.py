"""A link that saves a coupon in Google Wallet: a signed token with all that the pass shows.

Source: Google Wallet, "Offers" (OfferClass, OfferObject) and "Using JWTs".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from coupon_engine.passes.content import PassContent

SAVE = "https://pay.google.com/gp/v/save/"
MOST_LETTERS = 1_800
"""Longer links are cut off by some browsers, Google says."""

_LANGUAGES = {"en": "en-US", "zh": "zh-CN"}


@dataclass(frozen=True, slots=True)
class GoogleSigner:
    """A service account that may make passes for one issuer."""

    issuer: str
    account: str
    key: RSAKey


def read_signer(account: Path, issuer: str) -> GoogleSigner:
    """Read the JSON file that Google gives for a service account.

    Raises:
        ValueError: It holds something else.
        OSError: It cannot be read.
    """
    told = json.loads(account.read_text(encoding="utf-8"))
    try:
        key = RSAKey.import_key(told["private_key"])
        return GoogleSigner(issuer=issuer, account=told["client_email"], key=key)
    except (KeyError, TypeError) as missing:
        raise ValueError("this is not the key file of a service account") from missing


def save_link(signer: GoogleSigner, content: PassContent, *, now: datetime) -> str:
    """Return the link. Where it would get too long the conditions stay with us."""
    link = _link(signer, content, {"finePrint": "\n".join(content.conditions)}, now)
    return link if len(link) <= MOST_LETTERS else _link(signer, content, {}, now)


def _link(
    signer: GoogleSigner, content: PassContent, more: Mapping[str, str], now: datetime
) -> str:
    claims: dict[str, Any] = {
        "iss": signer.account,
        "aud": "google",
        "typ": "savetowallet",
        "iat": int(now.timestamp()),
        "origins": [],
        "payload": {
            "offerClasses": [{**_class(signer, content), **more}],
            "offerObjects": [_object(signer, content)],
        },
    }
    return SAVE + jwt.encode({"alg": "RS256", "typ": "JWT"}, claims, signer.key)


def _class(signer: GoogleSigner, content: PassContent) -> dict[str, Any]:
    title = {"language": _LANGUAGES[content.language], "value": content.title}
    return {
        "id": _class_id(signer, content),
        "issuerName": content.operator,
        "provider": content.offered_by,
        "title": content.title,
        "localizedTitle": {"defaultValue": title},
        "redemptionChannel": "INSTORE",
        "reviewStatus": "UNDER_REVIEW",
    }


def _object(signer: GoogleSigner, content: PassContent) -> dict[str, Any]:
    code = {"type": "QR_CODE", "value": content.code}
    if content.short_code:
        code["alternateText"] = content.short_code
    return {
        "id": f"{signer.issuer}.{content.coupon_id}",
        "classId": _class_id(signer, content),
        "state": "ACTIVE",
        "barcode": code,
        "validTimeInterval": {
            "start": {"date": content.valid_from.isoformat()},
            "end": {"date": content.valid_until.isoformat()},
        },
    }


def _class_id(signer: GoogleSigner, content: PassContent) -> str:
    return f"{signer.issuer}.{content.offer_id}-{content.language}"
