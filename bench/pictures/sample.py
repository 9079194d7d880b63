"""One picture, and what is true of it."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Blue, green, red, as a camera gives it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A picture and the texts in it; none at all, where whatever is read is false."""

    name: str
    category: str
    look: Callable[[], Picture]
    texts: frozenset[str] = frozenset()
    # Codes that are in the picture but whose text nobody knows for sure, and what it may be.
    unknown_count: int = 0
    candidates: frozenset[str] = frozenset()
    # What else may be read without being counted either way.
    also_there: frozenset[str] = frozenset()

    @property
    def has_codes(self) -> bool:
        return bool(self.texts) or self.unknown_count > 0


_ALPHABETS = ("utf-8", "cp932", "gb18030", "big5", "latin-1")  # what readers guess


@dataclass(frozen=True)
class Score:
    """What one decoder made of one picture."""

    any_hit: bool
    all_codes: bool
    false: tuple[str, ...]


def score(
    sample: Sample,
    readings: Iterable[str],
    is_proven: Callable[[str], bool] = lambda _text: False,
) -> Score:
    """Compare texts exactly, each once; a text that nothing vouches for is a false reading.

    Where nobody knows a code's text, a text that the picture itself proves is read, too.

    A QR code need not say in which alphabet its bytes are. Who reads the bytes and guesses another
    alphabet than whoever wrote the truth down has neither met it nor made anything up.
    """
    read = frozenset(
        text for text in readings if text
    )  # OpenCV tells a code it could not read as ""
    hits = read & sample.texts
    there = {spelling for text in sample.texts for spelling in _spellings(text)}
    guessed = frozenset[str]()
    if sample.unknown_count:
        guessed = read & sample.candidates
        guessed |= {text for text in sorted(read - hits - guessed) if is_proven(text)}
    return Score(
        any_hit=bool(hits or guessed),
        all_codes=sample.has_codes
        and hits == sample.texts
        and len(guessed) >= sample.unknown_count,
        false=tuple(
            text
            for text in sorted(read - hits - guessed - sample.also_there)
            if not _spellings(text) & there
        ),
    )


def _spellings(text: str) -> set[bytes]:
    """Return the bytes that may have been read as this text, if it has more than ASCII."""
    spellings: set[bytes] = set()
    if not text.isascii():
        for alphabet in _ALPHABETS:
            with suppress(UnicodeEncodeError):
                spellings.add(text.encode(alphabet))
    return spellings
