"""Operators kept apart: by the database itself, with the rights that the server has."""

from secrets import token_bytes, token_hex
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Engine,
    Integer,
    LargeBinary,
    Uuid,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine
from sqlmodel import Session, SQLModel

from coupon_engine import acting, apart, operators
from coupon_engine.acting import EVERYWHERE, NOBODY, Acting, by_system, on_showing
from coupon_engine.database import open_engine, transaction
from schemas.access import Actor, ActorKind, Role
from schemas.campaigns import NewMerchant
from tests import make
from tests.make import Shop

TABLES = sorted(table.name for table in SQLModel.metadata.tables.values())
OF_OPERATORS = [table for table in TABLES if table != "operator"]


@pytest.fixture
def ours(database: Engine) -> Shop:
    return _busy_shop(database)


@pytest.fixture
def theirs(database: Engine) -> Shop:
    return _busy_shop(database)


def _busy_shop(database: Engine) -> Shop:
    with transaction(database) as session:
        at = make.shop(session)
        make.signing_key(session, at)
        make.coupon(session, at, customer_id=make.customer(session, at))
        return at


@pytest.fixture
def full(database: Engine, ours: Shop, theirs: Shop) -> tuple[UUID, UUID]:
    """Two operators, each of whom has a row in every table: the real ones, and else made-up ones.

    A table without a row would show nothing whatever guards it.
    """
    with database.begin() as connection:
        connection.execute(_MAKE_ANYTHING_A_ROW)
        for table in SQLModel.metadata.tables.values():
            if table.name == "operator":
                continue
            there = set(connection.scalars(select(table.c.operator_id)))
            for operator_id in {ours.operator_id, theirs.operator_id} - there:
                made_up = {each.name: _anything(each.type) for each in table.c if not each.computed}
                connection.execute(table.insert().values(made_up | {"operator_id": operator_id}))
    return ours.operator_id, theirs.operator_id


def _anything(kind: TypeEngine[Any]) -> Any:
    match kind:
        case Uuid():
            return uuid4()
        case DateTime():
            return make.NOON
        case LargeBinary():
            return token_bytes(32)
        case JSONB():
            return {}
        case ARRAY():
            return []
        case Boolean():
            return False
        case Integer():
            return 1
        case _:
            return token_hex(8)


# In this test's own database, which nobody uses afterwards.
_MAKE_ANYTHING_A_ROW = text("""
    SET LOCAL session_replication_role = replica;
    DO $$ DECLARE rule record; BEGIN
        FOR rule IN SELECT conname, conrelid\\:\\:regclass AS of FROM pg_constraint
            WHERE contype = 'c' AND connamespace = 'public'\\:\\:regnamespace
        LOOP
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rule.of, rule.conname);
        END LOOP;
    END $$
""")


def _rows(session: Session, sql: str, **values: Any) -> list[Any]:
    return list(session.connection().execute(text(sql), values).all())


def test_every_table_stands_in_the_list_of_rights() -> None:
    assert sorted(apart.MAY) == TABLES


def test_row_level_security_is_forced_on_every_table(database: Engine) -> None:
    with database.connect() as connection:
        found = connection.execute(
            text(
                """
                SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class
                WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
            """.replace("'public'::regnamespace", "CAST('public' AS regnamespace)")
            )
        )
        secured = {row.relname: row[1] for row in found}

    assert secured.pop("alembic_version") is False
    assert secured == dict.fromkeys(TABLES, True)


def test_the_server_owns_nothing_and_is_no_superuser(limited: Engine) -> None:
    apart.assert_limited(limited)
    with limited.connect() as connection:
        role = connection.execute(
            text("""
                SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,
                       (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid) AS owned
                FROM pg_roles WHERE rolname = current_user
            """)
        ).one()

    assert tuple(role) == (False, False, False, False, 0)


