"""Every no has a status, a page, and a place in the document of each endpoint that says it."""

import ast
import importlib
import inspect
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx import Client
from sqlalchemy import Engine, QueuePool, text

from api import (
    batches,
    campaigns,
    coupons,
    holds,
    keys,
    manual,
    offers,
    operators,
    problems,
    redemptions,
    reports,
    reversals,
    validations,
)
from api.problems import AT_THE_DOOR, STATUS_OF
from coupon_engine import redemption
from coupon_engine.answers import every_kind
from coupon_engine.database import open_engine
from coupon_engine.errors import (
    Busy,
    CouponError,
    CrossSite,
    NotAllowed,
    NotSignedIn,
    RequestReused,
    StepUpNeeded,
    TooManyTries,
)
from coupon_engine.validation import conditions
from schemas.refusals import Why
from tests import make
from tests.api.conftest import Counter

ROOMS = (
    batches,
    campaigns,
    coupons,
    holds,
    keys,
    offers,
    operators,
    redemptions,
    reports,
    reversals,
    validations,
)
# It waits for its batch; `redeem` is the batch of one.
VERB_OF: dict[Callable[..., Any], Callable[..., Any]] = {redemptions.redeem: redemption.redeem}


def test_every_engine_error_has_a_status() -> None:
    assert set(STATUS_OF) == set(every_kind())


def test_every_problem_has_a_page_that_tells_it(door: Client, served: FastAPI) -> None:
    codes = {kind.code for kind in STATUS_OF} - {"refused"} | set(Why)
    codes |= {code for code, _ in AT_THE_DOOR.values()}

    assert set(served.openapi()["components"]["examples"]) == codes
    listed = door.get("/problems").text
    for code in codes:
        page = door.get(f"/problems/{code}")
        assert (page.status_code, f"<h1>{code}</h1>" in page.text) == (200, True)
        assert listed.count(f"'problems/{code}'") == 1
        assert "<dt>What to do<dd>" in page.text
        assert "<a href='../problems'>" in page.text


def test_every_problem_is_listed_under_what_to_do_about_it(door: Client) -> None:
    titles = [group.title for group in (manual.OF_COUPONS, *manual.BY_STATUS)]

    listed = door.get("/problems").text

    assert re.findall("<h2>(.*?)</h2>", listed) == titles
    for group in listed.split("<h2>")[1:]:
        assert "problems/" in group
    assert listed.index(titles[0]) < listed.index("problems/expired") < listed.index(titles[1])
    assert listed.index(titles[-1]) < listed.index("problems/busy")


def test_whoever_comes_without_a_path_is_shown_the_documentation(door: Client) -> None:
    answer = door.get("/")

    assert (answer.is_redirect, answer.headers["location"]) == (True, "/docs")


def test_a_misspelt_word_in_a_list_is_one_slip_and_not_two() -> None:
    told = [{"type": "too_short", "loc": ("body", "scopes"), "msg": "at least 1"}]
    slip = {"type": "enum", "loc": ("body", "scopes", 0), "msg": "should be 'read'"}

    assert problems._worth_telling([*told, slip]) == [slip]
    assert problems._worth_telling(told) == told


def test_an_example_names_the_rule_as_the_judge_does(served: FastAPI) -> None:
    source = ast.parse(inspect.getsource(conditions))
    rules: dict[str, set[str]] = {}
    for call in (node for node in ast.walk(source) if isinstance(node, ast.Call)):
        match call:
            case ast.Call(
                func=ast.Name(id="_reason"),
                args=[ast.Attribute(attr=why), ast.Constant(value=str(rule)), *_],
            ):
                rules.setdefault(Why[why], set()).add(rule)
            case _:
                pass

    assert len(rules) > 20
    for why, told in rules.items():
        example = served.openapi()["components"]["examples"][why]["value"]
        assert example["refusal"]["reasons"][0]["rule"] in told, why


