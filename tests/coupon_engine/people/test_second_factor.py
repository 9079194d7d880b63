"""Authenticator apps and recovery codes: set up once, used once."""

import re
from datetime import datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyotp.totp import TOTP
from sqlmodel import Session

from coupon_engine.errors import CodeWrong, NotAllowed, NotSignedIn, StepUpNeeded, TooManyTries
from coupon_engine.people import second_factor, sign_ins
from coupon_engine.people.secret import hash_of
from coupon_engine.people.sign_ins import Opened
from coupon_engine.sealing import Spoilt, Vault
from coupon_engine.tables import Account, Passkey
from schemas.people import TotpBegun
from tests import make
from tests.coupon_engine.people.apps import App, app_of, code_of, row_of, typed, wrong_code_of
from tests.coupon_engine.record import count, kinds, rows
from tests.make import NOON, VAULT

STEP = timedelta(seconds=30)
LATER = NOON + timedelta(minutes=10)


def begins(session: Session, opened: Opened, now: datetime = NOON) -> TotpBegun:
    return second_factor.begin_totp(session, hash_of(opened.secret), VAULT, now=now)


def confirms(
    session: Session, opened: Opened, begun: TotpBegun, code: str, now: datetime = NOON
) -> App:
    codes, again = second_factor.confirm_totp(
        session, hash_of(opened.secret), typed(begun.ceremony, code), VAULT, now=now
    )
    return App(begun.secret, codes.codes, again)


def uses(session: Session, ann: Account, code: str, now: datetime) -> str | None:
    session.refresh(ann)
    return second_factor.use(session, ann, code, VAULT, now=now)


def passkey_of(session: Session, ann: Account) -> None:
    session.add(
        Passkey(
            operator_id=ann.operator_id,
            credential_id=b"a key",
            account_id=ann.id,
            name="My phone",
            public_key=b"",
            created_at=NOON,
        )
    )
    session.flush()


