"""What a bench has to say: figures beside what they are measured against, and how to take them."""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Round:
    """One measurement of ours, and one of the peer's next to it in time."""

    per_s: float
    peer_per_s: float = 0.0
    latencies_ms: Sequence[float] = ()
    cpu_us: dict[str, float] | None = None  # of each program, for one piece of work


@dataclass(frozen=True)
class Figure:
    """The median of some rounds. Noise comes and goes; a ratio within one round feels it less."""

    name: str
    peer: str
    per_s: float
    peer_per_s: float
    ratio: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_us: dict[str, float]
    rounds: int


def figure(name: str, peer: str, rounds: Sequence[Round]) -> Figure:
    cpus = [each.cpu_us for each in rounds if each.cpu_us]
    return Figure(
        name=name,
        peer=peer,
        per_s=median(each.per_s for each in rounds),
        peer_per_s=median(each.peer_per_s for each in rounds),
        ratio=median(each.per_s / each.peer_per_s for each in rounds),
        p50_ms=_median_of(_quantile(each.latencies_ms, 0.50) for each in rounds),
        p99_ms=_median_of(_quantile(each.latencies_ms, 0.99) for each in rounds),
        cpu_us={who: median(cpu[who] for cpu in cpus) for who in cpus[0]} if cpus else {},
        rounds=len(rounds),
    )


@dataclass(frozen=True)
class Case:
    """One line of a table, measured once in each round."""

    name: str
    peer: str
    measure: Callable[[int], Round]  # given the number of the round


def measured(cases: Sequence[Case], rounds: int) -> list[Figure]:
    """Measure everything once, then everything again: a busy minute is shared by all lines."""
    taken = [[case.measure(number) for case in cases] for number in range(rounds)]
    columns = zip(*taken, strict=True)
    return [
        figure(case.name, case.peer, column) for case, column in zip(cases, columns, strict=True)
    ]


def in_turn(number: int, ours: Callable[[], Round], peer: Callable[[], float]) -> Round:
    """Measure both, in every other round the peer first: nobody always has the warmer seat."""
    if number % 2:
        peer_per_s = peer()
        return replace(ours(), peer_per_s=peer_per_s)
    measured = ours()
    return replace(measured, peer_per_s=peer())


def say(
    title: str, figures: Sequence[Figure], record: dict[str, int], *, unit: str, as_json: bool
) -> None:
    """Print a table, or one JSON document with everything that is in it and more."""
    if as_json:
        document: dict[str, Any] = {
            "bench": title,
            "machine": this_machine(),
            "figures": [asdict(each) for each in figures],
            "record": record,
        }
        print(json.dumps(document, indent=2))
        return
    table = Table(title=title, caption=_caption(record))
    for column in (unit, "ours /s", "p50 ms", "p99 ms", "beside", "/s", "ours : it", "CPU us"):
        table.add_column(column, justify="left" if column in (unit, "beside") else "right")
    for each in figures:
        table.add_row(
            each.name,
            f"{each.per_s:,.0f}",
            _short(each.p50_ms),
            _short(each.p99_ms),
            each.peer,
            f"{each.peer_per_s:,.0f}",
            f"{each.ratio:.2f}",
            ", ".join(f"{who} {us:,.0f}" for who, us in each.cpu_us.items()),
        )
    Console().print(table)


def this_machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "busy": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def cpu_seconds(pid: int) -> float:
    """Return what this process and everything below it have computed so far; nought if unknown."""
    if sys.platform != "linux":
        return 0.0
    processes = {int(each.name): _stat(each) for each in Path("/proc").glob("[0-9]*")}
    family = {pid}
    # A child's number may be lower than its parent's, so look again until nobody is new.
    while (
        more := {child for child, stat in processes.items() if stat and int(stat[1]) in family}
        - family
    ):
        family |= more
    ticks = sum(int(tick) for each in family for tick in (processes.get(each) or [])[11:13])
    own = processes.get(pid) or []
    return (ticks + sum(int(tick) for tick in own[13:15])) / os.sysconf("SC_CLK_TCK")


def parent_of(pid: int) -> int:
    stat = _stat(Path("/proc", str(pid)))
    return int(stat[1]) if stat else pid


def _stat(process: Path) -> list[str]:
    try:
        # The name comes second, in brackets, and may hold anything.
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []  # gone meanwhile


def _quantile(values: Sequence[float], part: float) -> float | None:
    return sorted(values)[int(part * (len(values) - 1))] if values else None


def _median_of(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _caption(record: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in record.items())
