"""Keys of programs: shown once, two to change over, gone for good."""

from datetime import timedelta
from typing import Any
from zlib import crc32

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine
from sqlmodel import Session

from coupon_engine import api_keys, sandboxes
from coupon_engine.acting import Acting, by_system, on_showing
from coupon_engine.api_keys import presented
from coupon_engine.database import transaction
from coupon_engine.errors import RequestReused, TooManyKeys, Unknown
from schemas.access import Actor, ActorKind, Role, Scope
from schemas.api_keys import ApiKeyMade, NewApiKey, NewApiKeyRevocation, NewSandbox
from tests import make
from tests.coupon_engine.record import count, rows
from tests.make import NOON, PASSPHRASE
from tests.race.together import Work, at_once, told

A_YEAR = timedelta(days=365)
OWNER = Actor(kind=ActorKind.PERSON, id="7", name="Olga", role=Role.OWNER)


def asked(**more: Any) -> NewApiKey:
    one: dict[str, Any] = {"id": make.an_id(), "name": "till server", "scopes": (Scope.REDEEM,)}
    return NewApiKey(**{**one, **more})


def revocation(key_id: str) -> NewApiKeyRevocation:
    return NewApiKeyRevocation(id=make.an_id(), key_id=key_id, reason="left the company")


def another(at: make.Shop) -> Work:
    return lambda session: api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)


def test_a_key_opens_its_own_operator_and_is_kept_nowhere(session: Session) -> None:
    at, other = make.shop(session), make.shop(session)
    mine = api_keys.create_api_key(session, at.operator_id, "till", now=NOON).api_key
    theirs = api_keys.create_api_key(session, other.operator_id, "till", now=NOON).api_key

    found = api_keys.found(session, mine, now=NOON)

    assert found is not None
    assert (found.operator_id, found.name, found.is_test) == (at.operator_id, "till", False)
    assert found.scopes == {*Scope}
    also = api_keys.found(session, theirs, now=NOON)
    assert also is not None
    assert also.operator_id == other.operator_id
    (row,) = rows(session, "SELECT * FROM api_key WHERE id = :id", id=found.id)
    secret = mine.split("_")[3]
    assert secret[:32] not in str(row)
    assert secret[:32] not in str(rows(session, "SELECT data, actor FROM event"))
    assert secret[:32] not in str(rows(session, "SELECT body FROM answer"))


def test_a_key_tells_what_it_is_and_that_it_is_whole(session: Session) -> None:
    at = make.shop(session)

    key = api_keys.create_api_key(session, at.operator_id, "till", now=NOON).api_key

    prefix, kind, id, secret = key.split("_")
    assert (prefix, kind, len(id), len(secret)) == ("cfk", "live", 8, 38)
    assert presented(key) == id
    letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number = 0
    for letter in key[-6:]:
        number = number * 62 + letters.index(letter)
    assert number == crc32(key[:-6].encode())


def test_a_typo_is_told_without_a_look_at_the_record(session: Session) -> None:
    at = make.shop(session)
    key = api_keys.create_api_key(session, at.operator_id, "till", now=NOON).api_key

    typos = [key[:at] + ("x" if key[at] != "x" else "y") + key[at + 1 :] for at in range(len(key))]

    assert {presented(typo) for typo in typos} == {None}
    for wrong in ("", "cfk", "cfk_live_", key[:-1], f"{key}_", f" {key}", f"{key}\n", key.upper()):
        assert presented(wrong) is None, wrong


def test_unknown_invented_expired_and_revoked_keys_open_nothing(session: Session) -> None:
    at = make.shop(session)
    key = api_keys.create_api_key(session, at.operator_id, "till", now=NOON).api_key
    other = api_keys.create_api_key(session, at.operator_id, "till 2", now=NOON).api_key
    id, theirs = key.split("_")[2], other.split("_")[3][:32]

    for wrong in (
        spelt("live", id, theirs),  # another key's secret
        spelt("live", "A1B2C3D4", theirs),
        spelt("test", id, key.split("_")[3][:32]),  # this very key, said to be the sandbox's
    ):
        assert presented(wrong) is not None
        assert api_keys.found(session, wrong, now=NOON) is None
    last_moment = NOON + A_YEAR - timedelta(microseconds=1)
    assert api_keys.found(session, other, now=last_moment) is not None
    assert api_keys.found(session, other, now=NOON + A_YEAR) is None
    api_keys.revoke_api_key(session, at.operator_id, id, now=NOON)
    assert api_keys.found(session, key, now=NOON) is None
    assert api_keys.found(session, other, now=NOON) is not None


