"""The hub: one terminal decides for its store while the Internet is down.

    POST /redeem        a `ForStore`, signed by the terminal that asks
    200                 the `Screen` to show, signed by the hub, for this very request

Plain HTTP inside the store: nothing here is secret for longer than it takes to redeem, but nobody
may put words into anybody's mouth. Requests are signed, and verified, as those to the server are
(RFC 9421). Answers are signed with the hub's own key over the request's signature (section 2.4
there), so that no answer fits another request. Who may ask, and who the hub is, the bundle says.

The library knows no signatures of answers. Both ends of one are ours, so it has one spelling, which
is rebuilt and compared: nothing in an answer can choose what is covered.
"""

import re
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from threading import BoundedSemaphore, Thread
from uuid import UUID

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import TypeAdapter, ValidationError

from coupon_engine.errors import HolderKeyInvalid, NotSignedIn
from coupon_engine.validation import signed_requests
from coupon_engine.validation.token import compressed
from scanner.identity import DeviceKey, Signing
from scanner.terminal.showing import Screen
from schemas.coupons import HolderKey
from schemas.offline import HubUrl
from schemas.redemptions import NewRedemption
from schemas.terminals import TAG

PATH = "/redeem"
MOST_BODY = 65_536
MOST_AT_ONCE = 32
_LOOKS_SECONDS = 0.05  # whether it shall close
PATIENCE_SECONDS = 5
# Counters without a network have clocks that drift. A copied request is harmless: its id has its
# answer already. So this only keeps very old ones from being asked at all.
OLDEST_SECONDS = 600

Terminals = Mapping[UUID, HolderKey]
Redeem = Callable[["ForStore", UUID], Screen]
"""Decide for another terminal; told the request and who asks."""


class ForStore(NewRedemption):
    """What a terminal asks the hub, with the cashier who has shown their PIN there."""

    cashier_id: UUID | None = None


class HubAway(Exception):
    """Nobody answers there, or nobody who is the hub."""


class Hub:
    """Answers the store's other terminals, from threads of its own, until it is closed.

    `redeem` is called from many threads at once; what must not happen twice is for it to see to.
    """

    def __init__(
        self,
        address: tuple[str, int],
        redeem: Redeem,
        *,
        id: UUID,
        key: DeviceKey,
        terminals: Callable[[], Terminals],
        clock: Callable[[], datetime],
    ) -> None:
        self.id = id
        self.key = key
        self.redeem = redeem
        self.terminals = terminals
        self.clock = clock
        self._server = _Server(address, self)
        self._thread = Thread(
            target=self._server.serve_forever, args=[_LOOKS_SECONDS], name="hub", daemon=True
        )
        self._thread.start()

    @property
    def listens(self) -> tuple[str, int]:
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def url(self) -> str:
        host, port = self.listens
        return f"http://{host}:{port}"

    def close(self) -> None:
        """Answer nobody any more. To close it again changes nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


def reached_at(listens: tuple[str, int], server_url: str) -> str | None:
    """Return where the store's other terminals find a hub that listens there.

    If it listens everywhere, that is the address from which this machine would ask the server.
    None if there is no network now, or the address is none of a shop's own.
    """
    host, port = listens
    with suppress(OSError, ValueError):
        if ip_address(host).is_unspecified:
            host = _address_towards(server_url)
        shown = f"[{host}]" if ":" in host else host
        return _HUB_URL.validate_python(f"http://{shown}:{port}")
    return None


def _address_towards(server_url: str) -> str:
    """Return this machine's own address on the way there. Nothing is sent."""
    server = httpx.URL(server_url)
    found = socket.getaddrinfo(server.host, server.port or 443, type=socket.SOCK_DGRAM)
    family, kind, _, _, address = found[0]
    with socket.socket(family, kind) as towards:
        towards.connect(address)
        return str(towards.getsockname()[0])


