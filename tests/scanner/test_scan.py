import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from coupon_engine.drawing import png
from scanner.__main__ import cli

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "token.json").read_text(encoding="utf-8")
)


_A_CODE: str = VECTORS["static"][0]["text"]


def test_a_picture_of_a_coupon_gives_its_code(tmp_path: Path) -> None:
    picture = tmp_path / "coupon.png"
    picture.write_bytes(png(_A_CODE))

    done = CliRunner().invoke(cli, [str(picture)])

    assert done.exit_code == 0
    assert done.stdout == f"{_A_CODE}\n"


@pytest.mark.parametrize(
    ("contents", "why"), [(b"", "not_a_picture"), (b"GIF89a and more", "not_a_picture")]
)
def test_what_is_no_picture_says_so_and_fails(tmp_path: Path, contents: bytes, why: str) -> None:
    picture = tmp_path / "coupon.png"
    picture.write_bytes(contents)

    done = CliRunner().invoke(cli, ["--json", str(picture)])

    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"picture": str(picture), "code": None, "refused": why}


def test_a_picture_without_a_coupon_is_told_apart_from_one_with_two(tmp_path: Path) -> None:
    poster = tmp_path / "poster.png"
    poster.write_bytes(png("HTTPS://EXAMPLE.COM"))

    done = CliRunner().invoke(cli, ["--json", str(poster)])

    assert json.loads(done.stdout)["refused"] == "not_a_coupon"
