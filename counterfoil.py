"""The command `counterfoil`. It opens only the room that is asked for.

A counter installs the scanner alone, so nothing is imported here that needs a server.
"""

import sys
from importlib import import_module
from importlib.metadata import version

# The first word, and where it is understood. Every other word is the server's.
CLIENT = ("scanner.asking", "server")
ROOMS = {
    "scan": ("scanner.__main__", "scanner"),
    "sign-in": CLIENT,
    "accept-invitation": CLIENT,
    "step-up": CLIENT,
    "pair": ("scanner.asking", "scanner"),
    "request": CLIENT,
}
SERVER = ("api.cli", "server")


def main() -> None:
    """Run the command line.

    Raises:
        SystemExit: With the command's own status, or because an extra is not installed.
    """
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    if first == "--version":
        print(f"counterfoil {version('counterfoil')}")
        raise SystemExit
    module, extra = ROOMS.get(first, SERVER)
    try:
        room = import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name and missing.name.split(".")[0] in ("api", "coupon_engine", "schemas"):
            raise
        raise SystemExit(
            f"This needs more than is installed ({missing.name} is missing).\n"
            f'Install it with: pip install "counterfoil[{extra}]"'
        ) from None
    if first == "scan":  # a room for one word does not hear it again
        del sys.argv[1]
    room.main()


if __name__ == "__main__":
    main()
