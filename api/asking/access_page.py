"""The table of `access.py` as a page of the documentation."""

from pathlib import Path

from api.asking.access import ROWS, Row
from schemas.access import Role

PAGE = Path("docs/access.md")
ROLES = [role for role in Role if role is not Role.INTEGRATOR]
HEAD = f"""\
# Who may do what

Written from `api/asking/access.py` by `poe access`; a test walks every endpoint with every role.

`yes`: may. `step-up`: may, once they have confirmed within the last ten minutes who they are.
`open`: nobody need be signed in; the endpoint itself checks what it is shown. The last column is
the scope that an API key needs. What is not here is refused. Shop managers, cashiers and terminals
see their own stores alone. All paths begin with `/v1`; those outside it ask for nobody.

| endpoint | {" | ".join(role.replace("_", " ") for role in ROLES)} | API key |
| --- |{" --- |" * (len(ROLES) + 1)}
"""


def as_page() -> str:
    return HEAD + "".join(_line(endpoint, row) for endpoint, row in ROWS.items())


def write() -> None:
    PAGE.write_text(as_page(), encoding="utf-8")


def _line(endpoint: str, row: Row) -> str:
    yes = "open" if row.is_open else "step-up" if row.step_up else "yes"
    cells = [yes if row.is_open or role in row.roles else "" for role in ROLES]
    scope = "open" if row.is_open else f"`{row.scope}`" if row.scope else ""
    return f"| `{endpoint}` | {' | '.join(cells)} | {scope} |\n"
