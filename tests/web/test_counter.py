"""The counter in a real browser: paired, coupons scanned by wire and by camera, and verdicts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from httpx import Client
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from sqlalchemy import Engine
from sqlmodel import select

from coupon_engine import api_keys
from coupon_engine.database import transaction
from coupon_engine.drawing import png
from coupon_engine.tables import Redemption, Reversal
from redemption_app.build import HERE, build
from schemas.access import Role
from schemas.campaigns import OfflinePolicy
from schemas.offers import Conditions
from tests import browser, make
from tests.api import askers
from tests.api.askers import Asker
from tests.api.conftest import Clock, Counter

AXE = (Path(HERE) / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
SHIFTED = {":": "Shift+Semicolon", "$": "Shift+Digit4", "%": "Shift+Digit5", "*": "Shift+Digit8"}
NAMED = {" ": "Space", "-": "Minus", ".": "Period", "/": "Slash", "+": "Shift+Equal"} | SHIFTED


class WallClock(Clock):
    """A terminal signs by real time, so the server goes by it too."""

    def __call__(self) -> datetime:
        return datetime.now(UTC)


@dataclass
class Till:
    """A device at a counter, with nothing in it but the app."""

    page: Page
    home: str
    manager: Asker
    terminal_id: str = ""

    def opens(self, path: str = "") -> None:
        self.page.goto(f"{self.home}/counter/{path}")

    def reads_the_set_up(self) -> dict[str, Any]:
        """Show a picture to it, and return the pairing that waits for a yes."""
        body = {
            "id": str(make.an_id()),
            "store_id": str(self.manager.at.store.id),
            "name": "Till 7",
        }
        picture = self.manager.posts("/v1/pairings", body).json()
        self.opens()
        self.page.get_by_label("Text of the set-up code").fill(picture["text"])
        self.page.get_by_role("button", name="Set up", exact=True).click()
        expect(self.page.get_by_text("Are these the digits")).to_be_visible()
        return picture

    def is_paired(self) -> None:
        picture = self.reads_the_set_up()
        self.page.wait_for_function("document.querySelector('.digits')")
        digits = self.page.locator(".digits").inner_text().replace(" ", "")
        self.wait_until_answered(picture["id"])
        body = {"id": str(make.an_id()), "pairing_id": picture["id"], "digits": digits}
        assert self.manager.posts("/v1/pairing-confirmations", body).status_code == 201
        self.terminal_id = picture["terminal_id"]
        expect(self.page.get_by_text("Till 7")).to_be_visible(timeout=20_000)
        self.is_ready()

    def wait_until_answered(self, pairing_id: str) -> None:
        for _ in range(100):
            if self.manager.gets(f"/v1/pairings/{pairing_id}").json()["state"] == "answered":
                return
            self.page.wait_for_timeout(50)
        pytest.fail("the device has not answered the picture")

    def is_ready(self) -> None:
        """It holds its journal, and has heard from the server all that it needs alone."""
        self.opens("settings")
        expect(self.page.locator("dd").last).not_to_have_text("not at all", timeout=20_000)
        self.page.get_by_role("link", name="Scan").click()

    def scans(self, text: str) -> None:
        """Type as a scanner on a cable does."""
        self.page.evaluate(TYPED_BY_A_SCANNER, [key_of(letter) for letter in text])

    def verdict(self, colour: str) -> Any:
        return self.page.locator(f".verdict[data-colour={colour}]")


# A scanner's keys are some milliseconds apart. To send each through Playwright takes longer.
TYPED_BY_A_SCANNER = """async (keys) => {
    const key = globalThis.keyOfScanner
    for (const [code, shiftKey] of [...keys, ["Enter", false]]) {
        const target = document.activeElement ?? document.body
        const more = { code, key: key ?? "", shiftKey, bubbles: true, cancelable: true }
        target.dispatchEvent(new KeyboardEvent("keydown", more))
        await new Promise((next) => setTimeout(next, 1))
    }
}"""


def key_of(letter: str) -> tuple[str, bool]:
    if letter.isdigit():
        return f"Digit{letter}", False
    if letter.isalpha():
        return f"Key{letter}", True
    name = NAMED[letter]
    return name.removeprefix("Shift+"), name.startswith("Shift+")


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    build()


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
def manager(database: Engine, door: Client, counter: Counter, clock: Clock) -> Asker:
    return askers.person(database, door, counter.at, Role.SHOP_MANAGER, now=clock())


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    with chromium.new_context(viewport={"width": 820, "height": 1_000}, locale="en-GB") as made:
        yield made


@pytest.fixture
def fresh(context: BrowserContext, door: Client, manager: Asker) -> Till:
    return Till(context.new_page(), str(door.base_url).rstrip("/"), manager)


@pytest.fixture
def till(fresh: Till, code: str) -> Till:
    """Paired, while there was something to redeem."""
    assert code
    fresh.is_paired()
    return fresh


@pytest.fixture
def code(counter: Counter, database: Engine, clock: Clock) -> str:
    return a_code(counter, database, now=clock())


def a_code(counter: Counter, database: Engine, *, now: datetime, **terms: Any) -> str:
    """What the phone of a coupon that takes two euros off shows."""
    with transaction(database) as session:
        campaign = make.campaign(
            session, counter.at, now=now, offline=OfflinePolicy.DEVICE_QUOTA, offline_count=3
        )
        offer = make.offer(session, counter.at, campaign, now=now, **terms)
        batch = make.batch(session, counter.at, offer, now=now)
        coupon = make.coupon(session, counter.at, batch, now=now)
        return make.code(session, counter.at, coupon, counter.ring, now=now)


def redeemed(database: Engine) -> list[Redemption]:
    with transaction(database) as session:
        rows = list(session.exec(select(Redemption)).all())
        session.expunge_all()
        return rows


def test_a_set_up_code_a_scanner_and_the_record_has_it(
    till: Till, code: str, database: Engine
) -> None:
    till.page.get_by_label("Amount").fill("10.00")

    till.scans(code)

    expect(till.verdict("green")).to_be_visible()
    expect(till.page.get_by_text("Take €2.00 off.").first).to_be_visible()
    (row,) = redeemed(database)
    assert (str(row.terminal_id), row.discount_minor) == (till.terminal_id, 200)


def test_after_a_yes_the_next_one_needs_no_tap(
    till: Till, code: str, counter: Counter, database: Engine, clock: Clock
) -> None:
    till.scans(code)
    expect(till.page.get_by_label("Last one")).to_be_visible()

    till.scans(a_code(counter, database, now=clock()))

    expect(till.verdict("green")).to_have_count(0)
    expect(till.page.get_by_label("Last one")).to_be_visible()
    assert len(redeemed(database)) == 2


def test_a_coupon_that_was_used_says_when_and_where(
    till: Till, code: str, database: Engine
) -> None:
    till.scans(code)
    expect(till.page.get_by_label("Last one")).to_be_visible()

    till.scans(code)

    red = till.verdict("red")
    expect(red).to_contain_text("NO")
    expect(red).to_contain_text(re.compile(r"First used: \w+ \d+, \d{4}, .+, at this terminal"))
    expect(red).to_contain_text("Take nothing off.")
    assert len(redeemed(database)) == 1


def test_a_scanner_is_understood_while_somebody_writes_chinese(
    till: Till, code: str, database: Engine
) -> None:
    """An input method swallows what the keys mean; where they lie it cannot."""
    till.page.evaluate("globalThis.keyOfScanner = 'Process'")
    till.page.get_by_label("Amount").focus()

    till.scans(code)

    expect(till.page.get_by_label("Last one")).to_be_visible()
    assert len(redeemed(database)) == 1


def test_whoever_types_by_hand_is_no_scanner(till: Till, database: Engine) -> None:
    field = till.page.get_by_label("Receipt number")
    field.press_sequentially("HELLO WORLD", delay=120)
    field.press("Enter")

    assert field.input_value() == "HELLO WORLD"
    expect(till.page.locator(".verdict")).to_have_count(0)
    assert redeemed(database) == []


def test_what_was_typed_and_is_no_coupon_is_no_verdict_about_one(till: Till) -> None:
    till.page.get_by_label("Scan, or type the short code").fill("HELLO WORLD")
    till.page.get_by_role("button", name="Redeem").click()

    expect(till.verdict("grey")).to_contain_text("SCAN AGAIN")


def test_what_a_scanner_types_into_a_field_does_not_stay_there(till: Till, code: str) -> None:
    amount = till.page.get_by_label("Amount")
    amount.fill("10.00")

    till.page.keyboard.type(code.replace(":", "").replace("$", "")[:30], delay=0)
    till.page.keyboard.press("Enter")

    expect(amount).to_have_value("10.00")
    expect(till.page.locator(".verdict")).to_be_visible()


def test_a_basket_that_is_too_small_may_work_in_a_moment(
    till: Till, counter: Counter, database: Engine, clock: Clock
) -> None:
    conditions = Conditions(minimum_basket_minor=2_000)
    code = a_code(counter, database, now=clock(), conditions=conditions)
    till.page.get_by_label("Amount").fill("10.00")
    till.scans(code)
    expect(till.verdict("amber")).to_contain_text("NOT YET")

    till.page.get_by_role("button", name="Next").click()
    till.page.get_by_label("Amount").fill("20.00")
    till.scans(code)

    expect(till.page.get_by_label("Last one")).to_be_visible()
    assert [row.basket_minor for row in redeemed(database)] == [2_000]


def test_items_are_added_up_and_sent(
    till: Till, counter: Counter, database: Engine, clock: Clock
) -> None:
    conditions = Conditions(minimum_units=3)
    code = a_code(counter, database, now=clock(), conditions=conditions)
    till.page.get_by_role("button", name="Add an item").click()
    till.page.get_by_label("Product").fill("tea")
    till.page.get_by_label("Quantity").fill("3")
    till.page.get_by_label("Price each").fill("4.50")
    expect(till.page.get_by_text("€13.50")).to_be_visible()

    till.scans(code)

    expect(till.page.get_by_label("Last one")).to_be_visible()
    assert [row.basket_minor for row in redeemed(database)] == [1_350]


def test_whoever_wants_to_look_first_spends_nothing_by_looking(
    till: Till, code: str, database: Engine
) -> None:
    looks_first(till)

    till.scans(code)
    expect(till.page.get_by_text("−€2.00")).to_be_visible()
    assert redeemed(database) == []
    till.page.get_by_role("button", name="Redeem it now").click()

    expect(till.page.get_by_label("Last one")).to_be_visible()
    assert len(redeemed(database)) == 1


def looks_first(till: Till) -> None:
    till.page.get_by_role("link", name="Settings").click()
    till.page.get_by_label("Show what a coupon is worth").check()
    till.page.get_by_role("link", name="Scan").click()


def test_with_no_server_the_counter_decides_alone_and_tells_it_later(
    context: BrowserContext, till: Till, code: str, database: Engine
) -> None:
    context.set_offline(offline=True)
    till.scans(code)

    expect(till.page.get_by_label("Last one")).to_contain_text("without the network")
    expect(till.page.get_by_text("No network: works alone until")).to_be_visible()
    expect(till.page.get_by_text(re.compile(r"\d waiting"))).to_be_visible()
    assert redeemed(database) == []
    context.set_offline(offline=False)

    expect(till.page.get_by_text("Online", exact=True)).to_be_visible(timeout=40_000)
    expect(till.page.get_by_text("waiting")).to_have_count(0)
    assert len(redeemed(database)) == 1


def test_what_was_redeemed_alone_survives_the_tab(
    context: BrowserContext, till: Till, code: str, database: Engine
) -> None:
    """The journal has it before the cashier sees green."""
    till.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    context.set_offline(offline=True)
    till.scans(code)
    expect(till.verdict("green")).to_be_visible()
    till.page.close()

    till.page = context.new_page()
    till.opens()
    expect(till.page.get_by_text("1 waiting")).to_be_visible()
    till.scans(code)

    expect(till.verdict("red")).to_contain_text("at this terminal")
    assert redeemed(database) == []


def test_a_server_that_takes_too_long_is_not_waited_for(
    till: Till, code: str, database: Engine
) -> None:
    """Its answer is lost; it was redeemed there all the same, and counts once."""

    def loses_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    till.page.route("**/v1/redemptions", loses_the_answer)
    till.scans(code)

    expect(till.page.get_by_label("Last one")).to_contain_text("without the network")
    expect(till.page.get_by_text("waiting")).to_have_count(0, timeout=40_000)
    assert len(redeemed(database)) == 1


def test_a_terminal_that_was_revoked_says_so(till: Till, code: str, database: Engine) -> None:
    body = {"id": str(make.an_id()), "terminal_id": till.terminal_id, "reason": "lost"}
    assert till.manager.posts("/v1/terminal-revocations", body).status_code == 201

    till.scans(code)

    expect(till.page.get_by_text("This terminal may not redeem any more")).to_be_visible()
    assert redeemed(database) == []


def test_nobody_removes_a_terminal_whose_records_have_not_arrived(
    context: BrowserContext, till: Till, code: str
) -> None:
    context.set_offline(offline=True)
    till.scans(code)
    expect(till.page.get_by_label("Last one")).to_be_visible()
    removes(till)
    expect(till.page.get_by_text("The server has not got everything yet")).to_be_visible()
    context.set_offline(offline=False)

    removes(till)

    expect(till.page.get_by_text("Set up this counter")).to_be_visible(timeout=20_000)


def removes(till: Till) -> None:
    till.page.get_by_role("link", name="Settings").click()
    till.page.get_by_role("button", name="Remove this terminal").click()
    till.page.get_by_role("button", name="Yes, remove it").click()


def test_only_one_tab_redeems(context: BrowserContext, till: Till) -> None:
    other = Till(context.new_page(), till.home, till.manager)

    other.opens()

    expect(other.page.get_by_text("open in another tab")).to_be_visible()


def test_a_manager_who_says_no_is_heard(fresh: Till) -> None:
    picture = fresh.reads_the_set_up()
    fresh.wait_until_answered(picture["id"])
    body = {"id": str(make.an_id()), "pairing_id": picture["id"]}
    assert fresh.manager.posts("/v1/pairing-refusals", body).status_code == 201

    expect(fresh.page.get_by_text("The manager has said no")).to_be_visible(timeout=20_000)


def test_the_terminals_key_never_leaves_the_device(till: Till) -> None:
    told = till.page.evaluate(
        """async () => {
            const opened = await new Promise((resolve) => {
                const asking = indexedDB.open("counterfoil counter")
                asking.onsuccess = () => resolve(asking.result)
            })
            const { key } = await new Promise((resolve) => {
                const asking = opened.transaction("notes").objectStore("notes").get("identity")
                asking.onsuccess = () => resolve(asking.result)
            })
            return crypto.subtle.exportKey("pkcs8", key.privateKey).catch((error) => error.name)
        }"""
    )

    assert told == "InvalidAccessError"


def test_the_cashier_signs_in_and_is_named(
    till: Till, counter: Counter, code: str, database: Engine
) -> None:
    ann = {
        "id": str(make.an_id()),
        "store_id": str(counter.at.store.id),
        "name": "Ann",
        "pin": "2580",
    }
    assert till.manager.posts("/v1/cashiers", ann).status_code == 201
    till.opens()
    signs_in(till, "Ann", "2581")
    expect(till.page.get_by_text("This is not the PIN")).to_be_visible()

    signs_in(till, "Ann", "2580")
    expect(till.page.get_by_label("Amount")).to_be_visible()
    till.scans(code)

    expect(till.page.get_by_label("Last one")).to_be_visible()
    assert [row.cashier for row in redeemed(database)] == ["Ann"]


def signs_in(till: Till, name: str, pin: str) -> None:
    till.page.get_by_label("Name").select_option(name)
    till.page.get_by_label("PIN").fill(pin)
    till.page.get_by_role("button", name="Sign in").click()


def test_a_redemption_is_taken_back_and_the_coupon_works_again(
    till: Till, code: str, database: Engine
) -> None:
    till.scans(code)
    expect(till.page.get_by_label("Last one")).to_be_visible()
    till.page.get_by_role("link", name="History").click()
    expect(till.page.get_by_label("Today")).to_contain_text("1 accepted")

    till.page.get_by_role("button", name="Undo").click()
    till.page.get_by_label("Why").select_option("Wrong amount")
    till.page.get_by_role("button", name="Take it back").click()
    expect(till.page.get_by_text("Charge the customer this amount")).to_be_visible()
    till.page.get_by_role("button", name="Close").click()

    expect(till.page.get_by_label("Today")).to_contain_text("0 accepted")
    expect(till.page.get_by_role("button", name="Undo")).to_have_count(0)
    with transaction(database) as session:
        assert [row.reason for row in session.exec(select(Reversal))] == ["Wrong amount"]
    till.page.get_by_role("link", name="Scan").click()
    till.scans(code)
    expect(till.page.get_by_label("Last one")).to_be_visible()
    assert [row.reversed_minor for row in redeemed(database)] == [200, 0]


def test_after_a_minute_it_takes_a_pin_to_take_it_back(
    till: Till, counter: Counter, code: str, database: Engine
) -> None:
    for name, pin in (("Ann", "2580"), ("Bob", "8052")):
        body = {
            "id": str(make.an_id()),
            "store_id": str(counter.at.store.id),
            "name": name,
            "pin": pin,
        }
        assert till.manager.posts("/v1/cashiers", body).status_code == 201
    till.opens()
    signs_in(till, "Ann", "2580")
    till.scans(code)
    expect(till.page.get_by_label("Last one")).to_be_visible()
    till.page.get_by_role("link", name="History").click()
    till.page.evaluate("{ const now = Date.now; Date.now = () => now() + 90_000 }")

    till.page.get_by_role("button", name="Undo").click()
    till.page.get_by_label("Name").select_option("Bob")
    till.page.get_by_label("PIN").fill("8052")
    till.page.get_by_role("button", name="Take it back").click()

    expect(till.page.get_by_text("Charge the customer this amount")).to_be_visible()
    with transaction(database) as session:
        assert [row.cashier for row in session.exec(select(Reversal))] == ["Bob"]


# The camera.


def moving(code: str) -> list[NDArray[np.uint8]]:
    """A second of a desk, on which a phone with this code comes closer; it blinks once."""
    drawn = cv2.imdecode(np.frombuffer(png(code), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    frames: list[NDArray[np.uint8]] = []
    for at in range(30):
        frame = np.full((720, 1_280, 3), 70, np.uint8)
        if at > 4:
            side = 380 + 4 * at
            picture = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
            frame[120 : 120 + side, 400 : 400 + side] = picture[:, :, None]
        frames.append(np.asarray(cv2.GaussianBlur(frame, (3, 3), 0), np.uint8))
    return frames


def test_the_camera_reads_a_phone_once_however_long_it_lies_there(
    chromium: Browser,
    door: Client,
    manager: Asker,
    code: str,
    database: Engine,
    tmp_path: Path,
) -> None:
    """A clip stands in for the camera, in a browser of its own: all else is real."""
    clip = tmp_path / "clip.mjpeg"
    clip.write_bytes(b"".join(cv2.imencode(".jpg", each)[1].tobytes() for each in moving(code)))
    found = browser.found()
    assert found
    seen = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    ]
    opened = chromium.browser_type.launch(
        executable_path=found.program,
        args=[*found.arguments, *seen],
        env=dict(found.environment),
    )
    with opened, opened.new_context(locale="en-GB", permissions=["camera"]) as context:
        till = Till(context.new_page(), str(door.base_url).rstrip("/"), manager)
        till.is_paired()

        till.page.get_by_role("button", name="Open the camera").click()

        expect(till.page.get_by_label("Last one")).to_be_visible(timeout=20_000)
        till.page.wait_for_timeout(3_000)  # the phone still lies there
        expect(till.page.locator(".verdict")).to_have_count(0)
    assert len(redeemed(database)) == 1


# For everybody.


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_screen_is_clean_for_everybody_and_fits(
    fresh: Till, counter: Counter, code: str, database: Engine, clock: Clock, language: str
) -> None:
    """By axe-core, in light and dark, from a small phone to a desk."""
    till = fresh
    minimum = Conditions(minimum_basket_minor=2_000)
    too_small = a_code(counter, database, now=clock(), conditions=minimum)
    unspent = a_code(counter, database, now=clock())
    till.opens()
    expect(till.page.get_by_text("Set up this counter")).to_be_visible()
    is_clean(till, "pairing", language)
    till.reads_the_set_up()
    is_clean(till, "comparing digits", language)
    till.page.get_by_role("button", name="Use another code").click()
    till.is_paired()
    till.page.get_by_role("button", name="Add an item").click()
    is_clean(till, "scanning", language)
    till.page.get_by_role("button", name="Remove this item").click()
    till.scans(code)
    expect(till.page.get_by_label("Last one")).to_be_visible()
    till.page.get_by_label("Amount").fill("10.00")
    for text, colour in ((code, "red"), (too_small, "amber"), ("NOTACOUPON1", "grey")):
        till.scans(text)
        expect(till.verdict(colour)).to_be_visible()
        is_clean(till, colour, language)
        till.page.get_by_role("button", name=NEXT).click()
    till.page.get_by_role("link", name="History").click()
    till.page.get_by_role("button", name="Undo").click()
    expect(till.page.get_by_text("This can be done until")).to_be_visible()
    is_clean(till, "undoing", language)
    for screen in ("history", "settings"):
        till.opens(screen)
        till.page.locator("h1").wait_for()
        is_clean(till, screen, language)
    looks_first(till)
    till.scans(unspent)
    expect(till.page.get_by_text("−€2.00")).to_be_visible()
    is_clean(till, "looking", language)


# Colours fade into one another: half-way they are nobody's choice.
AT_REST = """async () => {
    for (let frame = 0; frame < 2; frame += 1) await new Promise(requestAnimationFrame)
    await Promise.all(document.getAnimations().map(({ finished }) => finished.catch(() => null)))
}"""
NEXT = re.compile("Next|继续")


def is_clean(till: Till, screen: str, language: str) -> None:
    page = till.page
    if language == "zh":
        said_in(page, "zh")
    page.evaluate(AXE)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate(AT_REST)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        told = [(each["id"], [node["html"][:160] for node in each["nodes"]]) for each in found]
        assert told == [], (screen, scheme)
        for width in (360, 820, 1_440):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, screen
    if language == "zh":
        said_in(page, "en")


def said_in(page: Page, language: str) -> None:
    """Speak otherwise without a tap: a verdict lies over the switch."""
    name = "中文" if language == "zh" else "English"
    page.get_by_role("button", name=name, include_hidden=True).dispatch_event("click")
