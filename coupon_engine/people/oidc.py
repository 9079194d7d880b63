"""Signing in by the operator's own identity provider: OpenID Connect, code flow with PKCE.

Nothing here speaks to the provider; `api/asking/providers.py` does, outside of any transaction. A
flow belongs to one browser and one operator, and comes back once. All that it needs at the end is
derived from one secret in that browser's cookie, so nothing that lies in the record opens anything.

A provider proves who somebody is; that they belong here, an invitation has said before.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749 import parameters
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from coupon_engine import acting, events
from coupon_engine.errors import NotSignedIn, Unknown
from coupon_engine.operators import in_turn
from coupon_engine.people import ceremonies, sign_ins
from coupon_engine.people.secret import hash_of, new_secret
from coupon_engine.people.sign_ins import Opened
from coupon_engine.people.signing_in import Came
from coupon_engine.sealing import Vault
from coupon_engine.tables import Account, Operator
from schemas.oidc import NewOidcSettings, OidcSettingsView, ProvidersAnswer, ProvidersDocument

KIND = "oidc"
METHOD = "oidc"
LASTS = timedelta(minutes=10)
SKEW = timedelta(minutes=1)
# Who is asked to confirm must do so now, not have done so this morning.
JUST_NOW = timedelta(minutes=5)

# `none` and HS256 are not among them, so a token cannot ask for them either.
ALGORITHMS: Mapping[str, tuple[type[RSAKey | ECKey], str | None]] = {
    "RS256": (RSAKey, None),
    "ES256": (ECKey, "P-256"),
}
LONGEST_SUBJECT = 255


class NotBelieved(Exception):
    """What the provider sent proves nothing. The text is for the log, and holds nothing of it."""


class UnknownSigner(NotBelieved):
    """Signed by a key that is not among those at hand; the provider may have a newer one."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An operator's identity provider, and what we are called there."""

    operator_id: UUID
    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    email_domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """What one sign-in sends along and expects back. `browser` never leaves its cookie."""

    browser: str = field(repr=False)
    wants_confirmation: bool = False

    @property
    def verifier(self) -> str:
        return self._derived("verifier")

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    def _derived(self, purpose: str) -> str:
        digest = sha256(f"{purpose}\n{self.browser}".encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Returned:
    """A flow that has come back to the browser and operator it was begun for."""

    provider: Provider
    flow: Flow
    next: str
    sign_in: bytes | None  # whose person was asked to confirm


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider has recognised. The address is None unless the provider has checked it."""

    subject: str
    email: str | None


def set_settings(
    session: Session,
    operator_id: UUID,
    request: NewOidcSettings,
    *,
    vault: Vault,
    issuer_url: str,
    now: datetime,
) -> OidcSettingsView:
    """Say where the operator's people sign in. The secret is sealed, and never shown again.

    There is one setting, so setting it twice is setting it once; no answer is kept, because the
    request holds a secret. Accounts stay bound to whom the former provider recognised.
    """
    in_turn(session, operator_id)
    operator = session.get_one(Operator, operator_id, populate_existing=True)
    secret = request.client_secret
    sealed = vault.seal(secret.encode(), _about(operator_id)) if secret else None
    after = {
        "issuer": request.issuer,
        "client_id": request.client_id,
        "email_domains": list(request.email_domains),
        "client_secret_sealed": base64.b64encode(sealed).decode() if sealed else None,
    }
    told = {"before": _shown(operator.oidc), "after": _shown(after)}
    operator.oidc = after
    session.add(operator)
    events.note(
        session,
        events.happened(
            "oidc_settings_changed",
            operator_id,
            operator_id=operator_id,
            campaign_id=None,
            at=now,
            data=told,
        ),
    )
    return _view(operator, issuer_url)


def settings(session: Session, operator_id: UUID, *, issuer_url: str) -> OidcSettingsView:
    """Return what is set, without its secret.

    Raises:
        Unknown: This operator has no identity provider.
    """
    operator = session.get_one(Operator, operator_id)
    if operator.oidc is None:
        raise Unknown("oidc_settings", operator_id)
    return _view(operator, issuer_url)


def provider_of(session: Session, slug: str, *, vault: Vault) -> Provider:
    """Return where the people of this operator sign in.

    Raises:
        NotSignedIn: There is no such operator, or it has no provider.
    """
    operator = session.exec(select(Operator).where(Operator.slug == slug)).one_or_none()
    if operator is None or operator.oidc is None:
        raise NotSignedIn
    kept = operator.oidc
    sealed = kept.get("client_secret_sealed")
    secret = vault.unseal(base64.b64decode(sealed), _about(operator.id)) if sealed else None
    return Provider(
        operator_id=operator.id,
        issuer=kept["issuer"],
        client_id=kept["client_id"],
        client_secret=secret.decode() if secret else None,
        email_domains=tuple(kept["email_domains"]),
    )


def begin(
    session: Session,
    provider: Provider,
    *,
    next: str,  # noqa: A002 (what the address calls it)
    sign_in: bytes | None,
    now: datetime,
) -> tuple[str, Flow]:
    """Begin a flow for one browser, and return its state and what belongs into the cookie.

    With `sign_in`, the person who is signed in so is asked to confirm that they still sit there.
    """
    acting.enter(session, provider.operator_id)
    flow = Flow(new_secret(), wants_confirmation=sign_in is not None)
    data = {
        "browser": hash_of(flow.browser).hex(),
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "next": next,
        "sign_in": sign_in.hex() if sign_in else None,
    }
    state = ceremonies.begin(
        session, provider.operator_id, KIND, data, account_id=None, lasts=LASTS, now=now
    )
    return state, flow


def finish(
    session: Session,
    slug: str,
    answer: ProvidersAnswer,
    browser: str,
    *,
    vault: Vault,
    now: datetime,
) -> Returned:
    """Take a flow back, once, whatever comes of it.

    Raises:
        NotSignedIn: It is unknown, used, over, another operator's or another browser's; or the
            provider said no, or has been changed meanwhile, or is not the one that was asked.
    """
    provider = provider_of(session, slug, vault=vault)
    acting.enter(session, provider.operator_id)
    row = ceremonies.finish(session, provider.operator_id, KIND, answer.state or "", now=now)
    asked = row.data["issuer"], row.data["client_id"]
    is_same_browser = hmac.compare_digest(row.data["browser"], hash_of(browser).hex())
    is_same_provider = asked == (provider.issuer, provider.client_id)
    is_answered_by_it = answer.iss in (None, provider.issuer)
    has_code = answer.code is not None and answer.error is None
    if not (is_same_browser and is_same_provider and is_answered_by_it and has_code):
        raise _for_good()
    sign_in = row.data["sign_in"]
    return Returned(
        provider,
        Flow(browser, wants_confirmation=sign_in is not None),
        row.data["next"],
        bytes.fromhex(sign_in) if sign_in else None,
    )


def let_in(
    session: Session, returned: Returned, identity: Identity, came: Came, *, now: datetime
) -> Opened:
    """Let in the account of whom the provider has recognised; or note that it has confirmed.

    The first time that is the account with the address that the provider has checked; from then
    on it is bound to the provider's own name for the person, and an address counts for nothing.

    Raises:
        NotSignedIn: Nobody here is known so; or somebody else was to confirm, or has signed out.
    """
    provider = returned.provider
    acting.enter(session, provider.operator_id)
    if returned.sign_in is not None:
        return _confirmed(session, provider, identity, returned.sign_in, now)
    account = _bound(session, provider, identity) or _first_time(session, provider, identity, now)
    if account is None:
        raise NotSignedIn
    return sign_ins.open_sign_in(
        session, account, methods=[METHOD], address=came.address, agent=came.agent, now=now
    )


def _confirmed(
    session: Session, provider: Provider, identity: Identity, sign_in_hash: bytes, now: datetime
) -> Opened:
    """Let the person who is signed in confirm it by the provider."""
    here = sign_ins.current(session, sign_in_hash, now=now)
    account = _bound(session, provider, identity)
    if account is None or account.id != here.account_id:
        raise NotSignedIn
    acting.enter(session, provider.operator_id, sign_ins.person(account, here.address))
    return sign_ins.step_up(session, sign_in_hash, method=METHOD, now=now)


# What is said to the provider, and what is believed of its answers.


def authorization_url(
    provider: Provider, document: ProvidersDocument, flow: Flow, *, state: str, redirect_uri: str
) -> str:
    """Return where the browser goes to sign in."""
    more = {"prompt": "login", "max_age": "0"} if flow.wants_confirmation else {}
    url, _ = _client(provider, document, redirect_uri).create_authorization_url(
        document.authorization_endpoint,
        state=state,
        nonce=flow.nonce,
        code_verifier=flow.verifier,
        **more,
    )
    return url


def token_request(
    provider: Provider,
    document: ProvidersDocument,
    flow: Flow,
    *,
    code: str,
    redirect_uri: str,
) -> tuple[dict[str, str], str]:
    """Return the headers and the body that buy an ID token for a code."""
    client = _client(provider, document, redirect_uri)
    body = cast("Any", parameters).prepare_token_request(
        "authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=flow.verifier
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    auth = client.client_auth(client.token_endpoint_auth_method)
    _, headers, body = auth.prepare("POST", document.token_endpoint, headers, body)
    return headers, body


def verified(
    id_token: str,
    keys: Sequence[Mapping[str, Any]],
    provider: Provider,
    flow: Flow,
    *,
    now: datetime,
) -> Identity:
    """Return whom this ID token names (OpenID Connect Core 1.0, section 3.1.3.7).

    Raises:
        UnknownSigner: None of these keys has signed it.
        NotBelieved: Anything else about it is wrong.
    """
    header, claims = _signed(id_token, keys)
    required: Any = {
        "iss": {"essential": True, "value": provider.issuer},
        "aud": {"essential": True, "value": provider.client_id},
    }
    token = cast("Any", CodeIDToken)(
        claims, header, required, {"nonce": flow.nonce, "client_id": provider.client_id}
    )
    try:
        token.validate(now=int(now.timestamp()), leeway=int(SKEW.total_seconds()))
    except (JoseError, TypeError) as error:
        raise NotBelieved(f"{type(error).__name__} {getattr(error, 'claim', '')}") from error
    if flow.wants_confirmation:
        _refuse_stale(claims.get("auth_time"), now)
    subject = claims["sub"]
    if not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isascii():
        raise NotBelieved("sub")
    return Identity(subject, _checked_address(claims))


def _signed(
    id_token: str, keys: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token that one of these keys has signed."""
    try:
        header: dict[str, Any] = jws.extract_compact(id_token.encode()).headers()
        usable = ALGORITHMS.get(header.get("alg", ""))
        if usable is None:
            raise NotBelieved("algorithm")
        signers = _signers(keys, header, *usable)
        if not signers:
            raise UnknownSigner("kid")
        token = jwt.decode(id_token, KeySet([*signers]), algorithms=[header["alg"]])
    except (JoseError, ValueError, TypeError) as error:
        raise NotBelieved(type(error).__name__) from error
    return token.header, token.claims


def _signers(
    keys: Sequence[Mapping[str, Any]],
    header: Mapping[str, Any],
    kind: type[RSAKey | ECKey],
    curve: str | None,
) -> list[RSAKey | ECKey]:
    """Return the key that the header names; where it names none, the only one of its kind."""
    fitting = [
        key
        for key in keys
        if key.get("kty") == kind.key_type
        and key.get("crv") == curve
        and key.get("use", "sig") == "sig"
        and key.get("alg", header["alg"]) == header["alg"]
    ]
    if "kid" in header:
        fitting = [key for key in fitting if key.get("kid") == header["kid"]]
    if len(fitting) != 1:
        return []
    public = {name: value for name, value in fitting[0].items() if name not in _PRIVATE}
    return [kind.import_key(cast("Any", public))]


def _refuse_stale(auth_time: object, now: datetime) -> None:
    if not isinstance(auth_time, int | float):
        raise NotBelieved("auth_time")
    if not -SKEW.total_seconds() <= now.timestamp() - auth_time <= JUST_NOW.total_seconds():
        raise NotBelieved("auth_time")


def _checked_address(claims: Mapping[str, Any]) -> str | None:
    """Return the address that the provider has checked, in lower case.

    Only in plain letters: the small letter of some others is one of ours.
    """
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    return email.lower() if email.isascii() else None


def _bound(session: Session, provider: Provider, identity: Identity) -> Account | None:
    return session.exec(
        select(Account).where(
            Account.operator_id == provider.operator_id,
            Account.oidc_subject == _subject(provider, identity),
        )
    ).one_or_none()


def _first_time(
    session: Session, provider: Provider, identity: Identity, now: datetime
) -> Account | None:
    """Bind the account that was invited under this address, unless it is bound already."""
    if identity.email is None or not _is_welcome(identity.email, provider):
        return None
    account = session.exec(
        select(Account)
        .where(
            Account.operator_id == provider.operator_id,
            Account.email == identity.email,
            col(Account.oidc_subject).is_(None),
            col(Account.suspended_at).is_(None),
        )
        .with_for_update(key_share=True)
    ).one_or_none()
    if account is None:
        return None
    account.oidc_subject = _subject(provider, identity)
    session.add(account)
    try:
        session.flush()
    except IntegrityError as error:  # the same person, under two addresses at once
        raise NotSignedIn from error
    told = {"before": None, "after": {"issuer": provider.issuer}}
    sign_ins.note(session, "account_bound", account, now, told)
    return account


def _is_welcome(email: str, provider: Provider) -> bool:
    domain = email.rpartition("@")[2]
    return not provider.email_domains or domain in provider.email_domains


def _subject(provider: Provider, identity: Identity) -> str:
    """Return the one name of a person in the world: the provider's, and theirs at the provider."""
    return f"{provider.issuer} {identity.subject}"


def _client(provider: Provider, document: ProvidersDocument, redirect_uri: str) -> Any:
    return cast("Any", OAuth2Client)(
        None,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        token_endpoint_auth_method=_way_to_prove(provider, document),
        scope="openid email",
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
    )


def _way_to_prove(provider: Provider, document: ProvidersDocument) -> str:
    """Return how we prove to be this client."""
    if provider.client_secret is None:
        return "none"
    offered = document.token_endpoint_auth_methods_supported
    is_by_form = "client_secret_basic" not in offered and "client_secret_post" in offered
    return "client_secret_post" if is_by_form else "client_secret_basic"


def _about(operator_id: UUID) -> str:
    return f"oidc client secret {operator_id}"


def _shown(kept: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the settings as others may read them."""
    if kept is None:
        return None
    shown = {name: value for name, value in kept.items() if name != "client_secret_sealed"}
    return {**shown, "has_client_secret": kept.get("client_secret_sealed") is not None}


def _view(operator: Operator, issuer_url: str) -> OidcSettingsView:
    return OidcSettingsView.model_validate(
        {**(_shown(operator.oidc) or {}), "redirect_uri": redirect_uri(issuer_url, operator.slug)}
    )


def redirect_uri(issuer_url: str, slug: str) -> str:
    """Return where the provider sends the browser back to."""
    return f"{issuer_url}/oidc/{slug}/callback"


def _for_good() -> NotSignedIn:
    """Let the flow stay used, whatever else is undone."""
    error = NotSignedIn()
    error.is_answered = True
    return error


_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
