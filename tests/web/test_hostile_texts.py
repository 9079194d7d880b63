"""Texts that are scripts elsewhere are texts here, in a real browser."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Dialog, Page, Request, Response
from sqlalchemy import Engine

from api.manual import REQUESTS
from coupon_engine.database import transaction
from schemas.offers import Title
from tests import make
from tests.api.conftest import Counter

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "\"'><img src=x onerror=alert(1)>",
    "' autofocus onfocus=alert(1) x='",
    "</title><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "<a href=javascript:alert(1)>x</a>",
    "javascript:alert(1)//",
    "data:text/html,<script>alert(1)</script>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<meta http-equiv=refresh content='0;url=https://evil.test/'>",
    "<base href=https://evil.test/>",
    "<form action=https://evil.test/><input autofocus></form>",
    "<link rel=stylesheet href=https://evil.test/x.css>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "<!doctype html><html><body onload=alert(1)>",
    "<?xml version='1.0'?><x xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></x>",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "\u2039script\u203aalert(1)\u2039/script\u203a",
)


@dataclass
class Watched:
    """A page, and everything that a hostile text could have made it do."""

    page: Page
    home: str
    dialogs: list[str] = field(default_factory=list[str])
    violations: list[str] = field(default_factory=list[str])
    elsewhere: list[str] = field(default_factory=list[str])
    pages: int = 0

    def opens(self, path: str) -> Response:
        answer = self.page.goto(f"{self.home}{path}", wait_until="load")
        assert answer is not None
        assert self.page.url.startswith(self.home), self.page.url
        self.pages += 1
        return answer

    def asked(self, request: Request) -> None:
        if not request.url.startswith((self.home, "data:image/", "chrome")):
            self.elsewhere.append(request.url)

    def opened(self, page: Page) -> None:
        if page is not self.page:
            self.elsewhere.append(page.url)

    def dismissed(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def nothing_happened(self) -> bool:
        self.page.wait_for_timeout(100)
        return (self.dialogs, self.violations, self.elsewhere) == ([], [], [])


@pytest.fixture
def watched(chromium: Browser, counter: Counter) -> Iterator[Watched]:
    home = str(counter.client.base_url).rstrip("/")
    context = chromium.new_context(
        extra_http_headers={"Authorization": f"Bearer {counter.api_key}"}
    )
    page = context.new_page()
    seen = Watched(page, home)

    def told(text: str) -> None:
        if re.search(r"Content Security Policy|TrustedHTML|TrustedScript|Permissions-Policy", text):
            seen.violations.append(text)

    page.on("dialog", seen.dismissed)
    page.on("console", lambda message: told(message.text))
    page.on("pageerror", lambda error: seen.violations.append(str(error)))
    page.on("request", seen.asked)
    page.on("download", lambda download: seen.elsewhere.append(download.url))
    context.on("page", seen.opened)
    yield seen
    context.close()


def test_hostile_names_are_only_names_wherever_they_are_opened(
    watched: Watched, counter: Counter
) -> None:
    lists: set[str] = set()
    for text in HOSTILE:
        merchant = made(counter, "/v1/merchants", name=text)
        store = made(
            counter, "/v1/stores", merchant_id=merchant["id"], name=text, zone="Europe/Berlin"
        )
        campaign = made(counter, "/v1/campaigns", **{**REQUESTS["/v1/campaigns"], "name": text})
        offer = made(
            counter,
            "/v1/offers",
            campaign_id=campaign["id"],
            terms={**REQUESTS["/v1/offers"]["terms"], "title": {"en": text, "zh": text}},
        )
        batch = made(counter, "/v1/batches", offer_id=offer["id"], name=text, size=1)
        assert (store["name"], campaign["name"], batch["name"]) == (text, text, text)
        lists |= {f"/v1/campaigns/{campaign['id']}", f"/v1/batches/{batch['id']}"}
    lists |= {"/v1/merchants", "/v1/stores", "/v1/campaigns", "/v1/report"}

    for path in sorted(lists):
        answer = watched.opens(path)
        assert answer.status == 200, path
        assert answer.headers["content-type"] == "application/json"
        assert watched.page.locator("script, img, svg, iframe, form, a").count() == 0, path

    assert watched.nothing_happened(), watched
    assert watched.pages == 2 * len(HOSTILE) + 4


def test_hostile_addresses_are_answered_with_problems_that_are_only_text(watched: Watched) -> None:
    for number, text in enumerate(HOSTILE):
        quoted = quote(text, safe="")
        # What draws the documentation is large: a few texts will do.
        documentation = [f"/docs?{quoted}#{quoted}"] if number % 9 == 0 else []
        for path in (
            *documentation,
            f"/problems/{quoted}",
            f"/docs/{quoted}",
            f"/docs/static/{quoted}",
            f"/v1/coupons/{quoted}",
            f"/v1/coupons/{quoted}/qr.svg",
            f"/v1/campaigns?after={quoted}&{quoted}",
            f"/{quoted}",
            f"/problems#{quoted}",
        ):
            answer = watched.opens(path)
            if answer.status != 200:
                assert answer.headers["content-type"] == "application/problem+json", path

    assert watched.nothing_happened(), watched


def test_every_page_works_under_its_policy(watched: Watched) -> None:
    watched.opens("/docs")
    watched.page.locator(".opblock-tag").first.wait_for()
    watched.page.locator(".opblock-tag").first.click()
    operations = watched.page.locator(".opblock-summary-control")
    operations.nth(2).wait_for()
    for operation in operations.all()[:3]:
        operation.click()
    watched.page.locator(".opblock.is-open").nth(2).wait_for()
    assert watched.page.locator(".opblock-body pre, .opblock-body table").count() > 3

    watched.opens("/problems")
    links = [link.get_attribute("href") for link in watched.page.locator("table a").all()]
    for link in links[::20]:
        watched.opens(f"/{link}")
        assert watched.page.locator("h1").inner_text() == str(link).rpartition("/")[2]
        margin = watched.page.locator("dd, pre").first.evaluate("it => getComputedStyle(it).margin")
        assert margin != "0px 0px 0px 40px"  # its style is applied

    assert len(links) > 100
    assert watched.nothing_happened(), watched


def test_a_drawing_holds_no_text_and_no_script(
    watched: Watched, counter: Counter, hostile_coupon: str
) -> None:
    assert watched.opens(f"/v1/coupons/{hostile_coupon}/qr.svg").status == 200
    assert watched.nothing_happened(), watched
    assert watched.opens(f"/v1/coupons/{hostile_coupon}/qr.png").status == 200
    # The browser's own page around a picture wants a style of its own, and does without.
    assert all("inline style" in each for each in watched.violations)
    drawing = counter.gets(f"/v1/coupons/{hostile_coupon}/qr.svg").text
    parts = set(re.findall(r"<([\w:]+)", drawing))

    assert parts <= {"svg", "path", "g", "rect", "title", "desc"}
    assert "on" not in {name[:2] for name in re.findall(r"\s([\w:-]+)=", drawing)}
    assert (watched.dialogs, watched.elsewhere) == ([], [])


@pytest.fixture
def hostile_coupon(counter: Counter, database: Engine) -> str:
    """A coupon of an offer and a campaign with hostile names."""
    text = HOSTILE[0]
    with transaction(database) as session:
        campaign = make.campaign(session, counter.at, name=text)
        offer = make.offer(session, counter.at, campaign, title=Title(en=text, zh=text))
        batch = make.batch(session, counter.at, offer, name=text)
        return str(make.coupon(session, counter.at, batch).id)


def test_this_browser_would_have_run_them(watched: Watched) -> None:
    """Without our headers and our escaping a dialog appears; else the tests above prove nothing."""
    for text in HOSTILE[:4]:
        watched.page.set_content(f"<p>{text}")
        watched.page.wait_for_timeout(100)

    assert len(watched.dialogs) >= 3


def made(counter: Counter, path: str, **body: Any) -> Any:
    answer = counter.posts(path, {**body, "id": str(make.an_id())})
    assert answer.status_code == 201, answer.text
    return answer.json()
