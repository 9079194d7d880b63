"""What a cashier has seen green is in the journal, also if the machine dies the same moment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scanner.terminal.journal import Journal
from tests.scanner.terminal.killing import kill_again_and_again
from tests.scanner.terminal.shop import Shop, coupon, shown

posix = pytest.mark.skipif(os.name != "posix", reason="other systems have no fork")


@posix
def test_no_green_answer_is_lost_when_the_terminal_is_killed(tmp_path: Path) -> None:
    toll = kill_again_and_again(tmp_path, 20)

    assert (toll.kills, toll.lost, toll.forgotten, toll.miscounted) == (20, 0, 0, 0)
    assert toll.green >= 20
    assert toll.findings == []


@posix
def test_this_loss_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With entries that are written a little after their green answers, each kill loses some; else
    the test above would prove nothing.
    """
    append, waiting = Journal.append, list[Callable[[], object]]()

    def later(*args: Any, **said: Any) -> None:
        waiting.append(lambda: append(*args, **said))
        if len(waiting) > 3:
            waiting.pop(0)()

    monkeypatch.setattr(Journal, "append", later)

    assert kill_again_and_again(tmp_path, 5).lost >= 5


def test_a_terminal_goes_on_after_its_death(tmp_path: Path) -> None:
    first = Shop(tmp_path)
    first.learn()
    text = shown(coupon())
    first.accepts(text)
    first.close()

    second = Shop(tmp_path)

    assert second.why(text) is not None
    assert second.why(shown(coupon())) is None
    second.close()
