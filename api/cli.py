"""What a person does at the server's own terminal: engine verbs, without HTTP between."""

import getpass
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from errno import EACCES, EADDRINUSE
from socket import AI_PASSIVE, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, getaddrinfo, socket
from typing import Annotated, cast
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from api.clock import wall_clock
from api.opening import CannotOpen, opened
from coupon_engine import (
    acting,
    api_keys,
    break_glass,
    campaigns,
    coupons,
    issuing,
    operators,
    redemption,
    reports,
    reversal,
    sandboxes,
    validating,
)
from coupon_engine import keys as signing_keys
from coupon_engine.database import transaction
from coupon_engine.embedded import EmbeddedFailed
from coupon_engine.errors import CouponError, CouponRefused, Unknown
from coupon_engine.people import accounts
from coupon_engine.redemption import Presented
from coupon_engine.settings import (
    LAST_PORT,
    MOST_WORKERS,
    SettingsRefused,
    key_passphrase,
    read_settings,
    short_code_secret,
)
from coupon_engine.validation.showing import Shown, shown
from schemas import people
from schemas.access import Actor, ActorKind, Scope
from schemas.api_keys import USUAL_DAYS, ApiKeyMade, ApiKeyShown, NewApiKey, NewSandbox
from schemas.base import MOST_MINOR, Slug, Wire
from schemas.baskets import Basket
from schemas.campaigns import Decidable, Move, NewMove, NewOperator, Stops
from schemas.coupons import NewCoupon, NewRevocation
from schemas.ids import new_id
from schemas.keys import KeyMove, KeyState, NewKey, NewKeyMove
from schemas.money import in_words
from schemas.people import InvitationOpened
from schemas.redemptions import Acceptance, NewRedemption, NewReversal, NewValidation

