"""`counterfoil scan`: what a picture at the counter says."""

import json
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from coupon_engine.validation.token_refused import TokenRefused
from scanner.counter import pick
from scanner.decode import decode

cli = typer.Typer(add_completion=False)


@cli.command()
def scan(
    pictures: Annotated[list[Path], typer.Argument(help="Photographs, in any usual format.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line, for tills.")
    ] = False,
) -> None:
    """Read the one coupon in each picture. Whether it is worth anything, the server says."""
    has_failed = False
    for picture in pictures:
        code, why = _read(picture)
        has_failed |= code is None
        if as_json:
            typer.echo(json.dumps({"picture": str(picture), "code": code, "refused": why}))
        else:
            typer.echo(code or f"{picture}: {why}", err=code is None)
    if has_failed:
        raise typer.Exit(1)


def _read(picture: Path) -> tuple[str | None, str | None]:
    """Return the code in a picture, or why there is none: one bad picture stops no other."""
    try:
        contents = np.fromfile(picture, np.uint8)
    except OSError:
        return None, "no_such_file"
    try:
        image = cv2.imdecode(contents, cv2.IMREAD_COLOR) if contents.size else None
    except cv2.error:  # larger than the decoder will ever take, or a lie about its size
        image = None
    if image is None:
        return None, "not_a_picture"
    try:
        return pick(decode(np.asarray(image, np.uint8))), None
    except TokenRefused as refused:
        return None, refused.code


def main() -> None:
    cli(prog_name="counterfoil scan")


if __name__ == "__main__":
    main()
