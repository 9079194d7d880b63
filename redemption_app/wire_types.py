"""Writes the types of the API for TypeScript: `poe wire-types`, whenever an endpoint changes."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from api.main import app
from coupon_engine.settings import read_settings
from redemption_app.build import HERE, fetch, run

WRITTEN = HERE / "shared" / "api" / "types.d.ts"


def write() -> None:
    """Write the file anew."""
    WRITTEN.write_text(types(), encoding="utf-8")


def types() -> str:
    """Return what the OpenAPI document says now, in TypeScript.

    Raises:
        CannotBuild: The generator could not be fetched or run.
    """
    fetch()
    with TemporaryDirectory() as folder:
        document = Path(folder) / "openapi.json"
        document.write_text(json.dumps(app(read_settings()).openapi()), encoding="utf-8")
        made = Path(folder) / "types.d.ts"
        run("openapi-typescript/bin/cli.js", str(document), "--output", str(made))
        return made.read_text(encoding="utf-8")