cli = typer.Typer(
    name="counterfoil",
    help="Mobile coupons that are spent once, traced, and honestly counted.",
    epilog="counterfoil --version tells which one this is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
operator_cli = typer.Typer(help="Those who run campaigns here.", no_args_is_help=True)
admin_cli = typer.Typer(help="Let the first people in.", no_args_is_help=True)
key_cli = typer.Typer(help="What coupons are signed with.", no_args_is_help=True)
coupon_cli = typer.Typer(help="One coupon.", no_args_is_help=True)
campaign_cli = typer.Typer(help="Decide about a campaign.", no_args_is_help=True)
cli.add_typer(admin_cli, name="admin")
cli.add_typer(operator_cli, name="operator")
cli.add_typer(key_cli, name="key")
cli.add_typer(coupon_cli, name="coupon")
cli.add_typer(campaign_cli, name="campaign")

out = Console()
err = Console(stderr=True)

AtOperator = Annotated[str, typer.Option("--operator", "-o", help="The operator's short name.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why; it stays in the record.")]
Key = Annotated[str, typer.Argument(help="The key's letter, or its id.")]
Code = Annotated[str, typer.Argument(help="The text of the QR code, or the short code.")]
Total = Annotated[
    int | None, typer.Option("--total", help="What the basket costs, in minor units.")
]
Currency = Annotated[str, typer.Option(help="The currency of the total.")]
Email = Annotated[str, typer.Option("--email", help="Where they are reached; their sign-in.")]
Store = Annotated[UUID, typer.Option(help="The store where this happens.")]


class Wrong(Exception):
    """What was typed cannot be meant; the text says why."""


def main() -> None:
    """Run one command, and word what goes wrong for a person.

    Raises:
        SystemExit: Always: 0 done, 1 the engine says no, 2 it could not even be asked.
    """
    try:
        cli()
    except CouponRefused as refused:
        err.print(f"[bold]{refused.refusal.cashier.en}[/] {refused.refusal.cashier.zh}")
        err.print(f"{refused.refusal.code}: {refused.refusal.developer.en}", style="dim")
        raise SystemExit(1) from None
    except CouponError as error:
        err.print(_message(error), style="bold", markup=False)
        err.print(f"{error.code}{_told(error.details)}", style="dim", markup=False)
        raise SystemExit(1) from None
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            where = ".".join(map(str, each["loc"]))
            says = each["msg"].removeprefix("Value error, ")
            err.print(f"{where}: {says}" if where else says, markup=False)
        raise SystemExit(2) from None
    except OperationalError as error:
        why = str(error.orig).strip().partition("\n")[0]
        err.print(f"The database did not do it: {why}", markup=False)
        raise SystemExit(2) from None
    except (Wrong, SettingsRefused, EmbeddedFailed, CannotOpen, OSError) as error:
        err.print(str(error), markup=False)
        raise SystemExit(2) from None


def _message(error: CouponError) -> str:
    if isinstance(error, Unknown):
        kind = str(error.details["kind"]).replace("_", " ")
        return f"There is no {kind} '{error.details['id']}'."
    return error.message


def _told(details: Mapping[str, object]) -> str:
    """Return what is known about a case as words, and nothing where nothing is."""
    told = (f"{name.replace('_', ' ')} {_worded(value)}" for name, value in details.items())
    return f": {', '.join(told)}" if details else ""


def _worded(value: object) -> str:
    if isinstance(value, list | tuple):
        return " or ".join(map(str, cast("Iterable[object]", value))) or "nothing"
    return "nothing" if value is None else str(value)


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=LAST_PORT, help="On which port.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=MOST_WORKERS, help="How many processes.")
    ] = None,
) -> None:
    """Serve the API. What is left out is taken from COUNTERFOIL_HOST, _PORT and _WORKERS."""
    # To serve alone takes these: whoever reads a report need not wait until they are loaded.
    import uvicorn  # noqa: PLC0415

    from api import connections, logs  # noqa: PLC0415

    settings = read_settings()
    where = host or settings.host, port or settings.port
    _assert_free(*where)
    # What is wrong with the record is told here in a sentence, not by each worker in a hundred.
    with opened(settings):
        key_passphrase(settings)
        short_code_secret(settings)
    logs.start(settings)
    connections.allow_many_files()
    uvicorn.run(
        "api.main:from_environment",
        factory=True,
        host=where[0],
        port=where[1],
        workers=workers or settings.workers,
        **connections.SERVING,
    )


@cli.command()
def scan() -> None:
    """Read the coupon in each picture; needs the scanner, and no server."""
    _elsewhere()


@cli.command("sign-in")
def sign_in() -> None:
    """Sign in at a server as one of an operator's people."""
    _elsewhere()


@cli.command("accept-invitation")
def accept_invitation() -> None:
    """Choose a password, and set up an authenticator app."""
    _elsewhere()


@cli.command("step-up")
def step_up() -> None:
    """Confirm that it is you, for ten minutes."""
    _elsewhere()


@cli.command("pair")
def pair() -> None:
    """Make this machine a terminal of a store."""
    _elsewhere()


@cli.command("request")
def request() -> None:
    """Send one request to a server, as somebody, and print the answer."""
    _elsewhere()


def _elsewhere() -> None:
    """Be listed here, and understood elsewhere: `counterfoil.py` opens those rooms before this."""
    raise SystemExit("Ask for it by the command `counterfoil`.")


def _assert_free(host: str, port: int) -> None:
    """Refuse an address where nobody can listen.

    Raises:
        CannotOpen: Somebody listens there already, or the address is none of this machine's.
    """
    try:
        for family, kind, protocol, _, address in getaddrinfo(
            host, port, type=SOCK_STREAM, flags=AI_PASSIVE
        ):
            with socket(family, kind, protocol) as trial:
                if sys.platform != "win32":  # where the option would let two listen at one address
                    trial.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
                trial.bind(address)
    except OSError as error:
        another = " --port takes another." if error.errno in (EADDRINUSE, EACCES) else ""
        why = f"Cannot listen at {host}, port {port}: {error.strerror}.{another}"
        raise CannotOpen(why) from error


