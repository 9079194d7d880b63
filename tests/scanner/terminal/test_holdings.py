"""Only the newest that our own server has signed, for this very terminal, counts (T11, T21)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from coupon_engine.validation.issuer_keys import new_private_key
from coupon_engine.validation.token import Typ, sign_typed
from scanner.terminal.holdings import HoldingRefused, Holdings
from schemas.offline import Bundle
from tests.scanner.terminal.shop import (
    ISSUER,
    NUMBER,
    SERVER,
    STORE,
    TERMINAL,
    bundle,
    bundle_jwt,
    campaign,
    jwk,
    list_jwt,
)
from tests.vectors.make_token_vectors import KEY, NOW, SECOND


@pytest.fixture
def held(tmp_path: Path) -> Holdings:
    return again(tmp_path)


def again(folder: Path) -> Holdings:
    return Holdings(folder, jwk(SERVER), terminal_id=TERMINAL, store_id=STORE)


def refused(learn: Callable[[], object]) -> str:
    with pytest.raises(HoldingRefused) as refusal:
        learn()
    return refusal.value.why


# The bundle.


def test_a_bundle_tells_keys_and_campaigns(held: Holdings) -> None:
    held.learn_bundle(bundle_jwt(bundle()), NOW)

    assert held.bundle == bundle()
    assert held.ring["A"].kid == KEY.kid
    assert held.ring["A"].private is None


def test_a_bundle_survives_a_restart(held: Holdings, tmp_path: Path) -> None:
    held.learn_bundle(bundle_jwt(bundle()), NOW)

    assert again(tmp_path).bundle == bundle()
    assert set(again(tmp_path).ring) == {"A"}


def test_a_newer_bundle_takes_the_place_of_an_older_one(held: Holdings) -> None:
    held.learn_bundle(bundle_jwt(bundle()), NOW)

    held.learn_bundle(bundle_jwt(bundle(campaign(is_paused=True), ver=11)), NOW)

    assert held.bundle is not None
    assert held.bundle.campaigns[0].is_paused


def test_the_same_bundle_again_is_no_error(held: Holdings) -> None:
    text = bundle_jwt(bundle())
    held.learn_bundle(text, NOW)

    assert held.learn_bundle(text, NOW) == bundle()


@pytest.mark.parametrize("ver", [9, 10])
def test_an_older_bundle_is_refused_also_after_a_restart(
    held: Holdings, tmp_path: Path, ver: int
) -> None:
    held.learn_bundle(bundle_jwt(bundle()), NOW)
    older = bundle_jwt(bundle(campaign(max_count=1_000_000), ver=ver))

    assert "older" in refused(lambda: held.learn_bundle(older, NOW))
    assert "older" in refused(lambda: again(tmp_path).learn_bundle(older, NOW))
    assert again(tmp_path).bundle == bundle()


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (bundle(exp=SECOND), "over"),
        (bundle(lease_until=SECOND), "over"),
        (bundle(terminal_id=UUID(int=99)), "another terminal"),
        (bundle(store_id=UUID(int=99)), "another store"),
    ],
)
def test_a_bundle_that_is_over_or_anothers_is_refused(
    held: Holdings, told: Bundle, why: str
) -> None:
    assert why in refused(lambda: held.learn_bundle(bundle_jwt(told), NOW))
    assert held.bundle is None


@pytest.mark.parametrize("key", [ISSUER, new_private_key()])
def test_a_bundle_that_our_server_has_not_signed_is_refused(held: Holdings, key: object) -> None:
    """Not even the issuer, whose key signs coupons, may say what a terminal gives away."""
    text = bundle_jwt(bundle(), key)  # pyright: ignore[reportArgumentType]

    assert "not signed" in refused(lambda: held.learn_bundle(text, NOW))


@pytest.mark.parametrize("typ", [typ for typ in Typ if typ is not Typ.BUNDLE])
def test_another_kind_of_document_is_no_bundle(held: Holdings, typ: Typ) -> None:
    text = sign_typed(bundle().model_dump(mode="json"), SERVER, typ)

    assert "not signed by our server as bundle+jwt" in refused(lambda: held.learn_bundle(text, NOW))


def test_a_bundle_with_a_field_of_another_version_is_refused(held: Holdings) -> None:
    claims = {**bundle().model_dump(mode="json"), "everything_is_free": True}

    text = sign_typed(claims, SERVER, Typ.BUNDLE)

    assert "understands" in refused(lambda: held.learn_bundle(text, NOW))


def test_a_refused_bundle_leaves_the_held_one(held: Holdings) -> None:
    held.learn_bundle(bundle_jwt(bundle()), NOW)

    refused(lambda: held.learn_bundle(bundle_jwt(bundle(ver=99), new_private_key()), NOW))

    assert held.bundle == bundle()


def test_a_withdrawn_key_is_gone_with_the_next_bundle(held: Holdings) -> None:
    held.learn_bundle(bundle_jwt(bundle()), NOW)

    held.learn_bundle(bundle_jwt(bundle(ver=11, keys=())), NOW)

    assert dict(held.ring) == {}


def test_a_spoilt_file_is_as_good_as_none(held: Holdings, tmp_path: Path) -> None:
    held.learn_bundle(bundle_jwt(bundle()), NOW)
    held.learn_list(list_jwt(), NOW)
    (tmp_path / "bundle.jwt").write_text(bundle_jwt(bundle(ver=99), new_private_key()))

    assert again(tmp_path).bundle is None


# Status lists.


@pytest.fixture
def listed(held: Holdings) -> Holdings:
    held.learn_bundle(bundle_jwt(bundle()), NOW)
    held.learn_list(list_jwt([3, 700_000]), NOW)
    return held


def test_a_list_tells_which_places_are_set(listed: Holdings) -> None:
    places = [2, 3, 4, 700_000]

    assert [listed.status(NUMBER, at, now=NOW) for at in places] == [False, True, False, True]
    assert listed.list_ver_for(NUMBER, 3) == 1_000


def test_of_another_campaign_or_shard_nothing_is_known(listed: Holdings) -> None:
    assert listed.status(NUMBER + 1, 3, now=NOW) is None
    assert listed.status(NUMBER, 2**20 + 3, now=NOW) is None


def test_a_list_that_is_over_says_nothing(listed: Holdings) -> None:
    assert listed.status(NUMBER, 3, now=NOW + timedelta(hours=12)) is None


def test_what_changed_is_put_into_the_held_list(listed: Holdings, tmp_path: Path) -> None:
    listed.learn_list(list_jwt([5], ver=1_100, since=990, cleared=[3]), NOW)

    for holdings in (listed, again(tmp_path)):
        assert [holdings.status(NUMBER, at, now=NOW) for at in (3, 5, 700_000)] == [
            False,
            True,
            True,
        ]
        assert holdings.list_ver(NUMBER, 0) == 1_100


def test_changes_that_go_on_from_a_version_we_do_not_have_are_refused(listed: Holdings) -> None:
    text = list_jwt([5], ver=1_100, since=1_001)

    assert "not held" in refused(lambda: listed.learn_list(text, NOW))
    assert listed.status(NUMBER, 5, now=NOW) is False


def test_changes_of_a_list_that_is_not_held_are_refused(held: Holdings) -> None:
    held.learn_bundle(bundle_jwt(bundle()), NOW)

    assert "not held" in refused(lambda: held.learn_list(list_jwt([5], since=0), NOW))


def test_an_older_list_is_refused_also_after_a_restart(listed: Holdings, tmp_path: Path) -> None:
    older = list_jwt([], ver=999)

    assert "older" in refused(lambda: listed.learn_list(older, NOW))
    assert "older" in refused(lambda: again(tmp_path).learn_list(older, NOW))
    assert again(tmp_path).status(NUMBER, 3, now=NOW) is True


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (list_jwt([], ver=2_000, exp=SECOND), "over"),
        (list_jwt([], ver=2_000, key=ISSUER), "not signed"),
        (list_jwt([], ver=2_000, sub=f"https://elsewhere.example/sl/{NUMBER}"), "operator"),
        (list_jwt([], ver=2_000, sub=f"{KEY.issuer}/sl/../{NUMBER}"), "operator"),
        (list_jwt([], ver=2_000, status_list={"bits": 2, "lst": "x"}), "one bit"),
        (list_jwt([], ver=2_000, status_list={"bits": 1, "lst": "x"}), "understands"),
        (list_jwt([], ver=2_000, status_list=None), "neither"),
    ],
)
def test_a_list_that_cannot_be_ours_is_refused(listed: Holdings, text: str, why: str) -> None:
    assert why in refused(lambda: listed.learn_list(text, NOW))
    assert listed.list_ver(NUMBER, 0) == 1_000


def test_a_list_before_any_bundle_is_refused(held: Holdings) -> None:
    assert "bundle" in refused(lambda: held.learn_list(list_jwt(), NOW))


def test_the_latest_signed_instant_is_known_also_after_a_restart(
    listed: Holdings, tmp_path: Path
) -> None:
    listed.learn_list(list_jwt(ver=1_001, iat=SECOND - 7), NOW)

    assert listed.heard_at == NOW - timedelta(seconds=7)
    assert again(tmp_path).heard_at == NOW - timedelta(seconds=7)
