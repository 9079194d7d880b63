"""One grocer's year of coupons, from issue to report, through the real doors.

Every coupon that was sent is issued; every redemption of the record is drawn as a QR code, read
from the picture and sent to the API, in the order of time. Then the API is served with all of it.
"""

import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from sqlalchemy import Engine

from api.opening import opened
from bench.demo import accounting, journey, people, replaying, reporting, staging
from bench.demo.asking import Asker, asking
from bench.demo.journey import Journey
from bench.demo.people import Login, Stage
from bench.demo.pictures import Draw, drawing_ahead
from bench.demo.replaying import REDEEMED, Answered, Shown
from bench.demo.reporting import Steps
from bench.demo.serving import Clock, listening, new_database, serving
from bench.demo.staging import World
from coupon_engine.acting import by_system
from coupon_engine.database import transaction
from coupon_engine.sealing import Vault
from coupon_engine.settings import LAST_PORT, Settings, key_passphrase, short_code_secret
from schemas.campaigns import ReportView
from schemas.refusals import Why

QUICK = 19  # small, and with everything in it: yes, no, a second use, nothing in scope
PORT = 8000
EVERY = 20  # of so many requests one is sent again

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Run:
    """What is told, in which world, by whose clock, to whom."""

    told: Journey
    world: World
    clock: Clock
    asker: Asker
    steps: Steps


@cli.command(help=__doc__)
def main(
    quick: Annotated[bool, typer.Option("--quick", help="One campaign, in seconds.")] = False,
    campaign: Annotated[
        int | None, typer.Option(min=1, max=27, help="This campaign and no other.")
    ] = None,
    serve: Annotated[bool, typer.Option(help="Serve the API afterwards, until Ctrl-C.")] = True,
    port: Annotated[
        int, typer.Option(min=0, max=LAST_PORT, help="Where, or at the next free one; 0 is any.")
    ] = PORT,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as one document.")] = False,
) -> None:
    signal.signal(signal.SIGTERM, end)
    steps = Steps(Console(stderr=as_json))
    with steps.step("load", "the data is read"):
        told = journey.load()
    if quick or campaign:
        told = told.only(campaign or QUICK)
    with ExitStack() as closing:
        clock = Clock(staging.first_hour(told))
        with steps.step("start", "a database is made, the API started, the shops opened"):
            settings = closing.enter_context(new_database())
            engine = closing.enter_context(opened(settings))
            at = closing.enter_context(listening(port if serve else 0))
            if serve and is_elsewhere(found := at.getsockname()[1], port):
                steps.console.print(f"Port {port} is taken; this demo is at {found}.")
            address = closing.enter_context(serving(engine, settings, clock, at))
            world = open_shops(engine, settings, told, clock)
        asker = closing.enter_context(asking(address, world.api_key))
        run = Run(told, world, clock, asker, steps)
        with drawing_ahead() as draw:
            answers = redeem(run, issue(run, engine, settings, draw))
        if not tell(run, answers, as_json=as_json):
            raise typer.Exit(1)
        if serve:
            folder = Path(closing.enter_context(TemporaryDirectory(prefix="counterfoil-demo-")))
            logins = let_in(run, engine, settings, address, folder)
            for line in people.told(logins, address, folder):
                steps.console.print(line, soft_wrap=True, highlight=False, markup=False)
            stay(run, answers, address, api_key=people.live_key(logins), wanted=port)


def is_elsewhere(found: int, wanted: int) -> bool:
    return wanted not in (0, found)


def end(number: int, _: object) -> None:
    """Leave by the front door: there is a database to remove."""
    sys.exit(128 + number)


def open_shops(engine: Engine, settings: Settings, told: Journey, clock: Clock) -> World:
    passphrase = key_passphrase(settings).encode()
    with transaction(engine) as session:
        return staging.open_shops(session, told, passphrase=passphrase, now=clock())


