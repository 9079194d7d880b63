"""An operator's people: signing in, accounts, invitations."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    model_validator,
)

from schemas.access import AT_A_STORE, PEOPLE, Role
from schemas.base import Ask, Count, Moment, Name, Slug, Wire, each_once


def _given_to_people(role: object) -> object:
    """Refuse all others in one sentence, also those that are no role."""
    if role not in PEOPLE:
        raise ValueError(f"must be one of {', '.join(PEOPLE)}")
    return role


Email = Annotated[
    str,
    StringConstraints(
        to_lower=True, max_length=254, pattern=r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
    ),
]
"""An address of electronic mail, in lower case."""

# What is a good password is judged where one is chosen, see `coupon_engine/people/passwords.py`.
Password = Annotated[SecretStr, Field(min_length=1, max_length=1_000)]
OneTimeSecret = Annotated[SecretStr, Field(min_length=20, max_length=100)]
Code = Annotated[SecretStr, Field(min_length=6, max_length=20)]
"""Six digits from an app, or a recovery code."""

PersonsRole = Annotated[Role, BeforeValidator(_given_to_people)]
StoreIds = Annotated[
    tuple[UUID, ...], Field(max_length=1_000), each_once(lambda store_id: store_id)
]
Method = Literal["password", "totp", "recovery", "passkey", "oidc"]
"""By what somebody has proved who they are."""


class _AsTyped(Wire):
    """A password may begin or end with a space."""

    model_config = ConfigDict(str_strip_whitespace=False)


class NewSignIn(_AsTyped):
    """Come in by password. `operator` says where the account is looked for, and opens nothing."""

    operator: Slug
    email: Email
    password: Password


class NewSecondFactor(Wire):
    """The second half of a sign-in by password."""

    ceremony: OneTimeSecret
    code: Code


class SignInAnswer(Wire):
    """Signed in, or asked for a second factor. The secret of a sign-in is in its cookie alone."""

    is_signed_in: bool
    second_factor_needed: bool = Field(description="Answer with `ceremony` and a code.")
    second_factor_missing: bool = Field(
        description="Signed in, but nothing opens before a second factor is set up."
    )
    ceremony: str | None
    ways: tuple[Method, ...] = Field(description="Second factors that this account has.")


class SignInView(Wire):
    id: UUID
    methods: tuple[Method, ...]
    created_at: Moment
    seen_at: Moment = Field(description="To the minute.")
    expires_at: Moment
    stepped_up_until: Moment | None
    address: str | None
    agent: str | None
    is_this: bool


class NewSignOut(Wire):
    """End this sign-in, or another one of one's own, or all others."""

    sign_in_id: UUID | None = Field(default=None, description="None means this one.")
    all_others: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if self.all_others and self.sign_in_id is not None:
            raise ValueError("name one sign-in, or say all_others")
        return self


class SignOutView(Wire):
    ended: Count
    is_this_ended: bool


class NewStepUp(_AsTyped):
    """Prove once more who one is, for what needs it."""

    code: Code | None = None
    password: Password | None = Field(
        default=None, description="Only where the account has no authenticator app."
    )

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.code is None) == (self.password is None):
            raise ValueError("send either code or password")
        return self


class TotpBegun(Wire):
    """A secret for an authenticator app. It counts once a code of it has come back."""

    ceremony: str
    secret: str
    address: str = Field(description="An otpauth:// address, to be drawn as a QR code.")


class NewTotp(Wire):
    """The first code of an authenticator app."""

    ceremony: OneTimeSecret
    code: Code


class RecoveryCodes(Wire):
    """Shown once. Each opens the door once, in place of the second factor."""

    codes: tuple[str, ...]


class MeView(Wire):
    """Who is signed in here."""

    account_id: UUID
    name: str
    email: str | None = Field(description="None for somebody of the platform who looks in.")
    role: Role
    store_ids: tuple[UUID, ...]
    operator_id: UUID
    operator: str
    operator_name: str
    sign_in_id: UUID
    methods: tuple[Method, ...]
    second_factor_missing: bool
    stepped_up_until: Moment | None
    recovery_codes_left: Count
    expires_at: Moment
    csrf: str = Field(description="Send it as X-CSRF-Token with every write.")


class AccountView(Wire):
    id: UUID
    email: str
    name: str
    role: Role
    store_ids: tuple[UUID, ...]
    has_second_factor: bool
    suspended_at: Moment | None
    created_at: Moment


class NewAccountChange(Ask):
    """Give somebody another role or other stores, or suspend them. What is left out stays."""

    account_id: UUID
    role: PersonsRole | None = None
    store_ids: StoreIds | None = None
    suspended: bool | None = Field(default=None, strict=True)
    reason: Name

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if (self.role, self.store_ids, self.suspended) == (None, None, None):
            raise ValueError("say what should change: role, store_ids or suspended")
        return self


class AccountChangeView(Wire):
    id: UUID
    account_id: UUID
    role: Role
    store_ids: tuple[UUID, ...]
    is_suspended: bool
    sign_ins_ended: Count
    at: Moment


class NewInvitation(Ask):
    """Invite somebody. Where the address has an account already, mend a lost password by it."""

    email: Email
    name: Name
    role: PersonsRole
    store_ids: StoreIds = ()

    @model_validator(mode="after")
    def _stores_fit_the_role(self) -> Self:
        if (self.role in AT_A_STORE) != bool(self.store_ids):
            raise ValueError(f"{', '.join(AT_A_STORE)} need store_ids, and nobody else has any")
        return self


class InvitationView(Wire):
    id: UUID
    email: str
    name: str
    role: Role
    store_ids: tuple[UUID, ...]
    created_at: Moment
    expires_at: Moment
    ended_at: Moment | None


class InvitationOpened(InvitationView):
    """Shown once: only the secret's hash is kept."""

    secret: str = Field(description="For a link that goes to the invited person alone.")


class NewAcceptance(_AsTyped):
    secret: OneTimeSecret
    password: Password


class AcceptanceView(Wire):
    """The account is ready; its person signs in next."""

    operator: str
    email: str


class NewWithdrawal(Ask):
    invitation_id: UUID
    reason: Name
