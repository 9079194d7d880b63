"""The benches measure what they say: every piece of work is done once and stands in the record.

How fast is nobody's business here: a test that times is a test that fails on a busy machine.
"""

import json
import subprocess
import sys
from typing import Any

from bench import load, machine
from bench.machine import Case, Round


def test_every_redemption_that_the_bench_counts_stands_in_the_record_once() -> None:
    said = bench("redeem", "--clients", "2", "--batch", "1", "--batch", "4")

    record = said["record"]
    every_redemption = record["redemptions"] + record["redemptions_of_peers"]
    assert record["accepted"] > 0
    assert record["redemptions"] == record["coupons_redeemed"] == record["accepted"]
    assert record["redemptions_of_peers"] > 0
    assert record["answers"] == record["events"] == record["used_count"] == every_redemption
    assert record["spent_minor"] == 200 * every_redemption
    assert [each["name"] for each in said["figures"]] == [
        "HTTP, 2 clients",
        "engine, batch of 1",
        "engine, batch of 4",
    ]
    for each in said["figures"]:
        assert_is_a_figure(each)
        assert 0 < each["p50_ms"] <= each["p99_ms"]


def test_every_coupon_that_the_bench_counts_stands_in_the_record_once() -> None:
    said = bench("issue", "--clients", "2", "--rows", "500")

    record = said["record"]
    assert record["coupons"] == record["events"] == record["issued"]
    # Two issues of each kind by us: the first one is what the peer's text is made of.
    assert record["issued"] > 4 * 500
    assert record["copied"] == 2 * 500
    assert record["coupons_of_peers"] > record["copied"]
    assert record["short_codes"] == 3 * 500
    assert [each["name"] for each in said["figures"]] == [
        "HTTP, 2 clients",
        "engine, one",
        "issue_many of 500, no short codes",
        "issue_many of 500, short codes",
    ]
    for each in said["figures"]:
        assert_is_a_figure(each)


def test_a_figure_is_the_median_of_its_rounds_and_its_ratio_that_of_their_ratios() -> None:
    rounds = iter([Round(100, 50, [1, 2, 9]), Round(10, 10, [3]), Round(90, 30, [4, 5])])
    case = Case("ours", "theirs", lambda _: next(rounds))

    (figure,) = machine.measured([case], 3)

    assert (figure.per_s, figure.peer_per_s, figure.ratio) == (90, 30, 2)
    assert (figure.p50_ms, figure.p99_ms) == (3, 3)


def test_ours_and_the_peer_take_turns_at_being_first() -> None:
    order: list[str] = []

    def ours() -> Round:
        order.append("ours")
        return Round(1)

    def peer() -> float:
        order.append("peer")
        return 2

    rounds = [machine.in_turn(number, ours, peer) for number in (0, 1)]

    assert order == ["ours", "peer", "peer", "ours"]
    assert [(each.per_s, each.peer_per_s) for each in rounds] == [(1, 2), (1, 2)]


def test_a_request_goes_over_the_wire_as_http_1_1_says() -> None:
    assert load.post("/v1/things", {"X-One": "1"}, b"{}") == (
        b"POST /v1/things HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        b"X-One: 1\r\nContent-Length: 2\r\n\r\n{}"
    )


def bench(name: str, *options: str) -> Any:
    """Run a bench for a moment and return what it tells programs."""
    command = [sys.executable, "-m", f"bench.{name}", "--json", "--seconds", "0.3", "--rounds", "1"]
    done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_is_a_figure(figure: Any) -> None:
    assert figure["rounds"] == 1
    assert figure["per_s"] > 0
    assert figure["peer_per_s"] > 0
    assert figure["ratio"] == figure["per_s"] / figure["peer_per_s"]
