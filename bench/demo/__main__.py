"""One grocer's year of coupons, from issue to report, through the real doors.

    python3 run.py demo             the whole year: 108,590 coupons, 2,102 redemptions
    python3 run.py demo --quick     one campaign of it

See README.md beside this file for the data, and for what is assumed.
"""

import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import Engine

from api.opening import opened
from bench.demo import accounting, journey, replaying, reporting, staging
from bench.demo.asking import Asker, asking
from bench.demo.journey import Journey, Offer
from bench.demo.pictures import drawing_ahead
from bench.demo.replaying import REDEEMED, Answered
from bench.demo.reporting import Steps
from bench.demo.serving import Clock, listening, new_database, serving
from bench.demo.staging import World
from coupon_engine.database import transaction
from coupon_engine.settings import Settings, key_passphrase, short_code_secret
from schemas.campaigns import ReportView

QUICK = 19
PORT = 8000
EVERY = 50  # so many redemptions apart are those that are asked for again

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@cli.command(help=__doc__)
def main(
    quick: Annotated[bool, typer.Option("--quick", help="One campaign, in seconds.")] = False,
    campaign: Annotated[
        int | None, typer.Option(min=1, max=27, help="This campaign and no other.")
    ] = None,
    serve: Annotated[bool, typer.Option(help="Serve the API afterwards, until Ctrl-C.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where; 0 is any.")] = PORT,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as one document.")] = False,
) -> None:
    # Being told to end is no reason to leave a database behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    console = Console(stderr=as_json)
    steps = Steps(console)
    with steps.step("load", "The Complete Journey is read"):
        told = journey.load()
    if quick or campaign:
        told = told.only(campaign or QUICK)

    with ExitStack() as closing:
        clock = Clock(staging.first_hour(told))
        with steps.step("start", "A database is made and the API started"):
            settings = closing.enter_context(new_database())
            engine = closing.enter_context(opened(settings))
            at = closing.enter_context(listening(port if serve else 0))
            address = closing.enter_context(serving(engine, settings, clock, at))
        world = stage(engine, settings, clock, told, steps)
        asker = closing.enter_context(asking(address, world.api_key))
        answers = relive(asker, clock, told, world, steps)
        is_sound = tell(asker, clock, told, answers, steps, as_json=as_json)
        if not is_sound:
            raise typer.Exit(1)
        if serve:
            clock.now = None
            stay(console, address, world, answers, wanted=port)


def stage(
    engine: Engine, settings: Settings, clock: Clock, told: Journey, steps: Steps
) -> World:
    """Make everything that there was before anybody came to a counter."""
    passphrase = key_passphrase(settings).encode()
    code_secret = short_code_secret(settings).encode()
    with transaction(engine) as session:
        world = staging.open_shops(session, told, passphrase=passphrase, now=clock())
    own: defaultdict[int, list[Offer]] = defaultdict(list)
    for offer in told.offers:
        own[offer.campaign_id].append(offer)
    title = f"{told.coupons_sent:,} coupons of {len(told.campaigns)} campaigns are issued"
    with steps.step("issue", title, told.coupons_sent) as advance:
        for campaign in sorted(told.campaigns, key=lambda each: each.starts_at):
            clock.now = campaign.starts_at
            offers = own[campaign.campaign_id]
            with transaction(engine) as session:
                staging.launch(
                    session, world, campaign, offers, code_secret=code_secret, now=clock()
                )
            advance(sum(len(offer.sent_to) for offer in offers))
    return world


def relive(
    asker: Asker, clock: Clock, told: Journey, world: World, steps: Steps
) -> list[Answered]:
    """Bring every phone of the record to its counter."""
    many = len(told.redemptions)
    with drawing_ahead() as draw:
        with steps.step("sign", f"{many:,} codes are signed, and drawing begins", many) as advance:
            phones = replaying.show(asker, world, told, draw, advance)
        with steps.step("redeem", f"{many:,} pictures are read and redeemed", many) as advance:
            return replaying.replay(asker, clock, world, phones, advance)


def tell(
    asker: Asker,
    clock: Clock,
    told: Journey,
    answers: Sequence[Answered],
    steps: Steps,
    *,
    as_json: bool,
) -> bool:
    """Print what became of everything, and return whether it all adds up."""
    clock.now = staging.last_hour(told)
    again = [each for each in answers[::EVERY] if each.asked]
    with steps.step("again", f"{len(again)} requests are sent again", len(again)):
        same = replaying.ask_again(asker, again)
    account = accounting.account(answers, asked_again=len(again), same_answer=same)
    report = ReportView.model_validate(asker.get("/v1/report"))
    complaints = list(accounting.complaints(told, account, report))
    till = journey.compare_with_till(told.redemptions)

    console = steps.console
    if as_json:
        document = reporting.document(told, account, answers, report, complaints, steps.seconds)
        print(json.dumps(document, indent=2))
    else:
        console.print()
        console.print(reporting.report_table(report))
        console.print(reporting.accounting_table(account))
        for sentence in reporting.sentences(account, answers, till):
            console.print(sentence, highlight=False)
    for complaint in complaints:
        console.print(complaint, style="bold red", highlight=False)
    return not complaints


def stay(
    console: Console, address: str, world: World, answers: Sequence[Answered], *, wanted: int
) -> None:
    """Serve until Ctrl-C. From here on the clock is the real one."""
    if wanted and not address.endswith(f":{wanted}"):
        console.print(f"\nPort {wanted} is taken.", highlight=False)
    story = f"{address}/v1/coupons/{_worth_telling(world, answers)}/story"
    for line in (
        f"\nThe API is at {address}, its documentation at {address}/docs",
        f"API key: {world.api_key}",
        "One coupon's story:",
        f"  curl -H 'Authorization: Bearer {world.api_key}' {story}",
        "Ctrl-C ends it, and removes the demo's database.",
    ):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    try:
        while True:
            time.sleep(3_600)  # the API runs in its own thread
    except KeyboardInterrupt:
        console.print("\nDone.")


def _worth_telling(world: World, answers: Sequence[Answered]) -> object:
    """Return a coupon that was redeemed, and if there is one, shown again after that."""
    redeemed = {
        staging.held(each.redemption): each.redemption
        for each in answers
        if each.outcome == REDEEMED
    }
    again = [
        staging.held(each.redemption)
        for each in answers
        if each.redemption.is_repeat and each.outcome != REDEEMED
    ]
    told = next((one for one in again if one in redeemed), next(iter(redeemed), None))
    return world.coupons[told] if told else next(iter(world.coupons.values()))


if __name__ == "__main__":
    cli()
