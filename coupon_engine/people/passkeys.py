"""Passkeys: a key in somebody's device, opened by their finger, face or PIN there.

It stands for a password and a second factor at once, and works at no other address than ours. What
`webauthn` checks (WebAuthn level 3, sections 7.1 and 7.2) is not checked again here. Ours are the
ceremony, which is used once whatever comes of it, the person whom it belongs to, and the count of
signatures, by which a copied key is noticed.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from sqlmodel import Session, col, select
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from coupon_engine import acting
from coupon_engine.answers import answered
from coupon_engine.errors import (
    CouponError,
    LastSecondFactor,
    NotSignedIn,
    PasskeyRefused,
    StepUpNeeded,
    Unknown,
)
from coupon_engine.people import ceremonies, second_factor, sign_ins
from coupon_engine.people.secret import new_secret
from coupon_engine.people.sign_ins import Opened
from coupon_engine.people.signing_in import Came
from coupon_engine.rows import locked
from coupon_engine.tables import Account, Ceremony, Operator, Passkey
from schemas.passkeys import (
    MadeCredential,
    NewPasskey,
    NewPasskeyRemoval,
    NewPasskeySignIn,
    NewPasskeySignInOptions,
    NewPasskeyStepUp,
    PasskeyOptionsView,
    PasskeyView,
    SignedCredential,
)

LASTS = timedelta(minutes=5)
MOST_PASSKEYS = 20
METHOD = "passkey"

ADDING, SIGNING_IN, STEPPING_UP = "passkey_adding", "passkey_sign_in", "passkey_step_up"

# Phones and security keys; Ed25519 keys; Windows Hello.
_ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_VERIFIED = UserVerificationRequirement.REQUIRED

Error = TypeVar("Error", bound=CouponError)


@dataclass(frozen=True, slots=True)
class Site:
    """For whom a passkey is made, and the only pages that may ask for it."""

    rp_id: str
    origin: str

    @classmethod
    def at(cls, issuer_url: str) -> Self:
        """Return the site of this server.

        No browser makes a passkey for a bare number, so the machine itself goes by its name.
        """
        parts = urlsplit(issuer_url)
        host = (parts.hostname or "").replace("127.0.0.1", "localhost")
        is_usual = parts.port in (None, {"http": 80, "https": 443}[parts.scheme])
        return cls(host, f"{parts.scheme}://{host}{'' if is_usual else f':{parts.port}'}")


def begin_adding(
    session: Session, sign_in_hash: bytes | None, *, site: Site, now: datetime
) -> PasskeyOptionsView:
    """Ask the browser for a new passkey.

    Raises:
        NotSignedIn: The sign-in has ended.
        StepUpNeeded: Confirm first that it is you. Only a first second factor comes without.
    """
    account = _may_change(session, sign_in_hash, now)
    operator_id, account_id = account.operator_id, account.id
    operator = session.get_one(Operator, operator_id)
    challenge = secrets.token_bytes(32)
    options = webauthn.generate_registration_options(
        rp_id=site.rp_id,
        rp_name=operator.name,
        user_id=account.id.bytes,
        user_name=account.email,
        user_display_name=account.name,
        challenge=challenge,
        timeout=_milliseconds(LASTS),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_VERIFIED
        ),
        exclude_credentials=_descriptors(_passkeys(session, operator_id, account_id)),
        supported_pub_key_algs=_ALGORITHMS,
    )
    ceremony = _begin(session, operator_id, ADDING, challenge, account_id=account_id, now=now)
    return PasskeyOptionsView(ceremony=ceremony, options=options_to_json_dict(options))


def add(
    session: Session, sign_in_hash: bytes | None, request: NewPasskey, *, site: Site, now: datetime
) -> tuple[PasskeyView, Opened]:
    """Keep the passkey that the browser has made. Each ceremony makes one, so twice is a no.

    Whoever makes one has just proved to be there, so the sign-in counts as confirmed by it. Where
    it is the first second factor, every other sign-in of the account ends.

    Raises:
        NotSignedIn: The sign-in has ended; or the ceremony is used, over, or somebody else's.
        StepUpNeeded: Confirm first that it is you. Only a first second factor comes without.
        PasskeyRefused: It was not made for us, now, by a device that knew its person; or it is
            here already; or the person has as many as anyone may.
    """
    account = _may_change(session, sign_in_hash, now)
    operator_id = account.operator_id
    is_first = not second_factor.has_any(session, account)
    ceremony = _finish(session, operator_id, ADDING, request.ceremony.get_secret_value(), now)
    if ceremony.account_id != account.id:
        raise _for_good(NotSignedIn())
    try:
        made = webauthn.verify_registration_response(
            credential=_document(request.credential),
            expected_challenge=_challenge(ceremony),
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
        decoded_public_key_to_cryptography(decode_credential_public_key(made.credential_public_key))
    except Exception as error:  # the library trips in many ways over what a stranger has made up
        raise _for_good(PasskeyRefused()) from error
    others = _passkeys(session, operator_id, account.id)
    is_here = session.get(Passkey, (operator_id, made.credential_id)) is not None
    if is_here or len(others) >= MOST_PASSKEYS:
        raise _for_good(PasskeyRefused())
    row = Passkey(
        operator_id=operator_id,
        credential_id=made.credential_id,
        account_id=account.id,
        name=request.name,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        created_at=now,
    )
    session.add(row)
    if is_first:
        sign_ins.end_all(session, operator_id, account.id, now=now, but=sign_in_hash)
    told = {"passkey": _id(row), "before": len(others), "after": len(others) + 1}
    sign_ins.note(session, "passkey_added", account, now, told)
    return _view(row), sign_ins.step_up(session, sign_in_hash, method=METHOD, now=now)


def passkeys(session: Session, sign_in_hash: bytes | None, *, now: datetime) -> list[PasskeyView]:
    """Return one's own, oldest first.

    Raises:
        NotSignedIn: The sign-in has ended.
    """
    own = sign_ins.current(session, sign_in_hash, now=now)
    return [_view(row) for row in _passkeys(session, own.operator_id, own.account_id)]


@answered(PasskeyView)
def remove(
    session: Session,
    operator_id: UUID,
    request: NewPasskeyRemoval,
    sign_in_hash: bytes | None,
    *,
    now: datetime,
) -> PasskeyView:
    """Forget one of one's own.

    Raises:
        NotSignedIn: The sign-in has ended.
        StepUpNeeded: Confirm first that it is you.
        Unknown: This person has no such passkey.
        LastSecondFactor: Nothing else would make sure of the person.
    """
    account = _may_change(session, sign_in_hash, now)  # of two removals one waits
    mine = {_id(row): row for row in _passkeys(session, operator_id, account.id)}
    row = mine.pop(request.passkey_id, None)
    if row is None:
        raise Unknown("passkey", request.passkey_id)
    if not mine and not _is_sure_without_passkey(account):
        raise LastSecondFactor
    session.delete(row)
    told = {"passkey": _id(row), "before": len(mine) + 1, "after": len(mine)}
    sign_ins.note(session, "passkey_removed", account, now, told)
    return _view(row)


def begin_sign_in(
    session: Session, request: NewPasskeySignInOptions, *, site: Site, now: datetime
) -> PasskeyOptionsView:
    """Ask the browser for any passkey that it has for us.

    Whoever asks for an operator that is not there gets options as good as any other.
    """
    challenge = secrets.token_bytes(32)
    operator_id = _operator_id(session, request.operator)
    if operator_id is None:
        ceremony = new_secret()
    else:
        acting.enter(session, operator_id)
        ceremony = _begin(session, operator_id, SIGNING_IN, challenge, account_id=None, now=now)
    return _request_options(ceremony, challenge, site, among=())


def sign_in(
    session: Session,
    request: NewPasskeySignIn,
    came: Came,
    *,
    site: Site,
    now: datetime,
) -> Opened:
    """Let in whoever has the device and has opened its key.

    Raises:
        NotSignedIn: Anything was wrong. It says no more, and the ceremony is used.
    """
    operator_id = _operator_id(session, request.operator)
    if operator_id is None:
        raise NotSignedIn
    acting.enter(session, operator_id)
    ceremony = _finish(session, operator_id, SIGNING_IN, request.ceremony.get_secret_value(), now)
    account = _verified(session, ceremony, request.credential, site=site, now=now)
    return sign_ins.open_sign_in(
        session, account, methods=[METHOD], address=came.address, agent=came.agent, now=now
    )


def begin_step_up(
    session: Session, sign_in_hash: bytes | None, *, site: Site, now: datetime
) -> PasskeyOptionsView:
    """Ask the browser for one of this person's own passkeys.

    Raises:
        NotSignedIn: The sign-in has ended.
    """
    here = sign_ins.current(session, sign_in_hash, now=now)
    challenge = secrets.token_bytes(32)
    own = _passkeys(session, here.operator_id, here.account_id)
    ceremony = _begin(
        session, here.operator_id, STEPPING_UP, challenge, account_id=here.account_id, now=now
    )
    return _request_options(ceremony, challenge, site, among=own)


def step_up(
    session: Session,
    sign_in_hash: bytes | None,
    request: NewPasskeyStepUp,
    *,
    site: Site,
    now: datetime,
) -> Opened:
    """Make sure that the person who is signed in still sits there.

    Raises:
        NotSignedIn: The sign-in has ended, or anything was wrong, or the passkey is another's.
    """
    here = sign_ins.current(session, sign_in_hash, now=now)
    secret = request.ceremony.get_secret_value()
    ceremony = _finish(session, here.operator_id, STEPPING_UP, secret, now)
    if ceremony.account_id != here.account_id:
        raise _for_good(NotSignedIn())
    account = _verified(session, ceremony, request.credential, site=site, now=now)
    if account.id != here.account_id:
        raise _for_good(NotSignedIn())
    return sign_ins.step_up(session, sign_in_hash, method=METHOD, now=now)


def _may_change(session: Session, sign_in_hash: bytes | None, now: datetime) -> Account:
    """Return whose passkeys may be changed by this sign-in, locked.

    Raises:
        NotSignedIn: It has ended; or whoever looks in from the platform has no passkeys here.
        StepUpNeeded: Confirm first that it is you.
    """
    here = sign_ins.current(session, sign_in_hash, now=now)
    try:
        account = locked(session, Account, here.operator_id, here.account_id)
    except Unknown:
        raise NotSignedIn from None
    is_whole = sign_ins.is_whole(here.methods)
    is_sure = is_whole and sign_ins.is_stepped_up(here, now)
    if not is_sure and (is_whole or second_factor.has_any(session, account)):
        raise StepUpNeeded
    return account


def _verified(
    session: Session,
    ceremony: Ceremony,
    credential: SignedCredential,
    *,
    site: Site,
    now: datetime,
) -> Account:
    """Return whose passkey has signed this ceremony's challenge."""
    row, account = _locked_passkey(session, ceremony.operator_id, credential.raw_id)
    try:
        signed = webauthn.verify_authentication_response(
            credential=_document(credential),
            expected_challenge=_challenge(ceremony),
            expected_rp_id=site.rp_id,
            expected_origin=site.origin,
            credential_public_key=row.public_key,
            credential_current_sign_count=0,  # judged below, once the signature is known to be good
            require_user_verification=True,
        )
        holder = base64url_to_bytes(credential.response.user_handle)
    except Exception as error:  # as above
        raise _for_good(NotSignedIn()) from error
    if holder != account.id.bytes or account.suspended_at is not None:
        raise _for_good(NotSignedIn())
    _count(session, account, row, signed, now)
    return account


