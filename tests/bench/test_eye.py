"""The eye's bench counts what is read and what is false; how fast is nobody's business here."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from bench import decoders, eye
from bench.decoders import Decoder
from bench.pictures import clips, counter, phone, photographs, proof
from bench.pictures.camera import HEIGHT, WIDTH, Shot, photograph
from bench.pictures.clips import Clip
from bench.pictures.sample import Picture, Sample, score
from coupon_engine.drawing import Surface, png

PEERS = {
    "zxing-cpp",
    "zxing-cpp, every binarizer",
    "OpenCV",
    "OpenCV Aruco",
    "pyzbar",
    "WeChat",
}
TINY = ("distance", "tilt")
RATES = ("any_hit", "all_codes")


def test_the_bench_shows_every_picture_to_everybody_and_names_every_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counter, "FAULTS", {name: counter.FAULTS[name] for name in TINY})
    said = bench("--sets", "counter,clips", "--limit", "1")

    everybody = [decoder.name for decoder in decoders.ours()] + [
        name for name in said_peers() if name not in said["missing"]
    ]
    lines = said["sets"]["counter"]["total"]
    assert [line["decoder"] for line in lines] == everybody
    assert {line["decoder"] for line in lines} | {*said["missing"]} >= PEERS
    assert [(line["pictures"], line["with_codes"]) for line in lines] == [(3, 2)] * len(lines)
    assert_adds_up(said["sets"]["counter"])
    assert rate(said, "zxing-cpp") == rate(said, "ours") == 1

    (heard,) = said["sets"]["clips"]["clips"].values()
    assert {one["decoder"] for one in heard} | {*said["missing"]} >= {"ours", *PEERS}
    assert heard[0]["decoder"] == "ours"
    assert heard[0]["seconds"] is not None


def test_whoever_reads_nothing_has_read_nothing_and_a_lie_is_a_false_reading() -> None:
    text, empty = phone.text_of("CP1", 0), blank_sample()
    shown = Sample(name="shown", category="easy", look=lambda: drawn(text), texts=frozenset({text}))
    everybody = [
        decoders.by_frame("zxing-cpp", decoders.zxing),
        decoders.by_frame("liar", lambda _: ["CP1A MADE UP"]),
        decoders.by_frame("half a liar", lambda image: [*decoders.zxing(image), "MORE"]),
        decoders.by_frame("blind", lambda _: [""]),
    ]

    counted = {line.decoder: line for line in eye.lines(eye.looks([shown, empty], everybody))}

    found = {name: (line.any_hit, line.all_codes, line.false) for name, line in counted.items()}
    assert found == {
        "zxing-cpp": (1, 1, 0),
        "liar": (0, 0, 2),
        "half a liar": (1, 1, 2),
        "blind": (0, 0, 0),
    }


def test_a_text_that_nobody_knows_counts_if_the_picture_proves_it() -> None:
    text, other = "CP1A NOBODY KNOWS THIS", "CP1A NOBODY KNEW THIS."
    sample = Sample(name="", category="", look=blank, unknown_count=1)

    shown = drawn(text)

    assert proof.is_proven(shown, text)
    assert not proof.is_proven(shown, other)
    read = score(sample, [text, other], partial(proof.is_proven, shown))
    assert (read.any_hit, read.all_codes, read.false) == (True, True, (other,))


def test_where_the_texts_are_known_nothing_is_proven() -> None:
    sample = Sample(name="", category="", look=blank, texts=frozenset({"ABC"}))

    assert score(sample, ["DEF"], lambda _: True).false == ("DEF",)


def test_so_many_wrong_modules_as_correction_could_make_of_grain_prove_nothing() -> None:
    (modules, *_), said_bits = proof.codes_of("CP1A NOBODY KNOWS THIS")[0]
    flips = np.random.default_rng(7).random(modules.shape)

    def beyond_luck(wrong: float) -> float:
        values = np.where(modules ^ (flips < wrong), 1, -1).astype(np.float32)
        return proof.bits_beyond_luck(values, modules, said_bits)

    assert beyond_luck(0) > beyond_luck(0.01) > 0
    assert beyond_luck(0.2) < proof.LEAST_BITS
    assert beyond_luck(0.5) < 0


def test_texts_are_compared_exactly() -> None:
    sample = Sample(name="", category="", look=blank, texts=frozenset({"ABC", "DEF"}))

    assert told(sample, ["ABC"]) == (True, False, ())
    assert told(sample, ["ABC", "DEF", "ABC"]) == (True, True, ())
    assert told(sample, ["abc", "DEF "]) == (False, False, ("DEF ", "abc"))


def test_a_code_whose_text_nobody_knows_is_met_by_a_text_that_it_may_have() -> None:
    sample = Sample(
        name="",
        category="",
        look=blank,
        texts=frozenset({"ABC"}),
        unknown_count=1,
        candidates=frozenset({"DEF", "GHI"}),
        also_there=frozenset({"INNER"}),
    )

    assert told(sample, ["ABC"]) == (True, False, ())
    assert told(sample, ["DEF"]) == (True, False, ())
    assert told(sample, ["ABC", "GHI"]) == (True, True, ())
    assert told(sample, ["INNER"]) == (False, False, ())
    assert told(sample, ["JKL"]) == (False, False, ("JKL",))


def test_the_same_bytes_in_another_alphabet_are_neither_right_nor_false() -> None:
    sample = Sample(name="", category="", look=blank, texts=frozenset({"ﾃﾞｻﾞｲﾝQR"}))

    assert told(sample, ["ÃÞ»Þ²ÝQR"]) == (False, False, ())
    assert told(sample, ["ÃÞ»Þ²ÞQR"]) == (False, False, ("ÃÞ»Þ²ÞQR",))
    assert told(sample, ["QR"]) == (False, False, ("QR",))


def test_photographs_are_read_from_a_folder_with_its_truth(tmp_path: Path) -> None:
    texts = [phone.text_of("CP1", seed) for seed in range(2)]
    cv2.imwrite(str(tmp_path / "a.png"), np.hstack([drawn(text) for text in texts]))
    cv2.imwrite(str(tmp_path / "b.png"), blank())
    truth = {
        "images": [
            {
                "file": "a.png",
                "set": "ours",
                "category": "two",
                "negative": False,
                "codes": [{"text": texts[0]}, {"text": None}],
                "candidates": texts,
            },
            {"file": "b.png", "set": "ours", "category": "x", "negative": True, "codes": []},
        ]
    }
    (tmp_path / "groundtruth.json").write_text(json.dumps(truth))

    said = bench("--sets", "photos", "--photos", str(tmp_path))

    assert [*said["sets"]["photos"]["categories"]] == ["ours two", photographs.NEGATIVE]
    assert_adds_up(said["sets"]["photos"])
    (line,) = [line for line in said["sets"]["photos"]["total"] if line["decoder"] == "zxing-cpp"]
    assert (line["pictures"], line["with_codes"]) == (2, 1)
    assert (line["any_hit"], line["all_codes"], line["false"]) == (1, 1, 0)


@pytest.mark.parametrize("fault", counter.FAULTS)
def test_a_fault_comes_in_four_strengths_and_the_same_picture_comes_again(fault: str) -> None:
    samples = [sample for sample in counter.samples() if sample.category == fault]
    again = [sample for sample in counter.samples() if sample.category == fault]

    assert len(samples) == 4 * len(phone.TEMPLATES) * counter.COPIES
    picture = samples[-1].look()
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, again[-1].look())


def test_no_two_pictures_of_a_fault_are_the_same() -> None:
    samples = [sample for sample in counter.samples() if sample.category == "distance"]
    pictures = {sample.look().tobytes() for sample in samples[:6]}

    assert len(pictures) == 6


def test_another_seed_gives_other_pictures_of_the_same_kinds() -> None:
    first, other = counter.samples(), counter.samples(seed=1)

    assert [sample.category for sample in other] == [sample.category for sample in first]
    assert {sample.name for sample in other}.isdisjoint(sample.name for sample in first)
    assert other[0].texts != first[0].texts
    assert not np.array_equal(other[0].look(), first[0].look())
    assert not np.array_equal(other[-1].look(), first[-1].look())
    here, elsewhere = clips.clip("glare", "CP1"), clips.clip("glare", "CP1", seed=1)
    assert here.text != elsewhere.text
    assert not np.array_equal(here.frame(0), elsewhere.frame(0))


def test_a_coupon_held_still_before_the_camera_can_be_read() -> None:
    for template, version in (("CP1", 6), ("CP2", 9)):
        text = phone.text_of(template, 3)
        shot = Shot(distance_mm=200, roll_deg=10)
        seen = photograph(phone.showing(text), shot, np.random.default_rng(1))

        assert decoders.zxing(seen) == [text]
        assert module_count(text) == 17 + 4 * version


def test_a_counter_without_a_code_has_none() -> None:
    empty = [sample for sample in counter.samples() if sample.category == counter.EMPTY]

    assert len(empty) == 2 * counter.COPIES * len(counter.EMPTIES)
    assert not any(sample.has_codes for sample in empty)
    assert [decoders.zxing(sample.look()) for sample in empty[: len(counter.EMPTIES)]] == [
        [] for _ in counter.EMPTIES
    ]


def test_frames_of_a_clip_follow_from_its_name_and_differ_from_each_other() -> None:
    clip, again = clips.clip("motion", "CP2"), clips.clip("motion", "CP2")

    assert np.array_equal(clip.frame(7), again.frame(7))
    assert not np.array_equal(clip.frame(7), clip.frame(8))
    assert clip.frame(7) is clip.frame(7)


def test_every_clip_has_a_text_of_its_template() -> None:
    names = [clip.name for clip in clips.clips()]

    assert len(names) == len({*names}) == len(clips.FAULTS) * len(phone.TEMPLATES)
    assert all(clip.text.startswith(clip.name[-3:]) for clip in clips.clips())


def test_whoever_is_slower_than_the_camera_misses_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is ours: a look takes 0.1 s, a frame comes every 0.067 s."""
    clock = Clock()
    monkeypatch.setattr(eye.time, "process_time", clock.now)
    seen: list[float] = []

    def slow(_frame: Picture, at: float) -> Sequence[str]:
        seen.append(round(at * clips.FRAMES_PER_S))
        clock.seconds += 0.1
        return ["THE TEXT"] if at > 0.3 else ["A LIE"]

    clip = Clip("slow", "CP1", "THE TEXT", lambda _: blank())
    (heard,) = eye.first_readings(clip, [Decoder("slow", lambda _: [], lambda: slow)])

    assert seen == [0, 1, 3, 4, 6]
    assert heard.seconds == pytest.approx(0.5)
    assert (heard.frame, heard.false) == (8, 1)