@cli.command()
def migrate() -> None:
    """Bring the database to its newest shape."""
    with opened(read_settings()):  # which does just that
        pass
    out.print("The database has its newest shape.")


@operator_cli.command("create")
def create_operator(slug: str, name: str) -> None:
    """Make an operator, and print its API key: this once and never again."""
    now = wall_clock()
    request = NewOperator(id=new_id(now), slug=_slug(slug), name=name)
    with opened(read_settings()) as engine, transaction(engine) as session:
        made = operators.create_operator(session, request, now=now)
        key = api_keys.create_api_key(session, made.id, "first", now=now)
    show(made)
    _show_once(key)


@admin_cli.command("owner")
def first_owner(
    slug: str,
    email: Email,
    name: Annotated[str, typer.Option("--name", help="What the owner is called.")],
) -> None:
    """Invite somebody who may do everything at an operator: the first one, or one locked out.

    Makes the operator if there is none with this short name.
    """
    now, settings = wall_clock(), read_settings()
    slug, email = _slug(slug), _email(email)
    with opened(settings) as engine, transaction(engine) as session:
        acting.introduce(session, by_hand())
        operator_id = _operator_or_new(session, slug, now=now)
        acting.enter(session, operator_id, by_hand())
        invitation = accounts.create_first_owner(
            session, operator_id, email=email, name=name, now=now
        )
    _show_invitation(slug, invitation, settings.issuer_url)


@admin_cli.command("platform")
def platform_admin(
    email: Email, name: Annotated[str, typer.Option("--name", help="What they are called.")]
) -> None:
    """Invite somebody who runs the platform: makes operators, sees nothing inside them."""
    now, settings = wall_clock(), read_settings()
    email = _email(email)
    with opened(settings) as engine, transaction(engine) as session:
        acting.introduce(session, by_hand())
        invitation = break_glass.create_platform(session, email=email, name=name, now=now)
    _show_invitation(break_glass.SLUG, invitation, settings.issuer_url)


@admin_cli.command("suspend")
def suspend(slug: str, email: Email, reason: Reason) -> None:
    """Let somebody in no more: a platform admin (at `platform`), or anybody at an operator."""
    email = _email(email)
    with seat(slug) as at:
        accounts.suspend_by_hand(at.session, at.operator_id, email, reason, now=at.now)
    out.print("They are out, everywhere they were signed in here.")


@operator_cli.command("approval-over")
def set_approval_over(
    slug: str,
    minor: Annotated[int, typer.Argument(min=0, max=MOST_MINOR, help="In minor units; 0: always.")],
) -> None:
    """Say above which exposure publishing needs a second person."""
    with seat(slug) as at:
        operators.set_approval_over(at.session, at.operator_id, minor, now=at.now)
    out.print(f"Above {minor} minor units a second person approves.")


@operator_cli.command("most-disputed")
def set_most_disputed(
    slug: str,
    share_bp: Annotated[int, typer.Argument(min=0, max=10_000, help="In hundredths of a percent.")],
) -> None:
    """Say up to which share of disputes the campaign bears; beyond it the merchant does."""
    with seat(slug) as at:
        operators.set_most_disputed(at.session, at.operator_id, share_bp, now=at.now)
    out.print(f"Beyond {share_bp / 100:.2f}% the merchant bears what is disputed.")


@operator_cli.command("new-key")
def new_api_key(
    slug: str,
    name: Annotated[str, typer.Argument(help="The program that it is for.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it opens; all, if none is named.")
    ] = None,
    days: Annotated[int, typer.Option(help="For how long.")] = USUAL_DAYS,
) -> None:
    """Make one more API key, and print it: this once and never again."""
    with seat(slug) as at:
        key = api_keys.create_api_key(
            at.session,
            at.operator_id,
            name,
            scopes=tuple(scope or Scope),
            days=days,
            now=at.now,
        )
    _show_once(key)


