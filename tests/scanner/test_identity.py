"""A terminal's key stays where it was made; it signs every request, and counts tries on disk."""

import hmac
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from api.asking.signatures import Nonces, signed_by
from coupon_engine.errors import CodeWrong, NotSignedIn
from scanner import identity
from scanner.identity import (
    FileKey,
    Identity,
    KeyExposed,
    Locked,
    NotPaired,
    Pairing,
    Pins,
    Signing,
)
from schemas.terminals import (
    SHIFT_HEADER,
    CashierView,
    PairingAnswerView,
    PairingState,
    PinVerifier,
    pairing_digits,
    pairing_hash,
    pairing_proof,
    pairing_text,
)
from tests import make
from tests.make import NOON

ID = make.an_id()
SECRET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PIN_KEY = b"a key for PINs, 32 bytes of it.."
SERVER_KEY = identity._jwk(FileKey(ec.generate_private_key(ec.SECP256R1())).public_key)


@pytest.fixture
def key(tmp_path: Path) -> FileKey:
    return FileKey.kept_in(tmp_path / "key.pem")


# The key.


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key.pem"

    first = FileKey.kept_in(path)

    assert FileKey.kept_in(path).public_key == first.public_key
    assert len(first.public_key) == 33
    assert list(path.parent.iterdir()) == [path]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    FileKey.kept_in(path)
    path.chmod(0o640)

    with pytest.raises(KeyExposed):
        FileKey.kept_in(path)


# Pairing.


def test_a_device_answers_a_picture_and_shows_digits_of_its_own_making(key: FileKey) -> None:
    text = pairing_text(SECRET, "https://coupons.example.com")

    pairing = Pairing.of_picture(text, key)

    assert pairing.digits == pairing_digits(pairing_hash(SECRET), key.public_key)
    answer = pairing.answer()
    assert verifies(key, answer.proof, pairing_proof(SECRET, key.public_key))


def test_a_coupon_is_no_picture_for_pairing(key: FileKey) -> None:
    with pytest.raises(ValueError, match="not a picture"):
        Pairing.of_picture("CP1AXYZ", key)


@pytest.mark.parametrize("state", [each for each in PairingState if each != "confirmed"])
def test_nothing_is_an_identity_until_the_manager_says_so(
    key: FileKey, state: PairingState
) -> None:
    with pytest.raises(NotPaired) as told:
        asked(key, answering(state))

    assert told.value.state is state


def test_a_confirmed_device_knows_who_it_is_after_a_restart(key: FileKey, tmp_path: Path) -> None:
    path = tmp_path / "identity.json"

    asked(key, answering(PairingState.CONFIRMED)).save(path)

    known = Identity.load(path)
    assert (known.terminal_id, known.name) == (ID, "Counter 2")
    assert known.server_key == SERVER_KEY
    assert known.server_url == "https://coupons.example.com"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_no_of_the_server_is_an_error(key: FileKey) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        asked(key, lambda _: httpx.Response(401))


# Signing.


def test_every_request_is_signed(key: FileKey) -> None:
    signing = Signing(ID, key, clock=lambda: NOON)

    for method, target, body in (
        ("GET", "/v1/cashiers", None),
        ("GET", "/v1/cashiers?after=1&most=2", None),
        ("POST", "/v1/redemptions", {"id": "1"}),
        ("POST", "/v1/redemptions?a=%20b", {"name": "收银员"}),
    ):
        request = sent(signing, method, target, json=body)

        assert heard(request, key) == str(ID)


def test_a_shift_is_sent_and_signed_while_it_is_open(key: FileKey) -> None:
    signing = Signing(ID, key, clock=lambda: NOON)
    signing.shift = "S"
    request = sent(signing, "POST", "/v1/redemptions", json={})

    assert request.headers[SHIFT_HEADER] == "S"
    assert heard(request, key) == str(ID)
    request.headers[SHIFT_HEADER] = "T"
    with pytest.raises(NotSignedIn):
        heard(request, key)

    signing.shift = None
    assert SHIFT_HEADER not in sent(signing, "POST", "/v1/redemptions", json={}).headers


def test_no_two_requests_share_a_nonce(key: FileKey) -> None:
    signing, nonces = Signing(ID, key, clock=lambda: NOON), Nonces()
    requests = [sent(signing, "GET", "/v1/cashiers") for _ in range(50)]

    assert [heard(request, key, nonces) for request in requests] == [str(ID)] * 50


def test_a_request_is_as_old_as_the_terminals_clock(key: FileKey) -> None:
    late = Signing(ID, key, clock=lambda: NOON - timedelta(minutes=5))

    with pytest.raises(NotSignedIn):
        heard(sent(late, "GET", "/v1/cashiers"), key)


def test_a_key_store_signs_without_giving_the_key_away() -> None:
    class Store:
        """A key that this program cannot read."""

        def __init__(self) -> None:
            self._inside = FileKey(ec.generate_private_key(ec.SECP256R1()))

        @property
        def public_key(self) -> bytes:
            return self._inside.public_key

        def sign(self, message: bytes) -> bytes:
            return self._inside.sign(message)

    store = Store()
    request = sent(Signing(ID, store, clock=lambda: NOON), "GET", "/v1/cashiers")

    assert heard(request, store) == str(ID)


# PINs.


@pytest.fixture
def pins(tmp_path: Path) -> Pins:
    made = Pins(tmp_path / "pins.json", identity._b64(PIN_KEY))
    made.learn([ANN, BOB])
    return made