def _count(
    session: Session, account: Account, row: Passkey, signed: VerifiedAuthentication, now: datetime
) -> None:
    """Move the count on. Where it does not rise, two devices use one key: neither is let in.

    Keys that are kept in step between a person's devices do not count, and always say nought.
    """
    counts = row.sign_count > 0 or signed.new_sign_count > 0
    if counts and signed.new_sign_count <= row.sign_count:
        told = {"passkey": _id(row), "before": row.sign_count, "after": signed.new_sign_count}
        sign_ins.note(session, "passkey_cloned", account, now, told)
        raise _for_good(NotSignedIn())
    row.sign_count = signed.new_sign_count
    row.last_used_at = now
    session.add(row)


def _begin(
    session: Session,
    operator_id: UUID,
    kind: str,
    challenge: bytes,
    *,
    account_id: UUID | None,
    now: datetime,
) -> str:
    data = {"challenge": bytes_to_base64url(challenge)}
    return ceremonies.begin(
        session, operator_id, kind, data, account_id=account_id, lasts=LASTS, now=now
    )


def _finish(session: Session, operator_id: UUID, kind: str, secret: str, now: datetime) -> Ceremony:
    return ceremonies.finish(session, operator_id, kind, secret, now=now)


def _for_good(error: Error) -> Error:
    """Let the ceremony stay used, whatever else is undone."""
    error.is_answered = True
    return error