def test_a_text_that_is_never_told_is_later_than_any() -> None:
    never = eye.FirstReading("never", None, None, 0)
    early, late = eye.FirstReading("early", 0.01, 1, 0), eye.FirstReading("late", 0.07, 2, 0)

    assert eye.is_later(late, early)
    assert not eye.is_later(early, late)
    assert not eye.is_later(early, early)
    assert eye.is_later(never, late)
    assert not eye.is_later(late, never)
    assert not eye.is_later(never, never)


def test_a_category_of_which_a_peer_reads_more_is_told() -> None:
    categories = {
        "even": [line("ours", 0.5), line("ours, thorough", 0.5), line("zxing-cpp", 0.5)],
        "ahead": [line("ours", 1), line("ours, thorough", 1), line("zxing-cpp", 0.5)],
        "behind": [line("ours", 0.4), line("ours, thorough", 0.5), line("zxing-cpp", 0.5)],
        "empty": [line("ours", None), line("ours, thorough", None), line("zxing-cpp", None)],
    }

    assert eye.behind(categories, "ours") == ["behind"]
    assert eye.behind(categories, "ours, thorough") == []


def test_the_tables_go_between_their_marks_and_the_words_stay(tmp_path: Path) -> None:
    page = tmp_path / "eye.md"
    page.write_text(
        "Before.\n<!-- frames -->\nold\n<!-- end of frames -->\n"
        "After.\n<!-- clips -->\n<!-- end of clips -->\n"
    )
    part = eye.Part((eye.Grid("A", ("decoder", "ms"), [("ours", "1.0")]),), (), {}, ())

    eye.put_into(page, {"frames": part, "clips": part})
    once = page.read_text()
    eye.put_into(page, {"frames": part, "clips": part})

    assert page.read_text() == once
    table = "**A**\n\n| decoder | ms |\n| --- | --: |\n| ours | 1.0 |"
    assert once == (
        f"Before.\n<!-- frames -->\n\n{table}\n\n<!-- end of frames -->\n"
        f"After.\n<!-- clips -->\n\n{table}\n\n<!-- end of clips -->\n"
    )


