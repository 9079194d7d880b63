"""The wallet in a real browser: a coupon is taken, shown and read, and its receipt comes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from httpx import Client, Response
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from sqlalchemy import Engine
from sqlmodel import select

from coupon_engine import api_keys
from coupon_engine.customers import passcodes
from coupon_engine.database import transaction
from coupon_engine.tables import Coupon, Wallet
from redemption_app.build import HERE, build
from scanner import decode
from schemas.campaigns import BatchView, Level, OfflinePolicy
from schemas.offers import AmountOff, Conditions, PercentOff, Title, Validity
from tests import make
from tests.api.conftest import Clock, Counter, redemption
from tests.api.wire import serving

AXE = (Path(HERE) / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
CODE = "402716"
MAIL = "mei.lin@example.com"
LIVE = ".qr svg"
OF_TERMS = ("title", "benefit", "conditions", "validity", "uses")

expect.set_options(timeout=15_000)  # cores may be busy


class WallClock(Clock):
    """What a browser shows and signs is judged by real time, so the server goes by it too."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Phone:
    """Somebody's browser, with nothing in it but the wallet."""

    page: Page
    home: str
    at: make.Shop

    def opens(self, path: str = "") -> None:
        self.page.goto(f"{self.home}/wallet/{path}")

    def claims(self, batch: BatchView) -> None:
        self.opens(f"claim/{self.at.slug}/{batch.id}")
        self.page.get_by_role("button", name="Take it").click()
        expect(self.page.get_by_text("It is yours", exact=True)).to_be_visible()

    def shows(self) -> str:
        """Bring up the code from the list, and return what our own eye reads on the screen."""
        self.page.get_by_text("Show code", exact=True).first.click()
        return self.is_read()

    def is_read(self) -> str:
        self.page.locator(LIVE).wait_for()
        picture = np.frombuffer(self.page.screenshot(), np.uint8)
        seen = cv2.imdecode(picture, cv2.IMREAD_GRAYSCALE)
        assert seen is not None
        read = decode(seen.astype(np.uint8))
        assert len(read) == 1
        return read[0].text

    def is_ready_for_no_network(self) -> None:
        self.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        self.page.wait_for_function(
            """async () => {
                const names = await caches.keys()
                return names.length && (await (await caches.open(names[0])).keys()).length > 10
            }"""
        )


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    build()


