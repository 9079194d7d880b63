"""How much the eye reads, and how fast, beside every peer: `python -m bench.eye`.

Three sets of pictures, each seen by everybody in the same order: photographs that nobody here made
(a folder, see `--photos`), phones drawn at a counter with one fault at a time, and clips of a hand.
And what a camera's frame costs, with a clean code and with none.

Times are what one core computes. So a busy machine weighs little on them, and nobody can hide work
in a second thread.
"""

import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any, TypeVar

import cv2
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench import decoders, machine
from bench.decoders import OURS, ZXING, Decoder
from bench.pictures import clips, counter, phone, photographs
from bench.pictures.camera import photograph
from bench.pictures.clips import FRAMES_PER_S, Clip
from bench.pictures.proof import is_proven
from bench.pictures.sample import Picture, Sample, Score, score

T = TypeVar("T")

SETS = ("photos", "counter", "clips", "frames")
PHOTOS_GOAL = 0.95  # of the photographs, at least one code
CLEAN_GOAL = 1.3  # times zxing-cpp alone, for a frame with a clean code
EMPTY_GOAL_MS = 40  # for a frame with no code
CLEAN, NO_CODE = "clean code", "no code"
_FRAMES = 8
_ROUNDS = 15


@dataclass(frozen=True)
class Look:
    """What one decoder made of one picture, and what it took."""

    sample: Sample
    score: Score
    ms: float


@dataclass(frozen=True)
class Line:
    """What one decoder made of some pictures. Rates are of the pictures that have a code."""

    decoder: str
    pictures: int
    with_codes: int
    any_hit: float | None
    all_codes: float | None
    false: int
    ms_median: float
    ms_p95: float
    ratio: float  # to zxing-cpp on the same picture; the median over the pictures


@dataclass(frozen=True)
class FirstReading:
    """When in a clip its text was first told, and which frame can show it; None is never."""

    decoder: str
    seconds: float | None
    frame: int | None
    false: int


@dataclass(frozen=True)
class FrameCost:
    """What a camera's frame costs one decoder."""

    frame: str
    decoder: str
    ms_median: float
    ms_worst: float
    ratio: float  # to zxing-cpp on the same frame in the same round


@dataclass(frozen=True)
class Grid:
    """A table, for a terminal or a page."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Goal:
    """What was promised, and what came of it."""

    goal: str
    came: str
    is_met: bool


@dataclass(frozen=True)
class Part:
    """One set's tables: those for the page and what else there is, and all of it for programs."""

    on_page: Sequence[Grid]
    beside: Sequence[Grid]
    figures: Mapping[str, Any]
    goals: Sequence[Goal]


