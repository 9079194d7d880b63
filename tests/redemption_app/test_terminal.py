"""The counter app as a terminal: what it has done alone, the real server takes.

The app's code runs in Node.js without its page, with a real network that goes and comes back.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from scanner.credentials import key_path
from scanner.identity import Identity
from tests.redemption_app.speaking import Spoken, spoken
from tests.scanner.terminal import test_whole_way
from tests.scanner.terminal.test_whole_way import World, redeem, syncs
from tests.vectors.make_token_vectors import with_private

world = test_whole_way.world  # the fixture
TEN = {"currency": "EUR", "total_minor": 1_000}


@contextmanager
def terminal(file: Path) -> Generator[Spoken]:
    """Let the terminal that was paired into this file be one of the app's."""
    who = Identity.load(file)
    key = load_pem_private_key(key_path(file).read_bytes(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    said = who.model_dump(mode="json") | {"private_key": with_private(key)}
    with spoken("spoken_terminal.ts") as app:
        assert app.says(said) == "ready"
        yield app


def redeems(app: Spoken, *codes: str) -> list[str]:
    return [app.says({"redeem": {"text": code, "basket": TEN}})["code"] for code in codes]


def goes_round(app: Spoken) -> None:
    told: Any = app.says({"round": None})
    assert (told["failed"], told["isReached"]) == ({}, True)


@pytest.mark.timeout(240)  # a dozen processes, on crowded machines
def test_what_the_app_did_alone_is_taken_by_the_server(world: World, tmp_path: Path) -> None:
    ours, theirs = (tmp_path / name / "terminal.json" for name in ("app", "python"))
    online, shared, other = world.codes
    with world.network():
        world.pairs("The app", ours)
        world.pairs("A terminal in Python", theirs)
        syncs(theirs)
    with terminal(ours) as app:
        with world.network():
            goes_round(app)
            assert redeems(app, online) == ["ok"]

        assert redeems(app, shared, shared, other, online, "not a coupon") == [
            "ok_offline",
            "already_redeemed",
            "ok_offline",
            "already_redeemed",
            "not_a_coupon",
        ]
        assert redeem(theirs, shared) == ["ok_offline"]

        with world.network():
            goes_round(app)
            syncs(theirs)
            goes_round(app)
            assert redeems(app, shared, world.here) == ["already_redeemed", "ok"]
            goes_round(app)
        assert app.says({"flaws": None}) == []
        answers = [app.says({"answer_to": seq}) for seq in range(1, 10)]
    assert [answer["answer"] for answer in answers] == [
        "noted",  # the lease
        "duplicate_of_self",  # online: the server has it
        "accepted",
        "noted",
        "accepted",
        "noted",
        "noted",
        "noted",  # the server's no
        "duplicate_of_self",
    ]