@pytest.mark.parametrize(
    "mighty",
    [
        "CREATE ROLE {} SUPERUSER",
        "CREATE ROLE {} BYPASSRLS",
        "CREATE ROLE {}; CREATE TABLE theirs (); ALTER TABLE theirs OWNER TO {}",
    ],
)
def test_whoever_could_look_past_it_is_not_let_to_work(
    database: Engine, database_url: str, mighty: str
) -> None:
    role = f"mighty_{token_hex(8)}"  # roles are the whole server's
    with database.begin() as connection:
        connection.execute(text(mighty.replace("{}", role)))
    engine = open_engine(database_url, role=role)
    try:
        with pytest.raises(RuntimeError, match="superuser"):
            apart.assert_limited(engine)
    finally:
        engine.dispose()
        with database.begin() as connection:
            connection.execute(text(f"DROP TABLE IF EXISTS theirs; DROP ROLE {role}"))


def test_without_an_operator_no_row_is_seen(
    limited: Engine, full: tuple[UUID, UUID], subtests: pytest.Subtests
) -> None:
    for table in OF_OPERATORS:
        with subtests.test(table=table), transaction(limited, NOBODY) as session:
            assert _rows(session, f"SELECT * FROM {table}") == []  # noqa: S608 (our own tables)

    # An operator's name can be looked up: that is how a sign-in finds it.
    with transaction(limited, NOBODY) as session:
        assert {row.id for row in _rows(session, "SELECT id FROM operator")} == {*full}


def test_a_query_that_forgets_the_operator_sees_its_own_rows_alone(
    limited: Engine, database: Engine, full: tuple[UUID, UUID], subtests: pytest.Subtests
) -> None:
    ours, theirs = full
    for table in OF_OPERATORS:
        with subtests.test(table=table):
            query = f"SELECT DISTINCT operator_id FROM {table}"  # noqa: S608 (our own tables)
            with transaction(limited, by_system(ours)) as session:
                assert [row.operator_id for row in _rows(session, query)] == [ours]
            with transaction(database) as session:  # the others' are there all the same
                assert {row.operator_id for row in _rows(session, query)} == {ours, theirs}


def test_nobody_moves_a_row_to_another_operator(limited: Engine, ours: Shop, theirs: Shop) -> None:
    with (
        pytest.raises(DBAPIError, match="row-level security"),
        transaction(limited, by_system(ours.operator_id)) as session,
    ):
        _rows(
            session,
            "UPDATE merchant SET operator_id = :other RETURNING 1",
            other=theirs.operator_id,
        )


def test_nobody_writes_a_row_for_another_operator(
    limited: Engine, ours: Shop, theirs: Shop, subtests: pytest.Subtests
) -> None:
    """The rest of the row is missing, which PostgreSQL would say next."""
    for table in OF_OPERATORS:
        with (
            subtests.test(table=table),
            pytest.raises(DBAPIError, match="row-level security"),
            transaction(limited, by_system(ours.operator_id)) as session,
        ):
            session.connection().execute(
                text(f"INSERT INTO {table} (operator_id) VALUES (:other)"),  # noqa: S608
                {"other": theirs.operator_id},
            )


def test_another_operators_rows_cannot_be_changed(
    limited: Engine, ours: Shop, theirs: Shop
) -> None:
    with transaction(limited, by_system(ours.operator_id)) as session:
        changed = _rows(
            session,
            "UPDATE store SET name = 'taken over' WHERE id = :id RETURNING id",
            id=theirs.store.id,
        )

    assert changed == []


def test_what_was_said_of_one_transaction_is_forgotten_by_the_next(
    limited: Engine, ours: Shop
) -> None:
    """One connection for both: a setting of the session would leak to its next user."""
    for _ in range(3):
        with transaction(limited, by_system(ours.operator_id)) as session:
            backend = _rows(session, "SELECT pg_backend_pid() FROM store")
        assert backend
        with limited.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM store")).scalar_one() == 0
            told = connection.execute(text("SELECT current_setting('app.operator_id', true)"))
            assert told.scalar_one() in (None, "")