def main(
    photos: Annotated[
        Path | None, typer.Option(envvar=photographs.FOLDER_VARIABLE, help="With groundtruth.json.")
    ] = None,
    sets: Annotated[str, typer.Option(help="Which, with commas between.")] = ",".join(SETS),
    limit: Annotated[int | None, typer.Option(help="Pictures a category, clips in all.")] = None,
    seed: Annotated[int, typer.Option(help="Draw other pictures of the same kinds.")] = 0,
    models: Annotated[Path | None, typer.Option(help="WeChat's four files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    write: Annotated[Path | None, typer.Option(help="Put the tables into this page.")] = None,
) -> None:
    """Measure what our eye and every peer read."""
    cv2.setNumThreads(1)
    wanted = [name.strip() for name in sets.split(",")]
    if unknown := set(wanted) - set(SETS):
        raise typer.BadParameter(f"no such set: {', '.join(sorted(unknown))}")
    if write:
        refuse_a_page_without(write, wanted)
    peers, missing = decoders.peers(models)
    everybody = [*decoders.ours(), *peers]
    parts: dict[str, Part] = {}
    if "photos" in wanted and photos is None:
        typer.echo("No photographs: --photos names their folder.", err=True)
    if "photos" in wanted and photos is not None:
        looked = looks(first_of_each(photographs.samples(photos), limit), everybody)
        parts["photos"] = _pictures_part("Photographs", looked, missing, at_least=PHOTOS_GOAL)
    if "counter" in wanted:
        looked = looks(first_of_each(counter.samples(seed), limit), everybody)
        parts["counter"] = _pictures_part("A phone at a counter", looked, missing)
    if "clips" in wanted:
        played = [
            (clip, first_readings(clip, [decoders.watcher(), *peers]))
            for clip in _tracked(clips.clips(seed)[:limit], "clips")
        ]
        parts["clips"] = _clips_part(played, missing)
    if "frames" in wanted:
        parts["frames"] = _frames_part(frame_costs(everybody, _ROUNDS if limit is None else 1))
    parts["goals"] = _goals_part(parts)
    if write:
        # Half of the goals would look like all of them.
        put_into(write, {name: parts[name] for name in parts if name != "goals" or len(parts) > 4})
    _say(parts, missing, as_json=as_json)


def first_of_each(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """Return at most so many pictures of each category, in their order."""
    if limit is None:
        return list(samples)
    seen: dict[str, int] = defaultdict(int)
    kept: list[Sample] = []
    for sample in samples:
        if seen[sample.category] < limit:
            kept.append(sample)
        seen[sample.category] += 1
    return kept


def looks(samples: Sequence[Sample], everybody: Sequence[Decoder]) -> dict[str, list[Look]]:
    """Show everybody every picture, one picture after the other."""
    _wake(everybody)
    looked: dict[str, list[Look]] = {decoder.name: [] for decoder in everybody}
    for number, sample in enumerate(_tracked(samples, "pictures")):
        picture = sample.look()
        # Each begins in turn: whoever comes first finds the picture cold.
        start = number % len(everybody)
        for decoder in [*everybody[start:], *everybody[:start]]:
            began = time.process_time()
            readings = decoder.read(picture)
            ms = 1000 * (time.process_time() - began)
            scored = score(sample, readings, partial(is_proven, picture))
            looked[decoder.name].append(Look(sample, scored, ms))
    return looked


def lines(looked: Mapping[str, Sequence[Look]]) -> list[Line]:
    """Return a line for each decoder, in order."""
    beside = [look.ms for look in looked[ZXING]]
    return [_line(name, its_looks, beside) for name, its_looks in looked.items()]


def by_category(looked: Mapping[str, Sequence[Look]]) -> dict[str, list[Line]]:
    names = dict.fromkeys(look.sample.category for look in looked[ZXING])
    return {
        category: lines(
            {
                decoder: [look for look in its_looks if look.sample.category == category]
                for decoder, its_looks in looked.items()
            }
        )
        for category in names
    }


def first_readings(clip: Clip, everybody: Sequence[Decoder]) -> list[FirstReading]:
    """Play a clip to each. Afterwards its frames are forgotten."""
    _wake(everybody)
    heard = [_first_reading(clip, decoder) for decoder in everybody]
    clip.forget()
    return heard


def frame_costs(everybody: Sequence[Decoder], rounds: int) -> list[FrameCost]:
    """Measure frames of 720 lines with a clean code, and frames that have none."""
    clean = [_clean_frame(number) for number in range(_FRAMES)]
    empty = [sample.look() for sample in counter.samples() if not sample.has_codes][:_FRAMES]
    return [
        cost
        for what, frames in ((CLEAN, clean), (NO_CODE, empty))
        for cost in _costs(what, frames, everybody, rounds)
    ]


def put_into(page: Path, parts: Mapping[str, Part]) -> None:
    """Replace the tables of a page between their marks, and leave the words round them alone."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        tables = "\n\n".join(_markdown(grid) for grid in part.on_page)
        between = f"<!-- {name} -->\n\n{tables}\n\n<!-- end of {name} -->"
        text = _place(name).sub(lambda _, between=between: between, text)
    page.write_text(text, encoding="utf-8")


def refuse_a_page_without(page: Path, names: Iterable[str]) -> None:
    """Say so before minutes of measuring, not after."""
    text = page.read_text(encoding="utf-8")
    if lost := [name for name in names if not _place(name).search(text)]:
        raise typer.BadParameter(f"{page} has no place for {', '.join(lost)}")


def _place(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {name} -->\n.*?<!-- end of {name} -->", re.DOTALL)


def _tracked(things: Sequence[T], what: str) -> Iterable[T]:
    # Drawn between pictures, not by a thread of its own: that would be in somebody's time.
    console = Console(stderr=True)
    return track(things, what, console=console, transient=True, auto_refresh=False)


def _wake(everybody: Sequence[Decoder]) -> None:
    """Let everybody load what they load at their first picture."""
    picture = _clean_frame(0)
    for decoder in everybody:
        decoder.read(picture)


def _clean_frame(number: int) -> Picture:
    rng = counter.seeded("clean", number)
    text = phone.text_of(phone.TEMPLATES[number % len(phone.TEMPLATES)], number)
    return photograph(phone.showing(text), counter.usual(rng), rng)


def _line(name: str, its_looks: Sequence[Look], beside_ms: Sequence[float]) -> Line:
    times = sorted(look.ms for look in its_looks)
    scores = [look.score for look in its_looks if look.sample.has_codes]
    return Line(
        decoder=name,
        pictures=len(its_looks),
        with_codes=len(scores),
        any_hit=_share(each.any_hit for each in scores),
        all_codes=_share(each.all_codes for each in scores),
        false=sum(len(look.score.false) for look in its_looks),
        ms_median=median(times),
        ms_p95=times[math.ceil(0.95 * len(times)) - 1],
        ratio=median(look.ms / ms for look, ms in zip(its_looks, beside_ms, strict=True)),
    )


def _share(kept: Iterable[bool]) -> float | None:
    all_of_them = list(kept)
    return sum(all_of_them) / len(all_of_them) if all_of_them else None


def _first_reading(clip: Clip, decoder: Decoder) -> FirstReading:
    """Play a clip as a camera would: whoever is still busy misses the frames of that time."""
    see = decoder.watch()
    false: set[str] = set()
    number, free_at = 0, 0.0
    while number < clip.frame_count:
        frame, taken_at = clip.frame(number), number / FRAMES_PER_S
        began = time.process_time()
        readings = see(frame, taken_at)
        free_at = max(free_at, taken_at) + time.process_time() - began
        false |= {text for text in readings if text} - {clip.text}
        if clip.text in readings:
            shown_in = math.ceil(free_at * FRAMES_PER_S)
            return FirstReading(decoder.name, free_at, shown_in, len(false))
        number = max(number + 1, math.floor(free_at * FRAMES_PER_S))
    return FirstReading(decoder.name, None, None, len(false))


def is_later(ours: FirstReading, peer: FirstReading) -> bool:
    """Whether the peer's answer can be shown in an earlier frame than ours."""
    if peer.frame is None:
        return False
    return ours.frame is None or ours.frame > peer.frame


def _costs(
    what: str, frames: Sequence[Picture], everybody: Sequence[Decoder], rounds: int
) -> list[FrameCost]:
    """Take turns frame by frame; a frame's time is the median of its rounds."""
    _wake(everybody)
    took: dict[str, list[list[float]]] = {
        decoder.name: [[] for _ in frames] for decoder in everybody
    }
    for number in range(rounds):
        for place, frame in enumerate(frames):
            start = (number + place) % len(everybody)
            for decoder in [*everybody[start:], *everybody[:start]]:
                began = time.process_time()
                decoder.read(frame)
                took[decoder.name][place].append(1000 * (time.process_time() - began))
    beside = [ms for times in took[ZXING] for ms in times]
    return [
        FrameCost(
            frame=what,
            decoder=name,
            ms_median=median(median(times) for times in by_frame),
            ms_worst=max(median(times) for times in by_frame),
            ratio=median(
                ms / other
                for ms, other in zip(
                    [ms for times in by_frame for ms in times], beside, strict=True
                )
            ),
        )
        for name, by_frame in took.items()
    ]


def _pictures_part(
    title: str,
    looked: Mapping[str, Sequence[Look]],
    missing: Mapping[str, str],
    at_least: float | None = None,
) -> Part:
    total, categories = lines(looked), by_category(looked)
    names = [line.decoder for line in total]
    totals = Grid(
        f"{title}: {total[0].with_codes} with codes, "
        f"{total[0].pictures - total[0].with_codes} without{_not_here(missing)}",
        ("decoder", "any code", "all codes", "false", "ms median", "p95", "times zxing-cpp"),
        [
            (
                line.decoder,
                _percent(line.any_hit),
                _percent(line.all_codes),
                str(line.false),
                _ms(line.ms_median),
                _ms(line.ms_p95),
                f"{line.ratio:.2f}",
            )
            for line in total
        ],
    )
    rates = Grid(
        f"{title}: any code, by category, % (and false readings)",
        ("category", "pictures", *names),
        [
            (category, str(its_lines[0].pictures), *(_rate(line) for line in its_lines))
            for category, its_lines in categories.items()
        ],
    )
    times = Grid(
        f"{title}: ms, median / p95",
        ("category", *names),
        [
            (category, *(f"{_ms(line.ms_median)} / {_ms(line.ms_p95)}" for line in its_lines))
            for category, its_lines in categories.items()
        ],
    )
    figures = {
        "total": [asdict(line) for line in total],
        "categories": {
            category: [asdict(line) for line in its_lines]
            for category, its_lines in categories.items()
        },
        "false": {
            name: [[look.sample.name, *look.score.false] for look in its_looks if look.score.false]
            for name, its_looks in looked.items()
        },
        "missed": {
            name: [
                look.sample.name
                for look in its_looks
                if look.sample.has_codes and not look.score.any_hit
            ]
            for name, its_looks in looked.items()
        },
        "behind_a_peer": {
            line.decoder: behind(categories, line.decoder)
            for line in total
            if _is_ours(line.decoder)
        },
    }
    return Part(
        (totals, rates), (times,), figures, _goals_of_pictures(title, total, categories, at_least)
    )


def behind(categories: Mapping[str, Sequence[Line]], decoder: str) -> list[str]:
    """Return the categories of which some peer reads more than this decoder of ours."""
    return [
        category
        for category, its_lines in categories.items()
        if max(line.any_hit or 0 for line in its_lines if not _is_ours(line.decoder))
        > next(line.any_hit or 0 for line in its_lines if line.decoder == decoder)
    ]


def _goals_of_pictures(
    title: str,
    total: Sequence[Line],
    categories: Mapping[str, Sequence[Line]],
    at_least: float | None,
) -> list[Goal]:
    """Judge our rates by our greatest effort, and false readings by all of them."""
    most = [line for line in total if _is_ours(line.decoder)][-1]
    behind_in = behind(categories, most.decoder)
    false = sum(line.false for line in total if _is_ours(line.decoder))
    goals = [
        Goal(
            f"{title}: in no category behind any peer ({most.decoder})",
            ", ".join(behind_in) or "in none",
            not behind_in,
        ),
        Goal(f"{title}: no false reading at any effort", str(false), not false),
    ]
    if at_least is not None and most.any_hit is not None:
        goal = f"{title}: any code of at least {100 * at_least:.0f} % ({most.decoder})"
        goals.insert(0, Goal(goal, _percent(most.any_hit), most.any_hit >= at_least))
    return goals


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _clips_part(
    played: Sequence[tuple[Clip, Sequence[FirstReading]]], missing: Mapping[str, str]
) -> Part:
    names = [heard.decoder for heard in played[0][1]]
    of_each = {name: [heard[place] for _, heard in played] for place, name in enumerate(names)}
    mine = of_each[names[0]]
    totals = Grid(
        f"{len(played)} clips of {clips.SECONDS} s, {FRAMES_PER_S} frames a second"
        + _not_here(missing),
        ("decoder", "clips read", "median s", "false", "earlier than ours", "later than ours"),
        [
            (
                name,
                str(sum(heard.seconds is not None for heard in its)),
                _seconds(_median_seconds(its)),
                str(sum(heard.false for heard in its)),
                str(sum(is_later(own, heard) for own, heard in zip(mine, its, strict=True))),
                str(sum(is_later(heard, own) for own, heard in zip(mine, its, strict=True))),
            )
            for name, its in of_each.items()
        ],
    )
    by_fault: dict[str, list[Sequence[FirstReading]]] = defaultdict(list)
    for clip, heard in played:
        by_fault[clip.fault].append(heard)
    each = Grid(
        f"Seconds until the text is first told, {' / '.join(phone.TEMPLATES)}",
        ("clip", *names),
        [
            (
                fault,
                *(
                    " / ".join(_seconds(one.seconds) for one in its)
                    for its in zip(*heard_of_it, strict=True)
                ),
            )
            for fault, heard_of_it in by_fault.items()
        ],
    )
    late = [
        clip.name for clip, heard in played if any(is_later(heard[0], one) for one in heard[1:])
    ]
    false = sum(heard.false for heard in mine)
    figures = {
        "clips": {clip.name: [asdict(one) for one in heard] for clip, heard in played},
        "later_than_a_peer": late,
    }
    goals = [
        Goal("Clips: in none later than any peer", ", ".join(late) or "in none", not late),
        Goal("Clips: no false reading", str(false), not false),
    ]
    return Part((totals, each), (), figures, goals)


def _frames_part(costs: Sequence[FrameCost]) -> Part:
    cost_of = {(cost.frame, cost.decoder): cost for cost in costs}
    grid = Grid(
        f"{_FRAMES} frames of 1280 x 720 of each kind: median, the worst one, times zxing-cpp",
        ("decoder", *(f"{frame}: {what}" for frame in (CLEAN, NO_CODE) for what in _COSTS)),
        [
            (
                decoder,
                *(
                    cell
                    for frame in (CLEAN, NO_CODE)
                    for cell in _cost_cells(cost_of[frame, decoder])
                ),
            )
            for decoder in dict.fromkeys(cost.decoder for cost in costs)
        ],
    )
    clean, empty = cost_of[CLEAN, OURS], cost_of[NO_CODE, OURS]
    goals = [
        Goal(
            f"A frame with a clean code: at most {CLEAN_GOAL} times zxing-cpp",
            f"{clean.ratio:.2f}",
            clean.ratio <= CLEAN_GOAL,
        ),
        Goal(
            f"A frame with no code: at most {EMPTY_GOAL_MS} ms, the worst of {_FRAMES}",
            f"{_ms(empty.ms_worst)} ms",
            empty.ms_worst <= EMPTY_GOAL_MS,
        ),
    ]
    return Part((grid,), (), {"costs": [asdict(cost) for cost in costs]}, goals)


_COSTS = ("ms", "worst", "ratio")


def _cost_cells(cost: FrameCost) -> tuple[str, str, str]:
    return _ms(cost.ms_median), _ms(cost.ms_worst), f"{cost.ratio:.2f}"


def _goals_part(parts: Mapping[str, Part]) -> Part:
    goals = [goal for part in parts.values() for goal in part.goals]
    grid = Grid(
        "Goals",
        ("goal", "came", "met"),
        [(each.goal, each.came, "yes" if each.is_met else "no") for each in goals],
    )
    return Part((grid,), (), {"goals": [asdict(each) for each in goals]}, ())


def _say(parts: Mapping[str, Part], missing: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        document = {
            "bench": "What the eye reads",
            "machine": machine.this_machine(),
            "missing": dict(missing),
            "sets": {name: part.figures for name, part in parts.items()},
        }
        print(json.dumps(document, indent=2))
        return
    console = Console()
    for part in parts.values():
        for grid in (*part.on_page, *part.beside):
            table = Table(title=grid.title)
            for place, column in enumerate(grid.columns):
                table.add_column(column, justify="right" if place else "left")
            for row in grid.rows:
                table.add_row(*row)
            console.print(table)


def _markdown(grid: Grid) -> str:
    rule = ["---", *("--:" for _ in grid.columns[1:])]
    rows = [" | ".join(row) for row in (grid.columns, rule, *grid.rows)]
    return "\n".join([f"**{grid.title}**", "", *(f"| {row} |" for row in rows)])


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _rate(line: Line) -> str:
    rate = "" if line.any_hit is None else f"{100 * line.any_hit:.0f}"
    return f"{rate} ({line.false} false)".strip() if line.false else rate or "0 false"


def _ms(ms: float) -> str:
    return f"{ms:.1f}" if ms < 10 else f"{ms:.0f}"


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f}"


def _median_seconds(heard: Sequence[FirstReading]) -> float | None:
    """Count what was never told as later than all, or whoever reads little would look quick."""
    middle = median(math.inf if one.seconds is None else one.seconds for one in heard)
    return None if math.isinf(middle) else middle


def _not_here(missing: Mapping[str, str]) -> str:
    return "".join(f"; {name}: {why}" for name, why in missing.items())


if __name__ == "__main__":
    typer.run(main)
