"""The counter's page, in a real browser, with no network but this machine."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect

from coupon_engine.validation import wording
from scanner.terminal import checking
from scanner.terminal import page as pages
from scanner.terminal.checking import Finding, Flaw
from scanner.terminal.page import Standing, Typed
from scanner.terminal.seat import CashierNamed
from scanner.terminal.showing import Decider, Screen, Slip, accepted, plainly, refused, slipped
from schemas.baskets import Basket, Line
from schemas.offers import Title
from schemas.refusals import Reason, Why
from tests import make

SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desk": (1440, 900)}
CODE = "CP1A" + "0" * 120

ONLINE = Standing(
    name="Till 1",
    currency="EUR",
    is_online=True,
    is_hub=False,
    lease_until=make.NOON + timedelta(hours=20),
    unsent=0,
    is_clock_wrong=False,
)


COFFEE = Title(en="Coffee", zh="咖啡")


def a_yes(decided_by: Decider = Decider.SERVER, title: Title = COFFEE) -> Screen:
    return accepted(
        redemption_id=make.an_id(),
        coupon_id=make.an_id(),
        discount_minor=350,
        currency="EUR",
        decided_by=decided_by,
        title=title,
        is_provisional=decided_by is not Decider.SERVER,
    )


def digits_needed() -> Screen:
    reason = Reason(code=Why.CHALLENGE_REQUIRED, rule="level", needs={"challenge": "4711"})
    told = wording.refusal([reason], currency=None, zone="Europe/Berlin")
    return refused(told, decided_by=Decider.TERMINAL, challenge="4711")


SCREENS = {
    "green": a_yes(),
    "cloud": a_yes(Decider.TERMINAL),
    "red": plainly(Why.ALREADY_REDEEMED),
    "amber": digits_needed(),
    "grey": plainly(Why.NOT_A_COUPON),
}


@dataclass
class Counter:
    """What stands behind the page."""

    heard: list[Typed] = field(default_factory=list)
    answers: list[Screen] = field(default_factory=list)
    standing: Standing = ONLINE
    pins: dict[UUID, str] = field(default_factory=dict)
    tried: list[tuple[UUID, str]] = field(default_factory=list)

    def sit(self, cashier_id: UUID, pin: str) -> Screen | None:
        self.tried.append((cashier_id, pin))
        if self.pins[cashier_id] != pin:
            return slipped(Slip.WRONG_PIN)
        (name,) = (each.name for each in self.standing.cashiers if each.id == cashier_id)
        self.standing = self.standing.model_copy(update={"cashier": name})
        return None

    def leave(self) -> None:
        self.standing = self.standing.model_copy(update={"cashier": None})

    def scan(self, typed: Typed) -> Screen:
        self.heard.append(typed)
        return self.answers.pop(0)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def served(counter: Counter) -> Iterator[pages.Page]:
    made = pages.Page(counter.scan, lambda: counter.standing, sit=counter.sit, leave=counter.leave)
    yield made
    made.close()


@pytest.fixture(scope="module")
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(locale="en-GB")
    yield made
    made.close()


@pytest.fixture
def opened(context: BrowserContext, served: pages.Page) -> Iterator[Page]:
    """The page, open in a browser that may reach nothing else and complains of nothing."""
    page = context.new_page()
    wrong: list[str] = []

    def told(message: ConsoleMessage) -> None:
        if message.type == "error":
            wrong.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith(served.url):
            wrong.append(request.url)

    page.on("console", told)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", asked)
    page.goto(served.url)
    expect(page.locator("#name")).to_have_text("Till 1")
    yield page
    page.close()
    assert wrong == []


def scans(page: Page, text: str = CODE) -> None:
    """Do what a wedge scanner does: type quickly, wherever the focus is, and press Enter."""
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_a_wedge_scanner_types_and_the_whole_screen_answers(opened: Page, counter: Counter) -> None:
    counter.answers = [a_yes(Decider.TERMINAL)]

    scans(opened)

    verdict = opened.locator("#verdict")
    expect(verdict).to_have_attribute("data-colour", "green")
    expect(opened.locator("#word")).to_have_text("ACCEPTED")
    expect(opened.locator("#sentence")).to_contain_text("Coffee (€3.50); without the network")
    expect(opened.locator("#other")).to_contain_text("通过: 已核销")
    expect(opened.locator("#sign .cloud")).to_be_visible()
    expect(opened.locator("#sign .cross")).to_be_hidden()
    assert verdict.bounding_box() == {"x": 0, "y": 0, **(opened.viewport_size or {})}
    assert [each.code for each in counter.heard] == [CODE]


def test_the_next_scan_needs_no_hand(opened: Page, counter: Counter) -> None:
    counter.answers = [a_yes(), plainly(Why.ALREADY_REDEEMED)]
    scans(opened)
    expect(opened.locator("#verdict")).to_have_attribute("data-colour", "green")

    scans(opened, "0B3D-EF6H-JK9M")

    expect(opened.locator("#verdict")).to_have_attribute("data-colour", "red")
    expect(opened.locator("#word")).to_have_text("NO")
    assert [each.code for each in counter.heard] == [CODE, "0B3D-EF6H-JK9M"]


def test_what_stands_beside_the_code_comes_along_in_minor_units(
    opened: Page, counter: Counter
) -> None:
    counter.answers = [a_yes(), a_yes()]
    opened.get_by_label("Amount").fill("12,5")
    opened.get_by_label("Receipt").fill("4711")
    opened.get_by_label("Cashier").fill("Robin")
    opened.locator("#code").focus()

    scans(opened)
    expect(opened.locator("#verdict")).to_be_visible()
    opened.keyboard.press("Escape")
    opened.get_by_label("Amount").fill("1200")
    opened.get_by_label("Currency").fill("jpy")
    opened.locator("#code").focus()
    scans(opened)
    expect(opened.locator("#verdict")).to_be_visible()

    first, second = counter.heard
    assert (first.total_minor, first.currency) == (1_250, "EUR")
    assert (first.order_ref, first.cashier) == ("4711", "Robin")
    assert (second.total_minor, second.currency) == (1_200, "JPY")


def test_what_is_no_amount_is_not_sent(opened: Page, counter: Counter) -> None:
    for amount in ("1.999", "ten", "-3", "1e3", "0x10"):
        opened.get_by_label("Amount").fill(amount)
        opened.locator("#code").fill("")
        opened.locator("#code").focus()

        scans(opened)

        expect(opened.locator("#total:invalid")).to_have_count(1)
    assert counter.heard == []


def test_what_a_camera_has_scanned_is_shown_at_once(opened: Page, served: pages.Page) -> None:
    served.show(digits_needed())

    expect(opened.locator("#verdict")).to_have_attribute("data-colour", "amber")
    expect(opened.locator("#digits")).to_have_text("4711")
    expect(opened.locator("#sentence")).to_have_text("The customer types 4711 into the app.")


def test_everything_is_there_in_chinese(opened: Page, served: pages.Page) -> None:
    opened.get_by_role("button", name="中文").click()
    served.show(plainly(Why.EXPIRED))

    expect(opened.locator("#word")).to_have_text("不通过")
    expect(opened.locator("#sentence")).to_have_text("已过期。")
    expect(opened.locator("#other")).to_have_text("NO: Expired.")
    expect(opened.locator("#next")).to_have_text("下一位")
    expect(opened.locator("html")).to_have_attribute("lang", "zh-CN")


def test_the_line_at_the_top_says_how_long_it_works_alone(
    opened: Page, counter: Counter, served: pages.Page
) -> None:
    expect(opened.locator("#line")).to_have_text("Online")

    alone = {"is_online": False, "unsent": 3, "is_hub": True}
    counter.standing = ONLINE.model_copy(update=alone)
    served.show(plainly(Why.EXPIRED))

    expect(opened.locator("#line")).to_contain_text("No network: works alone until")
    expect(opened.locator("#unsent")).to_have_text("3 not sent yet")
    expect(opened.locator("#name")).to_have_text("Till 1 (hub)")


def test_texts_that_are_scripts_elsewhere_are_texts_here(
    opened: Page, counter: Counter, served: pages.Page
) -> None:
    for text in ("<img src=x onerror=alert(1)>", "</p><script>alert(1)</script>"):
        counter.standing = ONLINE.model_copy(update={"name": text})
        served.show(a_yes(title=Title(en=text, zh=text)))

        expect(opened.locator("#sentence")).to_contain_text(text)
        expect(opened.locator("#name")).to_have_text(text)
        assert opened.locator("img, #verdict script").count() == 0


@pytest.mark.parametrize("size", SIZES)
def test_it_fits_phones_tablets_and_desks_by_day_and_by_night(
    opened: Page, counter: Counter, served: pages.Page, size: str
) -> None:
    width, height = SIZES[size]
    opened.set_viewport_size({"width": width, "height": height})
    counter.standing = ONLINE.model_copy(
        update={
            "cashiers": (ANN, BOB),
            "wrong": checking.told([Finding(7, Flaw.CHAIN)]),
            "categories": ("drinks",),
        }
    )
    counter.pins = {ANN.id: "2580"}
    looks_again(opened, served)
    expect(opened.locator("#seat")).to_be_visible()
    assert fits(opened)
    assert small_targets(opened) == []
    signs_in(opened, "Ann", "2580")
    for product in ("coffee", "cake"):
        adds(opened, product, "1", "3.50")
    assert fits(opened)
    assert small_targets(opened) == []
    for label in ("#scan label span", "#line", "#scan .go"):
        ground = label if label == "#scan .go" else "body"
        for scheme in ("light", "dark"):
            opened.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            assert contrast(opened, label, ground) >= 4.5, (label, scheme)

    for screen in SCREENS.values():
        served.show(screen)
        expect(opened.locator("#verdict")).to_have_attribute("data-code", screen.code)
        assert fits(opened), screen.code
        assert small_targets(opened) == []
        assert contrast(opened, "#sentence", "#verdict") >= 4.5, screen.code
        assert opened.locator("#verdict").evaluate("e => e.scrollHeight <= e.clientHeight")


def fits(page: Page) -> bool:
    """Is there nothing to scroll sideways?"""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def small_targets(page: Page) -> list[str]:
    """Name what a thumb would miss: less than 44 pixels in either direction."""
    return page.evaluate(
        """() => [...document.querySelectorAll("button, input, select")]
            .map((each) => [each.id, each.getBoundingClientRect()])
            .filter(([, box]) => box.width && (box.width < 44 || box.height < 44))
            .map(([id]) => id)"""
    )


def contrast(page: Page, text: str, ground: str) -> float:
    """Return how far the text stands out from its ground. Source: WCAG 2.2, relative luminance."""
    ink = page.locator(text).first.evaluate("e => getComputedStyle(e).color")
    paper = page.locator(ground).evaluate("e => getComputedStyle(e).backgroundColor")
    bright, dark = sorted(map(luminance, (ink, paper)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(css: str) -> float:
    parts = [int(each) / 255 for each in css.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def looks_again(page: Page, served: pages.Page) -> None:
    """Let the page hear how the terminal stands now."""
    served.show(plainly(Why.EXPIRED))
    expect(page.locator("#verdict")).to_be_visible()
    page.keyboard.press("Escape")


# Who is at the counter.

ANN, BOB = (CashierNamed(id=make.an_id(), name=name) for name in ("Ann", "Bob"))


@pytest.fixture
def with_cashiers(opened: Page, counter: Counter, served: pages.Page) -> Page:
    counter.standing = ONLINE.model_copy(update={"cashiers": (ANN, BOB)})
    counter.pins = {ANN.id: "2580", BOB.id: "1357"}
    looks_again(opened, served)
    expect(opened.locator("#seat")).to_be_visible()
    return opened


def signs_in(page: Page, name: str, pin: str) -> None:
    page.get_by_label("Name").select_option(name)
    page.get_by_label("PIN").fill(pin)
    page.get_by_label("PIN").press("Enter")


def test_a_cashier_chooses_their_name_and_types_their_pin(
    with_cashiers: Page, counter: Counter
) -> None:
    page = with_cashiers
    expect(page.locator("#scan")).to_be_hidden()

    signs_in(page, "Bob", "0000")
    expect(page.locator("#no")).to_contain_text("This is not the PIN.")
    expect(page.get_by_label("PIN")).to_be_focused()
    signs_in(page, "Bob", "1357")

    expect(page.locator("#who")).to_have_text("Bob")
    expect(page.locator("#seat")).to_be_hidden()
    expect(page.locator("#cashier")).to_be_hidden()
    assert counter.tried == [(BOB.id, "0000"), (BOB.id, "1357")]
    counter.answers = [a_yes()]
    scans(page)
    expect(page.locator("#verdict")).to_be_visible()
    assert counter.heard[0].cashier is None  # the terminal knows who it is


def test_signing_out_leaves_nothing_of_the_sale_and_asks_for_the_next_name(
    with_cashiers: Page, counter: Counter
) -> None:
    page = with_cashiers
    signs_in(page, "Ann", "2580")
    page.get_by_label("Amount").fill("99")

    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#seat")).to_be_visible()
    expect(page.locator("#seated")).to_be_hidden()
    signs_in(page, "Bob", "1357")

    expect(page.get_by_label("Amount")).to_have_value("")


def test_a_code_that_is_scanned_into_the_pin_is_no_try(
    with_cashiers: Page, counter: Counter
) -> None:
    with_cashiers.get_by_label("Name").select_option("Ann")
    with_cashiers.get_by_label("PIN").focus()

    scans(with_cashiers)
    scans(with_cashiers, "4006381333931")

    expect(with_cashiers.get_by_label("PIN")).to_have_value("")
    assert counter.tried == []


def test_what_is_wrong_with_the_journal_is_told_with_what_to_do(
    opened: Page, counter: Counter, served: pages.Page
) -> None:
    wrong = checking.told([Finding(7, Flaw.CHAIN), Finding(3, Flaw.OLDER_COPY)])
    counter.standing = ONLINE.model_copy(update={"wrong": wrong})

    served.show(plainly(Why.EXPIRED))

    expect(opened.locator("#wrong")).to_contain_text("entry 3: an older copy of the journal")
    expect(opened.locator("#wrong")).to_contain_text("paired this terminal anew")
    expect(opened.locator("#wrong")).to_contain_text("(1 more)")


# What is in the basket.


def adds(page: Page, product: str, quantity: str, price: str) -> None:
    page.get_by_role("button", name="Add an item").click()
    row = page.locator(".row").last
    row.get_by_label("Product").fill(product)
    row.get_by_label("Quantity").fill(quantity)
    row.get_by_label("Price each").fill(price)


def test_items_come_along_and_the_amount_is_their_sum(opened: Page, counter: Counter) -> None:
    counter.answers = [a_yes(), a_yes()]
    adds(opened, "coffee", "2", "3,50")
    adds(opened, "cake", "1", "4.25")
    expect(opened.get_by_label("Amount")).to_have_value("11.25")
    assert opened.get_by_label("Amount").get_attribute("readonly") is not None
    adds(opened, "tea", "3", "2")
    opened.get_by_role("button", name="Remove this item").last.click()
    expect(opened.get_by_label("Amount")).to_have_value("11.25")
    opened.locator("#code").focus()

    scans(opened)
    expect(opened.locator("#verdict")).to_be_visible()
    opened.get_by_role("button", name="Next").click()
    scans(opened)
    expect(opened.locator("#verdict")).to_be_visible()

    first, second = counter.heard
    assert first.basket == Basket(
        currency="EUR",
        lines=(
            Line(product="coffee", quantity=2, unit_price_minor=350),
            Line(product="cake", quantity=1, unit_price_minor=425),
        ),
    )
    assert second.paid_for is None  # the next customer has another basket


def test_items_stay_while_the_customer_mends_something(opened: Page, counter: Counter) -> None:
    counter.answers = [plainly(Why.STALE), a_yes()]
    adds(opened, "coffee", "2", "3.50")
    opened.locator("#code").focus()

    scans(opened)
    expect(opened.locator("#verdict")).to_have_attribute("data-colour", "amber")
    opened.get_by_role("button", name="Next").click()
    scans(opened)
    expect(opened.locator("#verdict")).to_have_attribute("data-colour", "green")

    assert counter.heard[0].basket == counter.heard[1].basket is not None


def test_items_that_are_none_are_not_sent(opened: Page, counter: Counter) -> None:
    for product, quantity, price in (
        ("", "1", "1"),
        ("tea", "0", "1"),
        ("tea", "1.5", "1"),
        ("tea", "1", ""),
        ("tea", "1", "1.999"),
    ):
        adds(opened, product, quantity, price)
        opened.locator("#code").focus()

        scans(opened)

        expect(opened.locator(".row input:invalid")).to_have_count(1)
        opened.get_by_role("button", name="Remove this item").click()
        opened.locator("#code").fill("")
    assert counter.heard == []


def test_products_are_scanned_too_and_a_coupon_finds_its_own_field(
    opened: Page, counter: Counter
) -> None:
    counter.answers = [a_yes()]
    opened.get_by_role("button", name="Add an item").click()

    scans(opened, "4006381333931")  # the product's own code
    opened.keyboard.type("1.50")
    opened.keyboard.press("Enter")
    expect(opened.locator("#code")).to_be_focused()
    opened.get_by_label("Receipt").focus()
    scans(opened)

    expect(opened.locator("#verdict")).to_be_visible()
    (heard,) = counter.heard
    assert (heard.code, heard.order_ref) == (CODE, None)
    assert heard.basket is not None
    assert heard.basket.lines[0].product == "4006381333931"


def test_categories_are_asked_for_where_an_offer_asks_for_them(
    opened: Page, counter: Counter, served: pages.Page
) -> None:
    adds(opened, "coffee", "1", "3.50")
    expect(opened.locator(".row .category")).to_be_hidden()
    counter.standing = ONLINE.model_copy(update={"categories": ("drinks",)})
    counter.answers = [a_yes()]
    looks_again(opened, served)

    opened.get_by_label("Category").fill("drinks")
    opened.locator("#code").focus()
    scans(opened)
    expect(opened.locator("#verdict")).to_have_attribute("data-colour", "green")

    assert counter.heard[0].basket is not None
    assert counter.heard[0].basket.lines[0].category == "drinks"


# Who may come in.


def test_the_page_loads_nothing_from_elsewhere_and_stands_in_no_frame(served: pages.Page) -> None:
    for name in pages.FILES:
        answer = httpx.get(f"{served.url}{name}", trust_env=False)
        policy = answer.headers["content-security-policy"]
        assert (answer.status_code, "default-src 'none'" in policy) == (200, True)
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "http://" not in answer.text
        assert "https://" not in answer.text


def test_the_address_is_this_machine_and_cannot_be_guessed(served: pages.Page) -> None:
    assert served.url.startswith("http://127.0.0.1:")
    assert len(served.token) >= 32
    root = f"http://{served.host}"
    for path in ("/", "/scans", "/shown", "/A" * 17, f"/{served.token}", f"/{served.token}x/"):
        assert httpx.get(f"{root}{path}", trust_env=False).status_code == 404, path
    for path in ("../page.py", "..%2fpage.py", "index.html", "page.js/", ".."):
        status = httpx.get(f"{served.url}{path}", trust_env=False).status_code
        assert status == 404, path


def test_another_name_for_this_machine_is_not_answered(served: pages.Page) -> None:
    port = served.host.rpartition(":")[2]
    for host in (f"localhost:{port}", f"evil.test:{port}", "127.0.0.1", f"127.0.0.1:{port}."):
        answer = httpx.get(served.url, headers={"Host": host}, trust_env=False)
        assert answer.status_code == 404, host


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.test"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "ours", "Content-Type": "text/plain"}, 415),
        ({"Origin": "ours"}, 200),
    ],
)
def test_only_the_page_itself_redeems(
    served: pages.Page, counter: Counter, headers: dict[str, str], status: int
) -> None:
    counter.answers = [a_yes()]
    if headers.get("Origin") == "ours":
        headers = {**headers, "Origin": f"http://{served.host}"}

    answer = httpx.post(
        f"{served.url}scans",
        content=json.dumps({"code": CODE}),
        headers={"Content-Type": "application/json", **headers},
        trust_env=False,
    )

    assert (answer.status_code, len(counter.heard)) == (status, int(status == 200))


def test_a_body_that_is_too_large_is_not_even_read(served: pages.Page) -> None:
    headers = {"Content-Type": "application/json", "Origin": f"http://{served.host}"}
    body = b" " * (pages.MOST_BODY + 1)

    answer = httpx.post(f"{served.url}scans", content=body, headers=headers, trust_env=False)

    assert answer.status_code == 413


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"code": ""}', '{"code": 1, "x": 2}'])
def test_what_cannot_be_meant_is_a_grey_screen(
    served: pages.Page, counter: Counter, body: str
) -> None:
    headers = {"Content-Type": "application/json", "Origin": f"http://{served.host}"}

    answer = httpx.post(f"{served.url}scans", content=body, headers=headers, trust_env=False)

    assert answer.json()["screen"]["code"] == "not_understood"
    assert counter.heard == []