@pytest.fixture(autouse=True)
def every_code_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands nowhere in clear, so no test could read it."""
    monkeypatch.setattr(passcodes, "_six_digits", lambda: CODE)


@pytest.fixture
def clock() -> Clock:
    return WallClock()


@pytest.fixture
def counter(served: FastAPI, door: Client, database: Engine, clock: Clock) -> Counter:
    now = clock()
    with transaction(database) as session:
        at = make.shop(session, now=now)
        ring = make.signing_key(session, at, now=now)
        made = api_keys.create_api_key(session, at.operator_id, "tests", now=now)
    return Counter(door, at, ring, made.api_key, served.openapi())


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    with chromium.new_context(viewport={"width": 390, "height": 844}, locale="en-GB") as made:
        yield made


@pytest.fixture
def phone(context: BrowserContext, door: Client, counter: Counter) -> Phone:
    return Phone(context.new_page(), home_of(door), counter.at)


@pytest.fixture
def friend(chromium: Browser, door: Client, counter: Counter) -> Iterator[Phone]:
    with chromium.new_context(viewport={"width": 390, "height": 844}, locale="en-GB") as made:
        yield Phone(made.new_page(), home_of(door), counter.at)


@pytest.fixture
def batch(counter: Counter, database: Engine, clock: Clock) -> BatchView:
    return a_batch(counter, database, now=clock(), level=Level.HOLDER_SIGNED)


def a_batch(
    counter: Counter, database: Engine, *, now: datetime, batch: Any = None, **more: Any
) -> BatchView:
    """A batch of a campaign of its own; `more` is the campaign's, or the terms'."""
    terms = {name: more.pop(name) for name in list(more) if name in OF_TERMS}
    with transaction(database) as session:
        campaign = make.campaign(session, counter.at, now=now, **more)
        offer = make.offer(session, counter.at, campaign, now=now, **terms)
        return make.batch(session, counter.at, offer, now=now, **(batch or {}))


def home_of(door: Client) -> str:
    return str(door.base_url).rstrip("/")


def test_a_coupon_is_taken_shown_read_and_its_receipt_comes_by_itself(
    phone: Phone, counter: Counter, batch: BatchView
) -> None:
    phone.claims(batch)
    phone.page.get_by_role("link", name="Back").click()

    code = phone.shows()
    redeemed = counter.redeems(code)

    assert code.startswith("CP2A")
    assert (redeemed.status_code, redeemed.json()["discount_minor"]) == (201, 200)
    expect(phone.page.get_by_role("heading", name="You saved €2.00")).to_be_visible(timeout=15_000)
    expect(phone.page.get_by_text("at Main street")).to_be_visible()
    phone.opens("?show=used")
    expect(phone.page.get_by_role("heading", name="2 EUR off")).to_be_visible()


def test_in_airplane_mode_a_fresh_code_is_made_every_fifteen_seconds(
    context: BrowserContext, phone: Phone, counter: Counter, batch: BatchView, clock: Clock
) -> None:
    phone.claims(batch)
    phone.is_ready_for_no_network()
    context.set_offline(offline=True)
    context.clock.install()

    phone.opens()
    first = phone.shows()
    context.clock.fast_forward(16_000)
    phone.page.wait_for_function(f"document.querySelector('{LIVE} path')")
    second = phone.is_read()

    assert first != second
    signed = [make.read(text, counter.ring, now=clock()) for text in (first, second)]
    assert [each.coupon_id for each in signed] == [signed[0].coupon_id] * 2
    assert counter.redeems(second).status_code == 201


def test_with_the_server_gone_the_app_opens_cold_and_shows_a_code(
    context: BrowserContext, served: FastAPI, counter: Counter, batch: BatchView, clock: Clock
) -> None:
    with serving(served) as url:
        phone = Phone(context.new_page(), url, counter.at)
        phone.claims(batch)
        phone.is_ready_for_no_network()
        phone.page.close()

    phone.page = context.new_page()
    phone.opens()

    shown = make.read(phone.shows(), counter.ring, now=clock())

    expect(phone.page.get_by_text("This code changes by itself")).to_be_visible()
    assert phone.page.url.split("/")[-2] == str(shown.coupon_id)


def test_the_key_never_leaves_the_phone(phone: Phone, batch: BatchView) -> None:
    phone.claims(batch)

    told = phone.page.evaluate(
        """async () => {
            const opened = await new Promise((resolve) => {
                const asking = indexedDB.open("counterfoil wallet")
                asking.onsuccess = () => resolve(asking.result)
            })
            const wallets = await new Promise((resolve) => {
                const asking = opened.transaction("wallets").objectStore("wallets").getAll()
                asking.onsuccess = () => resolve(asking.result)
            })
            const { privateKey } = wallets[0].key
            const tries = ["pkcs8", "jwk"].map((format) =>
                crypto.subtle.exportKey(format, privateKey))
            return (await Promise.allSettled(tries)).map((each) => each.reason?.name)
        }"""
    )

    assert told == ["InvalidAccessError", "InvalidAccessError"]


def test_a_claim_whose_answer_was_lost_is_asked_again_and_counts_once(
    phone: Phone, batch: BatchView, database: Engine
) -> None:
    def loses_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    phone.page.route("**/v1/wallet/claims", loses_the_answer)
    phone.opens(f"claim/{phone.at.slug}/{batch.id}")
    phone.page.get_by_role("button", name="Take it").click()
    expect(phone.page.get_by_text("It is kept, and asked again by itself")).to_be_visible()
    phone.page.unroute("**/v1/wallet/claims")

    phone.opens()

    expect(phone.page.get_by_role("heading", name="2 EUR off")).to_be_visible()
    expect(phone.page.get_by_role("link", name="Usable 1")).to_be_visible()
    with transaction(database) as session:
        assert len(session.exec(select(Coupon)).all()) == 1


def test_a_phone_whose_clock_is_wrong_learns_the_time_from_the_first_answer(
    context: BrowserContext, phone: Phone, counter: Counter, batch: BatchView, clock: Clock
) -> None:
    context.clock.install(time=clock() + timedelta(hours=3))

    phone.claims(batch)
    phone.opens()

    assert counter.redeems(phone.shows()).status_code == 201


def test_the_counters_four_digits_are_answered(
    phone: Phone, counter: Counter, database: Engine, clock: Clock
) -> None:
    phone.claims(a_batch(counter, database, now=clock(), level=Level.CHALLENGED))
    phone.opens()

    refused = counter.redeems(phone.shows())
    phone.page.get_by_label("Four digits from the counter").fill("4711")
    expect(phone.page.get_by_text("This code answers the counter's digits")).to_be_visible()
    phone.page.wait_for_timeout(200)
    taken = counter.redeems(phone.is_read(), challenge="4711")

    assert (refused.status_code, refused.json()["code"]) == (409, "challenge_required")
    assert taken.status_code == 201


def test_a_code_that_somebody_was_told_gives_its_coupon(
    phone: Phone, counter: Counter, database: Engine, clock: Clock
) -> None:
    batch = a_batch(counter, database, now=clock(), batch={"has_short_codes": True})
    with transaction(database) as session:
        code = make.coupon(session, counter.at, batch, now=clock()).short_code
    assert code

    phone.opens("code")
    phone.page.get_by_label("Name of the shop").fill(phone.at.slug)
    phone.page.get_by_role("textbox", name="Short code").fill(code.lower())
    phone.page.get_by_role("button", name="Get the coupon").click()

    expect(phone.page.get_by_text("It is yours", exact=True)).to_be_visible()
    assert phone.shows().startswith("CP2A")
    expect(phone.page.get_by_text(code)).to_be_visible()


def test_a_gift_reaches_a_friend_and_works_there_alone(
    phone: Phone, friend: Phone, counter: Counter, batch: BatchView
) -> None:
    phone.claims(batch)
    link = gives(phone)

    friend.page.goto(link)
    friend.page.get_by_role("button", name="Take the coupon").click()
    expect(friend.page.get_by_text("It is yours", exact=True)).to_be_visible()
    phone.opens()

    expect(phone.page.get_by_text("No coupon to use right now")).to_be_visible()
    assert counter.redeems(friend.shows()).status_code == 201


def test_a_gift_that_nobody_took_is_taken_back(
    phone: Phone, friend: Phone, counter: Counter, batch: BatchView
) -> None:
    phone.claims(batch)
    link = gives(phone)
    expect(phone.page.get_by_role("link", name="Show code")).to_have_count(0)

    phone.page.get_by_role("button", name="Take it back").click()
    expect(phone.page.get_by_text("It is yours again")).to_be_visible()
    friend.page.goto(link)
    friend.page.get_by_role("button", name="Take the coupon").click()

    expect(friend.page.get_by_role("heading", name="This gift is gone")).to_be_visible()
    phone.opens()
    assert counter.redeems(phone.shows()).status_code == 201


def gives(phone: Phone) -> str:
    phone.page.get_by_role("link", name="Give to a friend").click()
    phone.page.get_by_role("button", name="Make the link").click()
    return phone.page.locator(".link").inner_text()


def test_a_lost_phones_coupons_come_to_the_new_one(
    phone: Phone, friend: Phone, counter: Counter, batch: BatchView
) -> None:
    new = friend
    phone.claims(batch)
    signs_in(phone, f"sign-in/{phone.at.slug}")
    expect(phone.page.get_by_text("You find your coupons again")).to_be_visible()

    signs_in(new, f"sign-in/{new.at.slug}?back=1", end_others=True)
    expect(new.page.get_by_text("Welcome back")).to_be_visible()
    new.page.get_by_role("link", name="Coupons").first.click()
    code = new.shows()
    phone.opens()

    assert counter.redeems(code).status_code == 201
    expect(phone.page.get_by_text("Your coupons are not on this phone any more")).to_be_visible()
    phone.page.get_by_role("button", name="Begin anew").click()
    expect(phone.page.get_by_text("No coupon to use right now")).to_be_visible()


def signs_in(phone: Phone, path: str, *, end_others: bool = False) -> None:
    phone.opens(path)
    phone.page.get_by_label("Mail address").fill(MAIL)
    if end_others:
        phone.page.get_by_role("checkbox").check()
    phone.page.get_by_role("button", name="Send me a code").click()
    phone.page.get_by_label("Six digits").fill(CODE)
    phone.page.get_by_role("button", name="Continue").click()


def test_stores_come_by_distance_and_one_is_chosen(
    context: BrowserContext, phone: Phone, counter: Counter, database: Engine, clock: Clock
) -> None:
    far = placed(counter, "Far", 48_137_000, 11_575_000)
    near = placed(counter, "Near", 52_520_000, 13_405_000)
    assert {far.status_code, near.status_code} == {201}
    phone.claims(
        a_batch(
            counter,
            database,
            now=clock(),
            level=Level.HOLDER_SIGNED,
            offline=OfflinePolicy.ACTIVATED,
        )
    )
    context.grant_permissions(["geolocation"])
    context.set_geolocation({"latitude": 52.53, "longitude": 13.4})

    phone.page.get_by_role("link", name="Show the stores").first.click()
    phone.page.get_by_role("button", name="Sort by distance").click()
    expect(phone.page.locator("li h2")).to_have_text(["Near", "Far", "Main street"])
    assert "km away" in phone.page.locator("li").first.inner_text()
    phone.page.get_by_role("button", name="Use it here").first.click()

    expect(phone.page.get_by_text("Chosen: Near")).to_be_visible()
    asked = {**redemption(counter.at, phone.shows()), "store_id": near.json()["id"]}
    assert counter.posts("/v1/redemptions", asked).status_code == 201


def placed(counter: Counter, name: str, latitude: int, longitude: int) -> Response:
    return counter.posts(
        "/v1/stores",
        {
            "id": str(make.an_id()),
            "merchant_id": str(counter.at.store.merchant_id),
            "name": name,
            "zone": "Europe/Berlin",
            "address": f"{name} street 1",
            "latitude_microdegrees": latitude,
            "longitude_microdegrees": longitude,
        },
    )


def test_one_gets_all_that_is_known_and_is_forgotten(
    phone: Phone, batch: BatchView, database: Engine
) -> None:
    phone.claims(batch)
    phone.opens("me")

    with phone.page.expect_download() as download:
        phone.page.get_by_role("button", name="Get all that is known about me").click()
    phone.page.get_by_role("button", name="Forget me", exact=True).click()
    phone.page.get_by_role("button", name="Yes, forget me").click()

    expect(phone.page.get_by_text("You are forgotten")).to_be_visible()
    assert download.value.suggested_filename == f"{phone.at.slug}.json"
    phone.opens()
    expect(phone.page.get_by_text("No coupon to use right now")).to_be_visible()
    with transaction(database) as session:
        assert [row.ended_at is not None for row in session.exec(select(Wallet))] == [True]


SCREENS = (
    "",
    "?show=used",
    "?show=over",
    "coupons/{coupon}",
    "coupons/{coupon}/code",
    "claim/{slug}/{batch}",
    "claim/{slug}/nothing",
    "code",
    "receipts",
    "stores",
    "give/{coupon}",
    "gift/{slug}#AAAAAAAAAAAAAAAAAAAAAA",
    "sign-in",
    "sign-in?back=1",
    "me",
)


@pytest.mark.timeout(240)  # every screen twice, on crowded machines
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_screen_is_clean_for_everybody_and_fits(
    phone: Phone, counter: Counter, database: Engine, clock: Clock, language: str
) -> None:
    """By axe-core, in light and dark, from a small phone to a desk."""
    batch = filled(phone, counter, database, now=clock())
    phone.opens()
    href = phone.page.get_by_role("link", name="Show code").first.get_attribute("href")
    assert href
    known = {"coupon": href.split("/")[-2], "slug": phone.at.slug, "batch": batch.id}
    if language == "zh":
        phone.page.get_by_role("button", name="中文").click()

    found: dict[tuple[str, str], list[Any]] = {}
    for screen in SCREENS:
        phone.opens(screen.format(**known))
        phone.page.locator("h1").first.wait_for(state="attached")
        expect(phone.page.locator("[aria-busy=true]")).to_have_count(0)
        phone.page.evaluate(AXE)
        for scheme in ("light", "dark"):
            phone.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found[screen, scheme] = violations(phone.page)
        for width in (360, 820, 1440):
            phone.page.set_viewport_size({"width": width, "height": 800})
            assert phone.page.evaluate("document.documentElement.scrollWidth") <= width, screen
    assert {where: what for where, what in found.items() if what} == {}
    assert len(found) == 2 * len(SCREENS)


def filled(phone: Phone, counter: Counter, database: Engine, *, now: datetime) -> BatchView:
    """Fill a wallet with one of each: to use, in parts, used up, over, and one to be taken."""
    spent = a_batch(counter, database, now=now, title=Title(en="Free coffee", zh="免费咖啡"))
    phone.claims(spent)
    assert counter.redeems(phone.shows()).status_code == 201
    expect(phone.page.get_by_role("heading", name="You saved")).to_be_visible(timeout=15_000)
    phone.claims(
        a_batch(
            counter,
            database,
            now=now,
            level=Level.HOLDER_SIGNED,
            title=Title(en="20 % off your whole basket", zh="全场八折"),
            benefit=PercentOff(percent_off_bp=2_000, cap_minor=500),
            conditions=Conditions(minimum_basket_minor=1_500, stores=(counter.at.store.id,)),
            validity=Validity(days_after_issue=2),
            uses=3,
        )
    )
    offered = a_batch(
        counter,
        database,
        now=now,
        level=Level.CHALLENGED,
        title=Title(en="5 euros off", zh="立减5欧元"),
        benefit=AmountOff(amount_minor=500),
    )
    phone.claims(offered)
    return offered


def violations(page: Page) -> list[Any]:
    told = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        (each["id"], [re.sub(r"\s+", " ", node["html"])[:160] for node in each["nodes"]])
        for each in told["violations"]
    ]
