"""The console in a real browser: coming in, making campaigns, looking after coupons, figures."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from httpx import Client
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from coupon_engine.database import transaction
from coupon_engine.tables import Account
from redemption_app.build import HERE, build
from schemas.access import Role
from schemas.campaigns import CampaignView
from schemas.coupons import CouponView
from schemas.offers import Conditions
from tests import make
from tests.api.conftest import Clock
from tests.coupon_engine.people.apps import App, app_of
from tests.coupon_engine.record import redeemed
from tests.make import PASSWORD, Shop

AXE = (Path(HERE) / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
PLACES = (
    "campaigns",
    "coupons",
    "places",
    "customers",
    "imports",
    "reports",
    "lift",
    "profit",
    "statements",
    "audit",
    "people",
    "settings",
)


@dataclass
class Person:
    """Somebody at the console, with the app that they hold."""

    account: Account
    app: App


@dataclass
class World:
    """An operator in the middle of a campaign."""

    at: Shop
    owner: Person
    campaign: CampaignView
    coupons: list[CouponView]


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    build()


@pytest.fixture
def world(database: Engine, clock: Clock) -> World:
    """Five days into a campaign: coupons are out, and some have been redeemed, at two stores."""
    start = clock.now
    with transaction(database) as session:
        at = make.shop(session)
        make.signing_key(session, at)
        other = make.another_store(session, at.operator_id, at.store.merchant_id)
        account = make.person(session, at, name="Olga")
        owner = Person(account, app_of(session, account, now=start - timedelta(hours=1)))
        running = make.campaign(session, at, name="Spring", budget_minor=5_000)
        conditions = Conditions(minimum_basket_minor=1_000)
        batch = make.batch(
            session,
            at,
            make.offer(session, at, running, conditions=conditions),
            has_short_codes=True,
        )
        coupons = [make.coupon(session, at, batch) for _ in range(12)]
        for number, coupon in enumerate(coupons[:6]):
            later = start + timedelta(days=number, hours=number)
            store_id = other.id if number % 2 else at.store.id
            terminal_id = None
            redeemed(session, at, coupon, now=later, store_id=store_id, terminal_id=terminal_id)
    clock.passes(days=6)
    return World(at, owner, running, coupons)


@pytest.fixture
def page(chromium: Browser, door: Client) -> Iterator[Page]:
    """A console on a desk. Everything that the page complains of fails the test."""
    with chromium.new_context(
        base_url=str(door.base_url), viewport={"width": 1440, "height": 900}, locale="en-GB"
    ) as context:
        opened = context.new_page()
        complaints: list[str] = []
        opened.on("console", lambda said: complaints.append(said.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        yield opened
        # The browser itself tells of every no; the page says it in its own words.
        assert [each for each in complaints if "Failed to load resource" not in each] == []


def comes_in(page: Page, world: World, clock: Clock, who: Person | None = None) -> None:
    who = who or world.owner
    page.goto("/console/")
    page.get_by_label("Operator").fill(world.at.slug)
    page.get_by_label("E-mail").fill(who.account.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Code").fill(who.app.code(clock.now))
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Campaigns")


def opens(page: Page, path: str) -> None:
    """Open a screen, and wait until what it asked for is there."""
    page.goto(f"/console/{path}")
    expect(page.locator("main h1")).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.locator("main [aria-busy=true]")).to_have_count(0)


def violations(page: Page) -> list[str]:
    """Return what axe finds, with the place of each."""
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['html'][:200]} {node.get('failureSummary', '')[:200]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def test_somebody_comes_in_by_password_and_app_and_goes_out_again(
    page: Page, world: World, clock: Clock
) -> None:
    comes_in(page, world, clock)

    expect(page.get_by_text("Olga")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()


def test_a_wrong_password_is_told_in_words(page: Page, world: World) -> None:
    page.goto("/console/")
    page.get_by_label("Operator").fill(world.at.slug)
    page.get_by_label("E-mail").fill(world.owner.account.email)
    page.get_by_label("Password").fill("something else altogether")
    page.get_by_role("button", name="Sign in", exact=True).click()

    expect(page.get_by_role("alert")).to_be_visible()


def test_a_campaign_is_made_offered_and_approved_by_somebody_else(
    page: Page, world: World, clock: Clock, database: Engine, chromium: Browser
) -> None:
    comes_in(page, world, clock)
    page.get_by_role("button", name="New campaign").click()
    page.get_by_role("textbox", name="Name", exact=True).fill("Summer")
    page.get_by_label("Begins").fill("2026-04-01T00:00")
    page.get_by_label("Ends", exact=True).fill("2026-05-01T00:00")
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    page.get_by_label("Budget").fill("1500,50")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Summer")
    expect(page.get_by_text("€1,500.50")).to_be_visible()
    expect(page.get_by_text("Apr 1, 2026, 12:00")).to_be_visible()

    page.get_by_role("link", name="Offers").click()
    page.get_by_role("button", name="New offer").click()
    page.get_by_label("Title in English").fill("Three off")
    page.get_by_label("Title in Chinese").fill("立减三欧")
    page.get_by_role("textbox", name="Amount").fill("3")
    page.get_by_label("Basket of at least").fill("25")
    phone = page.locator(".phone")
    expect(phone).to_contain_text("Three off")
    expect(phone).to_contain_text("€3.00")
    expect(phone).to_contain_text("€25.00")

    page.get_by_label("Price 1").fill("20")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("output")).to_contain_text("It does not work")
    page.get_by_label("Price 1").fill("30")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("output")).to_contain_text("It takes off €3.00")

    page.get_by_role("button", name="Make the offer").click()
    expect(page.get_by_role("heading", name="Three off")).to_be_visible()
    page.get_by_role("link", name="Batches").click()
    page.get_by_role("button", name="New batch").click()
    page.get_by_label("Name of the batch").fill("April")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("rowheader", name="April")).to_be_visible()
    page.get_by_role("button", name="Submit for review").click()
    page.get_by_label("Reason").fill("ready")
    page.get_by_role("dialog").get_by_role("button", name="Submit for review").click()
    expect(page.get_by_text("In review").first).to_be_visible()

    # Whoever has made it may not say yes to it, and hears why; somebody else may.
    page.get_by_role("link", name="Approval").click()
    approves(page, world.owner, clock)
    expect(page.get_by_role("alert")).to_contain_text("Somebody else has to approve this")
    address = page.url
    bea = another_person(database, world, Role.APPROVER, clock)
    with chromium.new_context(base_url=address.split("/console")[0], locale="en-GB") as context:
        second = context.new_page()
        comes_in(second, world, clock, bea)
        second.goto(address)
        approves(second, bea, clock)
        expect(second.get_by_text("Nothing has changed since the last approval.")).to_be_visible()
        expect(second.get_by_text("Scheduled").first).to_be_visible()


def another_person(database: Engine, world: World, role: Role, clock: Clock) -> Person:
    with transaction(database) as session:
        account = make.person(session, world.at, role, name="Bea", now=clock.now)
        return Person(account, app_of(session, account, now=clock.now - timedelta(hours=1)))


def approves(page: Page, who: Person, clock: Clock) -> None:
    """Approve what is shown; the confirmation comes up by itself, and the request goes on."""
    clock.passes(minutes=11)
    page.get_by_label("Reason").fill("looks right")
    page.get_by_role("button", name="Approve exactly this").click()
    page.get_by_role("dialog").get_by_label("Code").fill(who.app.code(clock.now))
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_campaign_is_paused_and_goes_on_with_a_reason_in_its_history(
    page: Page, world: World, clock: Clock
) -> None:
    comes_in(page, world, clock)
    opens(page, f"campaigns/{world.campaign.id}")
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Giving out and redeeming, in every store").check()
    page.get_by_label("Reason").fill("a misprint")
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()

    expect(page.get_by_text("Redeeming is stopped as well.")).to_be_visible()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    page.get_by_role("link", name="History").click()
    expect(page.get_by_text("a misprint")).to_be_visible()


def test_coupons_are_found_by_filters_in_the_address_and_by_their_code(
    page: Page, world: World, clock: Clock
) -> None:
    comes_in(page, world, clock)
    opens(page, "coupons?state=redeemed")
    expect(page.locator("tbody tr")).to_have_count(6)
    page.get_by_label("State").select_option("active")
    expect(page.locator("tbody tr")).to_have_count(6)
    assert page.url.endswith("coupons?state=active")
    assert page.get_by_role("button", name="CSV").get_attribute("href") == (
        "/v1/coupons.csv?state=active"
    )
    with page.expect_download() as file:
        page.get_by_role("button", name="CSV").click()
    assert len(file.value.path().read_text(encoding="utf-8-sig").splitlines()) == 1 + 6

    sought = world.coupons[7]
    page.locator("main").press("/")
    page.keyboard.type((sought.short_code or "").lower())
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name="2 EUR off").click()
    expect(page.get_by_text(str(sought.id))).to_be_visible()


def test_many_coupons_are_revoked_at_once_and_each_story_tells_why(
    page: Page, world: World, clock: Clock
) -> None:
    comes_in(page, world, clock)
    opens(page, "coupons?state=active")
    page.get_by_label("Choose all that are shown").check()
    page.get_by_label(f"Choose {world.coupons[-1].id}").uncheck()
    page.get_by_role("button", name="Revoke those chosen").click()
    page.get_by_label("Reason").fill("printed twice")
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()

    expect(page.locator("tbody tr")).to_have_count(1)
    opens(page, f"coupons/{world.coupons[8].id}")
    expect(page.get_by_text("printed twice")).to_be_visible()
    expect(page.locator("main ol li")).to_have_count(2)


def test_a_list_is_tried_and_then_brought_in(page: Page, world: World, clock: Clock) -> None:
    comes_in(page, world, clock)
    opens(page, "imports")
    lines = "customer_id;segments\nc-1;regular\n;x\nc-2;\n"
    page.get_by_label("File").set_input_files(
        {"name": "list.csv", "mimeType": "text/csv", "buffer": lines.encode()}
    )

    expect(page.get_by_text("Would be left out: 1")).to_be_visible()
    expect(page.get_by_label("Your name for the customer")).to_have_value("0")
    page.get_by_role("button", name="Bring the good lines in").click()

    expect(page.get_by_text("3 / 3 done, 1 left out")).to_be_visible()
    opens(page, "customers")
    expect(page.get_by_role("rowheader")).to_have_text(["c-1", "c-2"])


def test_figures_are_drawn_and_told_as_a_table(page: Page, world: World, clock: Clock) -> None:
    comes_in(page, world, clock)
    opens(page, "reports")
    charts = page.locator(".chart svg")
    expect(charts).to_have_count(4)
    page.get_by_role("button", name="Show as table").nth(2).click()

    rows = page.get_by_role("region").locator("tbody tr")
    expect(rows).to_have_text(["Issued12", "In somebody's hands6", "Redeemed6", "Taken back0"])
    expect(page.get_by_text("The budget or the count is used up on")).to_be_visible()


def test_everything_is_reached_by_the_keyboard(page: Page, world: World, clock: Clock) -> None:
    comes_in(page, world, clock)
    page.keyboard.press("g")
    page.keyboard.press("k")
    expect(page.get_by_role("heading", level=1)).to_have_text("Coupons")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("/")

    expect(page.get_by_role("searchbox", name="Search")).to_be_focused()


def test_a_shop_manager_sees_their_own_stores_and_nothing_else(
    page: Page, world: World, clock: Clock, database: Engine
) -> None:
    comes_in(page, world, clock, another_person(database, world, Role.SHOP_MANAGER, clock))

    links = page.get_by_role("navigation", name="Menu").get_by_role("link")
    expect(links).to_have_text(["Campaigns", "Stores and terminals", "Reports", "Settings"])
    opens(page, "places")
    expect(page.get_by_role("heading", name="Main street")).to_have_count(1)
    opens(page, "audit")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such screen.")


# Contrast depends on the scheme alone, and everything else on the language alone.
@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("zh", "dark")])
def test_every_screen_is_for_everybody(
    page: Page, world: World, clock: Clock, language: str, scheme: Literal["light", "dark"]
) -> None:
    """Nothing that axe complains of, and nothing that a phone has to scroll sideways."""
    page.emulate_media(color_scheme=scheme)
    comes_in(page, world, clock)
    page.evaluate("spoken => localStorage.setItem('counterfoil language', spoken)", language)
    page.set_viewport_size({"width": 360, "height": 800})
    own = f"campaigns/{world.campaign.id}"
    rooms = [f"{own}?room={room}" for room in ("offers", "batches", "approval", "ceilings")]
    more = [own, *rooms, f"{own}/offer", "campaigns/new", f"coupons/{world.coupons[0].id}"]
    for path in (*PLACES, *more):
        opens(page, path)

        assert violations(page) == [], path
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, path
