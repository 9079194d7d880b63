"""Who asks: the credential names somebody, the row of the endpoint says whether they may."""

import re
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from api.asking import cookies, signatures
from api.asking.access import row_of
from api.asking.callers import Caller, bearer_of, must
from api.asking.flood import Kind
from api.door import Door, door_of, seated
from coupon_engine.errors import NotSignedIn
from schemas.terminals import SHIFT_HEADER


async def who_asks(request: Request) -> Caller:
    """Return who asks, if they may: the row of this endpoint in `access.py` decides.

    `async`, as its neighbours are, so that a look into a dictionary needs no other thread; the
    database is asked in one.

    Raises:
        NotSignedIn: No credential of ours, or one that opens nothing.
        CrossSite: A cookie came along with a request that our own pages have not made.
        NotAllowed: Not this role, or not with this key.
        StepUpNeeded: Only for somebody who has just confirmed who they are.
    """
    known: Caller | None = getattr(request.state, "caller", None)
    if known is not None:  # a signature is good for one look
        return known
    door = door_of(request)
    caller = (await _somebody(door, request)).from_address(network_of(request))
    await door.flood.admit_caller(caller, request.url.path)
    caller.check(row_of(request.method, request.scope["route"].path), now=door.clock())
    request.state.caller = caller
    return caller


async def _somebody(door: Door, request: Request) -> Caller:
    """Return whom the credential names.

    Where too many wrong ones came from, an unknown one is not looked at. Whoever opened something
    lately is let in all the same: one bad neighbour must not close a whole shop.
    """
    key = bearer_of(request)
    if key and (known := door.callers.fresh(key)):
        return known
    address = door.flood.address_of(request)
    credential = _credential(request)
    if not door.flood.has_opened(credential):
        await door.flood.check(address)
    try:
        caller = must(await _caller_of(door, request))
    except NotSignedIn:
        await door.flood.admit(address, Kind.SIGN_IN)
        raise
    door.flood.remember(credential)
    return caller


def _credential(request: Request) -> bytes:
    """Return a hash of what is shown: a key, a cookie's secret, or the id that has signed."""
    signer = _KEYID.search(request.headers.get("signature-input", ""))
    shown = bearer_of(request) or (signer and signer[1]) or cookies.secret_of(request) or ""
    return sha256(shown.encode()).digest()


_KEYID = re.compile(r'keyid="([0-9a-f-]{36})"')


async def _caller_of(door: Door, request: Request) -> Caller | None:
    if key := bearer_of(request):
        async with seated(door.asking):
            return await run_in_threadpool(door.callers.get, key)
    if signatures.is_signed(request.headers):
        body = await request.body()
        async with seated(door.asking):
            return await run_in_threadpool(_signer, door, request, body)
    if secret := cookies.secret_of(request):
        async with seated(door.asking):
            return await run_in_threadpool(_person, door, request, secret)
    return None


def _signer(door: Door, request: Request, body: bytes) -> Caller | None:
    """Return whose key has signed this request; for a terminal, with its cashier."""

    def key_of(id: str) -> bytes | None:
        device = door.devices.get(id)
        return device.public_key if device else None

    id = signatures.signed_by(
        request.method,
        _target(request),
        request.headers,
        body,
        key_of,
        door.nonces,
        now=door.clock(),
    )
    device = door.devices.get(id)
    if device is None:  # revoked a moment ago
        return None
    door.seen.get(device)
    secret = request.headers.get(SHIFT_HEADER)
    if secret is None or device.caller.terminal_id is None:
        return device.caller
    return door.shifts.get((device.caller, secret))


def _person(door: Door, request: Request, secret: str) -> Caller | None:
    caller = door.find_person(secret)
    if caller is not None and request.method not in _SAFE:
        cookies.check_csrf(request, secret)
    return caller


_SAFE = ("GET", "HEAD", "OPTIONS")


def _target(request: Request) -> str:
    """Return path and query as they stood in the request line."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def network_of(request: Request) -> str | None:
    """Return where a request comes from, as far as the record may know: the network, no house.

    The record is never changed, so what may not be kept for long must not get into it.
    """
    try:
        address = ip_address(door_of(request).flood.address_of(request))
    except ValueError:
        return None
    return str(ip_network((address, 24 if address.version == 4 else 48), strict=False))


Asking = Annotated[Caller, Depends(who_asks)]
