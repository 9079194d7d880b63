"""Operators kept apart by the database itself, beneath the filter that every query has.

The server works as `counterfoil_app`: no superuser, owner of nothing, may do to each table what
is listed here and nothing else. Row-level security shows it the rows of one operator, the one that
`acting.py` names when a transaction begins; without a name it sees no row.

`install` is run after every migration, so what stands here is what holds.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256

from psycopg import sql
from sqlalchemy import Connection, Engine, text

ROLE = "counterfoil_app"

_ADD = "SELECT, INSERT"
_CHANGE = "SELECT, INSERT, UPDATE"
_FREELY = "SELECT, INSERT, UPDATE, DELETE"

# What happened is only ever added to. What is personal, or of the moment, can go.
MAY: Mapping[str, str] = {
    "account": _CHANGE,
    "allowance": _CHANGE,
    "answer": _CHANGE,
    "api_key": _CHANGE,
    "batch": _CHANGE,
    "campaign": _CHANGE,
    "cashier": _CHANGE,
    "ceremony": _FREELY,
    "contact": _FREELY,
    "coupon": _CHANGE,
    "customer": _CHANGE,
    "disputed_holder": _CHANGE,
    "event": _ADD,
    "hold": _CHANGE,
    "hold_claim": _FREELY,
    "import_job": _CHANGE,
    "invitation": _CHANGE,
    "journal_entry": _CHANGE,
    "journal_fork": _ADD,
    "journal_gap": _CHANGE,
    "lease": _CHANGE,
    "limit_row": _CHANGE,
    "merchant": _CHANGE,
    "offer": _CHANGE,
    "operator": _CHANGE,
    "outbox": _FREELY,
    "pairing": _CHANGE,
    "passcode": _FREELY,
    "passkey": _FREELY,
    "receipt": _CHANGE,
    "recovery_code": _FREELY,
    "redemption": _CHANGE,
    "reversal": _ADD,
    "server_key": _CHANGE,
    "shift": _CHANGE,
    "sign_in": _CHANGE,
    "signing_key": _CHANGE,
    "status_list": _CHANGE,
    "store": _CHANGE,
    "terminal": _CHANGE,
    "tries": _FREELY,
    "void_place": _ADD,
    "wallet": _CHANGE,
}

# By what a row is found before its operator is known: a secret's hash, or a public name.
PRESENTED: Mapping[str, str] = {
    "api_key": "id",
    "ceremony": "encode(hash, 'hex')",
    "invitation": "encode(hash, 'hex')",
    "pairing": "encode(hash, 'hex')",
    "sign_in": "encode(hash, 'hex')",
    "terminal": "id::text",
    "wallet": "id::text",
}

# What the platform itself looks through: messages and passcodes to send, public keys to publish,
# leases that are long over, lists that are being brought in.
EVERYWHERE = (
    "ceremony",
    "import_job",
    "journal_entry",
    "lease",
    "outbox",
    "passcode",
    "server_key",
    "signing_key",
    "tries",
)

# A sub-select is asked once for a statement, a bare setting once for a row.
_OWN = "(SELECT nullif(current_setting('app.operator_id', true), '')::uuid)"
_PRESENTED = "(SELECT nullif(current_setting('app.presented', true), ''))"
_EVERYWHERE = "(SELECT current_setting('app.everywhere', true) = 'on')"


def install(connection: Connection) -> None:
    """Make the role, its rights and the policies what this file says they are.

    Where they are so already nothing is locked: servers start while others work.
    """
    statements = list(_statements())
    told = sha256("\n".join(statements).encode()).hexdigest()
    if connection.execute(_TOLD).scalar_one() == told:
        return
    for statement in statements:
        connection.execute(text(statement.replace(":", r"\:")))
    connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{told}'"))


def admit(connection: Connection, login: str) -> None:
    """Let this login work in the application's role."""
    connection.execute(text(f'GRANT {ROLE} TO "{login}"'))


def allow_login(connection: Connection, password: str | None) -> None:
    """Let the role itself log in: on the embedded server, which no one else reaches."""
    quoted = sql.Literal(password).as_string() if password else "NULL"
    connection.execute(text(f"ALTER ROLE {ROLE} LOGIN PASSWORD {quoted}"))


def assert_limited(engine: Engine) -> None:
    """Refuse to work with more rights than the application has.

    Raises:
        RuntimeError: This connection could look past row-level security.
    """
    with engine.connect() as connection:
        if connection.execute(_IS_MIGHTY).scalar_one():
            raise RuntimeError(
                "The server's database role is a superuser, bypasses row-level security or owns "
                f"tables. It should be {ROLE}; see docs/decisions/0023."
            )


def _statements() -> Iterable[str]:
    yield f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
                CREATE ROLE {ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
    """
    yield f"""
        DO $$ BEGIN
            IF NOT pg_has_role(current_user, '{ROLE}', 'MEMBER') THEN
                GRANT {ROLE} TO CURRENT_USER;
            END IF;
        END $$
    """
    yield f"GRANT USAGE ON SCHEMA public TO {ROLE}"
    for table, rights in sorted(MAY.items()):
        yield f"REVOKE ALL ON {table} FROM {ROLE}"
        yield f"GRANT {rights} ON {table} TO {ROLE}"
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
        for name in ("own", "presented", "everywhere", "directory"):
            yield f"DROP POLICY IF EXISTS {name} ON {table}"
        for name, kind, rule in _policies(table):
            yield f"CREATE POLICY {name} ON {table} FOR {kind} USING ({rule})"


def _policies(table: str) -> Iterable[tuple[str, str, str]]:
    if table == "operator":
        yield "own", "ALL", f"id = {_OWN}"
        yield "directory", "SELECT", "true"  # an id, a short name and a name
        return
    rule = f"operator_id = {_OWN}"
    yield "own", "ALL", rule
    if table in EVERYWHERE:
        yield "everywhere", "ALL", _EVERYWHERE
    if column := PRESENTED.get(table):
        yield "presented", "SELECT", f"{column} = {_PRESENTED}"


_TOLD = text("SELECT coalesce(obj_description(CAST('alembic_version' AS regclass)), '')")
_IS_MIGHTY = text("""
    SELECT rolsuper OR rolbypassrls OR EXISTS (
        SELECT FROM pg_class
        WHERE relowner = pg_roles.oid AND relnamespace = CAST('public' AS regnamespace)
    )
    FROM pg_roles WHERE rolname = current_user
""")