def test_a_rolled_back_transaction_forgets_too(limited: Engine, ours: Shop) -> None:
    backends: list[Any] = []

    def breaks_down() -> None:
        with transaction(limited, by_system(ours.operator_id)) as session:
            backends.extend(_rows(session, "SELECT pg_backend_pid() FROM store"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        breaks_down()

    with transaction(limited, NOBODY) as session:
        assert _rows(session, "SELECT pg_backend_pid()") == backends
        assert _rows(session, "SELECT 1 FROM store") == []


def test_what_is_shown_makes_one_row_visible_and_no_other(
    limited: Engine, database: Engine, ours: Shop, theirs: Shop
) -> None:
    with transaction(limited, on_showing(str(ours.terminal.id))) as session:
        seen = _rows(session, "SELECT operator_id, id FROM terminal")

        assert [(row.operator_id, row.id) for row in seen] == [(ours.operator_id, ours.terminal.id)]
        assert _rows(session, "SELECT 1 FROM store") == []
        assert _rows(session, "UPDATE terminal SET name = 'x' RETURNING 1") == []


def test_a_found_operator_is_entered_and_no_other(
    limited: Engine, ours: Shop, theirs: Shop
) -> None:
    with transaction(limited, on_showing(str(ours.terminal.id))) as session:
        acting.enter(session, ours.operator_id)

        stores = [row.id for row in _rows(session, "SELECT id FROM store")]

    assert stores == [ours.store.id]


def test_the_platforms_own_work_opens_two_tables_and_no_other(
    limited: Engine, ours: Shop, theirs: Shop
) -> None:
    with transaction(limited, EVERYWHERE) as session:
        seen = {
            table
            for table in TABLES
            if _rows(session, f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608
        }

    assert {"outbox", "signing_key"} <= seen <= {*apart.EVERYWHERE, "operator"}


@pytest.mark.parametrize("table", ["event", "reversal"])
@pytest.mark.parametrize("act", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
def test_what_happened_cannot_be_changed_with_the_servers_rights(
    limited: Engine, ours: Shop, table: str, act: str
) -> None:
    with (
        pytest.raises(DBAPIError, match="permission denied"),
        transaction(limited, by_system(ours.operator_id)) as session,
    ):
        session.connection().execute(text(act.format(table)))


@pytest.mark.parametrize("table", ["redemption", "coupon", "answer", "campaign", "operator"])
def test_the_record_is_never_deleted_with_the_servers_rights(
    limited: Engine, ours: Shop, table: str
) -> None:
    with (
        pytest.raises(DBAPIError, match="permission denied"),
        transaction(limited, by_system(ours.operator_id)) as session,
    ):
        session.connection().execute(text(f"DELETE FROM {table}"))  # noqa: S608


def test_a_short_code_tells_nothing_across_operators(database: Engine) -> None:
    """A unique index over all operators would answer "exists"; ours begin with the operator."""
    with database.connect() as connection:
        unique = connection.execute(
            text("""
                SELECT c.relname AS name, (
                    SELECT a.attname FROM pg_attribute a
                    WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                ) AS first
                FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                WHERE i.indisunique AND c.relnamespace = CAST('public' AS regnamespace)
            """)
        ).all()

    across = {row.name for row in unique if row.first != "operator_id"}
    # Names of operators, and secrets: nobody can ask for one without having it.
    assert across == {
        "alembic_version",
        "api_key",
        "ceremony",
        "invitation",
        "operator",
        "pairing",
        "shift",
        "sign_in",
        "terminal",
    }


def test_the_name_of_whoever_acts_is_on_every_event(
    limited: Engine, database: Engine, ours: Shop
) -> None:
    ann = Actor(kind=ActorKind.PERSON, id="ann", name='Ann O\'Hara \\ "x"', role=Role.OWNER)
    with transaction(limited, Acting(ours.operator_id, ann)) as session:
        made = operators.create_merchant(
            session, ours.operator_id, NewMerchant(id=make.an_id(), name="Corner"), now=make.NOON
        )

    with database.connect() as connection:
        actor = connection.execute(
            text("SELECT actor FROM event WHERE subject_id = :id"), {"id": made.id}
        ).scalar_one()
    assert Actor.model_validate(actor) == ann


def test_an_event_without_a_name_is_refused(limited: Engine, ours: Shop) -> None:
    nameless = text("""
        WITH somebody AS (SELECT set_config('app.operator_id', :operator_id, true) AS id)
        INSERT INTO event (operator_id, id, kind, subject_id, at, recorded_at, data)
        SELECT CAST(id AS uuid), gen_random_uuid(), 'made_up', gen_random_uuid(), now(), now(), '{}'
        FROM somebody
    """)

    with pytest.raises(DBAPIError, match="actor"), limited.begin() as connection:
        connection.execute(nameless, {"operator_id": str(ours.operator_id)})
