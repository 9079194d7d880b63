"""Ids tell their time and keep the order in which they were made."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import new_id, new_id_texts
from tests.make import NOON


def test_an_id_is_a_uuid_of_version_7_that_tells_its_millisecond() -> None:
    id = new_id(NOON)

    assert (id.version, id.variant) == (7, UUID(int=0x80 << 56).variant)
    assert id.int >> 80 == int(NOON.timestamp() * 1000)


def test_ids_of_one_moment_are_in_the_order_they_were_made() -> None:
    made = [new_id(NOON) for _ in range(10_000)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


@given(seconds=st.integers(1, 10**9))
def test_a_later_id_is_larger(seconds: int) -> None:
    assert new_id(NOON) < new_id(NOON + timedelta(seconds=seconds))


def test_many_ids_are_ids_like_any_other_in_rising_order() -> None:
    texts = new_id_texts(5_000, NOON)

    assert texts == sorted(texts)
    assert len(set(texts)) == 5_000
    ids = [UUID(text) for text in texts]
    assert [str(id) for id in ids] == texts
    assert {id.version for id in ids} == {7}
    assert {id.int >> 80 for id in ids} == {int(NOON.timestamp() * 1000)}


def test_two_lots_of_one_moment_share_no_id() -> None:
    assert not set(new_id_texts(5_000, NOON)) & set(new_id_texts(5_000, NOON))


def test_one_moment_has_room_for_so_many_and_no_more() -> None:
    assert new_id_texts(0, NOON) == []
    with pytest.raises(ValueError, match="too many"):
        new_id_texts(2**25 + 1, NOON)
