import json
from pathlib import Path
from struct import pack
from zlib import compress, crc32

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


def test_one_bad_picture_stops_no_other(tmp_path: Path) -> None:
    huge, missing, good = (tmp_path / f"{name}.png" for name in ("huge", "missing", "good"))
    huge.write_bytes(a_png_that_claims(60_000, 60_000))
    good.write_bytes(png(_A_CODE))

    done = CliRunner().invoke(cli, ["--json", str(huge), str(missing), str(tmp_path), str(good)])

    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert [each["refused"] for each in told] == [
        "not_a_picture",
        "no_such_file",
        "no_such_file",
        None,
    ]
    assert told[-1]["code"] == _A_CODE


def a_png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", crc32(kind + data))

    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", compress(bytes(1_000)))
        + chunk(b"IEND", b"")
    )