def test_a_page_without_a_place_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "eye.md"
    page.write_text("<!-- frames -->\n<!-- end of frames -->\n")

    eye.refuse_a_page_without(page, ["frames"])
    with pytest.raises(typer.BadParameter, match="clips"):
        eye.refuse_a_page_without(page, ["frames", "clips"])


def test_the_house_has_a_page_with_a_place_for_every_set() -> None:
    page = (Path(eye.__file__).parents[1] / "docs" / "eye.md").read_text(encoding="utf-8")

    for name in (*eye.SETS, "goals"):
        assert f"<!-- {name} -->" in page
        assert f"<!-- end of {name} -->" in page


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds


def bench(*options: str) -> Any:
    """Run the bench and return what it tells programs."""
    app = typer.Typer()
    app.command()(eye.main)
    done = CliRunner().invoke(app, ["--json", *options])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def assert_adds_up(figures: Any) -> None:
    """Whatever is told of all pictures follows from what is told of each category."""
    for place, total in enumerate(figures["total"]):
        its_lines = [lines[place] for lines in figures["categories"].values()]
        assert {line["decoder"] for line in its_lines} == {total["decoder"]}
        for count in ("pictures", "with_codes", "false"):
            assert total[count] == sum(line[count] for line in its_lines)
        for name in RATES:
            hits = sum(line[name] * line["with_codes"] for line in its_lines if line["with_codes"])
            assert total[name] * total["with_codes"] == pytest.approx(hits)
        assert total["all_codes"] <= total["any_hit"] <= 1
        missed = figures["missed"][total["decoder"]]
        assert len(missed) == round((1 - total["any_hit"]) * total["with_codes"])
        assert 0 < total["ms_median"] <= total["ms_p95"]


