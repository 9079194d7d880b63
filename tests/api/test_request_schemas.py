"""What a request may say: nothing that the server owns, and nothing that it does not know."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api.asking.access import ROWS
from api.main import VERSION_1
from schemas.access import Role
from tests.api.conftest import document

# The record alone decides these; asked for in a request, they would be believed some day.
SERVER_OWNED = frozenset(
    {
        "actor",
        "attempts",
        "campaign_number",
        "clock_ahead_seconds",
        "code_hash",
        "created_at",
        "decided",
        "erased_at",
        "hash",
        "held_until",
        "holder_changes",
        "invited_by",
        "is_platform",
        "issued_at",
        "issued_count",
        "lookup",
        "number",
        "operator_id",
        "paired_at",
        "password_hash",
        "position",
        "presented",
        "public_jwk",
        "recorded_at",
        "redeemed_at",
        "redeemed_count",
        "revoked_at",
        "seen_at",
        "shuffle_key",
        "sign_count",
        "spent_minor",
        "state",
        "stepped_up_at",
        "suspended_at",
        "totp_secret",
        "tries",
        "undo_until",
        "used_at",
        "used_count",
        "uses_count",
        "valid_from",
        "valid_until",
        "verified_at",
        "wallet_id",
    }
)
# An endpoint of a customer or a terminal says nothing of who asks: the credential does.
SUBJECTS = frozenset({"customer_id", "wallet_id", "holder_key", "from_customer_id", "account_id"})


# A browser makes these (WebAuthn), and a newer one says more than we know.
OF_BROWSERS = {"MadeCredential", "MadeKey", "SignedChallenge", "SignedCredential"}

DOCUMENT = document()


def requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every endpoint that takes a body, with the schema of it."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            if body := operation.get("requestBody"):
                for content in body["content"].values():
                    yield f"{method.upper()} {path}", content["schema"]


def objects_in(schema: Any, seen: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """Yield this schema and all that stand inside it, each with properties of its own."""
    if isinstance(schema, list):
        for each in schema:
            yield from objects_in(each, seen)
    elif isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            if reference not in seen:
                name = reference.rpartition("/")[2]
                yield from objects_in(DOCUMENT["components"]["schemas"][name], seen | {reference})
            return
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects_in(value, seen)


def wanting(schema: dict[str, Any], words: frozenset[str]) -> set[str]:
    return {name for each in objects_in(schema) for name in each["properties"] if name in words}


def test_there_are_requests_to_look_at() -> None:
    assert len(list(requests())) > 30


def test_no_request_asks_for_what_the_server_owns() -> None:
    found = {endpoint: wanting(schema, SERVER_OWNED) for endpoint, schema in requests()}

    assert {endpoint: names for endpoint, names in found.items() if names} == {}


def test_no_request_lets_in_what_it_does_not_know() -> None:
    loose = {
        f"{endpoint} {each.get('title')}"
        for endpoint, schema in requests()
        for each in objects_in(schema)
        if each.get("additionalProperties") is not False
        if each.get("title") not in OF_BROWSERS
    }

    assert loose == set()


def test_no_schema_is_asked_and_answered_alike() -> None:
    """What comes in and what goes out are two models: neither drags a field into the other."""
    asked = {_name(schema) for _, schema in requests()}
    answered = {
        _name(content["schema"])
        for operations in DOCUMENT["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for content in answer.get("content", {}).values()
        if "schema" in content
    }

    assert asked & answered - {""} == set()


def test_no_customer_and_no_terminal_says_who_asks() -> None:
    own = {
        f"{endpoint.partition(' ')[0]} /v1{endpoint.partition(' ')[2]}"
        for endpoint, row in ROWS.items()
        if row.roles and row.roles <= {Role.CUSTOMER, Role.TERMINAL}
    }
    found = {
        endpoint: wanting(schema, SUBJECTS) for endpoint, schema in requests() if endpoint in own
    }

    assert "POST /v1/wallet/claims" in found
    assert {endpoint: names for endpoint, names in found.items() if names} == {}


@pytest.mark.parametrize("field", ["operator_id", "state", "created_at"])
def test_a_field_of_the_servers_would_be_seen(field: str) -> None:
    schema = {"type": "array", "items": {"properties": {"inner": {"properties": {field: {}}}}}}

    assert wanting(schema, SERVER_OWNED) == {field}


def test_every_endpoint_that_writes_is_looked_at() -> None:
    """A body that is read past the document would be read past this test."""
    looked_at = {endpoint for endpoint, _ in requests()}
    writing = {
        f"{method} /v1{route.path}"
        for module in VERSION_1
        for route in module.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
        if method not in ("GET", "HEAD")
    }

    assert writing - looked_at - WITHOUT_BODY == set()


# They are about whoever asks, and nothing else can be said.
WITHOUT_BODY = {
    "POST /v1/passkeys/options",
    "POST /v1/recovery-codes",
    "POST /v1/step-ups/passkey-options",
    "POST /v1/totp-secrets",
}


def _name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]