class HubAsked:
    """The hub, as another terminal of the store knows it. Without a `url` the bundle names it."""

    def __init__(
        self,
        url: str | None = None,
        *,
        id: UUID,
        key: DeviceKey,
        clock: Callable[[], datetime],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._url = url
        self._client = httpx.Client(
            timeout=patience_seconds, trust_env=False, follow_redirects=False
        )
        self._auth = Signing(id, key, clock=clock)

    def redeem(
        self, request: ForStore, hub_id: UUID, hub_key: HolderKey, told_url: str | None = None
    ) -> Screen:
        """Let the hub decide. To ask again with the same id is safe.

        `told_url` is where it listens as the bundle says; an address that was given counts more.

        Raises:
            HubAway: Nobody answers, or it is not this hub. It may have heard us all the same.
        """
        url = self._url or told_url
        if url is None:
            raise HubAway("nobody has said where it is")
        try:
            answer = self._client.post(
                f"{url.rstrip('/')}{PATH}",
                content=request.model_dump_json(exclude_none=True),
                headers={"Content-Type": "application/json"},
                auth=self._auth,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HubAway(str(error)) from None
        asked = answer.request.headers["signature"]
        if answer.status_code != HTTPStatus.OK or not _is_answer_of(
            hub_id, hub_key, answer.headers, answer.content, asked
        ):
            raise HubAway("nobody there is the hub")
        try:
            return Screen.model_validate_json(answer.content)
        except ValidationError:
            raise HubAway("the hub speaks another version") from None

    def close(self) -> None:
        self._client.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], hub: Hub) -> None:
        super().__init__(address, _Answers)
        self.hub = hub
        self.places = BoundedSemaphore(MOST_AT_ONCE)

    def process_request(self, request: object, client_address: object) -> None:
        """Turn away who comes while all places are taken: a thread each has its price."""
        if not self.places.acquire(blocking=False):
            self.shutdown_request(request)  # pyright: ignore[reportArgumentType]
            return
        super().process_request(request, client_address)  # pyright: ignore[reportArgumentType]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # pyright: ignore[reportArgumentType]
        finally:
            self.places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: whoever hangs up in the middle asks again."""


class _Answers(BaseHTTPRequestHandler):
    timeout = PATIENCE_SECONDS
    server_version = "counterfoil"
    sys_version = ""

    def do_POST(self) -> None:
        assert isinstance(self.server, _Server)
        hub = self.server.hub
        body = self._body()
        if body is None:
            return self._no(413)
        asker = asker_of("POST", self.path, self._fields(), body, hub.terminals(), now=hub.clock())
        if asker is None:
            return self._no(401)
        if self.path != PATH:
            return self._no(404)
        try:
            request = ForStore.model_validate_json(body)
        except ValidationError:
            return self._no(422)
        screen = hub.redeem(request, asker).model_dump_json().encode()
        signed = _answer_headers(hub.id, hub.key, screen, self._fields()["signature"], hub.clock())
        self.send_response(200)
        for name, value in {"Content-Type": "application/json", **signed}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(screen)))
        self.end_headers()
        self.wfile.write(screen)
        return None

    def _body(self) -> bytes | None:
        length = self.headers.get("content-length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MOST_BODY:
            return None
        return self.rfile.read(int(length))

    def _fields(self) -> dict[str, str]:
        # A field that comes twice is joined, and then fits no signature.
        names = {name.lower() for name in self.headers}
        return {name: ", ".join(self.headers.get_all(name, [])) for name in names}

    def _no(self, status: int) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Write nothing down: what is shown at a counter is nobody's to keep."""


_SIGNATURE = re.compile(r"counterfoil=:(?P<raw>[A-Za-z0-9+/]{86}==):")


def asker_of(
    method: str,
    target: str,
    fields: Mapping[str, str],
    body: bytes,
    terminals: Terminals,
    *,
    now: datetime,
) -> UUID | None:
    """Return which of these terminals has signed this request; None if none has."""

    def key_of(id: str) -> bytes | None:
        key = terminals.get(UUID(id))
        return compressed(key) if key else None

    try:
        said = signed_requests.signed_by(
            method,
            target,
            fields,
            body,
            key_of,
            oldest_seconds=OLDEST_SECONDS,
            ahead_seconds=OLDEST_SECONDS,
            now=now,
        )
    except (HolderKeyInvalid, NotSignedIn):
        return None
    return UUID(said.keyid)


def _answer_headers(
    id: UUID, key: DeviceKey, body: bytes, asked: str, now: datetime
) -> dict[str, str]:
    digest = _digest(body)
    params = _answer_params(id, str(int(now.timestamp())))
    signature = b64encode(key.sign(_answer_base(digest, asked, params).encode())).decode()
    return {
        "Content-Digest": digest,
        "Signature-Input": f"{TAG}={params}",
        "Signature": f"{TAG}=:{signature}:",
    }


_ANSWERED = re.compile(r"counterfoil=.*;created=(?P<created>[0-9]{1,12});keyid=.*")


def _is_answer_of(
    id: UUID, key: HolderKey, fields: Mapping[str, str], body: bytes, asked: str
) -> bool:
    """Has this hub signed this answer, to the request that bears this signature?"""
    said = _ANSWERED.fullmatch(fields.get("signature-input", ""))
    digest = _digest(body)
    if said is None or fields.get("content-digest") != digest:
        return False
    params = _answer_params(id, said["created"])
    base = _answer_base(digest, asked, params)
    return fields["signature-input"] == f"{TAG}={params}" and _is_signed(
        key, fields.get("signature", ""), base
    )


def _answer_params(id: UUID, created: str) -> str:
    return (
        f'("@status" "content-digest" "signature";req);created={created};keyid="{id}"'
        f';alg="ecdsa-p256-sha256";tag="{TAG}"'
    )


def _answer_base(digest: str, asked: str, params: str) -> str:
    return (
        f'"@status": 200\n"content-digest": {digest}\n"signature";req: {asked}\n'
        f'"@signature-params": {params}'
    )


_HUB_URL: TypeAdapter[str] = TypeAdapter(HubUrl)


def _digest(body: bytes) -> str:
    return f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"


def _is_signed(key: HolderKey, field: str, base: str) -> bool:
    found = _SIGNATURE.fullmatch(field)
    if found is None:
        return False
    raw = b64decode(found["raw"])
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    with suppress(HolderKeyInvalid, InvalidSignature, ValueError):
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), compressed(key))
        point.verify(encode_dss_signature(r, s), base.encode(), ec.ECDSA(SHA256()))
        return True
    return False
