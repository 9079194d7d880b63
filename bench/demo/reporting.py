"""The figures, for people as tables and for programs as one document. They count, no more."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.demo.accounting import Account, Row
from bench.demo.journey import CURRENCY, TillComparison
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
    names = ("redemptions", "second uses", "none in scope", "too few")
    table = _table("Every redemption of the record", "answer", names)
    for row in account.rows:
        table.add_row(*_cells(row))
    table.add_section()
    table.add_row(*_cells(account.total), style="bold")
    return table


def _table(title: str, first: str, others: Sequence[str]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(row: Row) -> list[str]:
    counts = (row.redemptions, row.second_uses, row.unmatched, row.too_few)
    return [row.outcome, *(f"{count:,}" if count else "" for count in counts)]


def report_table(report: ReportView) -> Table:
    names = ("issued", "redeemed", "rate", "discount", "time to redeem")
    table = _table("The report; times to redeem are medians", "campaign", names)
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


def sentences(account: Account, till: TillComparison) -> list[str]:
    """Say what stands in no table."""
    total = account.total.redemptions
    told = [
        f"{total:,} pictures were drawn, {total - account.unread:,} read.",
        f"Requests sent again when everything was over: {account.asked_again}; answered as the "
        f"first time, word for word: {account.same_answer}.",
    ]
    if till.compared:
        told.append(
            f"Where a barcode tells the amount ({till.compared:,} coupons), the tills of 2017 "
            f"took off exactly that from {till.equal:,}, nothing from {till.till_took_nothing:,}, "
            f"another amount from {till.till_took_other:,}."
        )
    return told


def document(
    account: Account,
    report: ReportView,
    complaints: Sequence[str],
    answers: Sequence[Answered],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Return everything as one JSON document."""
    reads = [each.read for each in answers]
    return {
        "account": {row.outcome: asdict(row) for row in account.rows},
        "total": asdict(account.total),
        "discount_minor": account.discount_minor,
        "currency": CURRENCY,
        "unread": account.unread,
        "asked_again": account.asked_again,
        "same_answer": account.same_answer,
        "report": report.model_dump(mode="json")["campaigns"],
        "complaints": list(complaints),
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "drawing_seconds": round(sum(read.draw_seconds for read in reads), 2),
        "decoding_seconds": round(sum(read.decode_seconds for read in reads), 2),
    }
