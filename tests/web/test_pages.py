"""The pages that the server has itself: they fit every screen, and say nothing red."""

from typing import Literal

import pytest
from fastapi import FastAPI
from httpx import Client
from playwright.sync_api import Browser, Page

LIGHT_AND_DARK = ("light", "dark")
SCREENS = ((360, 740), (768, 1024), (1280, 900))


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_every_page_fits_the_screen(
    chromium: Browser, served: FastAPI, door: Client, width: int, height: int
) -> None:
    codes = served.openapi()["components"]["examples"]
    longest = max(codes, key=len)
    home = str(door.base_url).rstrip("/")
    with chromium.new_context(viewport={"width": width, "height": height}) as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text))
        for path in ("/docs", "/problems", f"/problems/{longest}", "/problems/already_redeemed"):
            page.goto(f"{home}{path}", wait_until="networkidle")

            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            assert complaints == [], path


@pytest.mark.parametrize("scheme", LIGHT_AND_DARK)
def test_every_page_is_as_light_or_dark_as_the_screen(
    chromium: Browser, door: Client, scheme: Literal["light", "dark"]
) -> None:
    home = str(door.base_url).rstrip("/")
    with chromium.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        for path, paper in (("/docs", ".swagger-ui"), ("/problems", "body")):
            page.goto(f"{home}{path}", wait_until="networkidle")

            assert is_dark(page, paper) is (scheme == "dark"), path


def is_dark(page: Page, paper: str) -> bool:
    """Look at the letters: they are light where the paper is dark."""
    heading = page.locator(f"{paper} h1, {paper} h2").first  # Swagger UI writes it when it is there
    red, green, blue = heading.evaluate("it => getComputedStyle(it).color.match(/\\d+/g)")[:3]
    return int(red) + int(green) + int(blue) > 3 * 128


def test_the_documentation_follows_a_screen_that_turns_dark(
    chromium: Browser, door: Client
) -> None:
    home = str(door.base_url).rstrip("/")
    with chromium.new_context(color_scheme="light") as context:
        page = context.new_page()
        page.goto(f"{home}/docs", wait_until="networkidle")

        page.emulate_media(color_scheme="dark")

        assert is_dark(page, ".swagger-ui")
