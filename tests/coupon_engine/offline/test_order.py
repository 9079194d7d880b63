"""The same journals end the same, whatever comes in first and in whatever pieces."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from coupon_engine.offline.order import Awaited, Claim, Decision, Horizon, Reach, decide
from schemas.redemptions import RedemptionState as S
from tests.make import NOON

CAMPAIGN = UUID(int=1)
ANYWHERE = Reach(CAMPAIGN, None)
LATER = NOON + timedelta(days=1)
COUPONS = [UUID(int=10 + number) for number in range(3)]
TERMINALS = [UUID(int=20 + number) for number in range(3)]
ONLINE = UUID(int=9)


def after(seconds: int) -> datetime:
    return NOON + timedelta(seconds=seconds)


def claim(number: int, seconds: int, *, by: int = 0, of: int = 0, is_final: bool = False) -> Claim:
    return Claim(
        id=UUID(int=100 + number),
        coupon_id=COUPONS[of],
        reach=ANYWHERE,
        at=after(seconds),
        terminal_id=TERMINALS[by],
        seq=number,
        is_final=is_final,
    )


def horizon(*untils: tuple[int, int]) -> Horizon:
    """All is known of these terminals until so many seconds after noon; the others are closed."""
    awaited = [Awaited(TERMINALS[terminal], after(seconds)) for terminal, seconds in untils]
    return Horizon(LATER, {ANYWHERE: awaited})


def test_alone_with_nobody_to_wait_for_it_counts_at_once() -> None:
    one = claim(1, 10)

    assert decide([one], horizon()) == {one.id: Decision(S.ACCEPTED)}


def test_it_waits_while_another_terminal_may_bring_an_earlier_one() -> None:
    one = claim(1, 10)

    assert decide([one], horizon((1, 10))) == {one.id: Decision(S.PROVISIONAL)}
    assert decide([one], horizon((1, 11))) == {one.id: Decision(S.ACCEPTED)}


def test_a_terminal_does_not_wait_for_itself() -> None:
    one = claim(1, 10)

    assert decide([one], horizon((0, 0))) == {one.id: Decision(S.ACCEPTED)}
    assert decide([one], horizon((0, 0), (1, 5))) == {one.id: Decision(S.PROVISIONAL)}
    assert decide([one], horizon((0, 0), (1, 11))) == {one.id: Decision(S.ACCEPTED)}


def test_of_one_terminals_two_leases_the_older_counts() -> None:
    one = claim(1, 10)

    assert decide([one], horizon((1, 50), (1, 5))) == {one.id: Decision(S.PROVISIONAL)}


def test_nothing_of_the_future_counts_for_good() -> None:
    one = claim(1, 10)

    known = Horizon(after(10), {})

    assert decide([one], known) == {one.id: Decision(S.PROVISIONAL)}


def test_the_earlier_one_counts_and_the_later_is_disputed() -> None:
    early, late = claim(1, 10), claim(2, 20, by=1)

    assert decide([late, early], horizon()) == {
        early.id: Decision(S.ACCEPTED),
        late.id: Decision(S.DISPUTED, early.id),
    }


def test_a_later_one_is_not_disputed_before_the_earlier_counts() -> None:
    early, late = claim(1, 10), claim(2, 20, by=1)

    decided = decide([late, early], horizon((2, 5)))

    assert {each.state for each in decided.values()} == {S.PROVISIONAL}


def test_online_comes_first_though_it_came_later() -> None:
    alone, online = claim(1, 10), claim(2, 50, is_final=True)

    assert decide([alone, online], horizon((1, 0))) == {alone.id: Decision(S.DISPUTED, online.id)}


def test_a_tie_goes_to_the_lower_terminal() -> None:
    one, other = claim(1, 10, by=1), claim(2, 10, by=0)

    assert decide([one, other], horizon())[one.id] == Decision(S.DISPUTED, other.id)


def test_coupons_do_not_meddle_with_each_other() -> None:
    one, other = claim(1, 10), claim(2, 20, by=1, of=1)

    assert {each.state for each in decide([one, other], horizon()).values()} == {S.ACCEPTED}


def test_a_stores_coupon_waits_for_nobody_outside() -> None:
    here, there = Reach(CAMPAIGN, UUID(int=5)), Reach(CAMPAIGN, UUID(int=6))
    one = replace(claim(1, 10), reach=here)
    awaited = {there: [Awaited(TERMINALS[1], NOON)], ANYWHERE: [Awaited(TERMINALS[2], NOON)]}

    assert decide([one], Horizon(LATER, awaited)) == {one.id: Decision(S.ACCEPTED)}


@dataclass(frozen=True)
class Line:
    """An entry as the model has it: a redemption, or something else that happened then."""

    at: datetime
    claim: Claim | None


Journal = tuple[Line, ...]
Piece = tuple[int, int, int]
"""A terminal, and from where to where in its journal."""


@dataclass
class Server:
    """What the record does, told in thirty lines."""

    journals: Sequence[Journal]
    online: Sequence[Claim]
    seen: list[set[int]] = field(default_factory=lambda: [set() for _ in TERMINALS])
    whole: list[int] = field(default_factory=lambda: [0 for _ in TERMINALS])
    open: list[Claim] = field(default_factory=list[Claim])
    final: dict[UUID, Decision] = field(default_factory=dict[UUID, Decision])

    def take(self, piece: Piece) -> None:
        terminal, start, end = piece
        journal = self.journals[terminal]
        self.seen[terminal] |= set(range(start, end))
        while self.whole[terminal] in self.seen[terminal]:
            line = journal[self.whole[terminal]]
            self.whole[terminal] += 1
            if line.claim:
                self.open.append(line.claim)
        self.decide()

    def decide(self) -> None:
        won = [
            replace(line.claim, is_final=True)
            for journal in self.journals
            for line in journal
            if line.claim and self.final.get(line.claim.id) == Decision(S.ACCEPTED)
        ]
        decided = decide([*self.open, *won, *self.online], Horizon(LATER, self._awaited()))
        for each in tuple(self.open):
            if decided[each.id].state is not S.PROVISIONAL:
                assert each.id not in self.final
                self.final[each.id] = decided[each.id]
                self.open.remove(each)

    def _awaited(self) -> dict[Reach, list[Awaited]]:
        return {
            ANYWHERE: [
                Awaited(TERMINALS[number], journal[whole - 1].at if whole else NOON)
                for number, (journal, whole) in enumerate(
                    zip(self.journals, self.whole, strict=True)
                )
                if whole < len(journal)
            ]
        }


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Journal], list[Claim]]:
    numbers = iter(range(1, 1_000))
    journals: list[Journal] = []
    for terminal in range(len(TERMINALS)):
        seconds, spent, lines = 0, set[int](), list[Line]()
        for _ in range(draw(st.integers(0, 6))):
            seconds += draw(st.integers(0, 2))
            coupon = draw(st.sampled_from([None, 0, 1, 2]))
            number = next(numbers)
            is_claim = coupon is not None and coupon not in spent
            lines.append(
                Line(
                    after(seconds),
                    claim(number, seconds, by=terminal, of=coupon or 0) if is_claim else None,
                )
            )
            spent |= {coupon} if coupon is not None else set()
        journals.append(tuple(lines))
    online = [
        replace(claim(next(numbers), draw(st.integers(0, 12)), of=coupon), is_final=True)
        for coupon in draw(st.sets(st.sampled_from(range(len(COUPONS))), max_size=2))
    ]
    return journals, online


@st.composite
def pieces(draw: st.DrawFn, journals: Iterable[Journal]) -> list[Piece]:
    """Any cutting, any order, also the later piece of a journal first; some come twice."""
    cut: list[Piece] = []
    for terminal, journal in enumerate(journals):
        start = 0
        while start < len(journal):
            end = min(len(journal), start + draw(st.integers(1, 3)))
            cut += [(terminal, start, end)] * draw(st.integers(1, 2))
            start = end
    return draw(st.permutations(cut))


@given(st.data(), worlds())
@settings(max_examples=300)
def test_any_order_of_uploads_ends_the_same(
    data: st.DataObject, world: tuple[list[Journal], list[Claim]]
) -> None:
    journals, online = world
    server = Server(journals, online)

    for piece in data.draw(pieces(journals)):
        server.take(piece)

    assert server.open == []
    assert server.final == expected(journals, online)
    wins = Counter(each.coupon_id for each in online)
    wins += Counter(
        line.claim.coupon_id
        for journal in journals
        for line in journal
        if line.claim and server.final[line.claim.id].state is S.ACCEPTED
    )
    assert all(many == 1 for many in wins.values())


def expected(journals: Iterable[Journal], online: Iterable[Claim]) -> dict[UUID, Decision]:
    """What somebody says who has everything before them, in plain words."""
    winners = {each.coupon_id: each.id for each in online}
    claims = [line.claim for journal in journals for line in journal if line.claim]
    said: dict[UUID, Decision] = {}
    for each in sorted(claims, key=lambda one: (one.at, one.terminal_id, one.seq)):
        if (winner := winners.setdefault(each.coupon_id, each.id)) == each.id:
            said[each.id] = Decision(S.ACCEPTED)
        else:
            said[each.id] = Decision(S.DISPUTED, winner)
    return said
