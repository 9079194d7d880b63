"""The server key: each operator has one, made when it is first needed, and none signs coupons."""

from sqlmodel import Session

from coupon_engine import keys
from coupon_engine.offline import server_keys
from coupon_engine.offline.server_keys import ServerKeyPair
from coupon_engine.validation.issuer_keys import public_jwk
from tests import make
from tests.coupon_engine.record import kinds, rows
from tests.coupon_engine.terminals.devices import Device, answers, confirms, paired, shown
from tests.make import NOON, Shop


def in_use(session: Session, at: Shop) -> ServerKeyPair:
    return server_keys.in_use(session, at.operator_id, passphrase=make.PASSPHRASE, now=NOON)


def test_it_is_made_once_and_stays(session: Session) -> None:
    at = make.shop(session)

    first, again = in_use(session, at), in_use(session, at)

    assert first.kid == again.kid
    assert public_jwk(again.private) == first.public_jwk == again.public_jwk
    assert kinds(session, at.operator_id).count("server_key_made") == 1


def test_each_operator_has_its_own_and_none_is_a_key_for_coupons(session: Session) -> None:
    at, other = make.shop(session), make.shop(session)
    make.signing_key(session, at)

    ours, theirs = in_use(session, at), in_use(session, other)

    signing = {view.kid for view in keys.key_views(session, at.operator_id)}
    assert len({ours.kid, theirs.kid, *signing}) == 3


def test_its_private_half_lies_in_the_record_under_the_passphrase(session: Session) -> None:
    at = make.shop(session)
    in_use(session, at)

    (row,) = rows(session, "SELECT private_pem FROM server_key")

    assert b"BEGIN ENCRYPTED PRIVATE KEY" in bytes(row.private_pem)


def test_the_world_may_verify_what_it_signs(session: Session) -> None:
    at = make.shop(session)
    make.signing_key(session, at)
    key = in_use(session, at)

    published = keys.jwks(session)["keys"]

    assert published[-1] == key.public_jwk
    assert len(published) == 2
    assert all("d" not in each for each in published)


def test_a_device_learns_it_when_the_manager_has_confirmed_and_not_before(
    session: Session,
) -> None:
    at, device = make.shop(session), Device()
    picture = shown(session, at)
    waiting = answers(session, device, picture.text)
    confirms(session, at, picture, waiting.digits)

    confirmed = answers(session, device, picture.text)

    assert waiting.server_key is None
    assert confirmed.server_key is not None
    public = in_use(session, at).public_jwk
    assert (confirmed.server_key.x, confirmed.server_key.y) == (public["x"], public["y"])
    assert paired(session, at).server_key == confirmed.server_key
