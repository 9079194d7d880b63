"""What is kept for a few seconds."""

from api.kept import Kept


class Shelf:
    """Counts how often it was read, and has a clock that a test can set."""

    def __init__(self) -> None:
        self.reads: list[str] = []
        self.second = 100.0
        self.values: dict[str, int] = {}

    def read(self, key: str) -> int | None:
        self.reads.append(key)
        return self.values.get(key)

    def kept(self, *, seconds: float = 5, most: int = 10) -> Kept[str, int | None]:
        return Kept(self.read, seconds=seconds, most=most, tick=lambda: self.second)


def test_a_key_is_read_once_and_again_when_it_is_old() -> None:
    shelf = Shelf()
    shelf.values = {"a": 1}
    kept = shelf.kept()

    assert [kept.get("a"), kept.get("a"), kept.fresh("a")] == [1, 1, 1]
    shelf.second += 5
    shelf.values = {"a": 2}

    assert (kept.fresh("a"), kept.get("a")) == (None, 2)
    assert shelf.reads == ["a", "a"]


def test_a_wrong_key_takes_no_room() -> None:
    shelf = Shelf()
    kept = shelf.kept()

    assert [kept.get("wrong"), kept.get("wrong")] == [None, None]
    assert shelf.reads == ["wrong", "wrong"]


def test_asking_again_reads_at_most_once_a_second() -> None:
    shelf = Shelf()
    shelf.values = {"a": 1}
    kept = shelf.kept()
    kept.get("a")
    shelf.second += 2

    kept.again("a")
    kept.again("a")

    assert shelf.reads == ["a", "a"]


def test_there_is_never_more_than_was_allowed() -> None:
    shelf = Shelf()
    shelf.values = {"a": 1, "b": 2, "c": 3}
    kept = shelf.kept(most=2)

    for key in "abc":
        kept.get(key)

    assert [kept.fresh(key) for key in "abc"] == [None, 2, 3]


def test_what_is_forgotten_is_read_anew() -> None:
    shelf = Shelf()
    shelf.values = {"a": 1}
    kept = shelf.kept()
    kept.get("a")

    kept.forget("a")

    assert kept.fresh("a") is None
