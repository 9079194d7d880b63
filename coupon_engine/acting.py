"""For whom a transaction acts, and who acts in it.

PostgreSQL is told in the message that begins the transaction, and forgets it when the transaction
ends. Row-level security (`apart.py`) shows the rows of that operator alone; the record's `actor`
column takes the name from there.
"""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg.pq import ExecStatus
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from schemas.access import Actor, ActorKind

OPTION = "counterfoil_acting"


@dataclass(frozen=True, slots=True)
class Acting:
    """Whose rows can be seen, and whose name is on what is written.

    `presented` makes one more row visible: the one whose secret, or name, somebody has just shown
    us, which is how we learn the operator. `is_everywhere` is for the platform's own work, and
    opens only the tables that `apart.py` names for it.
    """

    operator_id: UUID | None
    actor: Actor
    presented: str = ""
    is_everywhere: bool = False


SYSTEM = Actor(kind=ActorKind.SYSTEM, id="counterfoil", name="Counterfoil")
NOBODY = Acting(None, SYSTEM)
EVERYWHERE = Acting(None, SYSTEM, is_everywhere=True)


def by_system(operator_id: UUID) -> Acting:
    return Acting(operator_id, SYSTEM)


def on_showing(presented: str) -> Acting:
    """Look for the one row that belongs to what was shown."""
    return Acting(None, SYSTEM, presented=presented)


def listen(engine: Engine) -> None:
    """Make every transaction of this engine begin with whom it acts for."""
    event.listen(engine, "begin", _begin)


def session_for(engine: Engine, acting: Acting) -> Session:
    """Return a session each of whose transactions acts for them."""
    return Session(
        engine.execution_options(**{OPTION: acting}),
        expire_on_commit=False,
        autoflush=False,
        info={OPTION: acting},
    )


def enter(session: Session, operator_id: UUID, actor: Actor | None = None) -> None:
    """Go on for this operator: a credential, or an operator's own address, has told which."""
    before: Acting = session.info.get(OPTION, NOBODY)
    acting = replace(before, operator_id=operator_id, actor=actor or before.actor)
    session.info[OPTION] = acting
    session.connection().execute(_ENTER, dict(_settings(acting)))


def show(session: Session, presented: str) -> None:
    """Look for the one row that belongs to what was shown in the request's body."""
    before: Acting = session.info.get(OPTION, NOBODY)
    session.info[OPTION] = replace(before, presented=presented)
    session.connection().execute(_ENTER, dict(_settings(session.info[OPTION])))


def introduce(session: Session, actor: Actor) -> None:
    """Put a name on what this transaction writes, whatever operator it will be for."""
    before: Acting = session.info.get(OPTION, NOBODY)
    session.info[OPTION] = replace(before, actor=actor)


def operator_of(session: Session) -> UUID | None:
    acting: Acting = session.info.get(OPTION, NOBODY)
    return acting.operator_id


def actor_of(session: Session) -> Actor:
    acting: Acting = session.info.get(OPTION, NOBODY)
    return acting.actor


def _begin(connection: Connection) -> None:
    """Send BEGIN and the settings in one message: no trip is added to any transaction."""
    acting = connection.get_execution_options().get(OPTION)
    if acting is None:
        return
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # pyright: ignore[reportAssignmentType]
    sql = _begin_sql(driver, acting)
    result = driver.pgconn.exec_(sql)
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        error = psycopg.OperationalError(result.error_message.decode(errors="replace"))
        connection.invalidate(error)
        raise DBAPIError.instance("BEGIN", None, error, psycopg.Error, connection_invalidated=True)


def _begin_sql(driver: psycopg.Connection[Any], acting: Acting) -> bytes:
    mode = ""
    if driver.isolation_level is not None:
        mode += f" ISOLATION LEVEL {driver.isolation_level.name.replace('_', ' ')}"
    if driver.read_only is not None:
        mode += " READ ONLY" if driver.read_only else " READ WRITE"
    escaping = psycopg.pq.Escaping(driver.pgconn)
    calls = b", ".join(
        b"set_config('app.%s', %s, true)"
        % (name.encode(), bytes(escaping.escape_literal(value.encode())))
        for name, value in _settings(acting)
        if value
    )
    return b"BEGIN%s; SELECT %s" % (mode.encode(), calls)


def _settings(acting: Acting) -> list[tuple[str, str]]:
    return [
        ("operator_id", str(acting.operator_id or "")),
        ("actor", acting.actor.model_dump_json(exclude_none=True)),
        ("presented", acting.presented),
        ("everywhere", "on" if acting.is_everywhere else ""),
    ]


_ENTER = text("""
    SELECT set_config('app.operator_id', :operator_id, true),
           set_config('app.actor', :actor, true),
           set_config('app.presented', :presented, true),
           set_config('app.everywhere', :everywhere, true)
""")
