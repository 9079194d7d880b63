"""Status lists: for terminals in shards and steps, for the world as the standard has them."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlmodel import Session

from api.asking.flood import Kind
from api.asking.who import Asking
from api.deps import Now, OpenNow, Passphrase, Transaction
from api.door import door_of, writing
from api.problems import can_fail_with
from api.terminals import IssuerUrl
from coupon_engine import acting
from coupon_engine.errors import NoLease, TerminalFrozen, Unknown
from coupon_engine.offline import status_lists

MEDIA_TYPE = "application/statuslist+jwt"
router = APIRouter(tags=["Without a network"])
world = APIRouter(tags=["Without a network"])

Number = Annotated[int, Path(ge=0, lt=2**40, description="The campaign's number, as in its codes.")]
Shard = Annotated[int, Path(ge=0, lt=2**20, description="Of 2^20 places each.")]
Since = Annotated[
    int | None,
    Query(ge=0, lt=2**53, description="The `ver` that one has: only what was touched since."),
]


async def for_anybody(request: Request) -> AsyncIterator[Session]:
    door = door_of(request)
    await door.flood.admit(door.flood.address_of(request), Kind.STRANGER)
    async with writing(door.everybody, acting.NOBODY) as session:
        yield session


Anybody = Annotated[Session, Depends(for_anybody, scope="function")]
_DOCUMENTED: dict[str, Any] = {"content": {MEDIA_TYPE: {}}, "description": "A `statuslist+jwt`."}


@router.get(
    "/status-lists/{cmp}/{shard}",
    response_class=Response,
    responses={200: _DOCUMENTED, **can_fail_with(Unknown, NoLease, TerminalFrozen)},
)
def shard(
    cmp: Number,
    shard: Shard,
    session: Transaction,
    caller: Asking,
    passphrase: Passphrase,
    issuer_url: IssuerUrl,
    now: Now,
    since: Since = None,
) -> Response:
    """One shard of a campaign's list, or what was touched in it; good as long as one's lease."""
    assert caller.terminal_id
    jwt = status_lists.for_terminal(
        session,
        caller.operator_id,
        caller.terminal_id,
        cmp,
        shard,
        since=since,
        issuer_url=issuer_url,
        passphrase=passphrase,
        now=now,
    )
    return Response(jwt, media_type=MEDIA_TYPE)


@world.get(
    "/{slug}/sl/{cmp}",
    response_class=Response,
    responses={200: _DOCUMENTED, **can_fail_with(Unknown)},
)
def whole(
    slug: str,
    cmp: Number,
    session: Anybody,
    passphrase: Passphrase,
    issuer_url: IssuerUrl,
    now: OpenNow,
) -> Response:
    """A campaign's whole list, where the `uri` in its coupons points (Token Status List)."""
    jwt = status_lists.for_the_world(
        session, slug, cmp, issuer_url=issuer_url, passphrase=passphrase, now=now
    )
    headers = {"Cache-Control": f"public, max-age={status_lists.TTL_SECONDS}"}
    return Response(jwt, headers=headers, media_type=MEDIA_TYPE)
