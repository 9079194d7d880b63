"""A passkey lets in its own person, at our own address, once for each question."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import Session, select

from coupon_engine.database import transaction
from coupon_engine.errors import (
    LastSecondFactor,
    NotSignedIn,
    PasskeyRefused,
    StepUpNeeded,
    Unknown,
)
from coupon_engine.people import passkeys, sign_ins
from coupon_engine.people.passkeys import MOST_PASSKEYS, Site
from coupon_engine.people.secret import hash_of
from coupon_engine.people.signing_in import Came
from coupon_engine.rows import found
from coupon_engine.tables import Account, Passkey, SignIn
from schemas.passkeys import (
    NewPasskey,
    NewPasskeyRemoval,
    NewPasskeySignIn,
    NewPasskeySignInOptions,
    NewPasskeyStepUp,
    PasskeyView,
)
from tests import make
from tests.coupon_engine.people.authenticator import PRESENT, Authenticator
from tests.coupon_engine.record import count, kinds, rows
from tests.make import NOON, Shop
from tests.race.together import at_once, meet_after, told

SITE = Site.at("https://coupons.test")
CAME = Came("192.0.2.0/24", "a browser")


def a_person(session: Session, at: Shop, **more: Any) -> Account:
    """Somebody with a password and an authenticator app."""
    asked: dict[str, Any] = {"totp_secret": b"nobody looks at it here", **more}
    return make.person(session, at, **asked)


def signed_in(session: Session, account: Account, *, now: Any = NOON) -> bytes:
    """Somebody who has just confirmed who they are."""
    opened = make.signed_in(session, account, now=now)
    again = sign_ins.step_up(session, hash_of(opened.secret), method="totp", now=now)
    return hash_of(again.secret)


def a_device(**more: Any) -> Authenticator:
    return Authenticator(SITE.origin, SITE.rp_id, **more)


def added(
    session: Session, account: Account, device: Authenticator, *, now: Any = NOON, **said: Any
) -> PasskeyView:
    here = signed_in(session, account, now=now)
    asked = passkeys.begin_adding(session, here, site=SITE, now=now)
    view, _ = passkeys.add(
        session,
        here,
        NewPasskey.model_validate(
            {
                "name": "My phone",
                "ceremony": asked.ceremony,
                "credential": device.makes(asked.options, **said),
            }
        ),
        site=SITE,
        now=now,
    )
    return view


def asked_to_sign_in(session: Session, at: Shop, *, now: Any = NOON) -> Any:
    return passkeys.begin_sign_in(
        session, NewPasskeySignInOptions(operator=at.slug), site=SITE, now=now
    )


def comes_in(
    session: Session, at: Shop, ceremony: str, credential: dict[str, Any], *, now: Any = NOON
) -> sign_ins.Opened:
    return passkeys.sign_in(
        session,
        NewPasskeySignIn.model_validate(
            {"operator": at.slug, "ceremony": ceremony, "credential": credential}
        ),
        CAME,
        site=SITE,
        now=now,
    )


def test_a_passkey_signs_its_person_in(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device()
    added(session, account, device)

    asked = asked_to_sign_in(session, at)
    opened = comes_in(session, at, asked.ceremony, device.signs(asked.options))

    row = session.exec(select(SignIn).where(SignIn.hash == hash_of(opened.secret))).one()
    assert (row.account_id, row.methods, row.address) == (account.id, ["passkey"], CAME.address)
    assert sign_ins.is_whole(row.methods)
    assert [view.last_used_at for view in passkeys.passkeys(session, row.hash, now=NOON)] == [NOON]


def test_the_browser_is_asked_for_a_key_that_knows_its_person(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device()
    here = signed_in(session, account)
    view = added(session, account, device)

    making = passkeys.begin_adding(session, here, site=SITE, now=NOON).options
    signing = asked_to_sign_in(session, at).options

    assert making["rp"]["id"] == signing["rpId"] == "coupons.test"
    assert making["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert [each["id"] for each in making["excludeCredentials"]] == [view.id]
    assert signing["userVerification"] == "required"
    assert signing["allowCredentials"] == []  # nobody learns from it which passkeys there are
    assert making["timeout"] == signing["timeout"] == 300_000


def test_an_operator_that_is_not_there_asks_in_the_same_words(session: Session) -> None:
    at = make.shop(session)

    here = asked_to_sign_in(session, at)
    nowhere = passkeys.begin_sign_in(
        session, NewPasskeySignInOptions(operator="nobody-here"), site=SITE, now=NOON
    )

    assert shape(here.model_dump()) == shape(nowhere.model_dump())
    with pytest.raises(NotSignedIn):
        passkeys.sign_in(
            session,
            NewPasskeySignIn.model_validate(
                {
                    "operator": "nobody-here",
                    "ceremony": nowhere.ceremony,
                    "credential": a_device(holder=b"x").signs(nowhere.options),
                }
            ),
            CAME,
            site=SITE,
            now=NOON,
        )


def shape(document: Any) -> Any:
    """What can be seen of a document: texts by their length."""
    if isinstance(document, dict):
        return {name: shape(value) for name, value in document.items()}
    return len(document) if isinstance(document, str) else document


def test_each_question_is_answered_once(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device(counts=False)
    added(session, account, device)
    asked = asked_to_sign_in(session, at)
    comes_in(session, at, asked.ceremony, device.signs(asked.options))

    with pytest.raises(NotSignedIn):
        comes_in(session, at, asked.ceremony, device.signs(asked.options))


def test_a_question_is_used_up_by_a_wrong_answer(database: Engine) -> None:
    device = a_device(counts=False)
    with transaction(database) as session:
        at = make.shop(session)
        added(session, a_person(session, at), device)
        asked = asked_to_sign_in(session, at)
    right, wrong = (
        device.signs(asked.options),
        device.signs(asked.options, origin="https://evil.test"),
    )

    for credential in (wrong, right):
        with pytest.raises(NotSignedIn), transaction(database) as session:
            comes_in(session, at, asked.ceremony, credential)


def test_a_question_is_good_for_five_minutes(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device()
    added(session, account, device)
    early, late = asked_to_sign_in(session, at), asked_to_sign_in(session, at)
    almost = NOON + timedelta(minutes=5) - timedelta(seconds=1)

    assert comes_in(session, at, early.ceremony, device.signs(early.options), now=almost)
    with pytest.raises(NotSignedIn):
        comes_in(
            session,
            at,
            late.ceremony,
            device.signs(late.options),
            now=almost + timedelta(seconds=1),
        )


Spoil = Callable[[Authenticator, dict[str, Any]], dict[str, Any]]


def elsewhere(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    return device.signs(options, origin="https://coupons.test.evil.test")


def in_plain_http(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    return device.signs(options, origin="http://coupons.test")


def another_challenge(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    return device.signs(options, challenge="c29tZXRoaW5nIGVsc2U")


def for_another_site(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    device.rp_id = "evil.test"
    return device.signs(options)


def as_if_made(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    return device.signs(options, type="webauthn.create")


def without_its_person(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    device.flags = PRESENT
    return device.signs(options)


def by_another_key(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    device.key = a_device().key
    return device.signs(options)


def of_nobody(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    device.credential_id = b"never seen"
    return device.signs(options)


def for_another_person(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    device.holder = make.an_id().bytes
    return device.signs(options)


def two_names(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    return device.signs(options) | {"id": "bm90IHRoaXM"}


def no_public_key(device: Authenticator, options: dict[str, Any]) -> dict[str, Any]:
    return device.signs(options) | {"type": "password"}


@pytest.mark.parametrize(
    "spoil",
    [
        elsewhere,
        in_plain_http,
        another_challenge,
        for_another_site,
        as_if_made,
        without_its_person,
        by_another_key,
        of_nobody,
        for_another_person,
        two_names,
        no_public_key,
    ],
)
def test_a_spoilt_signature_lets_nobody_in(session: Session, spoil: Spoil) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device()
    added(session, account, device)
    before = count(session, "sign_in")
    asked = asked_to_sign_in(session, at)

    with pytest.raises(NotSignedIn) as raised:
        comes_in(session, at, asked.ceremony, spoil(device, asked.options))

    assert raised.value.is_answered  # so the ceremony stays used
    assert count(session, "sign_in") == before
    assert count(session, "ceremony") == 0


def test_a_passkey_of_another_operator_opens_nothing_here(session: Session) -> None:
    here, there = make.shop(session), make.shop(session)
    device = a_device()
    added(session, a_person(session, there), device)
    asked = asked_to_sign_in(session, here)

    with pytest.raises(NotSignedIn):
        comes_in(session, here, asked.ceremony, device.signs(asked.options))


def test_a_question_of_another_operator_is_not_answered_here(session: Session) -> None:
    here, there = make.shop(session), make.shop(session)
    device = a_device()
    added(session, a_person(session, here), device)
    asked = asked_to_sign_in(session, there)

    with pytest.raises(NotSignedIn):
        comes_in(session, here, asked.ceremony, device.signs(asked.options))


def test_who_is_suspended_is_not_let_in(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device()
    added(session, account, device)
    account.suspended_at = NOON
    session.add(account)
    session.flush()
    asked = asked_to_sign_in(session, at)

    with pytest.raises(NotSignedIn):
        comes_in(session, at, asked.ceremony, device.signs(asked.options))


def test_a_copied_key_is_noticed_and_let_in_no_more(database: Engine) -> None:
    device = a_device(count=10)
    with transaction(database) as session:
        at = make.shop(session)
        account = a_person(session, at)
        added(session, account, device)
        asked, again = asked_to_sign_in(session, at), asked_to_sign_in(session, at)
    copy = replace(device)
    with transaction(database) as session:
        comes_in(session, at, asked.ceremony, device.signs(asked.options))

    with pytest.raises(NotSignedIn), transaction(database) as session:
        comes_in(session, at, again.ceremony, copy.signs(again.options))

    with transaction(database) as session:
        assert kinds(session, account.id)[-1] == "passkey_cloned"
        (event,) = rows(session, "SELECT data FROM event WHERE kind = 'passkey_cloned'")
        assert (event.data["before"], event.data["after"]) == (11, 11)
        assert count(session, "sign_in WHERE methods = '{passkey}'") == 1


def test_a_forged_signature_does_not_make_a_key_look_copied(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device(count=10)
    added(session, account, device)
    forger = replace(device, count=0, key=a_device().key)
    asked = asked_to_sign_in(session, at)

    with pytest.raises(NotSignedIn):
        comes_in(session, at, asked.ceremony, forger.signs(asked.options))

    assert "passkey_cloned" not in kinds(session, account.id)


def test_a_key_that_never_counts_is_let_in_again_and_again(session: Session) -> None:
    at = make.shop(session)
    device = a_device(counts=False)
    added(session, a_person(session, at), device)

    for _ in range(3):
        asked = asked_to_sign_in(session, at)
        assert comes_in(session, at, asked.ceremony, device.signs(asked.options))


def test_a_key_that_was_made_elsewhere_is_not_kept(session: Session) -> None:
    at = make.shop(session)
    account = a_person(session, at)

    for wrong in (
        {"origin": "https://evil.test"},
        {"type": "webauthn.get"},
        {"challenge": "c29tZXRoaW5nIGVsc2U"},
    ):
        with pytest.raises(PasskeyRefused) as raised:
            added(session, account, a_device(), **wrong)
        assert raised.value.is_answered

    with pytest.raises(PasskeyRefused):
        added(session, account, Authenticator(SITE.origin, "evil.test"))
    with pytest.raises(PasskeyRefused):
        added(session, account, a_device(flags=PRESENT))
    assert count(session, "passkey") == 0


def test_a_key_is_kept_once(session: Session) -> None:
    at = make.shop(session)
    device = a_device()
    added(session, a_person(session, at), device)

    with pytest.raises(PasskeyRefused):
        added(session, a_person(session, at), device)


def test_nobody_has_more_passkeys_than_anyone_may(session: Session) -> None:
    at = make.shop(session)
    account = a_person(session, at)
    for _ in range(MOST_PASSKEYS):
        added(session, account, a_device())

    with pytest.raises(PasskeyRefused):
        added(session, account, a_device())


def test_another_persons_question_makes_no_passkey(session: Session) -> None:
    at = make.shop(session)
    mine, theirs = a_person(session, at), a_person(session, at)
    asked = passkeys.begin_adding(session, signed_in(session, mine), site=SITE, now=NOON)
    request = NewPasskey.model_validate(
        {
            "name": "planted",
            "ceremony": asked.ceremony,
            "credential": a_device().makes(asked.options),
        }
    )

    with pytest.raises(NotSignedIn):
        passkeys.add(session, signed_in(session, theirs), request, site=SITE, now=NOON)

    assert count(session, "passkey") == 0


def test_adding_to_what_is_there_wants_a_confirmation(session: Session) -> None:
    at = make.shop(session)
    account = a_person(session, at)
    opened = make.signed_in(session, account)
    later = NOON + timedelta(minutes=10)

    with pytest.raises(StepUpNeeded):
        passkeys.begin_adding(session, hash_of(opened.secret), site=SITE, now=later)


def test_a_first_passkey_makes_a_sign_in_whole_and_ends_the_others(session: Session) -> None:
    at = make.shop(session)
    account = a_person(session, at, totp_secret=None)
    other, half = (hash_of(make.signed_in(session, account, "password").secret) for _ in range(2))
    asked = passkeys.begin_adding(session, half, site=SITE, now=NOON)
    credential = a_device().makes(asked.options)

    _, opened = passkeys.add(
        session,
        half,
        NewPasskey.model_validate(
            {"name": "My phone", "ceremony": asked.ceremony, "credential": credential}
        ),
        site=SITE,
        now=NOON,
    )

    whole = sign_ins.current(session, hash_of(opened.secret), now=NOON)
    assert whole.methods == ["password", "passkey"]
    for ended in (other, half):
        with pytest.raises(NotSignedIn):
            sign_ins.current(session, ended, now=NOON)


def confirmed(
    session: Session, here: bytes, device: Authenticator, *, now: Any = NOON
) -> sign_ins.Opened:
    asked = passkeys.begin_step_up(session, here, site=SITE, now=now)
    request = NewPasskeyStepUp.model_validate(
        {"ceremony": asked.ceremony, "credential": device.signs(asked.options)}
    )
    return passkeys.step_up(session, here, request, site=SITE, now=now)


def test_a_passkey_confirms_who_sits_there(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device()
    added(session, account, device)
    here = signed_in(session, account)
    later = NOON + timedelta(minutes=20)
    assert not sign_ins.is_stepped_up(sign_ins.current(session, here, now=later), later)

    opened = confirmed(session, here, device, now=later)

    row = sign_ins.current(session, hash_of(opened.secret), now=later)
    assert sign_ins.is_stepped_up(row, later)
    assert row.methods == ["password", "totp", "passkey"]


def test_a_colleagues_passkey_does_not_confirm(session: Session) -> None:
    at = make.shop(session)
    mine, theirs = a_person(session, at), a_person(session, at)
    device = a_device()
    added(session, theirs, device)

    with pytest.raises(NotSignedIn):
        confirmed(session, signed_in(session, mine), device)


def test_a_question_to_sign_in_does_not_confirm(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device()
    added(session, account, device)
    asked = asked_to_sign_in(session, at)
    request = NewPasskeyStepUp.model_validate(
        {"ceremony": asked.ceremony, "credential": device.signs(asked.options)}
    )

    with pytest.raises(NotSignedIn):
        passkeys.step_up(session, signed_in(session, account), request, site=SITE, now=NOON)


def removed(session: Session, at: Shop, here: bytes, view: PasskeyView) -> PasskeyView:
    request = NewPasskeyRemoval(id=make.an_id(), passkey_id=view.id)
    return passkeys.remove(session, at.operator_id, request, here, now=NOON)


def test_a_removed_passkey_opens_nothing(session: Session) -> None:
    at = make.shop(session)
    account, device = a_person(session, at), a_device()
    view = added(session, account, device)
    request = NewPasskeyRemoval(id=make.an_id(), passkey_id=view.id)
    here = signed_in(session, account)

    assert passkeys.remove(session, at.operator_id, request, here, now=NOON) == view
    assert passkeys.remove(session, at.operator_id, request, here, now=NOON) == view  # once

    asked = asked_to_sign_in(session, at)
    with pytest.raises(NotSignedIn):
        comes_in(session, at, asked.ceremony, device.signs(asked.options))
    assert kinds(session, account.id).count("passkey_removed") == 1


def test_a_colleagues_passkey_is_as_unknown_as_none(session: Session) -> None:
    at = make.shop(session)
    mine, theirs = a_person(session, at), a_person(session, at)
    view = added(session, theirs, a_device())
    here = signed_in(session, mine)

    with pytest.raises(Unknown) as foreign:
        removed(session, at, here, view)
    with pytest.raises(Unknown) as never:
        removed(session, at, here, view.model_copy(update={"id": "AAAA"}))

    assert {**foreign.value.details, "id": ""} == {**never.value.details, "id": ""}
    assert count(session, "passkey") == 1


@pytest.mark.parametrize(
    ("has", "stays"),
    [
        ({"totp_secret": None}, True),
        ({"totp_secret": None, "oidc_subject": "https://id.test 7"}, True),
        ({"password": None}, True),
        ({"totp_secret": None, "password": None}, True),
        ({}, False),
        ({"totp_secret": None, "password": None, "oidc_subject": "https://id.test 7"}, False),
    ],
)
def test_the_last_second_factor_stays(
    session: Session, has: dict[str, Any], *, stays: bool
) -> None:
    at = make.shop(session)
    account = a_person(session, at, **has)
    view = added(session, account, a_device())
    here = signed_in(session, account)

    if stays:
        with pytest.raises(LastSecondFactor):
            removed(session, at, here, view)
    else:
        removed(session, at, here, view)

    assert count(session, "passkey") == (1 if stays else 0)


def test_of_two_passkeys_removed_at_once_one_stays(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, works = two_removals(database)
    meet_after(monkeypatch, passkeys, "_passkeys", many=2)

    assert told(at_once(database, works)) == {"won": 1, "last_second_factor": 1}
    assert left(database, at) == 1


def test_the_race_for_the_last_passkey_is_real(
    database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the lock on the person both look before either has removed."""
    at, works = two_removals(database)
    monkeypatch.setattr(passkeys, "locked", found)
    meet_after(monkeypatch, passkeys, "_passkeys", many=2)

    assert told(at_once(database, works)) == {"won": 2}
    assert left(database, at) == 0