@pytest.mark.parametrize(
    "wrong",
    [{"scopes": ()}, {"scopes": (Scope.READ, Scope.READ)}, {"days": 0}, {"days": 401}],
)
def test_every_key_has_a_scope_and_an_end(wrong: Any) -> None:
    asked(days=400)

    with pytest.raises(ValidationError):
        asked(**wrong)


def test_a_key_is_shown_to_whoever_asks_first(session: Session) -> None:
    at = make.shop(session)
    request = asked(days=30)
    first = api_keys.make_api_key(session, at.operator_id, request, now=NOON)

    again = api_keys.make_api_key(session, at.operator_id, request, now=NOON + A_YEAR)

    assert first.api_key is not None
    assert again == ApiKeyMade(key=first.key, api_key=None)
    assert first.key.scopes == (Scope.REDEEM,)
    assert first.key.expires_at == NOON + timedelta(days=30)
    assert count(session, "api_key") == 1
    with pytest.raises(RequestReused):
        api_keys.make_api_key(
            session, at.operator_id, request.model_copy(update={"days": 31}), now=NOON
        )


def test_two_keys_share_a_name_while_a_program_changes_over(session: Session) -> None:
    at = make.shop(session)
    first = api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)
    second = api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)
    with pytest.raises(TooManyKeys):
        api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)

    api_keys.revoke(session, at.operator_id, revocation(first.key.id), now=NOON)

    third = api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)
    with pytest.raises(TooManyKeys):
        api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)
    api_keys.make_api_key(session, at.operator_id, asked(name="another"), now=NOON)
    after_both = NOON + A_YEAR
    fourth = api_keys.make_api_key(session, at.operator_id, asked(), now=after_both)
    views = api_keys.api_key_views(session, at.operator_id)
    assert len(views) == 5
    assert [view.id for view in views if view.revoked_at] == [first.key.id]
    assert {second.key.id, third.key.id, fourth.key.id} < {view.id for view in views}


def test_many_who_want_a_third_key_at_once_get_two(database: Engine) -> None:
    with transaction(database) as session:
        at = make.shop(session)

    answers = at_once(database, [another(at) for _ in range(8)])

    assert told(answers) == {"won": 2, "too_many_keys": 6}
    with transaction(database) as session:
        assert count(session, "api_key") == 2


def test_an_operator_revokes_its_own_keys_alone(session: Session) -> None:
    at, other = make.shop(session), make.shop(session)
    key = api_keys.create_api_key(session, at.operator_id, "till", now=NOON).api_key

    with pytest.raises(Unknown):
        api_keys.revoke_api_key(session, other.operator_id, key.split("_")[2], now=NOON)

    assert api_keys.found(session, key, now=NOON) is not None


def test_a_key_is_revoked_once_and_the_record_says_why(session: Session) -> None:
    at = make.shop(session)
    made = api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)
    later = NOON + timedelta(hours=1)

    first = api_keys.revoke(session, at.operator_id, revocation(made.key.id), now=NOON)
    again = api_keys.revoke(session, at.operator_id, revocation(made.key.id), now=later)

    assert first == again
    assert again.revoked_at == NOON
    told = rows(session, "SELECT kind, data FROM event WHERE kind LIKE 'api_key_%' ORDER BY id")
    assert [row.kind for row in told] == ["api_key_made", "api_key_revoked"]
    made_of, ended_of = (row.data for row in told)
    assert (made_of["before"], made_of["key_id"]) == (None, made.key.id)
    assert made_of["after"]["scopes"] == ["redeem"]
    assert ended_of["before"] == made_of["after"]
    assert ended_of["after"] == {**made_of["after"], "revoked_at": "2026-03-02T12:00:00Z"}
    assert ended_of["reason"] == "left the company"


