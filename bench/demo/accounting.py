"""What became of every redemption of the record, and whether all the sums agree."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.demo.journey import Journey
from bench.demo.replaying import NOT_READ, NOT_UNDERSTOOD, REDEEMED, Answered
from schemas.campaigns import ReportView


@dataclass(frozen=True, slots=True)
class Row:
    """Redemptions that ended alike, and which of them the data marks as special."""

    outcome: str
    redemptions: int
    second_uses: int
    unmatched: int
    too_few: int


@dataclass(frozen=True, slots=True)
class Account:
    """`rows`, most frequent first, add up to `total`."""

    rows: tuple[Row, ...]
    total: Row
    discount_minor: int
    unread: int
    asked_again: int
    same_answer: int


def account(answers: Sequence[Answered], *, asked_again: int, same_answer: int) -> Account:
    outcomes = Counter(each.outcome for each in answers)
    rows = tuple(
        _row(outcome, [each for each in answers if each.outcome == outcome])
        for outcome, _ in sorted(outcomes.items(), key=lambda item: (-item[1], item[0]))
    )
    return Account(
        rows=rows,
        total=_row("all", answers),
        discount_minor=sum(each.discount_minor for each in answers),
        unread=outcomes[NOT_READ],
        asked_again=asked_again,
        same_answer=same_answer,
    )


def _row(outcome: str, answers: Iterable[Answered]) -> Row:
    redemptions = [each.redemption for each in answers]
    return Row(
        outcome=outcome,
        redemptions=len(redemptions),
        second_uses=sum(r.is_repeat for r in redemptions),
        unmatched=sum(not r.is_matched for r in redemptions),
        too_few=sum(r.is_matched and not r.has_enough_units for r in redemptions),
    )


def complaints(journey: Journey, account: Account, report: ReportView) -> Iterator[str]:
    """Yield a sentence for everything that does not add up; a sound run yields none."""
    count = {row.outcome: row.redemptions for row in account.rows}
    accounted, known = sum(count.values()), _in_data(journey)
    if accounted != known:
        yield f"{accounted} of {known} redemptions are accounted for."
    if account.unread:
        yield f"{account.unread} pictures were not read as what was drawn."
    if puzzling := count.get(NOT_UNDERSTOOD, 0):
        yield f"{puzzling} answers were not understood."
    if account.same_answer != account.asked_again:
        yield (
            f"Only {account.same_answer} of {account.asked_again} requests that were sent again "
            "got their first answer."
        )
    issued = sum(campaign.issued for campaign in report.campaigns)
    if issued != journey.coupons_sent:
        yield f"The record holds {issued} coupons; {journey.coupons_sent} were sent."
    redeemed = sum(campaign.redeemed for campaign in report.campaigns)
    if redeemed != count.get(REDEEMED, 0):
        yield f"The record holds {redeemed} redemptions; {count.get(REDEEMED, 0)} were answered so."
    discount_minor = sum(campaign.discount_minor for campaign in report.campaigns)
    if discount_minor != account.discount_minor:
        yield (
            f"The record's discounts are {discount_minor} minor units; the answers' are "
            f"{account.discount_minor}."
        )


def _in_data(journey: Journey) -> int:
    """Return how many redemptions the data holds, by its own table where the year is whole."""
    is_whole = len(journey.campaigns) == journey.rows_read["campaign_descriptions"]
    return journey.rows_read["coupon_redemptions"] if is_whole else len(journey.redemptions)
