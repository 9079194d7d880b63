"""Both ways, whenever the network is there: what was done alone goes up, what to know comes down.

    up      entries in the order of their numbers, in portions; the acknowledgement comes back
    lease   renewed when half of it is over; its entry is the first that is made under it
    down    the bundle if it has changed, each status list, mostly as what has changed of it,
            and who may sit here
    told    what became of entries whose answer was still open

Each step may fail by itself, and what it would have done the next round does. Entries leave the
journal when the server has signed that it has them, and never because it says no.
"""

import random
import sqlite3
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from threading import Event, Thread
from uuid import UUID

import httpx
from pydantic import ValidationError

from scanner.terminal.checking import Finding, Flaw
from scanner.terminal.deciding import DISOWNED, Terminal
from scanner.terminal.holdings import HoldingRefused
from scanner.terminal.journal import AcknowledgementRefused, JournalRolledBack
from scanner.terminal.server import Away, SaysNo, Server
from schemas.coupons import HolderKey
from schemas.ids import new_id
from schemas.journals import EntryKind, Mode, NewUpload, UploadView
from schemas.offline import LONGEST_LEASE_SECONDS, ListNamed, NewLease

EVERY_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 60.0
FIRST_WAIT_SECONDS = 1.0
MOST_ENTRIES = 200  # in one portion
MOST_BYTES = 512 * 1024  # of entries in one portion
STREAM_PAUSE_SECONDS = 2.0
LAST_ROUND_SECONDS = 5.0
AUTHORITY_ASKED_EVERY = timedelta(minutes=15)
KEPT_FOR = timedelta(days=35)  # entries that are answered for good; longer than a month's books


