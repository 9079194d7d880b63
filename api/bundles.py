"""The bundle: what a terminal judges by while it is alone."""

from typing import Annotated

from fastapi import APIRouter, Header, Response, status

from api.asking.who import Asking
from api.deps import Now, Passphrase, Transaction
from api.problems import can_fail_with
from api.terminals import IssuerUrl
from coupon_engine.errors import NoLease, TerminalFrozen
from coupon_engine.offline import bundles

router = APIRouter(tags=["Without a network"])

Known = Annotated[
    str | None, Header(alias="If-None-Match", description="The `ETag` of the bundle one has.")
]


@router.get(
    "/bundle",
    response_class=Response,
    responses={
        200: {"content": {"application/jwt": {}}, "description": "A `bundle+jwt`."},
        304: {"description": "Nothing has changed."},
        **can_fail_with(NoLease, TerminalFrozen),
    },
)
def bundle(
    session: Transaction,
    caller: Asking,
    passphrase: Passphrase,
    issuer_url: IssuerUrl,
    now: Now,
    known: Known = None,
) -> Response:
    """Everything that the terminal which asks may know alone, signed, good as long as its lease."""
    assert caller.terminal_id
    signed = bundles.signed(
        session,
        caller.operator_id,
        caller.terminal_id,
        issuer_url=issuer_url,
        passphrase=passphrase,
        unless=_mark_in(known),
        now=now,
    )
    if signed is None:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": known or ""})
    headers = {"ETag": f'"{signed.mark}"'}
    return Response(signed.jwt, headers=headers, media_type="application/jwt")


def _mark_in(known: str | None) -> str | None:
    return known.removeprefix("W/").strip('"') if known else None