def test_every_endpoint_documents_that_it_can_break(served: FastAPI) -> None:
    for path, operations in served.openapi()["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]["500"]["content"][problems.MEDIA_TYPE]
            assert "internal" in answers["examples"], path


def test_the_document_tells_nobody_how_it_is_made(served: FastAPI) -> None:
    redeem = served.openapi()["paths"]["/v1/redemptions"]["post"]

    assert "async" not in redeem["description"]


def test_the_document_begins_at_the_address_where_it_was_found(door: Client) -> None:
    document = door.get("/openapi.json").json()

    assert f"curl {door.base_url}".rstrip("/") + "/v1/merchants" in document["info"]["description"]
    assert ":8000" not in document["info"]["description"]


def test_there_is_no_page_for_what_is_no_problem(door: Client) -> None:
    answer = door.get("/problems/%3Cscript%3E")

    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_page")


def endpoints() -> Iterator[Any]:
    for room in ROOMS:
        for route in room.router.routes:
            assert isinstance(route, APIRoute)
            yield pytest.param(route, id=f"{min(route.methods or ())} {route.path}")


@pytest.mark.parametrize("route", list(endpoints()))
def test_an_endpoint_tells_exactly_the_errors_of_its_verb(route: APIRoute) -> None:
    verbs = list(verbs_called_by(route.endpoint))
    raised = {code for verb in verbs for code in codes_raised_by(verb)}

    documented = {
        code
        for answer in route.responses.values()
        for code in answer["content"].get(problems.MEDIA_TYPE, {}).get("examples", {})
    }

    assert verbs
    assert documented == raised | EVERYWHERE


EVERYWHERE = {AT_THE_DOOR[status][0] for status in (400, 413, 415, 422, 500, 503)} | {
    kind.code for kind in (Busy, CrossSite, NotAllowed, NotSignedIn, StepUpNeeded, TooManyTries)
}


def verbs_called_by(endpoint: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    if verb := VERB_OF.get(endpoint):
        yield verb
        return
    here = importlib.import_module(endpoint.__module__)
    for node in ast.walk(ast.parse(inspect.getsource(endpoint))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=verb_name)):
                module = getattr(here, name, None)
                if isinstance(module, ModuleType) and module.__name__.startswith("coupon_engine."):
                    yield getattr(module, verb_name)
            case _:
                pass


def codes_raised_by(verb: Callable[..., Any]) -> set[str]:
    """Read the codes out of the docstring's list, and add what keeping first answers brings."""
    kinds = {kind.__name__: kind for kind in every_kind()}
    raises = (verb.__doc__ or "").partition("Raises:")[2]
    names = re.findall(r"\b[A-Z]\w+\b(?=[^:.]*:)", raises)
    found: set[type[CouponError]] = {kinds[name] for name in names if name in kinds}
    if hasattr(verb, "__wrapped__"):
        found.add(RequestReused)
    codes = {kind.code for kind in found}
    return codes - {"refused"} | set(Why) if "refused" in codes else codes


def test_the_document_names_every_reference_that_it_uses(served: FastAPI) -> None:
    document = served.openapi()

    for reference in set(references(document)):
        at: Any = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]


def references(of: Any) -> Iterator[str]:
    if isinstance(of, dict):
        if isinstance(reference := of.get("$ref"), str):
            yield reference
        for value in of.values():
            yield from references(value)
    elif isinstance(of, list):
        for value in of:
            yield from references(value)


def test_the_documentation_page_asks_nothing_of_other_machines(door: Client) -> None:
    page = door.get("/docs")
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    assert page.status_code == 200
    assert parts
    assert all(part.startswith("/docs/static/") for part in parts)
    assert [door.get(part).status_code for part in parts] == [200] * len(parts)
    assert "http" not in page.headers["content-security-policy"]


def test_a_wrong_method_and_a_wrong_address_are_problems_too(door: Client) -> None:
    wrong_method = door.delete("/v1/campaigns")
    wrong_address = door.get("/v1/campaign")

    assert (wrong_method.status_code, wrong_method.json()["code"]) == (405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "POST"
    assert (wrong_address.status_code, wrong_address.json()["code"]) == (404, "no_such_page")


def test_a_record_that_cannot_be_reached_is_worth_asking_again(
    counter: Counter, door: Client, database: Engine
) -> None:
    assert door.get("/health/ready").status_code == 200
    close(database)

    ready = door.get("/health/ready")
    store = counter.posts("/v1/merchants", {"id": str(make.an_id()), "name": "Corner shop"})

    for answer in (ready, store):
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
    assert door.get("/health/live").status_code == 200


def test_a_flood_of_reports_keeps_no_counter_waiting(
    counter: Counter, code: str, limited: Engine
) -> None:
    counter.redeems("nothing")  # so that the way in and the keys are known
    pool = limited.pool
    assert isinstance(pool, QueuePool)
    with ExitStack() as flood:
        for _ in range(pool.size()):
            flood.enter_context(limited.connect())

        report = counter.gets("/v1/report")
        redeemed = counter.redeems(code)

    assert (report.status_code, report.json()["code"]) == (503, "busy")
    assert redeemed.status_code == 201


def close(database: Engine) -> None:
    """Throw everybody out of the database and let nobody in again."""
    name = database.url.database
    admin = open_engine(database.url.set(database="postgres").render_as_string(hide_password=False))
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
    admin.dispose()


def test_a_problems_page_is_allowed_its_own_style_and_no_other(door: Client) -> None:
    page = door.get("/problems/already_redeemed")
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()

    policy = page.headers["Content-Security-Policy"]

    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