def _challenge(ceremony: Ceremony) -> bytes:
    return base64url_to_bytes(ceremony.data["challenge"])


def _request_options(
    ceremony: str, challenge: bytes, site: Site, *, among: Sequence[Passkey]
) -> PasskeyOptionsView:
    options = webauthn.generate_authentication_options(
        rp_id=site.rp_id,
        challenge=challenge,
        timeout=_milliseconds(LASTS),
        allow_credentials=_descriptors(among),
        user_verification=_VERIFIED,
    )
    return PasskeyOptionsView(ceremony=ceremony, options=options_to_json_dict(options))


def _is_sure_without_passkey(account: Account) -> bool:
    has_provider = account.oidc_subject is not None
    if account.password_hash is None:
        return has_provider
    return account.totp_secret is not None


def _operator_id(session: Session, slug: str) -> UUID | None:
    return session.exec(select(Operator.id).where(Operator.slug == slug)).one_or_none()


def _passkeys(session: Session, operator_id: UUID, account_id: UUID) -> Sequence[Passkey]:
    session.flush()
    return session.exec(
        select(Passkey)
        .where(Passkey.operator_id == operator_id, Passkey.account_id == account_id)
        .order_by(col(Passkey.created_at), col(Passkey.credential_id))
    ).all()


def _locked_passkey(session: Session, operator_id: UUID, raw_id: str) -> tuple[Passkey, Account]:
    """Return a passkey and its person; of two who use it at once one waits for the other's count.

    The person is locked first, as everybody does who changes their passkeys.
    """
    try:
        key = operator_id, base64url_to_bytes(raw_id)
    except ValueError as error:
        raise _for_good(NotSignedIn()) from error
    if (row := session.get(Passkey, key)) is None:
        raise _for_good(NotSignedIn())
    account = locked(session, Account, operator_id, row.account_id)
    row = session.get(Passkey, key, with_for_update={"key_share": True}, populate_existing=True)
    if row is None:
        raise _for_good(NotSignedIn())
    return row, account


def _descriptors(rows: Sequence[Passkey]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=row.credential_id) for row in rows]


def _document(credential: MadeCredential | SignedCredential) -> dict[str, Any]:
    return credential.model_dump(mode="json", by_alias=True)


def _milliseconds(lasts: timedelta) -> int:
    return int(lasts.total_seconds()) * 1000


def _id(row: Passkey) -> str:
    return bytes_to_base64url(row.credential_id)


def _view(row: Passkey) -> PasskeyView:
    return PasskeyView(
        id=_id(row),
        name=row.name,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )
