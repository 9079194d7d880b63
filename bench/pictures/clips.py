"""Two seconds of a hand that brings a phone to the camera, 15 frames a second, one fault at a time.

The hand comes near, trembles and turns; how far a point moves while the shutter is open, and while
the rows are read, follows from that. So do the lamp's place in the glass and the moire. Some frames
of a clip are easier than others, as at a till.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.pictures import phone
from bench.pictures.camera import HEIGHT, Shot, defocus_of_fixed_lens, lens_of, photograph
from bench.pictures.counter import seeded
from bench.pictures.phone import Light
from bench.pictures.sample import Picture

Vector = NDArray[np.float64]

FRAMES_PER_S = 15
SECONDS = 2
_READ_OUT_S = 1 / 40  # from the first row to the last


@dataclass(frozen=True)
class Hand:
    """How somebody holds a phone, and how long the shutter is open."""

    near_mm: float = 200
    far_mm: float = 330
    comes_for_s: float = 0.9
    trembles: float = 1
    shutter_s: float = 1 / 120


@dataclass(frozen=True)
class Clip:
    """Some frames with one text in them; each is drawn when somebody first looks, and kept."""

    fault: str
    template: str
    text: str
    draw: Callable[[int], Picture]
    frame_count: int = FRAMES_PER_S * SECONDS

    @property
    def name(self) -> str:
        return f"{self.fault} {self.template}"

    @cached_property
    def _kept(self) -> dict[int, Picture]:
        return {}

    def frame(self, number: int) -> Picture:
        if number not in self._kept:
            self._kept[number] = self.draw(number)
        return self._kept[number]

    def forget(self) -> None:
        """Let go of the frames: all clips at once do not fit into a small machine."""
        self._kept.clear()


# What is wrong, given seconds and the shot as the hand makes it.
Fault = Callable[[float, Shot], dict[str, Any]]


def _steady(_at: float, _shot: Shot) -> dict[str, Any]:
    return {}


def _fixed_focus(_at: float, shot: Shot) -> dict[str, Any]:
    return {"defocus_px": defocus_of_fixed_lens(shot.distance_mm)}


def _hunting_focus(at: float, _shot: Shot) -> dict[str, Any]:
    """The lens looks for its focus: past it, back, and there."""
    return {"defocus_px": 14 * abs(np.cos(4 * at)) * np.exp(-0.7 * at) + 2}


def _glare(_at: float, shot: Shot) -> dict[str, Any]:
    """A lamp wanders over the glass by twice the angle that the phone turns."""
    x, y = (2.2 * deg for deg in shot.tilt_deg)
    return {"glare": 3, "glare_mm": 10, "glare_at_mm": (y, x)}


def _shade(_at: float, _shot: Shot) -> dict[str, Any]:
    return {"shade": 2.6, "veil": 0.3}


def _daylight(at: float, _shot: Shot) -> dict[str, Any]:
    """A hand begins to shield the screen."""
    return {"veil": 14 * np.exp(-0.9 * at)}


def _dark(_at: float, _shot: Shot) -> dict[str, Any]:
    return {"photons": 150, "exposure": 0.1, "read_noise": 0.02}


def _too_bright(at: float, _shot: Shot) -> dict[str, Any]:
    """The camera finds its exposure, beginning with the dark counter's."""
    return {"exposure": 40 * np.exp(-1.8 * at) + 0.75}


def _moire(_at: float, _shot: Shot) -> dict[str, Any]:
    return {"moire": 0.95}


def _flicker(at: float, _shot: Shot) -> dict[str, Any]:
    return {"flicker": 0.85, "flicker_phase": 5 * at}


def _rolling_shutter(at: float, _shot: Shot) -> dict[str, Any]:
    return {"wobble_px": 4 * abs(np.sin(3 * at + 1)) + 1}


def _jpeg(_at: float, _shot: Shot) -> dict[str, Any]:
    return {"jpeg": 4}


def _all_at_once(_at: float, shot: Shot) -> dict[str, Any]:
    return {
        **_glare(0, shot),
        "glare": 1,
        "defocus_px": 0.6 * defocus_of_fixed_lens(shot.distance_mm),
        "photons": 300,
        "exposure": 0.3,
        "shade": 0.5,
        "moire": 0.3,
        "jpeg": 40,
    }