def two_removals(database: Engine) -> tuple[Shop, list[Callable[[Session], Any]]]:
    with transaction(database) as session:
        at = make.shop(session)
        account = a_person(session, at, totp_secret=None)
        views = [added(session, account, a_device()) for _ in range(2)]
        here = signed_in(session, account)

    def removal(view: PasskeyView) -> Callable[[Session], Any]:
        return lambda session: removed(session, at, here, view)

    return at, [removal(view) for view in views]


def left(database: Engine, at: Shop) -> int:
    with transaction(database) as session:
        return len(session.exec(select(Passkey).where(Passkey.operator_id == at.operator_id)).all())


def test_one_answer_sent_many_times_at_once_signs_in_once(database: Engine) -> None:
    device = a_device(counts=False)
    with transaction(database) as session:
        at = make.shop(session)
        added(session, a_person(session, at), device)
        asked = asked_to_sign_in(session, at)
    credential = device.signs(asked.options)

    def coming(session: Session) -> Any:
        return comes_in(session, at, asked.ceremony, credential)

    answers = at_once(database, [coming] * 6)

    assert told(answers) == {"won": 1, "not_signed_in": 5}


def test_of_two_signatures_with_one_count_one_is_let_in(database: Engine) -> None:
    device = a_device(count=5)
    with transaction(database) as session:
        at = make.shop(session)
        added(session, a_person(session, at), device)
        asked = [asked_to_sign_in(session, at) for _ in range(4)]

    def coming(each: Any) -> Callable[[Session], Any]:
        credential = replace(device).signs(each.options)
        return lambda session: comes_in(session, at, each.ceremony, credential)

    answers = at_once(database, [coming(each) for each in asked])

    assert told(answers) == {"won": 1, "not_signed_in": 3}