def said_peers() -> list[str]:
    present, missing = decoders.peers()
    return [*(decoder.name for decoder in present), *missing]


def rate(said: Any, decoder: str) -> float:
    return next(
        line["any_hit"] for line in said["sets"]["counter"]["total"] if line["decoder"] == decoder
    )


def line(decoder: str, any_hit: float | None) -> eye.Line:
    return eye.Line(decoder, 1, 1, any_hit, any_hit, 0, 1, 1, 1)


def told(sample: Sample, readings: Sequence[str]) -> tuple[bool, bool, tuple[str, ...]]:
    counted = score(sample, readings)
    return counted.any_hit, counted.all_codes, counted.false


def drawn(text: str) -> Picture:
    file = np.frombuffer(png(text, Surface.SCREEN, module_px=4), np.uint8)
    picture = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert picture is not None
    return picture.astype(np.uint8)


def blank() -> Picture:
    return np.full((120, 160, 3), 200, np.uint8)


def blank_sample() -> Sample:
    return Sample(name="blank", category=counter.EMPTY, look=blank)


def module_count(text: str) -> int:
    file = np.frombuffer(png(text, Surface.SCREEN, module_px=1), np.uint8)
    picture = cv2.imdecode(file, cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture.shape[0] - 8  # the quiet zone