def test_an_app_makes_half_a_sign_in_whole_and_ends_the_others(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    other = make.signed_in(session, ann, "password")

    app = app_of(session, ann)

    assert row_of(session, other) is None
    row = row_of(session, app.opened)
    assert row is not None
    assert row.methods == ["password", "totp"]
    assert sign_ins.is_whole(row.methods)
    assert second_factor.ways(session, ann) == ["totp", "recovery"]
    assert kinds(session, ann.id)[-3:] == ["second_factor_set", "recovery_codes_made", "stepped_up"]


def test_what_an_app_is_told_is_what_apps_read(session: Session) -> None:
    at = make.shop(session)
    ann = make.person(session, at)

    begun = begins(session, make.signed_in(session, ann, "password"))

    parts = urlsplit(begun.address)
    assert (parts.scheme, parts.netloc) == ("otpauth", "totp")
    assert unquote(parts.path) == f"/Counterfoil:{ann.email} ({at.slug})"
    assert parse_qs(parts.query)["secret"] == [begun.secret]
    assert re.fullmatch(r"[A-Z2-7]{32}", begun.secret)  # 160 bits


def test_until_a_code_has_come_back_nothing_is_set_up(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    opened = make.signed_in(session, ann, "password")
    begun = begins(session, opened)

    with pytest.raises(CodeWrong) as wrong:
        confirms(session, opened, begun, wrong_code_of(begun.secret, NOON))

    assert wrong.value.is_answered
    assert not second_factor.has_any(session, ann)
    assert count(session, "recovery_code") == 0
    assert confirms(session, opened, begun, code_of(begun.secret, NOON)).recovery_codes


def test_a_setting_up_ends_with_its_ceremony(session: Session) -> None:
    at = make.shop(session)
    ann, ben = make.person(session, at), make.person(session, at)
    mine, his = (make.signed_in(session, each, "password") for each in (ann, ben))
    begun = begins(session, mine)
    over = NOON + timedelta(minutes=10)

    with pytest.raises(NotSignedIn):
        confirms(session, his, begun, code_of(begun.secret, NOON))
    with pytest.raises(NotSignedIn):
        confirms(session, mine, begun, code_of(begun.secret, over), over)
    again = confirms(session, mine, begun, code_of(begun.secret, NOON)).opened
    confirmed = sign_ins.step_up(session, hash_of(again.secret), method="totp", now=NOON)
    with pytest.raises(NotSignedIn):
        confirms(session, confirmed, begun, code_of(begun.secret, NOON + STEP), NOON + STEP)

    assert not second_factor.has_any(session, ben)


def test_twenty_wrong_codes_end_the_setting_up_for_a_day(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    opened = make.signed_in(session, ann, "password")
    begun = begins(session, opened)
    for _ in range(20):
        with pytest.raises(CodeWrong):
            confirms(session, opened, begun, wrong_code_of(begun.secret, NOON))

    with pytest.raises(TooManyTries):
        confirms(session, opened, begun, code_of(begun.secret, NOON))


@pytest.mark.parametrize("has_passkey", [False, True])
def test_another_app_needs_a_confirmation_by_what_is_there(
    session: Session, *, has_passkey: bool
) -> None:
    ann = make.person(session, make.shop(session))
    if has_passkey:
        passkey_of(session, ann)
        opened = make.signed_in(session, ann, "passkey")
    else:
        opened = app_of(session, ann).opened

    with pytest.raises(StepUpNeeded):
        begins(session, opened, LATER)

    again = sign_ins.step_up(session, hash_of(opened.secret), method="totp", now=LATER)
    begun = begins(session, again, LATER)
    assert confirms(session, again, begun, code_of(begun.secret, LATER), LATER)


def test_half_a_sign_in_never_sets_up_a_second_app_or_anything_beside_a_passkey(
    session: Session,
) -> None:
    """Whoever knows the password alone must not make a second factor of their own."""
    ann = make.person(session, make.shop(session))
    opened = make.signed_in(session, ann, "password")
    begun = begins(session, opened)
    passkey_of(session, ann)
    # By a way that there should not be: confirmed, but by the password alone.
    again = sign_ins.step_up(session, hash_of(opened.secret), method="password", now=NOON)

    with pytest.raises(StepUpNeeded):
        begins(session, again)
    with pytest.raises(StepUpNeeded):
        confirms(session, again, begun, code_of(begun.secret, NOON))


def test_a_code_is_good_for_its_step_and_the_ones_beside_it(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    app = app_of(session, ann, now=NOON - timedelta(hours=1))
    for steps in (-2, 2):
        assert uses(session, ann, app.code(NOON + steps * STEP), NOON) is None

    assert [uses(session, ann, app.code(NOON + each * STEP), NOON) for each in (-1, 0, 1)] == [
        "totp"
    ] * 3


def test_no_step_works_twice_nor_any_before_it(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    app = app_of(session, ann, now=NOON - timedelta(hours=1))
    assert uses(session, ann, app.code(NOON), NOON) == "totp"

    assert uses(session, ann, app.code(NOON), NOON) is None
    assert uses(session, ann, app.code(NOON), NOON + STEP) is None
    assert uses(session, ann, app.code(NOON - STEP), NOON) is None
    assert uses(session, ann, app.code(NOON + STEP), NOON) == "totp"


def test_the_code_that_set_the_app_up_signs_nobody_in(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    app = app_of(session, ann)

    assert uses(session, ann, app.code(NOON), NOON) is None


@given(st.integers(0, 2**31), st.integers(-3, 3))
def test_a_step_is_found_exactly_within_its_window(seconds: int, steps: int) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    now = NOON + timedelta(seconds=seconds)
    shown = now + steps * STEP
    code = TOTP(secret).at(shown)

    found = second_factor._step_of(secret, code, now)

    if abs(steps) <= 1:
        assert found == int(shown.timestamp()) // 30
    else:  # the same six digits may stand in another step, once in 300,000
        assert found is None or TOTP(secret).at(found * 30) == code


@given(st.text(max_size=20))
def test_any_text_is_a_code_or_none(text: str) -> None:
    step = second_factor._step_of("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", text, NOON)

    assert step is None or text.replace(" ", "").isdecimal()


def test_ten_recovery_codes_are_shown_once_and_kept_keyed(session: Session) -> None:
    ann = make.person(session, make.shop(session))

    codes = app_of(session, ann).recovery_codes

    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}", code) for code in codes)
    kept = {bytes(row.hash) for row in rows(session, "SELECT hash FROM recovery_code")}
    assert kept == {second_factor._kept_of(ann.id, code, VAULT) for code in codes}
    # Whoever has a dump and no master secret cannot try them out.
    another = Vault.under(b"another master secret")
    assert kept.isdisjoint({second_factor._kept_of(ann.id, code, another) for code in codes})


@pytest.mark.parametrize("spelled", ["{}", " {} ", "lower", "no dash", "letters"])
def test_a_recovery_code_is_read_as_people_type_it(session: Session, spelled: str) -> None:
    ann = make.person(session, make.shop(session))
    code = app_of(session, ann).recovery_codes[0]
    written = {
        "lower": code.lower(),
        "no dash": code.replace("-", ""),
        "letters": code.replace("0", "O").replace("1", "l"),
    }.get(spelled, spelled.format(code))

    assert uses(session, ann, written, NOON) == "recovery"
    assert uses(session, ann, code, NOON) is None
    assert second_factor.recovery_codes_left(session, ann) == 9


def test_a_recovery_code_is_its_owners_alone(session: Session) -> None:
    at = make.shop(session)
    ann, ben = make.person(session, at), make.person(session, at)
    anns, _ = app_of(session, ann), app_of(session, ben)

    assert uses(session, ben, anns.recovery_codes[0], NOON) is None
    assert uses(session, ann, anns.recovery_codes[0], NOON) == "recovery"


def test_new_recovery_codes_end_the_old_ones(session: Session) -> None:
    ann = make.person(session, make.shop(session))
    app = app_of(session, ann)
    own = hash_of(app.opened.secret)

    codes = second_factor.renew_recovery_codes(session, own, VAULT, now=NOON).codes

    assert uses(session, ann, app.recovery_codes[0], NOON) is None
    assert uses(session, ann, codes[0], NOON) == "recovery"
    with pytest.raises(StepUpNeeded):
        second_factor.renew_recovery_codes(session, own, VAULT, now=LATER)


def test_recovery_codes_stand_for_something(session: Session) -> None:
    opened = make.signed_in(session, make.person(session, make.shop(session)), "password")

    with pytest.raises(NotAllowed):
        second_factor.renew_recovery_codes(session, hash_of(opened.secret), VAULT, now=NOON)


def test_all_of_it_can_be_taken_away(session: Session) -> None:
    at = make.shop(session)
    ann, ben = make.person(session, at), make.person(session, at)
    app = app_of(session, ann)
    app_of(session, ben)
    passkey_of(session, ann)

    second_factor.take_away(session, ann)
    session.flush()

    assert second_factor.ways(session, ann) == []
    assert uses(session, ann, app.code(LATER), LATER) is None
    assert uses(session, ann, app.recovery_codes[0], LATER) is None
    assert second_factor.ways(session, ben) == ["totp", "recovery"]


def test_a_secret_cannot_be_moved_to_another_account(session: Session) -> None:
    at = make.shop(session)
    ann, ben = make.person(session, at), make.person(session, at)
    app = app_of(session, ann)
    session.refresh(ann)
    ben.totp_secret = ann.totp_secret
    session.add(ben)
    session.flush()

    with pytest.raises(Spoilt):
        uses(session, ben, app.code(LATER), LATER)
