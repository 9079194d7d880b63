"""The three web apps as files: built, light, kept for the times without a server, and safe."""

import gzip
import re
from pathlib import Path

import pytest
from httpx import Client
from playwright.sync_api import Browser, Error, Page

from redemption_app.build import APPS, DIST, build

# Kilobytes of the first load, packed: what a phone on a slow line waits for.
BUDGETS_KB = {"wallet": 45, "counter": 45, "console": 90}


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    build()


@pytest.mark.parametrize("app", APPS)
def test_the_first_load_is_light(app: str) -> None:
    shell = (DIST / app / "index.html").read_text()
    named = re.findall(rf'(?:src|href)="/{app}/(assets/[^"]+)"', shell)
    files = [DIST / app / "index.html", *(DIST / app / name for name in named)]

    assert any(file.suffix == ".js" for file in files)
    assert any(file.suffix == ".css" for file in files)
    packed = sum(len(gzip.compress(file.read_bytes())) for file in files)
    assert packed <= BUDGETS_KB[app] * 1_000, f"{app} has {packed:,} bytes"


@pytest.mark.parametrize("app", APPS)
def test_an_app_opens_without_a_complaint(chromium: Browser, door: Client, app: str) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        complaints = heard(page)

        page.goto(f"{home(door)}/{app}", wait_until="networkidle")

        assert page.locator("h1").is_visible()
        assert page.url.endswith(f"/{app}/")
        assert complaints == []


@pytest.mark.parametrize("app", APPS)
def test_what_is_named_by_its_contents_is_kept_for_ever_and_the_shell_is_not(
    door: Client, app: str
) -> None:
    shell = door.get(f"/{app}/")
    named = re.search(r'src="([^"]+\.js)"', shell.text)
    assert named
    script = door.get(named[1], headers={"Accept-Encoding": "br"})

    assert shell.headers["cache-control"] == "no-cache"
    assert door.get(f"/{app}/sw.js").headers["cache-control"] == "no-cache"
    assert "immutable" in script.headers["cache-control"]
    assert script.headers["content-encoding"] == "br"
    assert script.headers["content-type"].startswith("text/javascript")
    assert "Accept-Encoding" in script.headers["vary"]


def test_every_screen_has_an_address_and_a_missing_file_is_missing(door: Client) -> None:
    assert door.get("/wallet/coupons/1").text == door.get("/wallet/").text
    assert door.get("/wallet/assets/nothing.js").status_code == 404
    assert door.get("/wallet/..%2f..%2fpyproject.toml").status_code == 404
    assert door.post("/wallet/").status_code == 405


def test_a_script_that_somebody_has_slipped_in_does_not_run(
    chromium: Browser, door: Client
) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{home(door)}/wallet/", wait_until="networkidle")

        with pytest.raises(Error, match="TrustedHTML"):
            page.evaluate("document.body.innerHTML = '<img src=x onerror=\"window.hurt = 1\">'")
        page.evaluate(
            """() => {
                const slipped = document.createElement("script")
                slipped.append("window.hurt = 2")
                document.body.append(slipped)
            }"""
        )

        assert page.evaluate("window.hurt") is None


def test_an_app_opens_when_the_network_is_gone(chromium: Browser, door: Client) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(f"{home(door)}/wallet/")
        page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        context.set_offline(True)

        page.reload()

        assert page.locator("h1").is_visible()


def heard(page: Page) -> list[str]:
    """Return what the page will complain of from now on.

    The browser itself says so when a console that asks who is signed in hears: nobody.
    """
    complaints: list[str] = []
    page.on(
        "console",
        lambda said: None if "401 (Unauthorized)" in said.text else complaints.append(said.text),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def home(door: Client) -> str:
    return str(door.base_url).rstrip("/")


def test_no_app_is_built_twice_from_the_same_sources() -> None:
    before = {file: file.stat().st_mtime_ns for file in Path(DIST).rglob("*.js")}

    build()

    assert before == {file: file.stat().st_mtime_ns for file in Path(DIST).rglob("*.js")}