# Where a byte is changed, and into what; None takes it out.
SCRAMBLES = st.lists(
    st.tuples(st.integers(0, 2_000), st.none() | st.integers(0, 255)), min_size=1, max_size=3
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.sampled_from(["clientDataJSON", "attestationObject"]), scrambles=SCRAMBLES)
def test_whatever_a_browser_makes_is_a_passkey_or_a_no(
    session: Session, part: str, scrambles: list[tuple[int, int | None]]
) -> None:
    """Only our own errors escape, whatever stands in the bytes."""
    with session.begin_nested() as nested:
        here = signed_in(session, a_person(session, make.shop(session)))
        asked = passkeys.begin_adding(session, here, site=SITE, now=NOON)
        credential = scrambled(a_device().makes(asked.options), part, scrambles)
        request = NewPasskey.model_validate(
            {"name": "My phone", "ceremony": asked.ceremony, "credential": credential}
        )
        with suppress(PasskeyRefused):
            passkeys.add(session, here, request, site=SITE, now=NOON)
        nested.rollback()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    part=st.sampled_from(["authenticatorData", "clientDataJSON", "signature", "userHandle"]),
    scrambles=SCRAMBLES,
)
def test_whatever_a_browser_signs_is_what_was_asked_or_a_no(
    session: Session, part: str, scrambles: list[tuple[int, int | None]]
) -> None:
    with session.begin_nested() as nested:
        at = make.shop(session)
        device = a_device()
        added(session, a_person(session, at), device)
        asked = asked_to_sign_in(session, at)
        right = device.signs(asked.options)
        credential = scrambled(right, part, scrambles)
        outcomes = {True: nullcontext(), False: pytest.raises(NotSignedIn)}
        with outcomes[credential == right]:
            comes_in(session, at, asked.ceremony, credential)
        nested.rollback()


def scrambled(
    credential: dict[str, Any], part: str, scrambles: list[tuple[int, int | None]]
) -> dict[str, Any]:
    found = bytearray(_bytes(credential["response"][part]))
    for place, byte in scrambles:
        at = place % len(found)
        found[at : at + 1] = b"" if byte is None else bytes([byte])
    text = urlsafe_b64encode(found).rstrip(b"=").decode()
    return {**credential, "response": {**credential["response"], part: text}}


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize(
    ("issuer_url", "rp_id", "origin"),
    [
        ("https://coupons.test", "coupons.test", "https://coupons.test"),
        ("https://coupons.test:443/shop", "coupons.test", "https://coupons.test"),
        ("https://coupons.test:8443", "coupons.test", "https://coupons.test:8443"),
        ("http://127.0.0.1:8000", "localhost", "http://localhost:8000"),
    ],
)
def test_passkeys_are_for_the_address_that_this_server_has(
    issuer_url: str, rp_id: str, origin: str
) -> None:
    assert Site.at(issuer_url) == Site(rp_id, origin)
