"""The pages that the server has itself: they fit every screen, and say nothing red."""

import pytest
from fastapi import FastAPI
from httpx import Client
from playwright.sync_api import Browser

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
