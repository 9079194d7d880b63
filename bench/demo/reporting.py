"""The figures, for people as tables and for programs as one document. They count, no more."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.demo.accounting import Account, Row
from bench.demo.journey import CURRENCY, Journey, TillComparison
from bench.demo.replaying import Answered
from schemas.campaigns import CampaignReport, ReportView
from schemas.money import in_words

_DAY_SECONDS = 86_400


class Advance(Protocol):
    def __call__(self, many: int = 1) -> None: ...


@dataclass
class Steps:
    """Tells how far each step is: by a bar at a terminal, elsewhere by a line when it is done."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, title: str, total: int = 1) -> Generator[Advance]:
        began = perf_counter()
        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with bars:
            task = bars.add_task(title, total=total)

            def advance(many: int = 1) -> None:
                bars.advance(task, many)

            yield advance
        self.seconds[name] = perf_counter() - began
        self.console.print(f"{self.seconds[name]:6.1f} s  {title}", highlight=False)


def accounting_table(account: Account) -> Table:
    table = Table(title="Every redemption of the record", title_justify="left")
    table.add_column("answer")
    for name in ("redemptions", "second uses", "nothing in scope", "too few in scope"):
        table.add_column(name, justify="right")
    for row in account.rows:
        table.add_row(*_cells(row))
    table.add_section()
    table.add_row(*_cells(account.total), style="bold")
    return table


def _cells(row: Row) -> list[str]:
    counts = (row.redemptions, row.second_uses, row.unmatched, row.too_few)
    return [row.outcome, *(f"{count:,}" if count else "" for count in counts)]


def report_table(report: ReportView) -> Table:
    table = Table(title="The report, by campaign", title_justify="left")
    table.add_column("campaign")
    for name in ("issued", "redeemed", "rate", "discount", "median time"):
        table.add_column(name, justify="right")
    for campaign in report.campaigns:
        table.add_row(*_figures(campaign))
    table.add_section()
    issued = sum(campaign.issued for campaign in report.campaigns)
    redeemed = sum(campaign.redeemed for campaign in report.campaigns)
    table.add_row(
        "all",
        f"{issued:,}",
        f"{redeemed:,}",
        _percent(redeemed * 10_000 // issued),
        in_words(sum(each.discount_minor for each in report.campaigns), CURRENCY, "en"),
        "",
        style="bold",
    )
    return table


def _figures(campaign: CampaignReport) -> list[str]:
    return [
        campaign.name,
        f"{campaign.issued:,}",
        f"{campaign.redeemed:,}",
        _percent(campaign.rate_bp),
        in_words(campaign.discount_minor, campaign.currency, "en"),
        _days(campaign.median_seconds_to_redeem),
    ]


def _percent(basis_points: int) -> str:
    return f"{basis_points // 100}.{basis_points % 100:02}%"


def _days(seconds: int | None) -> str:
    if seconds is None:
        return ""
    tenths = (seconds * 10 + _DAY_SECONDS // 2) // _DAY_SECONDS
    return f"{tenths // 10}.{tenths % 10} days"


def sentences(account: Account, answers: Sequence[Answered], till: TillComparison) -> list[str]:
    """Say what stands in no table."""
    total = account.total
    told = [
        f"{total.redemptions:,} pictures drawn, {len(answers) - _unread(answers):,} read.",
        f"{account.asked_again} requests were sent once more after everything was over: "
        f"{account.same_answer} got their first answer again, word for word.",
        f"Discounts: {in_words(account.discount_minor, CURRENCY, 'en')}.",
    ]
    if till.compared:
        told.append(
            f"The tills of 2017, where a barcode tells the amount ({till.compared:,}): "
            f"{till.equal:,} took off exactly that, {till.till_took_nothing:,} nothing, "
            f"{till.till_took_other:,} another amount."
        )
    return told


def _unread(answers: Sequence[Answered]) -> int:
    return sum(each.asked is None for each in answers)


def document(
    journey: Journey,
    account: Account,
    answers: Sequence[Answered],
    report: ReportView,
    complaints: Sequence[str],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return everything as one JSON document."""
    reads = [each.read for each in answers if each.read]
    return {
        "campaigns": len(journey.campaigns),
        "redemptions": len(journey.redemptions),
        "issued": sum(campaign.issued for campaign in report.campaigns),
        "account": {row.outcome: asdict(row) for row in account.rows},
        "total": asdict(account.total),
        "discount_minor": account.discount_minor,
        "currency": CURRENCY,
        "pictures": {"drawn": len(reads), "read": len(answers) - _unread(answers)},
        "asked_again": account.asked_again,
        "same_answer": account.same_answer,
        "report": report.model_dump(mode="json")["campaigns"],
        "complaints": list(complaints),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "process_seconds": {
            "draw": round(sum(read.draw_seconds for read in reads), 2),
            "decode": round(sum(read.decode_seconds for read in reads), 2),
        },
    }