class Step(StrEnum):
    UP = "up"
    LEASE = "lease"
    BUNDLE = "bundle"
    LISTS = "lists"
    CASHIERS = "cashiers"
    TOLD = "told"


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to; `failed` says why, for the log."""

    done: frozenset[Step]
    failed: Mapping[Step, str]
    is_reached: bool  # has the server answered at all?

    @property
    def is_whole(self) -> bool:
        return not self.failed


@dataclass(slots=True)
class _Going:
    """What is kept between rounds. Lost with the process, it costs a request more."""

    mark: str | None = None  # the bundle's ETag
    lease_asked: NewLease | None = None
    lease_asked_at: datetime | None = None
    pruned_at: datetime | None = None
    answers_after: int = 0


class Syncing:
    """Keeps one terminal and the server of one mind, as far as the network allows."""

    def __init__(
        self,
        server: Server,
        terminal: Terminal,
        *,
        server_key: HolderKey,
        leased_file: Path,
        wants_authority: bool = False,
        hub_url: Callable[[], str | None] = lambda: None,
        lease_seconds: int = LONGEST_LEASE_SECONDS,
    ) -> None:
        """`hub_url` says where this terminal would answer the store's others just now."""
        self._server = server
        self._terminal = terminal
        self._server_key = server_key
        self._leased_file = leased_file
        self._wants_authority = wants_authority
        self._hub_url = hub_url
        self._lease_seconds = lease_seconds
        self._going = _Going()
        self._begin_lease()

    def round(self) -> Round:
        """Do all that is to be done now. One thread at a time."""
        done: set[Step] = set()
        failed: dict[Step, str] = {}
        is_disowned = False
        heard = self._server.heard
        for step, work in self._steps():
            try:
                work()
                done.add(step)
            except Away as away:
                failed[step] = str(away)
                break  # the others would only wait as long
            except SaysNo as no:
                failed[step] = str(no)
                is_disowned = no.code in DISOWNED
                if is_disowned:
                    break
            except JournalRolledBack as older:  # what it says was spent is not all that was
                failed[step] = str(older)
                self._distrust()
            except (HoldingRefused, AcknowledgementRefused, ValidationError, OSError) as wrong:
                failed[step] = f"{type(wrong).__name__}: {wrong}"
        is_reached = self._server.heard > heard
        self._terminal.heard(is_online=is_reached)
        if is_reached:
            self._terminal.is_disowned = is_disowned
        return Round(frozenset(done), failed, is_reached)

    def _steps(self) -> Generator[tuple[Step, Callable[[], None]]]:
        yield Step.UP, self._upload
        if self._lease_is_wanted():
            yield Step.LEASE, self._renew
        yield Step.BUNDLE, self._learn_bundle
        yield Step.LISTS, self._learn_lists
        yield Step.CASHIERS, self._learn_cashiers
        # Again: the entry that begins a lease ends the one before, and frees what it has not used.
        yield Step.UP, self._upload
        yield Step.TOLD, self._learn_answers

    # Up.

    def _upload(self) -> None:
        """Send what the server has not acknowledged, until nothing is left."""
        journal = self._terminal.counter.journal
        most = MOST_ENTRIES
        while entries := _portion(journal.unsent(most)):
            before = journal.acknowledged_seq
            upload = NewUpload(id=new_id(self._now()), entries=tuple(entries))
            try:
                answer = self._server.ask("POST", "/v1/journals", body=upload.model_dump_json())
            except SaysNo as no:
                if no.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE or len(entries) == 1:
                    raise  # the entries stay where they are
                most = len(entries) // 2
                continue
            told = UploadView.model_validate_json(answer.content)
            journal.acknowledged(told.acknowledgement, self._server_key)
            if journal.acknowledged_seq <= before:
                raise AcknowledgementRefused("nothing of what was sent is acknowledged")

    def _learn_answers(self) -> None:
        """Hear what became of entries whose answer was open."""
        path = f"/v1/journals/acknowledgement?after={self._going.answers_after}"
        answer = self._server.ask("GET", path)
        heard = self._terminal.counter.journal.acknowledged(_token_in(answer), self._server_key)
        self._going.answers_after = max(self._going.answers_after, heard.iat)
        self._prune()

    def _prune(self) -> None:
        """Once a day, let go of what is old, safe with the server, and answered for good."""
        now = self._now()
        if self._going.pruned_at is None or now - self._going.pruned_at >= timedelta(days=1):
            self._terminal.counter.journal.prune(now - KEPT_FOR)
            self._going.pruned_at = now

    def _distrust(self) -> None:
        counter = self._terminal.counter
        if not counter.findings:
            counter.findings.append(Finding(counter.journal.last.seq, Flaw.OLDER_COPY))

    # The lease.

    def _lease_is_wanted(self) -> bool:
        bundle = self._terminal.counter.holdings.bundle
        if bundle is None:
            return True
        if self._wants_authority and self._may_ask_for_authority():
            has_moved = self._hub_url() not in (None, bundle.hub_url)
            if has_moved or not bundle.is_authority:
                return True
        left = datetime.fromtimestamp(bundle.lease_until, UTC) - self._now()
        return left < timedelta(seconds=self._lease_seconds / 2)

    def _may_ask_for_authority(self) -> bool:
        """Not every minute: while another terminal has it, each lease would be without."""
        asked_at = self._going.lease_asked_at
        return asked_at is None or self._now() - asked_at >= AUTHORITY_ASKED_EVERY

    def _renew(self) -> None:
        going = self._going
        going.lease_asked_at = self._now()
        if going.lease_asked is None:
            going.lease_asked = NewLease(
                id=new_id(self._now()),
                wants_authority=self._wants_authority,
                hub_url=self._hub_url() if self._wants_authority else None,
                lasts_seconds=self._lease_seconds,
            )
        try:
            self._server.ask(
                "POST", "/v1/leases", body=going.lease_asked.model_dump_json(exclude_none=True)
            )
        except SaysNo:
            going.lease_asked = None  # its answer is no, for ever; the next is another lease
            raise
        going.lease_asked = None
        going.mark = None

    def _begin_lease(self) -> None:
        """Write that the lease of the bundle is the one under which everything is from now on.

        Before anything else is done under it, also where the process died in between.
        """
        counter = self._terminal.counter
        bundle = counter.holdings.bundle
        if bundle is None or counter.findings or self._leased() == bundle.lease_id:
            return
        counter.journal.append(
            EntryKind.LEASED,
            Mode.OFFLINE,
            at=counter.look(),
            store=bundle.store_id,
            ver=bundle.ver,
            lease=bundle.lease_id,
        )
        self._leased_file.write_text(str(bundle.lease_id), encoding="ascii")

    def _leased(self) -> UUID | None:
        try:
            return UUID(self._leased_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    # Down.

    def _learn_bundle(self) -> None:
        known = {"If-None-Match": self._going.mark} if self._going.mark else {}
        answer = self._server.ask("GET", "/v1/bundle", headers=known)
        if answer.status_code == HTTPStatus.NOT_MODIFIED:
            return
        holdings = self._terminal.counter.holdings
        with self._terminal.nobody_redeems():
            holdings.learn_bundle(_token_in(answer), self._now())
            self._begin_lease()
        self._going.mark = answer.headers.get("etag")

    def _learn_lists(self) -> None:
        """Ask for every list by itself: one that cannot be had stops no other.

        Raises:
            Away: The server has gone meanwhile.
            HoldingRefused: The last of those that were refused.
            SaysNo: Likewise.
        """
        bundle = self._terminal.counter.holdings.bundle
        wrong: Exception | None = None
        for named in bundle.lists if bundle else ():
            try:
                self._learn_list(named)
            except (HoldingRefused, SaysNo) as each:
                wrong = each
        if wrong is not None:
            raise wrong

    def _learn_cashiers(self) -> None:
        if (seat := self._terminal.seat) is not None:
            seat.learn(self._now())

    def _learn_list(self, named: ListNamed) -> None:
        holdings = self._terminal.counter.holdings
        path = f"/v1/status-lists/{named.cmp}/{named.shard}"
        if held := holdings.list_ver(named.cmp, named.shard):
            try:
                answer = self._server.ask("GET", f"{path}?since={held}")
                holdings.learn_list(_token_in(answer), self._now())
                return
            except (HoldingRefused, SaysNo):
                pass  # the whole list is good from any state
        holdings.learn_list(_token_in(self._server.ask("GET", path)), self._now())

    def _now(self) -> datetime:
        return self._terminal.counter.look().now


class Kept:
    """Rounds, one after the other, in a thread of their own, until it is stopped.

    A pause at the server is heard within a second, and brings the next round at once.
    """

    def __init__(
        self, syncing: Syncing, server: Server, *, told: Callable[[Round], None] = lambda _: None
    ) -> None:
        self._syncing = syncing
        self._server = server
        self._told = told
        self._is_stopping = Event()
        self._is_wanted = Event()
        self._threads = [
            Thread(target=self._run, name="syncing", daemon=True),
            Thread(target=self._hear, name="pauses", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def now(self) -> None:
        """Let the next round begin at once."""
        self._is_wanted.set()

    def stop(self) -> None:
        """Let the round that runs come to its end, if it does so soon."""
        self._is_stopping.set()
        self._is_wanted.set()
        self._threads[0].join(LAST_ROUND_SECONDS)

    def _run(self) -> None:
        failures = 0
        while not self._is_stopping.is_set():
            self._is_wanted.clear()
            try:
                outcome = self._syncing.round()
            except sqlite3.Error:
                if self._is_stopping.is_set():
                    return  # it took too long, and the journal was closed meanwhile
                raise
            self._told(outcome)
            failures = 0 if outcome.is_reached else failures + 1
            self._is_wanted.wait(wait_seconds(failures, random.random()))  # noqa: S311 (no secret)

    def _hear(self) -> None:
        while not self._is_stopping.is_set():
            try:
                with self._server.listen("/v1/pauses") as stream:
                    for event in _events(stream):
                        if event == "pause":
                            self.now()
                        if self._is_stopping.is_set():
                            return
            except (httpx.HTTPError, httpx.StreamError):
                pass  # every round looks as well
            self._is_stopping.wait(STREAM_PAUSE_SECONDS * (1 + random.random()))  # noqa: S311


def wait_seconds(failures: int, chance: float) -> float:
    """Return how long to wait for the next round.

    After a good one a minute, a fifth more or less, or all terminals would come at once. While
    nobody answers, longer each time, and anything up to that.

    Source: exponential back-off with full jitter.
    """
    if failures == 0:
        return EVERY_SECONDS * (4 + 2 * chance) / 5
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(failures, 16))
    return max(FIRST_WAIT_SECONDS / 2, longest * chance)


def _portion(entries: list[str]) -> list[str]:
    """Return as many of the first as one request may weigh, and at least one."""
    weight = 0
    for count, entry in enumerate(entries):
        weight += len(entry)
        if weight > MOST_BYTES and count:
            return entries[:count]
    return entries


def _token_in(answer: httpx.Response) -> str:
    return answer.text.strip()


def _events(stream: httpx.Response) -> Generator[str]:
    """Yield the name of every event of a stream that was opened with success."""
    if stream.is_error:
        return
    for line in stream.iter_lines():
        if line.startswith("event:"):
            yield line.removeprefix("event:").strip()