@operator_cli.command("revoke-key")
def revoke_api_key(
    slug: str, id: Annotated[str, typer.Argument(help="The eight letters after cfk_live_.")]
) -> None:
    """Close a way in. Servers that know the key forget it within seconds."""
    with seat(slug) as at:
        api_keys.revoke_api_key(at.session, at.operator_id, id, now=at.now)
    out.print(f"{id} opens nothing any more.")


@operator_cli.command("sandbox")
def open_sandbox(slug: str) -> None:
    """Make an operator's sandbox, and print a key to it: this once and never again."""
    with seat(slug) as at:
        request = NewSandbox(id=at.new_id())
        sandbox = sandboxes.open_sandbox(
            at.session, at.operator_id, request, passphrase=at.passphrase, now=at.now
        )
        asked = NewApiKey(id=at.new_id(), name="first", scopes=tuple(Scope), is_sandbox=True)
        made = api_keys.make_api_key(at.session, at.operator_id, asked, now=at.now)
    show(sandbox)
    _show_once(made)


@key_cli.command("publish")
def publish(slug: AtOperator) -> None:
    """Make a signing key and let the world know it."""
    with seat(slug) as at:
        request = NewKey(id=at.new_id())
        key = signing_keys.publish(
            at.session, at.operator_id, request, passphrase=at.passphrase, now=at.now
        )
    show(key)


@key_cli.command("use")
def use(
    key: Key,
    slug: AtOperator,
    reason: Reason = "by hand",
    urgent: Annotated[bool, typer.Option(help="Before every terminal can know it.")] = False,
) -> None:
    """Sign with this key from now on."""
    _decide_key(key, KeyMove.USE, slug, reason, is_urgent=urgent)


@key_cli.command("stop")
def stop(key: Key, slug: AtOperator, reason: Reason = "by hand") -> None:
    """Sign with it no longer. What it has signed stays good."""
    _decide_key(key, KeyMove.STOP, slug, reason)


@key_cli.command("retire")
def retire(key: Key, slug: AtOperator, reason: Reason = "by hand") -> None:
    """Refuse every coupon that it has signed, for good."""
    _decide_key(key, KeyMove.RETIRE, slug, reason)


@key_cli.command("list")
def list_keys(slug: AtOperator) -> None:
    """Show all keys."""
    with seat(slug) as at:
        keys = signing_keys.key_views(at.session, at.operator_id)
    listed(
        ("letter", "state", "kid", "published", "used from", "until"),
        (
            (key.letter, key.state, key.kid, key.published_at, key.used_from, key.used_until)
            for key in keys
        ),
    )


@coupon_cli.command("issue")
def issue(
    batch_id: UUID,
    slug: AtOperator,
    customer: Annotated[UUID | None, typer.Option(help="Whose it is.")] = None,
) -> None:
    """Issue one coupon of a batch."""
    with seat(slug) as at:
        request = NewCoupon(id=at.new_id(), batch_id=batch_id, customer_id=customer)
        coupon = issuing.issue(
            at.session, at.operator_id, request, code_secret=at.code_secret, now=at.now
        )
    show(coupon)


@coupon_cli.command("show")
def show_coupon(coupon_id: UUID, slug: AtOperator) -> None:
    """Show a coupon as it stands."""
    with seat(slug) as at:
        coupon = coupons.coupon_view(
            at.session, at.operator_id, coupon_id, code_secret=at.code_secret, now=at.now
        )
    show(coupon)


@coupon_cli.command("story")
def story(coupon_id: UUID, slug: AtOperator) -> None:
    """Tell everything that happened to a coupon."""
    with seat(slug) as at:
        told = coupons.story(
            at.session, at.operator_id, coupon_id, code_secret=at.code_secret, now=at.now
        )
    show(told.coupon)
    listed(("at", "what", "more"), ((line.at, line.kind, line.data) for line in told.lines))


