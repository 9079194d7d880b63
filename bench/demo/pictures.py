"""A code from screen to counter: drawn as a phone draws it, and read from the picture.

Drawing takes longer than everything else about a redemption, so other processes draw ahead.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, cast

import cv2
import numpy as np

from coupon_engine import drawing
from scanner import decode
from scanner.eye.reading import Picture

PROCESSES = 2


class Read(NamedTuple):
    """What the scanner found in one picture, and how long both halves took."""

    texts: list[str]
    draw_seconds: float
    decode_seconds: float


Draw = Callable[[str], Future[Read]]


@contextmanager
def drawing_ahead() -> Generator[Draw]:
    """Yield what sends a text through a picture, in another process and in its turn."""
    pool = ProcessPoolExecutor(
        PROCESSES,
        # A child forked from a process with threads can find their locks held for ever.
        mp_context=multiprocessing.get_context("spawn"),
        # Ctrl-C reaches every process of a terminal; the first one tells the others to end.
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    try:
        yield partial(pool.submit, draw_and_read)
    finally:
        pool.shutdown(cancel_futures=True)


def draw_and_read(text: str) -> Read:
    """Draw a code, keep nothing but the picture, and read that."""
    began = time.perf_counter()
    png = drawing.png(text)
    drawn = time.perf_counter()
    pixels: Any = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    texts = [reading.text for reading in decode(cast("Picture", pixels))]
    return Read(texts, drawn - began, time.perf_counter() - drawn)