def again(pins: Pins) -> Pins:
    """The terminal was switched off and on."""
    return Pins(pins._path, identity._b64(PIN_KEY))


def test_a_cashier_is_let_in_by_their_own_pin(pins: Pins) -> None:
    assert pins.check(ANN.id, "2580") == ANN
    assert pins.check(BOB.id, "1357") == BOB
    with pytest.raises(CodeWrong):
        pins.check(BOB.id, "2580")
    with pytest.raises(CodeWrong):
        pins.check(make.an_id(), "2580")


def test_five_tries_and_the_right_pin_comes_too_late(pins: Pins) -> None:
    for _ in range(5):
        with pytest.raises(CodeWrong):
            pins.check(ANN.id, "0001")

    with pytest.raises(Locked):
        pins.check(ANN.id, "2580")
    assert pins.check(BOB.id, "1357") == BOB


def test_switching_off_and_on_gives_nobody_another_try(pins: Pins) -> None:
    for _ in range(5):
        pins = again(pins)
        with pytest.raises(CodeWrong):
            pins.check(ANN.id, "0001")

    with pytest.raises(Locked):
        again(pins).check(ANN.id, "2580")


def test_a_try_is_counted_before_it_is_judged(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    def pulled(*_: object) -> bool:
        raise KeyboardInterrupt  # the plug

    monkeypatch.setattr(identity, "_is_right", pulled)
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            again(pins).check(ANN.id, "0001")
    monkeypatch.undo()

    with pytest.raises(Locked):
        again(pins).check(ANN.id, "2580")


def test_a_right_pin_begins_the_count_anew(pins: Pins) -> None:
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(CodeWrong):
                pins.check(ANN.id, "0001")
        assert pins.check(ANN.id, "2580") == ANN


def test_only_the_server_unlocks_a_cashier(pins: Pins) -> None:
    for _ in range(5):
        with pytest.raises(CodeWrong):
            pins.check(ANN.id, "0001")
    pins.learn([ANN, BOB])  # hearing of them again is no unlocking
    with pytest.raises(Locked):
        pins.check(ANN.id, "2580")

    pins.unlock(ANN.id)

    assert again(pins).check(ANN.id, "2580") == ANN


def test_who_has_left_is_forgotten(pins: Pins) -> None:
    pins.learn([BOB])

    with pytest.raises(CodeWrong):
        again(pins).check(ANN.id, "2580")


def test_what_is_kept_is_of_no_use_on_another_terminal(pins: Pins) -> None:
    elsewhere = Pins(pins._path, identity._b64(b"another key"))

    with pytest.raises(CodeWrong):
        elsewhere.check(ANN.id, "2580")
    assert "2580" not in pins._path.read_text()
    if os.name == "posix":
        assert stat.S_IMODE(pins._path.stat().st_mode) == 0o600


def known(name: str, pin: str) -> CashierView:
    """A cashier as the server tells this terminal of them, with little work to keep tests quick."""
    salt = sha256(name.encode()).digest()[:16]
    slow = hash_secret_raw(pin.encode(), salt, 1, 64, 1, 32, Type.ID)
    check = hmac.digest(PIN_KEY, slow, sha256)
    return CashierView(
        id=make.an_id(),
        store_id=make.an_id(),
        name=name,
        created_at=NOON,
        revoked_at=None,
        verifier=PinVerifier(
            salt=identity._b64(salt),
            time_cost=1,
            memory_kib=64,
            lanes=1,
            check=identity._b64(check),
        ),
    )


ANN, BOB = known("Ann", "2580"), known("Bob", "1357")


def answering(state: PairingState) -> Callable[[httpx.Request], httpx.Response]:
    """The far side of the network."""
    told = PairingAnswerView(
        state=state,
        digits="000000",
        terminal_id=ID,
        store_id=make.an_id(),
        name="Counter 2",
        pin_key="AAAA" if state is PairingState.CONFIRMED else None,
        server_key=SERVER_KEY if state is PairingState.CONFIRMED else None,
    )

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url == "https://coupons.example.com/v1/pairing-answers"
        return httpx.Response(201, text=told.model_dump_json())

    return answer


def asked(key: FileKey, server: Callable[[httpx.Request], httpx.Response]) -> Identity:
    pairing = Pairing.of_picture(pairing_text(SECRET, "https://coupons.example.com"), key)
    with httpx.Client(transport=httpx.MockTransport(server)) as client:
        return pairing.ask(client)


def sent(signing: Signing, method: str, target: str, json: object = None) -> httpx.Request:
    """Return a request as it leaves."""
    left: list[httpx.Request] = []

    def far_side(request: httpx.Request) -> httpx.Response:
        left.append(request)
        return httpx.Response(200)

    client = httpx.Client(
        transport=httpx.MockTransport(far_side), auth=signing, base_url="https://coupons.test"
    )
    with client:
        client.request(method, target, json=json)
    return left[0]


def heard(request: httpx.Request, key: identity.DeviceKey, nonces: Nonces | None = None) -> str:
    return signed_by(
        request.method,
        request.url.raw_path.decode(),
        request.headers,
        request.content,
        lambda id: key.public_key if UUID(id) == ID else None,
        nonces or Nonces(),
        now=NOON,
    )


def verifies(key: FileKey, proof: str, said: bytes) -> bool:
    raw = identity._raw(proof)
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.public_key)
    try:
        point.verify(encode_dss_signature(r, s), said, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True