@coupon_cli.command("revoke")
def revoke(coupon_id: UUID, slug: AtOperator, reason: Reason) -> None:
    """Withdraw a coupon for good."""
    with seat(slug) as at:
        request = NewRevocation(id=at.new_id(), coupon_id=coupon_id, reason=reason)
        coupon = coupons.revoke(
            at.session, at.operator_id, request, code_secret=at.code_secret, now=at.now
        )
    show(coupon)


@cli.command()
def validate(
    code: Code, slug: AtOperator, store: Store, total: Total = None, currency: Currency = "EUR"
) -> None:
    """Would this coupon work? Changes nothing."""
    with seat(slug) as at:
        request = NewValidation(codes=(code,), store_id=store, basket=_basket(total, currency))
        seen = validating.validate(at.session, at.operator_id, request, [at.read(code)], now=at.now)
    (verdict,) = seen.verdicts
    if not isinstance(verdict, Acceptance):
        raise CouponRefused(verdict.refusal)
    show(verdict)


@cli.command()
def redeem(
    code: Code, slug: AtOperator, store: Store, total: Total = None, currency: Currency = "EUR"
) -> None:
    """Spend a coupon."""
    with seat(slug) as at:
        request = NewRedemption(
            id=at.new_id(), code=code, store_id=store, basket=_basket(total, currency)
        )
        presented = Presented(request, at.read(code), by_hand())
        redeemed = redemption.redeem(at.session, at.operator_id, presented, now=at.now)
    show(redeemed)


@cli.command()
def reverse(redemption_id: UUID, slug: AtOperator, reason: Reason) -> None:
    """Take a whole redemption back."""
    with seat(slug) as at:
        request = NewReversal(id=at.new_id(), redemption_id=redemption_id, reason=reason)
        reversed_ = reversal.reverse(at.session, at.operator_id, request, now=at.now)
    show(reversed_)


@campaign_cli.command("pause")
def pause(
    campaign_id: UUID,
    slug: AtOperator,
    reason: Reason,
    redeeming_too: Annotated[bool, typer.Option(help="Stop redeeming as well.")] = False,
) -> None:
    """Stop issuing for a while."""
    _move(campaign_id, Move.PAUSE, slug, reason, redeeming_too=redeeming_too)


@campaign_cli.command("resume")
def resume(campaign_id: UUID, slug: AtOperator, reason: Reason) -> None:
    """Go on after a pause."""
    _move(campaign_id, Move.RESUME, slug, reason)


@campaign_cli.command("end")
def end(
    campaign_id: UUID,
    slug: AtOperator,
    reason: Reason,
    redeeming_too: Annotated[bool, typer.Option(help="Its coupons end with it.")] = False,
) -> None:
    """End a campaign for good."""
    _move(campaign_id, Move.END, slug, reason, redeeming_too=redeeming_too)


