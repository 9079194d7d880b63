"""One name for one thing, and every state on the page of states."""

import ast
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from coupon_engine import batches, campaigns, keys
from schemas.campaigns import BatchState, CampaignState, Level, OfferState
from schemas.coupons import CouponState
from schemas.keys import KeyState
from schemas.redemptions import HoldState, RedemptionState
from schemas.terminals import PairingState
from tests.docs.pages import HOUSE, tables

WORDS = {
    heading: rows
    for page in ("words.md", "words-of-codes.md")
    for heading, rows in tables(HOUSE / "docs" / page).items()
}
STATES = tables(HOUSE / "docs" / "states.md")

OF_OBJECT: Mapping[str, type[StrEnum]] = {
    "Campaign 活动": CampaignState,
    "Offer 优惠": OfferState,
    "Batch 批次": BatchState,
    "Coupon 券": CouponState,
    "Hold 预占": HoldState,
    "Redemption 核销记录": RedemptionState,
    "Pairing 配对": PairingState,
    "Signing key 签名密钥": KeyState,
}
MOVES: Mapping[str, Mapping[Any, Mapping[Any, StrEnum]]] = {
    "Campaign 活动": campaigns.MOVES,
    "Batch 批次": batches.MOVES,
    "Signing key 签名密钥": keys.MOVES,
}
PACKAGES = ("api", "coupon_engine", "scanner", "schemas")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_word_is_there_once_in_both_languages() -> None:
    rows = [row for rows in WORDS.values() for row in rows]
    words, chinese = [row[0] for row in rows], [row[1] for row in rows]

    assert len(words) > 60
    assert len(set(words)) == len(words)
    assert len(set(chinese)) == len(chinese)
    assert [row for row in rows if not _CHINESE.search(row[1]) or not row[2]] == []


def test_no_name_in_the_code_is_one_that_we_never_use() -> None:
    never = forbidden()

    assert {"voucher", "stock", "rollback", "promo", "cents"} <= never
    found = {
        f"{path.relative_to(HOUSE)}: {name}"
        for package in PACKAGES
        for path in (HOUSE / package).rglob("*.py")
        for name in defined_in(path)
        if contains(name, never)
    }
    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        "class VoucherStock: pass",
        "def roll(voucher_id): pass",
        "promo_code = 1",
        "class A:\n    price_cents: int",
        "self.rollback = 1",
    ],
)
def test_a_name_that_we_never_use_would_be_seen(source: str, tmp_path: Path) -> None:
    file = tmp_path / "new.py"
    file.write_text(source)

    assert any(contains(name, forbidden()) for name in defined_in(file))


@pytest.mark.parametrize("heading", OF_OBJECT)
def test_every_state_of_an_object_is_on_the_page(heading: str) -> None:
    listed = [row[0].strip("`") for row in STATES[heading] if len(row) == 4]

    assert sorted(listed) == sorted(OF_OBJECT[heading])


def test_no_kind_of_state_is_left_out() -> None:
    kinds = {
        name
        for path in (HOUSE / "schemas").glob("*.py")
        for name in re.findall(r"^class (\w+State)\(StrEnum\)", path.read_text(), re.MULTILINE)
    }

    assert kinds == {kind.__name__ for kind in OF_OBJECT.values()}


@pytest.mark.parametrize("heading", MOVES)
def test_the_moves_on_the_page_are_those_of_the_code(heading: str) -> None:
    listed = [
        tuple(cell.strip("`") for cell in row)
        for row in STATES[heading]
        if len(row) == 3 and row[0] != "from"
    ]

    assert sorted(listed) == sorted(
        (str(state), str(move), str(target))
        for state, moves in MOVES[heading].items()
        for move, target in moves.items()
    )


def test_every_level_is_a_word() -> None:
    assert {str(level) for level in Level} <= {row[0] for rows in WORDS.values() for row in rows}


def forbidden() -> set[str]:
    """Return the words in `code type` of the last column."""
    return {
        word
        for rows in WORDS.values()
        for row in rows
        if len(row) == 4
        for word in re.findall(r"`(\w+)`", row[3])
    }


def contains(name: str, words: set[str]) -> bool:
    """Is one of these words a part of the name? `VoucherStock` has two, `rule_set` is one."""
    snake = "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower() + "_"
    return any(f"_{word}_" in snake for word in words)


def defined_in(path: Path) -> Iterator[str]:
    """Yield the names that this file gives to things; the names of others' things are theirs."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
            case _:
                pass
