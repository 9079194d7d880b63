"""The server's door from the command line: sign in as a browser would, and ask as anybody.

A client and no more. What somebody may do, the server decides; what is kept, lies in files that
only their owner can read (`credentials.py`).
"""

import json
import re
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from getpass import getpass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import httpx
import typer
from pydantic import TypeAdapter, ValidationError
from uuid_utils import uuid7

from scanner import credentials
from scanner.credentials import CannotKeep, OtherServer, SignedIn
from scanner.identity import FileKey, KeyExposed, NotPaired, Pairing
from schemas.access import AT_A_STORE
from schemas.people import (
    AcceptanceView,
    MeView,
    OneTimeSecret,
    RecoveryCodes,
    SignInAnswer,
    TotpBegun,
)
from schemas.terminals import PairingState, read_pairing_text

if TYPE_CHECKING:
    from pyotp.totp import TOTP

LOCAL = ("127.0.0.1", "localhost", "::1")
MOST_CODES_ASKED = 3
PATIENCE_SECONDS = 30
ASKS_AGAIN_SECONDS = 1
METHODS = ("GET", "POST")
# Six digits of an app, or a recovery code; spaces and dashes are only for the eye.
A_CODE = re.compile(r"[0-9]{6}|[0-9A-Za-z]{10}")

cli = typer.Typer(
    name="counterfoil", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
)

Url = Annotated[str, typer.Argument(help="The server, as https://coupons.example.com.")]
Slug = Annotated[str, typer.Option("--operator", "-o", help="The operator's short name.")]
Save = Annotated[
    Path | None, typer.Option("--save", help="Keep the sign-in here, for `request --as`.")
]
As = Annotated[
    Path, typer.Option("--as", help="A sign-in, a terminal, a wallet, or an API key, in a file.")
]
Code = Annotated[str | None, typer.Option(help="Of the authenticator app; asked if not given.")]
Totp = Annotated[
    str | None, typer.Option(help="The app's own secret, where a script stands in for the app.")
]


class Refused(Exception):
    """The server says no. `words` say it better where more is known here than there."""

    def __init__(self, answer: httpx.Response, words: str = "") -> None:
        self.answer = answer
        self.code, told = _problem(answer)
        super().__init__(f"{answer.status_code} {self.code}: {words or told}")


class Wrong(Exception):
    """What was typed cannot be meant; the text says why."""


def main() -> None:
    """Run one command, and word what goes wrong for a person.

    Raises:
        SystemExit: Always: 0 done, 1 the server says no, 2 it could not even be asked.
    """
    try:
        cli(prog_name="counterfoil")
    except Refused as refused:
        typer.echo(refused, err=True)
        raise SystemExit(1) from None
    except ValidationError:
        typer.echo("The answer is none of ours. Is this a Counterfoil server?", err=True)
        raise SystemExit(2) from None
    except (httpx.ConnectError, httpx.TimeoutException) as error:
        typer.echo(_nobody(error), err=True)
        raise SystemExit(2) from None
    except (
        Wrong,
        CannotKeep,
        KeyExposed,
        OtherServer,
        NotPaired,
        OSError,
        ValueError,
        httpx.HTTPError,
    ) as error:
        typer.echo(error, err=True)
        raise SystemExit(2) from None


@cli.command("sign-in")
def sign_in(
    url: Url,
    operator: Slug,
    email: Annotated[str, typer.Option(help="Whose account.")],
    code: Code = None,
    totp: Totp = None,
    save: Save = None,
    curl: Annotated[bool, typer.Option("--curl", help="Print the headers for curl.")] = False,
) -> None:
    """Sign in by password and code. What is not given is asked, or read from standard input."""
    _check(save, code=code, totp=totp)
    with Browser(url) as browser:
        password = asked("Password", hidden=True)
        browser.signs_in(operator, email, password, code=code, totp=totp)
        browser.tells(save, curl=curl)


@cli.command("accept-invitation")
def accept_invitation(url: Url, save: Save = None) -> None:
    """Choose a password, set up an authenticator app, and be signed in.

    The invitation's secret is asked, or read from standard input, so that no list of processes
    shows it.
    """
    _check(save)
    with Browser(url) as browser:
        secret = _invitation(asked("Invitation", hidden=True))
        password = asked("A new password, 15 characters or more", hidden=True)
        if sys.stdin.isatty() and asked("The same again", hidden=True) != password:
            raise Wrong("These were two passwords.")
        accepted = AcceptanceView.model_validate_json(
            browser.posts("/v1/invitations/acceptances", secret=secret, password=password).content
        )
        typer.echo(f"{accepted.email} has an account at {accepted.operator}.")
        browser.signs_in(accepted.operator, accepted.email, password)
        browser.tells(save)