@cli.command()
def report(slug: AtOperator) -> None:
    """Count what is in the record about each campaign."""
    with seat(slug) as at:
        seen = reports.report(at.session, at.operator_id, now=at.now)
    listed(
        ("campaign", "issued", "redeemed", "reversed", "rate", "discount"),
        (
            (
                each.name,
                each.issued,
                each.redeemed,
                each.reversed,
                f"{each.rate_bp // 100}.{each.rate_bp % 100:02} %",
                in_words(each.discount_minor, each.currency, "en"),
            )
            for each in seen.campaigns
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Seat:
    """Where somebody of one operator sits: one transaction at one moment."""

    session: Session
    operator_id: UUID
    now: datetime
    passphrase: bytes
    code_secret: bytes
    issuer_url: str

    def new_id(self) -> UUID:
        return new_id(self.now)

    def read(self, code: str) -> Shown:
        """Read what was shown, with the operator's keys."""
        ring = signing_keys.ring(
            self.session,
            self.operator_id,
            issuer_url=self.issuer_url,
            passphrase=self.passphrase,
        )
        return shown(code, ring, pepper=self.code_secret, challenge=None, now=self.now)


@contextmanager
def seat(slug: str) -> Generator[Seat]:
    settings = read_settings()
    with opened(settings) as engine, transaction(engine) as session:
        operator_id = operators.operator_named(session, slug).id
        acting.enter(session, operator_id, by_hand())
        yield Seat(
            session=session,
            operator_id=operator_id,
            now=wall_clock(),
            passphrase=key_passphrase(settings).encode(),
            code_secret=short_code_secret(settings).encode(),
            issuer_url=settings.issuer_url,
        )


def _email(text: str) -> str:
    try:
        return TypeAdapter[str](people.Email).validate_python(text)
    except ValidationError:
        raise Wrong("This is no e-mail address.") from None


def _slug(text: str) -> str:
    try:
        return TypeAdapter[str](Slug).validate_python(text)
    except ValidationError:
        raise Wrong("A slug is a-z, 0-9 and -, at most 40.") from None


def _operator_or_new(session: Session, slug: str, *, now: datetime) -> UUID:
    try:
        return operators.operator_named(session, slug).id
    except Unknown:
        request = NewOperator(id=new_id(now), slug=slug, name=slug)
        return operators.create_operator(session, request, now=now).id


def _show_invitation(slug: str, invitation: InvitationOpened, url: str) -> None:
    out.print(f"Invitation for {invitation.email} at [bold]{slug}[/]:")
    out.print(f"  [bold]{invitation.secret}[/]", soft_wrap=True)
    out.print(
        f"Good until {invitation.expires_at:%Y-%m-%d %H:%M} UTC, once. Whoever has it chooses the "
        f"password: counterfoil accept-invitation {url}",
        style="dim",
        soft_wrap=True,
    )


def by_hand() -> Actor:
    """Return who sits at the server's own terminal, as the record will tell it."""
    name = getpass.getuser()
    return Actor(kind=ActorKind.COMMAND, id=name, name=name)


def _show_once(key: ApiKeyShown | ApiKeyMade) -> None:
    out.print(f"API key: [bold]{key.api_key}[/]")
    out.print("Keep it now: only its hash is in the record.", style="dim")


def _decide_key(
    which: str, move: KeyMove, slug: str, reason: str, *, is_urgent: bool = False
) -> None:
    with seat(slug) as at:
        request = NewKeyMove(
            id=at.new_id(),
            kid=_kid(at, which),
            move=move,
            reason=reason,
            is_urgent=is_urgent,
        )
        key = signing_keys.decide_key(at.session, at.operator_id, request, now=at.now)
    show(key)


def _kid(at: Seat, which: str) -> str:
    """Return the id of the living key with this letter; what is no letter is an id already."""
    keys = signing_keys.key_views(at.session, at.operator_id)
    living = {key.letter: key.kid for key in keys if key.state is not KeyState.RETIRED}
    return living.get(which, which)


def _move(
    campaign_id: UUID, move: Decidable, slug: str, reason: str, *, redeeming_too: bool = False
) -> None:
    stops = Stops.ISSUING_AND_REDEEMING if redeeming_too else Stops.ISSUING
    with seat(slug) as at:
        request = NewMove(
            id=at.new_id(), campaign_id=campaign_id, move=move, reason=reason, stops=stops
        )
        campaign = campaigns.decide(at.session, at.operator_id, request, now=at.now)
    show(campaign)


def _basket(total_minor: int | None, currency: str) -> Basket | None:
    if total_minor is None:
        return None
    return Basket(currency=currency, total_minor=total_minor)


def show(view: Wire) -> None:
    """Print one thing, a line for each field."""
    table = Table.grid(padding=(0, 2))
    for name, value in view.model_dump(mode="json").items():
        table.add_row(f"[dim]{name}[/]", escape(str(value)))
    out.print(table)


def listed(names: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    out.print(table)
