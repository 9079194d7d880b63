"""The house rules that no other tool checks."""

import hashlib
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent

ROOMS = {
    "api",
    "bench",
    "coupon_engine",
    "deploy",
    "docs",
    "redemption_app",
    "scanner",
    "schemas",
    "tests",
}
# Where a forge and a build machine look.
OUTBUILDINGS = {".ci", ".github"}

SERVER_PACKAGES = {"alembic", "fastapi", "psycopg", "sqlalchemy", "sqlmodel", "starlette"}

LOAD_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("package", ["scanner", "coupon_engine.validation", "schemas"])
def test_a_counter_judges_a_coupon_without_any_server_package(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, package],
        cwd=HOUSE,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert SERVER_PACKAGES.isdisjoint(done.stdout.split())


def test_every_file_lies_in_a_known_room() -> None:
    folders = {path.parts[0] for path in files_of_the_house() if len(path.parts) > 1}

    assert folders - OUTBUILDINGS <= ROOMS


def test_no_file_names_a_package_registry_or_the_machine_it_was_written_on() -> None:
    # Put together here, so that this file does not name them either.
    registries = ["pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org"]
    homes = r"(?<![\w./}-])/(?:root|home/\w+|Users/\w+|work)/\w"
    forbidden = re.compile("|".join([*map(re.escape, registries), homes]))

    found = {
        str(path): match.group()
        for path in files_of_the_house()
        if (match := forbidden.search(text_of(path)))
    }

    assert found == {}


def test_every_dependency_is_locked_to_one_version() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    lines = (HOUSE / "constraints.txt").read_text().splitlines()
    locked = [line for line in lines if not line.startswith("#")]

    assert all(re.match(r"[a-z0-9-]+==[^\s=]+( ; .+)?$", line) for line in locked)
    assert {name_of(line) for line in wanted} <= {name_of(line) for line in locked}


def test_the_licence_is_the_whole_text_of_the_apache_licence() -> None:
    found = hashlib.sha256((HOUSE / "LICENSE").read_bytes()).hexdigest()

    assert found == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def files_of_the_house() -> list[Path]:
    """List what is, or would be, committed; in a copy without its history, everything."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={HOUSE}", "ls-files", "-z", "-co", "--exclude-standard"],
        cwd=HOUSE,
        check=False,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        names = [Path(name) for name in listed.stdout.split("\0") if name]
    else:
        names = [path.relative_to(HOUSE) for path in HOUSE.rglob("*")]
        names = [path for path in names if not IGNORED.intersection(path.parts)]
    return [path for path in names if (HOUSE / path).is_file()]


IGNORED = {
    *(".venv", "__pycache__", ".git", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    *(".import_linter_cache", "node_modules", "build", "dist", "out"),
}


def text_of(path: Path) -> str:
    """Read a file; a picture has no text."""
    content = (HOUSE / path).read_bytes()
    return "" if b"\0" in content[:8000] else content.decode("utf-8", "replace")