@cli.command("step-up")
def step_up(as_: As, code: Code = None, totp: Totp = None) -> None:
    """Confirm that it is you, for ten minutes. The sign-in in the file changes."""
    _check(as_, code=code, totp=totp)
    with Browser.with_sign_in(as_) as browser:
        browser.tries_codes("/v1/step-ups", code=code, totp=totp)
        browser.tells(as_)


@cli.command("pair")
def pair(
    text: Annotated[str, typer.Argument(help="What the manager's picture says.")],
    save: Annotated[Path, typer.Option("--save", help="Keep who this terminal is here.")],
) -> None:
    """Become a terminal: make a key, show six digits, and wait until the manager has seen them.

    The key lies beside the file, and never leaves this machine.
    """
    _check_pairing(text)  # before a key is made for nothing
    pairing = Pairing.of_picture(text, FileKey.kept_in(credentials.key_path(save)))
    typer.echo(f"The manager's screen must show {pairing.digits}.")
    with _client(pairing.server_url) as client:
        while True:
            try:
                identity = pairing.ask(client)
                break
            except NotPaired as yet:
                if yet.state is not PairingState.ANSWERED:
                    raise
            except httpx.HTTPStatusError as error:
                raise Refused(error.response) from None
            time.sleep(ASKS_AGAIN_SECONDS)
    identity.save(save)
    typer.echo(f"This is terminal {identity.terminal_id}: {identity.name}.")


@cli.command("request")
def request(
    url: Url,
    method: Annotated[str, typer.Argument(help="GET or POST.")],
    path: Annotated[str, typer.Argument(help="As /v1/me.")],
    as_: As,
    body: Annotated[
        str | None, typer.Option("--json", help="What to send; `-` reads standard input.")
    ] = None,
    new_id: Annotated[bool, typer.Option("--new-id", help="Put a new id into it.")] = False,
    shift: Annotated[
        str | None, typer.Option(help="The secret of the shift at this terminal.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Keep the sign-in here that the answer brings.")
    ] = None,
) -> None:
    """Send one request as somebody, and print the answer as it came."""
    server_url = checked(url)
    method = _method(method, has_body=body is not None or new_id)
    auth = credentials.auth_in(as_, server_url, shift=shift, clock=wall_clock)
    _check(save)
    sent = _body(sys.stdin.read() if body == "-" else body, new_id=new_id)
    with _client(server_url) as client:
        answer = client.request(method, path, auth=auth, **sent)
    typer.echo(answer.content, nl=_is_text(answer))
    if answer.is_error:
        raise Refused(answer)
    if save is not None:
        with Browser.with_answer(answer, server_url) as browser:
            browser.tells(save, err=True)  # standard output has the answer alone


