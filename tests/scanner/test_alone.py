"""A counter installs the scanner and nothing else."""

import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).parents[2]

# Every import of what neither the scanner nor what it needs has asked for fails, as it would there.
LOAD_ALL = r"""
import importlib, pkgutil, re, sys, tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

OURS = {"api", "bench", "counterfoil", "coupon_engine", "scanner", "schemas"}

def name_of(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement).group().lower().replace("_", "-")

def add(name, known):
    if name not in known:
        known.add(name)
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            return
        for each in needs:
            if "extra ==" not in each:
                add(name_of(each), known)

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
known = set()
for each in [*project["dependencies"], *project["optional-dependencies"]["scanner"]]:
    add(name_of(each), known)
missing = {
    top
    for top, names in packages_distributions().items()
    if top not in OURS and not known & {name_of(name) for name in names}
}

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import scanner
loaded = [module.name for module in pkgutil.walk_packages(scanner.__path__, "scanner.")]
for name in loaded:
    importlib.import_module(name)
print(*loaded, "without", *sorted(missing))
"""


def test_every_room_of_the_scanner_opens_where_only_the_scanner_is_installed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL], cwd=HOUSE, check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr[-2_000:]
    loaded, _, missing = done.stdout.partition(" without ")
    assert {"scanner.asking", "scanner.terminal.opening", "scanner.__main__"} <= {*loaded.split()}
    assert {"fastapi", "sqlalchemy", "pyotp", "qrcode", "psycopg"} <= {*missing.split()}