FAULTS: Mapping[str, tuple[Hand, Fault]] = {
    "steady": (Hand(trembles=0.3), _steady),
    "fixed focus": (Hand(near_mm=150, far_mm=300), _fixed_focus),
    "hunting focus": (Hand(), _hunting_focus),
    "far": (Hand(near_mm=430, far_mm=620, comes_for_s=1.8), _steady),
    "motion": (Hand(trembles=3, shutter_s=1 / 24), _steady),
    "glare": (Hand(trembles=2), _glare),
    "shade": (Hand(), _shade),
    "daylight": (Hand(), _daylight),
    "dark": (Hand(shutter_s=1 / 40), _dark),
    "too bright": (Hand(), _too_bright),
    "moire": (Hand(near_mm=236), _moire),
    "flicker": (Hand(), _flicker),
    "cracked glass": (Hand(), _steady),
    "rolling shutter": (Hand(trembles=2.5), _rolling_shutter),
    "jpeg": (Hand(near_mm=280), _jpeg),
    "all at once": (Hand(near_mm=170, shutter_s=1 / 60), _all_at_once),
}


def clips(seed: int = 0) -> list[Clip]:
    """Return a clip of each fault with each template of a coupon. No frame is drawn yet."""
    return [clip(fault, template, seed) for fault, template in product(FAULTS, phone.TEMPLATES)]


def clip(fault: str, template: str, seed: int = 0) -> Clip:
    text = phone.text_of(template, seed)
    page = phone.showing(text)
    if fault == "cracked glass":
        page = phone.cracked(page, 6, seeded("glass", fault, seed))
    return Clip(fault, template, text, partial(_frame, page, fault, seed))


def _frame(page: Light, fault: str, seed: int, number: int) -> Picture:
    hand, wrong = FAULTS[fault]
    at = number / FRAMES_PER_S
    shot = _moving(hand, fault, seed, at)
    shot = replace(shot, **wrong(at, shot))
    # The counter behind stays where it is, the grain does not.
    return photograph(page, shot, seeded(fault, seed), seeded(fault, seed, number))


def _moving(hand: Hand, fault: str, seed: int, at: float) -> Shot:
    """Return the shot at a moment, with the blur and the skew that its movement makes."""
    shot = _held(hand, fault, seed, at)
    step = 1e-3
    before, after = (
        _on_picture(_held(hand, fault, seed, at + sign * step / 2)) for sign in (-1, 1)
    )
    px_per_s = (after - before) / step
    blur = px_per_s * hand.shutter_s
    return replace(
        shot,
        motion_px=(float(blur[0]), float(blur[1])),
        skew=float(px_per_s[0]) * _READ_OUT_S / HEIGHT,
    )


def _held(hand: Hand, fault: str, seed: int, at: float) -> Shot:
    """Return where the phone is: it comes near, and each of its six freedoms trembles."""
    rng = seeded("hand", fault, seed)
    waves = rng.uniform((0.4, 2, 7), (1.2, 5, 11), (6, 3))  # Hertz: swaying, correcting, trembling
    phases = rng.uniform(0, 2 * np.pi, (6, 3))
    sizes = np.array([1, 0.3, 0.06]) * rng.uniform(0.6, 1.4, (6, 3))
    sways = hand.trembles * (sizes * np.sin(2 * np.pi * waves * at + phases)).sum(axis=1)
    roll = rng.uniform(-180, 180)
    gone = min(at / hand.comes_for_s, 1.0)
    still_to_come = 1 - gone * gone * (3 - 2 * gone)
    return Shot(
        distance_mm=hand.near_mm + (hand.far_mm - hand.near_mm) * still_to_come + 3 * sways[0],
        tilt_deg=(4 * sways[1], 4 * sways[2]),
        roll_deg=roll + 2 * sways[3],
        offset_mm=(6 * sways[4] + 40 * still_to_come, 4 * sways[5] + 15 * still_to_come),
    )


def _on_picture(shot: Shot) -> Vector:
    place = lens_of(shot)[:, 2]  # the code's middle
    return place[:2] / place[2]