class Browser:
    """Signs in at one server, and keeps what a browser would keep: the cookie, and the word that
    proves that a write comes from the server's own pages.
    """

    def __init__(self, url: str) -> None:
        self.server_url = checked(url)
        self.cookie: str | None = None
        self.me: MeView | None = None
        self._client = _client(self.server_url)

    @classmethod
    def with_sign_in(cls, path: Path) -> "Browser":
        """Go on where `--save` has left off."""
        kept = credentials.sign_in_in(path)
        browser = cls(kept.server_url)
        browser.cookie = kept.cookie
        browser.looks()
        return browser

    @classmethod
    def with_answer(cls, answer: httpx.Response, server_url: str) -> "Browser":
        """Begin with the cookie that an answer brings.

        Raises:
            Wrong: It brings none.
        """
        browser = cls(server_url)
        browser.takes_cookie(answer)
        if browser.cookie is None:
            raise Wrong("Done, but nothing is kept: the answer brings no sign-in.")
        browser.looks()
        return browser

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def posts(self, path: str, **body: Any) -> httpx.Response:
        """Return the answer, if it is a yes.

        Raises:
            Refused: It is a no.
        """
        headers = {"Origin": self.server_url}
        if self.me is not None:
            headers = dict(self.signed_in.headers)
        answer = self._client.post(path, json=body, headers=headers)
        if answer.is_error:
            raise Refused(answer)
        self.takes_cookie(answer)
        return answer

    def takes_cookie(self, answer: httpx.Response) -> None:
        # By hand: httpx keeps to https what is `Secure`; browsers trust their own machine.
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookie = f"{name}={morsel.value}" if morsel.value else None

    def signs_in(
        self,
        operator: str,
        email: str,
        password: str,
        *,
        code: str | None = None,
        totp: str | None = None,
    ) -> None:
        """Come in by password, then by a code; or set up the app that there is not yet."""
        try:
            answer = self.posts("/v1/sign-ins", operator=operator, email=email, password=password)
        except Refused as refused:
            if refused.code != "not_signed_in":
                raise
            raise Refused(refused.answer, "Operator, e-mail or password is wrong.") from None
        told = SignInAnswer.model_validate_json(answer.content)
        if told.second_factor_needed:
            self.tries_codes(
                "/v1/sign-ins/second-factor", code=code, totp=totp, ceremony=told.ceremony
            )
        self.looks()
        if told.second_factor_missing:
            self.sets_up_an_app()

    def sets_up_an_app(self) -> None:
        import qrcode  # noqa: PLC0415 (a terminal is paired where neither this nor pyotp is)

        begun = TotpBegun.model_validate_json(self.posts("/v1/totp-secrets").content)
        typer.echo(f"\nScan this with an authenticator app, or type in {begun.secret}:\n")
        picture = qrcode.QRCode(border=2)
        picture.add_data(begun.address)
        picture.print_ascii(invert=True)
        typer.echo(begun.address)
        answer = self.tries_codes("/v1/totp-confirmations", ceremony=begun.ceremony)
        self.looks()
        codes = RecoveryCodes.model_validate_json(answer.content).codes
        typer.echo("Without the app, each of these opens the door once. Keep them on paper:")
        typer.echo("  " + "  ".join(codes))

    def tries_codes(
        self, path: str, *, code: str | None = None, totp: str | None = None, **more: Any
    ) -> httpx.Response:
        """Send a code, and another one while it is wrong.

        Raises:
            Refused: None was right, or something else was wrong.
        """
        wrong: Refused | None = None
        for each in _codes(code, totp):
            try:
                answer = self.posts(path, code=each, **more)
            except Refused as refused:
                if refused.code != "code_wrong":
                    raise
                wrong = refused
            else:
                if self.me is not None:
                    self.looks()
                return answer
        assert wrong is not None
        raise Refused(
            wrong.answer,
            "This code is not right, or was used before: "
            "a code works once and for about a minute. Wait for the next one.",
        )

    def looks(self) -> MeView:
        """Ask who is signed in here; the answer has the word that writes need."""
        answer = self._client.get("/v1/me", headers={"Cookie": self.cookie or ""})
        if answer.is_error:
            raise Refused(answer)
        self.me = MeView.model_validate_json(answer.content)
        return self.me

    @property
    def signed_in(self) -> SignedIn:
        assert self.me is not None
        assert self.cookie is not None
        return SignedIn(server_url=self.server_url, cookie=self.cookie, csrf=self.me.csrf)

    def tells(self, save: Path | None, *, curl: bool = False, err: bool = False) -> None:
        """Say who is signed in, and keep it where that was asked."""
        assert self.me is not None
        if save is not None:
            credentials.keep(save, self.signed_in.model_dump_json())
        typer.echo(_in_words(self.me), err=err)
        if save is None and not curl:
            typer.echo("Not kept: add --save FILE when you sign in.", err=True)
        if curl:
            for name, value in self.signed_in.headers.items():
                typer.echo(f"{name}: {value}")