def issue(run: Run, engine: Engine, settings: Settings, draw: Draw) -> dict[int, Shown]:
    """Issue every coupon when its campaign starts; return the phones that will come to a counter.

    They fetch their codes as soon as they have a coupon, so that drawing begins long before the
    first one is shown.
    """
    code_secret = short_code_secret(settings).encode()
    phones: dict[int, Shown] = {}
    title = (
        f"{run.told.coupons_sent:,} coupons are issued, {len(run.told.redemptions):,} codes signed"
    )
    with run.steps.step("issue", title, run.told.coupons_sent) as advance:
        for campaign in sorted(run.told.campaigns, key=lambda each: each.starts_at):
            own = run.told.only(campaign.campaign_id)
            run.clock.now = now = campaign.starts_at
            with transaction(engine, by_system(run.world.operator_id)) as session:
                staging.launch(
                    session, run.world, campaign, own.offers, code_secret=code_secret, now=now
                )
            for phone in replaying.show(run.asker, run.world, own.redemptions, draw):
                phones[phone.redemption.row] = phone
            advance(own.coupons_sent)
    return phones


def redeem(run: Run, phones: Mapping[int, Shown]) -> list[Answered]:
    """Bring each phone to its counter at its hour."""
    many = len(run.told.redemptions)
    with run.steps.step("redeem", f"{many:,} pictures are read and redeemed", many) as advance:
        answers: list[Answered] = []
        for redemption in run.told.redemptions:
            run.clock.now = redemption.at
            answers.append(replaying.redeem(run.asker, run.world, phones[redemption.row]))
            advance()
    return answers


def tell(run: Run, answers: Sequence[Answered], *, as_json: bool) -> bool:
    """Print what became of everything, and return whether it all adds up."""
    run.clock.now = staging.last_hour(run.told)
    again = [each for each in answers[::EVERY] if each.asked]
    with run.steps.step("again", "some requests are sent again", len(again)):
        same = replaying.ask_again(run.asker, again)
    account = accounting.account(answers, asked_again=len(again), same_answer=same)
    report = ReportView.model_validate(run.asker.get("/v1/report"))
    complaints = list(accounting.complaints(run.told, account, report))

    console = run.steps.console
    if as_json:
        document = reporting.document(account, report, complaints, answers, run.steps.seconds)
        print(json.dumps(document, indent=2))
    else:
        console.print("", reporting.report_table(report), reporting.accounting_table(account))
        for sentence in reporting.sentences(
            account, journey.compare_with_till(run.told.redemptions)
        ):
            console.print(sentence, highlight=False)
    for complaint in complaints:
        console.print(complaint, style="bold red", highlight=False)
    return not complaints


def let_in(run: Run, engine: Engine, settings: Settings, address: str, folder: Path) -> list[Login]:
    """Make a login for each role. From here on the clock is the real one."""
    run.clock.now = None
    passphrase = key_passphrase(settings).encode()
    stage = Stage(
        engine=engine,
        vault=Vault.under(passphrase),
        passphrase=passphrase,
        operator_id=run.world.operator_id,
        store_id=next(iter(run.world.stores.values())),
        address=address,
        folder=folder,
        now=run.clock(),
    )
    with run.steps.step("logins", "a login is made for each role"):
        return people.make_logins(stage)


def stay(run: Run, answers: Sequence[Answered], address: str, *, api_key: str, wanted: int) -> None:
    """Serve until Ctrl-C."""
    console = run.steps.console
    has_moved = is_elsewhere(int(address.rpartition(":")[2]), wanted)
    story = f"{address}/v1/coupons/{worth_telling(run.world, answers)}/story"
    for line in (
        "",
        *([f"Port {wanted} is taken."] if has_moved else []),
        f"The API is at {address}, its documentation at {address}/docs",
        "One coupon's story:",
        f"  curl -H 'Authorization: Bearer {api_key}' {story}",
        "Its clock is the real one now. Ctrl-C ends it and removes its database.",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    try:
        while True:
            time.sleep(3_600)  # the API has its own thread
    except KeyboardInterrupt:
        console.print("\nRemoved.")


def worth_telling(world: World, answers: Sequence[Answered]) -> UUID:
    """Return a coupon that was shown again after it was spent, or at least was spent."""
    first = min(
        answers,
        key=lambda each: (each.outcome != Why.ALREADY_REDEEMED, each.outcome != REDEEMED),
        default=None,
    )
    if first is None:
        return next(iter(world.coupons.values()))
    return world.coupons[staging.held(first.redemption)]


if __name__ == "__main__":
    cli()
