"""Two samples of times: are they parted by more than chance?"""

import math
from collections.abc import Mapping, Sequence
from statistics import median


def told(what: str, took: Mapping[str, Sequence[float]]) -> str:
    """Write a table: each sample's median, and p beside the first one. Times in milliseconds."""
    (first, known), *others = took.items()
    lines = [
        f"{what:<22} {'median ms':>10} {'p':>7}   of {len(known)} each",
        f"{first:<22} {median(known):>10.3f}",
    ]
    for name, times in others:
        lines.append(f"{name:<22} {median(times):>10.3f} {p_value(known, times):>7.3f}")
    return "\n".join(lines)


def p_value(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return how often chance alone parts two such samples so far: Mann and Whitney, two-sided.

    By the normal approximation, which is good from twenty each.
    """
    ranked = sorted([(value, 0) for value in ones] + [(value, 1) for value in others])
    ranks = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    n, m = len(ones), len(others)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))
