#!/usr/bin/env python3
"""Start here. Needs Python 3.11 or newer, and nothing else of ours.

    python3 run.py demo     replay 27 campaigns of a grocer, and account for every redemption
    python3 run.py test     run every check; with arguments, only the tests they name
    python3 run.py serve    start the API on 127.0.0.1:8000

The first run makes `.venv` beside this file and installs the locked versions into it. Later runs
start at once, unless `pyproject.toml`, `constraints.txt` or Python itself has changed.
"""

# An old Python must be able to read this file, or it could not say what it lacks:
# no annotation here may need more than Python 3.6 knows.

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
HOUSE = Path(__file__).resolve().parent
EXTRAS = ".[server,scanner,demo,dev]"


class CannotRun(Exception):
    """Something is missing that only the reader can bring; the text says what."""


def main(arguments: "list[str]") -> int:
    """Run one command in the virtual environment, and return its exit status."""
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(__doc__)
        return 0
    try:
        check_python(sys.version_info[:2])
        command = command_line(HOUSE, arguments)
        prepare(HOUSE)
        build_apps(HOUSE)
    except CannotRun as problem:
        print(f"run.py: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nrun.py: stopped. The next run starts the installation anew.", file=sys.stderr)
        return 130
    return become(command)


def check_python(version: "tuple[int, ...]") -> None:
    """Raise CannotRun for a Python that is too old."""
    if version < OLDEST:
        have, need = (".".join(map(str, v)) for v in (version, OLDEST))
        raise CannotRun(
            f"this is Python {have}, and Counterfoil needs {need} or newer.\n"
            f"Start it with a newer one, for instance: python{need} run.py demo"
        )


def command_line(house: Path, arguments: "list[str]") -> "list[str]":
    """Return what to run inside the virtual environment for the reader's words."""
    python = str(python_of(house))
    word, rest = arguments[0], arguments[1:]
    if word == "demo":
        return [python, "-c", named("run.py demo", "bench.demo.__main__", "cli"), *rest]
    if word == "test":
        # `check` is the whole gate and takes no arguments; whoever names tests wants only those.
        return [python, "-m", "poethepoet", "-q", *(["test", *rest] if rest else ["check"])]
    if word == "serve":
        return [python, "-c", named("run.py", "counterfoil", "main"), "serve", *rest]
    raise CannotRun(f"there is no command '{word}'. There are demo, test and serve.")


def named(name: str, module: str, function: str) -> str:
    """Return a program whose lines about its use show the words that the reader has typed."""
    return f"import sys; sys.argv[0] = {name!r}; from {module} import {function}; {function}()"


def python_of(house: Path) -> Path:
    if sys.platform == "win32":
        return house / ".venv" / "Scripts" / "python.exe"
    return house / ".venv" / "bin" / "python"


def prepare(house: Path) -> None:
    """Make `.venv` hold exactly what is locked, or do nothing if it already does.

    The stamp is removed before anything is touched and written when all is done. So a missing
    stamp means that somebody pulled the plug, and a half-installed package looks installed to
    pip: such an environment is made anew.
    """
    stamp = stamp_file(house)
    found = read_stamp(stamp)
    wanted = [identity(house), digest(house)]
    if found == wanted:
        return
    fresh = found[:1] != wanted[:1]
    if fresh:
        check_venv_can_be_made()
    print("Preparing .venv (a minute or two the first time) ...", file=sys.stderr, flush=True)
    if stamp.exists():
        stamp.unlink()
    if fresh:
        quietly([sys.executable, "-m", "venv", "--clear", str(house / ".venv")], house)
    quietly([str(python_of(house)), *PIP, "-c", "constraints.txt", "-e", EXTRAS], house)
    stamp.write_text("\n".join(wanted) + "\n", encoding="utf-8")


def build_apps(house: Path) -> None:
    """Bring the web apps up to their sources; a moment where they are so already."""
    if (house / "redemption_app").is_dir():
        quietly([str(python_of(house)), "-m", "redemption_app.build"], house)


# Compiling every module at once would cost more than all the downloads; Python does it when needed.
PIP = [
    *("-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "3"),
    *("install", "--no-compile", "--quiet"),
]


def stamp_file(house: Path) -> Path:
    return house / ".venv" / "counterfoil.stamp"


def read_stamp(stamp: Path) -> "list[str]":
    try:
        return stamp.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def identity(house: Path) -> str:
    """Say which Python and which place an environment belongs to; it works with no other."""
    return f"{sys.version.split()[0]} {sys.base_prefix} {house}"


def digest(house: Path) -> str:
    """Fingerprint what decides which packages are installed."""
    wanted = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        wanted.update((house / name).read_bytes() + b"\0")
    return wanted.hexdigest()


def check_venv_can_be_made() -> None:
    """Raise CannotRun where a Linux distribution ships Python without `venv`."""
    if all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        return
    package = "python{}.{}-venv".format(*sys.version_info)
    raise CannotRun(
        "this Python cannot make a virtual environment: 'venv' or 'ensurepip' is missing.\n"
        f"On Debian and Ubuntu: sudo apt install {package}"
    )


def quietly(command: "list[str]", house: Path) -> None:
    """Run a command that is silent unless it fails; then its words are the message."""
    done = subprocess.run(
        command,
        cwd=str(house),
        # A user's own pip setting that a venv refuses; and `build_apps` has better words than pip.
        env=dict(os.environ, PIP_USER="0", COUNTERFOIL_WITHOUT_APPS="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode == 0:
        return
    said = done.stdout.decode("utf-8", "replace").strip()
    last_words = "\n".join(said.splitlines()[-20:])
    raise CannotRun(f"{last_words}\n\n{explain(said)}")


def explain(said: str) -> str:
    """Say in one sentence what the words of pip or venv most likely mean."""
    if any(sign in said for sign in NO_NETWORK):
        return "The packages could not be fetched: is there a network? Then start again."
    if "No space left" in said:
        return "The disk is full: the environment needs about 1.8 GB."
    return "The environment could not be made. Once this is mended, start again: nothing is lost."


NO_NETWORK = (
    "Failed to establish a new connection",
    "NewConnectionError",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Connection reset",
    "Network is unreachable",
)


def become(command: "list[str]") -> int:
    """Turn this process into the command, so that Ctrl-C reaches it alone and only once."""
    os.chdir(str(HOUSE))
    sys.stdout.flush()
    if sys.platform != "win32":  # there, exec gives the shell back before the command has ended
        os.execv(command[0], command)
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
