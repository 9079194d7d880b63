"""A real identity provider, small and in a process of its own, that can be told to misbehave.

    python -m tests.api.identity_provider

prints its address and serves until it is stopped. `POST /told` says who signs in, what time it is
and what goes wrong next; `GET /asked` tells what was asked of it.
"""

import asyncio
import base64
import hmac
import json
import secrets
import socket
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, Header, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

CLIENT_ID = "counterfoil"
CLIENT_SECRET = "a-secret-between-the-two"
TOO_MUCH = 300 * 1024

FORTY_CHARACTERS = 40


class Told:
    """How it behaves. A test says what it cares about; the rest is as it should be."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.now = 0
        self.person: dict[str, Any] = {}
        self.wrong = ""
        self.algorithm = "RS256"
        self.codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.keys: dict[str, dict[str, RSAKey | ECKey]] = {}
        self.rotate()

    def rotate(self) -> None:
        name = secrets.token_hex(4)
        self.keys = {
            name: {
                "RS256": RSAKey.generate_key(2048, {"kid": f"{name}-rsa", "use": "sig"}),
                "ES256": ECKey.generate_key("P-256", {"kid": f"{name}-ec", "use": "sig"}),
            }
        }

    @property
    def signer(self) -> RSAKey | ECKey:
        (pair,) = self.keys.values()
        return pair["ES256" if self.algorithm == "ES256" else "RS256"]

    def public(self) -> dict[str, Any]:
        return {
            "keys": [
                {**key.as_dict(private=False), "alg": algorithm}
                for pair in self.keys.values()
                for algorithm, key in pair.items()
            ]
        }


def provider(issuer: str) -> FastAPI:
    app = FastAPI()
    told = Told(issuer)

    @app.post("/told")
    async def tell(request: Request) -> dict[str, Any]:
        for name, value in (await request.json()).items():
            if name == "rotate":
                told.rotate()
            else:
                setattr(told, name, value)
        return {}

    @app.get("/asked")
    async def asked() -> list[dict[str, Any]]:
        return told.asked

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> Response:
        told.asked.append({"what": "document"})
        if told.wrong == "slow":
            await asyncio.sleep(30)
        if told.wrong == "broken":
            return JSONResponse({}, 500)
        if told.wrong == "redirects":
            return RedirectResponse(f"{issuer}/elsewhere")
        document: dict[str, Any] = {
            "issuer": "https://elsewhere.test" if told.wrong == "document's issuer" else issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }
        if told.wrong == "huge":
            document["more"] = "x" * TOO_MUCH
        if told.wrong == "no JSON":
            return Response("<html>", media_type="application/json")
        return JSONResponse(document)

    @app.get("/elsewhere")
    async def elsewhere() -> None:
        told.asked.append({"what": "elsewhere"})

    @app.get("/keys")
    async def keys() -> dict[str, Any]:
        told.asked.append({"what": "keys"})
        return told.public()

    @app.get("/authorize")
    async def authorize(request: Request) -> Response:
        """Sign the person in without a question, and send the browser back."""
        wanted = dict(request.query_params)
        told.asked.append({"what": "authorize", **wanted})
        assert wanted["response_type"] == "code"
        assert wanted["client_id"] == CLIENT_ID
        assert wanted["code_challenge_method"] == "S256"
        assert "openid" in wanted["scope"].split()
        if told.wrong == "says no":
            return _back(wanted, error="access_denied")
        code = secrets.token_urlsafe()
        told.codes[code] = wanted, told.person
        if told.wrong == "another's name":
            return _back(wanted, code=code, iss="https://elsewhere.test")
        return _back(wanted, code=code, iss=issuer, session_state="means nothing to us")

    @app.post("/token")
    async def token(
        code: str = Form(),
        code_verifier: str = Form(),
        redirect_uri: str = Form(),
        grant_type: str = Form(),
        authorization: str = Header(""),
    ) -> Response:
        told.asked.append({"what": "token"})
        if told.wrong == "slow to sell":
            await asyncio.sleep(30)
        said = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if not hmac.compare_digest(said, f"{CLIENT_ID}:{CLIENT_SECRET}"):
            return JSONResponse({"error": "invalid_client"}, 401)
        wanted, person = told.codes.pop(code, (None, {}))  # a code is sold once
        if wanted is None or (grant_type, redirect_uri) != (
            "authorization_code",
            wanted["redirect_uri"],
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        if not _proves(code_verifier, wanted["code_challenge"]):
            return JSONResponse({"error": "invalid_grant"}, 400)
        told.asked.append({"what": "sold"})
        sold: dict[str, Any] = {"access_token": secrets.token_urlsafe(), "token_type": "Bearer"}
        if told.wrong != "no ID token":
            sold["id_token"] = _id_token(told, wanted, person)
        return JSONResponse(sold)

    return app


def _back(wanted: Mapping[str, str], **more: str) -> Response:
    query = urlencode({"state": wanted["state"], **more})
    return RedirectResponse(f"{wanted['redirect_uri']}?{query}", 303)


def _proves(verifier: str, challenge: str) -> bool:
    digest = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return len(verifier) > FORTY_CHARACTERS and hmac.compare_digest(digest, challenge)


def _id_token(told: Told, wanted: Mapping[str, str], person: dict[str, Any]) -> str:
    claims: dict[str, Any] = {
        "iss": told.issuer,
        "aud": CLIENT_ID,
        "sub": "person-1",
        "nonce": wanted["nonce"],
        "iat": told.now,
        "exp": told.now + 300,
        **({"auth_time": told.now} if "max_age" in wanted else {}),
        **person,
        **_wrong_claims(told.wrong, told.now),
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    header: dict[str, Any] = {"alg": told.algorithm, "kid": told.signer.kid}
    key: Any = told.signer
    match told.wrong:
        case "alg none":
            return ".".join((_packed({"alg": "none"}), _packed(claims), ""))
        case "HS256 with the public key":
            header["alg"] = "HS256"
            key = OctKey.import_key(told.signer.as_pem(private=False))
        case "HS256 with the client secret":
            header["alg"] = "HS256"
            key = OctKey.import_key(CLIENT_SECRET)
        case "key of its own":
            key = RSAKey.generate_key(2048)
        case "key in the header":
            key = RSAKey.generate_key(2048, {"kid": "mine"})
            header |= {"kid": "mine", "jwk": key.as_dict(private=False)}
        case "no key named":
            del header["kid"]
        case _:
            pass

    registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
    return jws.serialize_compact(header, json.dumps(claims), key, registry=registry)


def _wrong_claims(wrong: str, now: int) -> dict[str, Any]:
    everything: dict[str, dict[str, Any]] = {
        "nonce": {"nonce": "somebody else's"},
        "no nonce": {"nonce": None},
        "audience": {"aud": "another client"},
        "two audiences": {"aud": [CLIENT_ID, "another client"]},
        "authorized party": {"azp": "another client"},
        "issuer": {"iss": "https://elsewhere.test"},
        "expired": {"iat": now - 600, "exp": now - 300},
        "no end": {"exp": None},
        "from the future": {"iat": now + 600, "exp": now + 900},
        "no subject": {"sub": None},
        "empty subject": {"sub": ""},
        "numeric subject": {"sub": 7},
        "long subject": {"sub": "x" * 256},
        "unchecked address": {"email_verified": None},
        "address not verified": {"email_verified": False},
        "address verified, in words": {"email_verified": "true"},
        "signed in this morning": {"auth_time": now - 3_600},
        "does not say when": {"auth_time": None},
    }
    return everything.get(wrong, {})


def _packed(document: Mapping[str, Any]) -> str:

    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def main() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # whoever reads the address may come at once
        issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
        print(issuer, flush=True)  # noqa: T201
        server = uvicorn.Server(uvicorn.Config(provider(issuer), log_config=None))
        asyncio.run(server.serve(sockets=[listening]))


if __name__ == "__main__":
    main()