def checked(url: str) -> str:
    """Return a server's address, to which a password may go.

    Raises:
        Wrong: It is none, or it is another machine and no TLS.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Wrong("Give an address such as https://coupons.example.com.")
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        raise Wrong("To another machine, only https: give an address that begins with https://.")
    return url.rstrip("/")


def _check(save: Path | None, *, code: str | None = None, totp: str | None = None) -> None:
    """Look at what was given, before a code is used up for nothing.

    Raises:
        Wrong: It can be no code, or no secret of an app.
        CannotKeep: Nothing can be written there.
    """
    if save is not None:
        credentials.refuse_unwritable(save)
    if code is not None:
        _code(code)
    if totp is not None:
        try:
            _app(totp).byte_secret()
        except ValueError:
            raise Wrong("--totp is no app secret (letters A-Z, digits 2-7).") from None


def _check_pairing(text: str) -> None:
    try:
        _, server_url = read_pairing_text(text)
    except ValueError:
        raise Wrong("Give what the manager's picture says: the text COUNTERFOIL:PAIR/…") from None
    checked(server_url)


def _invitation(typed: str) -> str:
    typed = typed.strip()
    try:
        _SECRET.validate_python(typed)
    except ValidationError:
        raise Wrong("This is no invitation.") from None
    return typed


_SECRET: TypeAdapter[OneTimeSecret] = TypeAdapter(OneTimeSecret)


def _method(typed: str, *, has_body: bool) -> str:
    method = typed.upper()
    if method not in METHODS:
        raise Wrong(f"There is no method {typed} here: {' or '.join(METHODS)}.")
    if method == "POST" and not has_body:
        raise Wrong("POST needs --json.")
    return method


def asked(words: str, *, hidden: bool = False) -> str:
    """Return what somebody types, or the next line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    return getpass(f"{words}: ") if hidden else input(f"{words}: ")


def wall_clock() -> datetime:
    return datetime.now(UTC)


def _client(server_url: str) -> httpx.Client:
    is_here = urlsplit(server_url).hostname in LOCAL
    # Through no proxy where it is this very machine.
    return httpx.Client(base_url=server_url, timeout=PATIENCE_SECONDS, trust_env=not is_here)


def _app(totp: str) -> "TOTP":
    from pyotp.totp import TOTP  # noqa: PLC0415 (as qrcode)

    return TOTP(totp)


def codes_at(totp: str, now: datetime) -> tuple[str, str]:
    """Return what the app shows, and what it shows next.

    No code works twice. A script that comes again within the half minute sends the next one, which
    the server takes already.
    """
    app = _app(totp)
    return app.at(now), app.at(now + timedelta(seconds=app.interval))


def _codes(code: str | None, totp: str | None) -> Iterable[str]:
    """Give codes to send, until one is right."""
    if code is not None:
        yield _code(code)
    elif totp is not None:
        yield from codes_at(totp, wall_clock())
    else:
        for left in reversed(range(MOST_CODES_ASKED if sys.stdin.isatty() else 1)):
            try:
                yield _code(asked("Code of your app"))
            except Wrong as slip:
                if not left:
                    raise
                typer.echo(slip, err=True)


def _code(typed: str) -> str:
    if A_CODE.fullmatch(typed.translate(_FOR_THE_EYE)) is None:
        raise Wrong("A code has six digits, a recovery code ten letters and digits.")
    return typed


_FOR_THE_EYE = str.maketrans("", "", "- ")


def _body(text: str | None, *, new_id: bool) -> dict[str, Any]:
    if text is None and not new_id:
        return {}
    try:
        body = json.loads(text or "{}")
    except ValueError as error:
        raise Wrong(f"--json is no JSON: {error}") from None
    return {"json": {"id": str(uuid7()), **body} if new_id else body}


def _is_text(answer: httpx.Response) -> bool:
    kind = answer.headers.get("content-type", "")
    return "json" in kind or kind.startswith("text/")


def _problem(answer: httpx.Response) -> tuple[str, str]:
    try:
        told = answer.json()
        return str(told["code"]), str(told.get("detail") or told.get("title") or "")
    except (ValueError, KeyError, TypeError):
        return "no_answer_of_ours", answer.reason_phrase


def _nobody(error: httpx.RequestError) -> str:
    """Say that a server does not answer; why a connection is not safe, its own words say best."""
    url = error.request.url
    where = f"{url.scheme}://{url.netloc.decode()}"
    if isinstance(error, httpx.TimeoutException):
        return f"{where} does not answer in time."
    if "CERTIFICATE" in str(error) or "SSL" in str(error):
        return f"{where}: {error}"
    return f"Nothing answers at {where}. Is the server running?"


def _in_words(me: MeView) -> str:
    role = me.role.replace("_", " ")
    stores = f", {len(me.store_ids)} of its stores" if me.role in AT_A_STORE else ""
    return (
        f"{me.name}: {role} at {me.operator} ({me.operator_name}){stores}, "
        f"until {me.expires_at:%Y-%m-%d %H:%M} UTC."
    )


if __name__ == "__main__":
    main()
