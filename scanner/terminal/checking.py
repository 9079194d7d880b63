"""What may be wrong with a journal, and what a person does about it.

On a journal that is not whole nothing is decided alone: it cannot say what was spent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from coupon_engine.validation.wording import Both
from schemas.refusals import Sentences


class Flaw(StrEnum):
    """What looking through a journal may find."""

    SIGNATURE = "signature"  # not signed by this terminal's key, or changed since
    OTHER_TERMINAL = "other_terminal"
    CHAIN = "chain"  # it does not go on from the entry before
    MISSING = "missing"  # entries are gone that nobody has acknowledged
    LEDGER = "ledger"  # an accepted coupon that the ledger does not know
    OLDER_COPY = "older_copy"  # the journal has been further than this


@dataclass(frozen=True, slots=True)
class Finding:
    seq: int
    flaw: Flaw


def told(findings: Iterable[Finding]) -> Sentences | None:
    """Return what is wrong and what to do, in a sentence or two; None if nothing is.

    The worst is told: all of them end in the same two hands, a manager's and the operator's.
    """
    found = sorted(findings, key=lambda each: (_WORST.index(each.flaw), each.seq))
    if not found:
        return None
    first, others = found[0], len(found) - 1

    def in_language(at: int) -> str:
        more = MORE[at].format(count=others) if others else ""
        return FINDING[at].format(seq=first.seq, flaw=FLAWS[first.flaw][at], more=more)

    return Sentences(en=in_language(0), zh=in_language(1))


FINDING: Both = (
    "Journal entry {seq}: {flaw}{more}. Only the server decides here until a manager "
    "has paired this terminal anew.",
    "终端日志第{seq}条：{flaw}{more}。在管理员重新配对本终端之前，只能联网核销。",
)
MORE: Both = (" ({count} more)", "（另有{count}处）")
FLAWS: Mapping[Flaw, Both] = {
    Flaw.OTHER_TERMINAL: ("it is another terminal's", "属于其他终端"),
    Flaw.OLDER_COPY: ("an older copy of the journal was put back", "日志被换成了旧副本"),
    Flaw.MISSING: ("entries are gone that the server has not seen", "有未上传的条目丢失"),
    Flaw.CHAIN: ("it does not go on from the one before", "与上一条不衔接"),
    Flaw.SIGNATURE: (
        "it was changed, or this terminal has not signed it",
        "被改动，或非本终端签名",
    ),
    Flaw.LEDGER: ("a coupon that it redeemed is not remembered", "已核销的券没有留底"),
}
_WORST = list(FLAWS)