def test_the_last_use_is_written_once_a_minute(session: Session) -> None:
    at = make.shop(session)
    made = api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)
    assert made.api_key is not None
    seen: list[Any] = []

    for seconds in (0, 59, 60, 61, 119, 120):
        api_keys.found(session, made.api_key, now=NOON + timedelta(seconds=seconds))
        session.expire_all()
        (view,) = api_keys.api_key_views(session, at.operator_id)
        assert view.last_used_at is not None
        seen.append((view.last_used_at - NOON).seconds)

    assert seen == [0, 0, 60, 60, 60, 120]


def test_a_key_finds_its_operator_past_all_walls_and_no_other_row(
    database: Engine, limited: Engine
) -> None:
    with transaction(database) as session:
        at, other = make.shop(session), make.shop(session)
    with transaction(limited, by_system(at.operator_id)) as session:
        mine = api_keys.make_api_key(session, at.operator_id, asked(), now=NOON)
    with transaction(limited, by_system(other.operator_id)) as session:
        theirs = api_keys.make_api_key(session, other.operator_id, asked(), now=NOON)
    assert mine.api_key
    assert theirs.api_key

    with transaction(limited, on_showing(mine.key.id)) as session:
        found = api_keys.found(session, mine.api_key, now=NOON)
        assert found is not None
        assert found.operator_id == at.operator_id
    with transaction(limited, on_showing(mine.key.id)) as session:
        assert api_keys.found(session, theirs.api_key, now=NOON) is None
    with transaction(limited, by_system(at.operator_id)) as session:
        (view,) = api_keys.api_key_views(session, at.operator_id)
        assert view == mine.key.model_copy(update={"last_used_at": NOON})


def test_a_sandboxs_key_is_made_and_revoked_by_the_live_operators_owner(
    database: Engine, limited: Engine
) -> None:
    with transaction(database) as session:
        at = make.shop(session)
    by_owner = Acting(at.operator_id, OWNER)
    with transaction(limited, by_owner) as session, pytest.raises(Unknown):
        api_keys.make_api_key(session, at.operator_id, asked(is_sandbox=True), now=NOON)
    with transaction(limited, by_owner) as session:
        sandbox = sandboxes.open_sandbox(
            session, at.operator_id, NewSandbox(id=make.an_id()), passphrase=PASSPHRASE, now=NOON
        )

    with transaction(limited, by_owner) as session:
        made = api_keys.make_api_key(session, at.operator_id, asked(is_sandbox=True), now=NOON)

    assert made.api_key is not None
    assert made.api_key.startswith("cfk_test_")
    assert (made.key.operator_id, made.key.is_test) == (sandbox.id, True)
    with transaction(limited, on_showing(made.key.id)) as session:
        found = api_keys.found(session, made.api_key, now=NOON)
    assert found == api_keys.KeyFound(
        operator_id=sandbox.id,
        id=made.key.id,
        name="till server",
        scopes=frozenset({Scope.REDEEM}),
        is_test=True,
        clock_ahead=timedelta(),
    )
    with transaction(limited, by_owner) as session:
        assert [view.id for view in api_keys.api_key_views(session, at.operator_id)] == [
            made.key.id
        ]
        api_keys.revoke(session, at.operator_id, revocation(made.key.id), now=NOON)
    with transaction(limited, on_showing(made.key.id)) as session:
        assert api_keys.found(session, made.api_key, now=NOON) is None
    with transaction(database) as session:
        (named,) = {
            (row.operator_id, row.actor["name"])
            for row in rows(session, "SELECT * FROM event WHERE kind LIKE 'api_key_%'")
        }
    assert named == (at.operator_id, "Olga")


def spelt(kind: str, id: str, secret: str) -> str:
    """A key as somebody invents it who knows how keys are made."""
    return api_keys._text(id, secret, is_test=kind == "test")  # pyright: ignore[reportPrivateUsage]
