"""What a terminal did is on disk, in order, whole, and stays until the server has it (T13, T15)."""

import shutil
import sqlite3
import subprocess
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from coupon_engine.validation.issuer_keys import new_private_key
from coupon_engine.validation.token import Typ, sign_typed, verify_typed
from scanner.identity import FileKey
from scanner.terminal.checking import Finding, Flaw
from scanner.terminal.clock import Reading
from scanner.terminal.journal import (
    AcknowledgementRefused,
    EntryTooLong,
    Journal,
    JournalRolledBack,
    hash_of,
    public_of,
)
from scanner.terminal.journal_file import JournalInUse, JournalOfAnother
from scanner.terminal.ledger import AllowanceUsedUp, AlreadySpent, Spending, Taking
from schemas.baskets import Basket, Line
from schemas.journals import (
    FIRST_PREV,
    Acknowledgement,
    AnswerView,
    Entry,
    EntryAnswer,
    EntryKind,
    Mode,
)
from tests.scanner.terminal.shop import CAMPAIGN, ISSUER, LEASE, SERVER, STORE, TERMINAL, jwk
from tests.vectors.make_token_vectors import NOW, SECOND, b64

AT = Reading(now=NOW, t_min=NOW - timedelta(minutes=1), behind=timedelta())
A_DAY = timedelta(days=1)


@pytest.fixture
def key(tmp_path: Path) -> FileKey:
    return FileKey.kept_in(tmp_path / "key.pem")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path, key: FileKey) -> Iterator[Journal]:
    journal = Journal(path, key, TERMINAL)
    yield journal
    journal.close()


def spending(number: int, **changes: Any) -> Spending:
    taking: dict[str, Any] = {
        "lease_id": LEASE,
        "campaign_id": CAMPAIGN,
        "minor": 500,
        "max_count": 3,
        "max_minor": 100_000,
    }
    taking |= {name: changes.pop(name) for name in list(changes) if name in taking}
    usual: dict[str, Any] = {
        "jti": UUID(int=number),
        "id": UUID(int=1_000 + number),
        "until": NOW + 30 * A_DAY,
        "taking": Taking(**taking),
    }
    return Spending(**{**usual, **changes})


def redeems(journal: Journal, number: int, **changes: Any) -> Entry:
    taken = spending(number, **changes)
    return journal.append(
        EntryKind.REDEEMED,
        Mode.OFFLINE,
        at=AT,
        spending=taken,
        store=STORE,
        ver=1,
        jti=taken.jti,
        id=taken.id,
        shown="CP1A...",
        discount_minor=500,
    )


def refuses(journal: Journal, at: Reading = AT) -> Entry:
    return journal.append(
        EntryKind.REFUSED, Mode.OFFLINE, at=at, store=STORE, ver=1, shown_hash="a" * 64
    )


def claims_of(jwt: str, key: FileKey) -> Entry:
    return Entry.model_validate(verify_typed(jwt, public_of(key), Typ.JOURNAL))


# Writing.


def test_entries_are_signed_numbered_and_chained(journal: Journal, key: FileKey) -> None:
    for number in range(1, 4):
        redeems(journal, number)

    texts = journal.unsent(10)
    entries = [claims_of(text, key) for text in texts]
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert entries[0].prev == FIRST_PREV
    assert [entry.prev for entry in entries[1:]] == [hash_of(text) for text in texts[:2]]
    assert journal.last.hash == hash_of(texts[2])
    assert {entry.dev for entry in entries} == {TERMINAL}


def test_an_entry_says_when_by_both_bounds(journal: Journal) -> None:
    entry = refuses(journal)

    assert (entry.ts, entry.t_min) == (SECOND * 1_000, (SECOND - 60) * 1_000)


def test_no_entry_is_earlier_than_the_one_before(journal: Journal) -> None:
    refuses(journal)

    back = refuses(journal, Reading(NOW - A_DAY, NOW - A_DAY, timedelta()))

    assert back.ts == SECOND * 1_000


def test_a_restart_goes_on_where_the_journal_was(path: Path, key: FileKey) -> None:
    with Journal(path, key, TERMINAL) as journal:
        redeems(journal, 1)

    with Journal(path, key, TERMINAL) as journal:
        assert redeems(journal, 2).seq == 2
        assert journal.check() == []
        assert len(journal.unsent(10)) == 2


def test_only_its_owner_can_read_the_file(journal: Journal, path: Path) -> None:
    refuses(journal)

    modes = {file.name: file.stat().st_mode & 0o077 for file in path.parent.glob("journal*")}

    assert modes == dict.fromkeys(modes, 0)
    assert {"journal.db", "journal.db-wal", "journal.db.mark"} <= modes.keys()


def test_it_waits_for_the_disk(journal: Journal) -> None:
    """2 is FULL: in WAL mode each commit is on disk before it returns."""
    pragmas = [
        journal._database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("synchronous", "journal_mode", "locking_mode")
    ]

    assert pragmas == [2, "wal", "exclusive"]


# What is spent.


def test_a_coupon_is_spent_once(journal: Journal) -> None:
    redeems(journal, 1)

    with pytest.raises(AlreadySpent) as already:
        redeems(journal, 1, id=UUID(int=77))

    assert (already.value.spent.seq, already.value.spent.at) == (1, NOW)
    assert journal.last.seq == 1
    assert journal.used(LEASE, CAMPAIGN) == (1, 500)


def test_an_id_is_used_once(journal: Journal) -> None:
    redeems(journal, 1)

    with pytest.raises(AlreadySpent):
        redeems(journal, 2, id=UUID(int=1_001))

    assert journal.spent(UUID(int=2)) is None


@pytest.mark.parametrize(
    ("bound", "rule", "used"),
    [
        ({}, "allowance.max_count", (3, 1_500)),
        ({"max_minor": 999}, "allowance.max_minor", (1, 500)),
    ],
)
def test_an_allowance_is_never_passed_also_after_a_restart(
    path: Path, key: FileKey, bound: dict[str, int], rule: str, used: tuple[int, int]
) -> None:
    for _ in range(2):
        with Journal(path, key, TERMINAL) as journal:
            while journal.used(LEASE, CAMPAIGN) != used:
                redeems(journal, journal.last.seq + 1, **bound)
            with pytest.raises(AllowanceUsedUp) as up:
                redeems(journal, journal.last.seq + 1, **bound)
        assert up.value.rule == rule

    with Journal(path, key, TERMINAL) as journal:
        assert journal.used(LEASE, CAMPAIGN) == used
        assert journal.last.seq == used[0]
        assert journal.check() == []


def test_the_next_lease_has_an_allowance_of_its_own(journal: Journal) -> None:
    for number in range(3):
        redeems(journal, number)

    redeems(journal, 3, lease_id=UUID(int=55))

    assert journal.used(LEASE, CAMPAIGN) == (3, 1_500)
    assert journal.used(UUID(int=55), CAMPAIGN) == (1, 500)


def test_what_the_server_has_judged_takes_no_allowance(journal: Journal) -> None:
    journal.append(
        EntryKind.REDEEMED,
        Mode.ONLINE,
        at=AT,
        spending=spending(1, taking=None),
        store=STORE,
        ver=1,
        jti=UUID(int=1),
    )

    assert journal.used(LEASE, CAMPAIGN) == (0, 0)
    with pytest.raises(AlreadySpent):
        redeems(journal, 1)


def test_what_cannot_be_uploaded_is_not_written(journal: Journal) -> None:
    lines = tuple(Line(product=f"p{at}", quantity=1, unit_price_minor=1) for at in range(1_000))

    with pytest.raises(EntryTooLong):
        journal.append(
            EntryKind.REDEEMED,
            Mode.OFFLINE,
            at=AT,
            spending=spending(1),
            store=STORE,
            ver=1,
            basket=Basket(currency="EUR", lines=lines),
        )

    assert (journal.last.seq, journal.spent(UUID(int=1))) == (0, None)


def test_a_disk_that_fails_leaves_neither_entry_nor_spent_coupon(journal: Journal) -> None:
    redeems(journal, 1)
    journal._database.execute("PRAGMA max_page_count = 1")  # the disk is full

    def fill_up() -> None:
        for number in range(2, 500):
            redeems(journal, number, max_count=1_000)

    with pytest.raises(sqlite3.OperationalError):
        fill_up()

    written = journal.last.seq
    journal._database.execute("PRAGMA max_page_count = 100000")
    assert len(journal.unsent(1_000)) == written
    assert journal.used(LEASE, CAMPAIGN)[0] == written
    assert redeems(journal, 999, max_count=1_000).seq == written + 1
    assert journal.check() == []


# One process at a time.


OPENS = """
import sys
from pathlib import Path
from uuid import UUID
from scanner.identity import FileKey
from scanner.terminal.journal import Journal
from scanner.terminal.journal_file import JournalInUse
folder = Path(sys.argv[1])
try:
    Journal(folder / "journal.db", FileKey.kept_in(folder / "key.pem"), UUID(int=1))
except JournalInUse:
    print("in use")
else:
    print("open")
"""


def opened_elsewhere(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", OPENS, str(folder)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_second_process_is_refused_while_the_first_has_the_journal(
    tmp_path: Path, path: Path, key: FileKey
) -> None:
    with Journal(path, key, TERMINAL) as journal:
        assert opened_elsewhere(tmp_path) == "in use"  # before the first entry,
        redeems(journal, 1)
        assert opened_elsewhere(tmp_path) == "in use"  # and between two

    assert opened_elsewhere(tmp_path) == "open"


def test_a_second_journal_in_the_same_process_is_refused(
    journal: Journal, path: Path, key: FileKey
) -> None:
    with pytest.raises(JournalInUse):
        Journal(path, key, TERMINAL)

    assert redeems(journal, 1).seq == 1


def test_another_terminals_journal_is_refused(path: Path, key: FileKey) -> None:
    Journal(path, key, TERMINAL).close()

    with pytest.raises(JournalOfAnother):
        Journal(path, key, UUID(int=99))


def test_a_file_that_is_no_journal_is_refused(path: Path, key: FileKey) -> None:
    path.write_bytes(b"no database at all, " * 100)

    with pytest.raises(JournalOfAnother):
        Journal(path, key, TERMINAL)


# Looking whether it is whole.


def filled(path: Path, key: FileKey, entries: int = 5) -> None:
    with Journal(path, key, TERMINAL) as journal:
        for number in range(1, entries + 1):
            redeems(journal, number, max_count=100)
        assert journal.check() == []


def edit(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement, values)


def found(path: Path, key: FileKey) -> set[tuple[int, Flaw]]:
    with Journal(path, key, TERMINAL) as journal:
        return {(each.seq, each.flaw) for each in journal.check()}


@pytest.mark.parametrize("gone", [1, 3, 5])
def test_a_deleted_entry_is_missed(path: Path, key: FileKey, gone: int) -> None:
    filled(path, key)

    edit(path, "DELETE FROM entry WHERE seq = ?", gone)

    flaw = Flaw.OLDER_COPY if gone == 5 else Flaw.MISSING
    assert (gone, flaw) in found(path, key)


@pytest.mark.parametrize("edited", [3, 5])
def test_the_last_signature_vouches_for_the_whole_chain(
    path: Path, key: FileKey, edited: int
) -> None:
    """What a terminal looks at whenever it starts: hashes, and one signature."""
    filled(path, key)
    change_discount(path, edited)

    with Journal(path, key, TERMINAL) as journal:
        assert journal.check(every_signature=False) != []


def change_discount(path: Path, seq: int) -> None:
    """Make an entry say another amount, with a hash to match but not a signature."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (jwt,) = database.execute("SELECT jwt FROM entry WHERE seq = ?", (seq,)).fetchone()
        head, body, signature = jwt.split(".")
        said = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        spoilt = said.replace(b'"discount_minor":500', b'"discount_minor":900')
        assert spoilt != said
        forged = f"{head}.{b64(spoilt)}.{signature}"
        values = (forged, hash_of(forged), seq)
        database.execute("UPDATE entry SET jwt = ?, hash = ? WHERE seq = ?", values)


def test_an_edited_entry_is_found(path: Path, key: FileKey) -> None:
    filled(path, key)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        (jwt,) = database.execute("SELECT jwt FROM entry WHERE seq = 3").fetchone()
        head, _, signature = jwt.split(".")
        body = b64(b'{"dev":"%s","seq":3,"prev":"x","ts":1}' % str(TERMINAL).encode())
        forged = f"{head}.{body}.{signature}"
        database.execute("UPDATE entry SET jwt = ? WHERE seq = 3", (forged,))

    assert {(3, Flaw.SIGNATURE), (3, Flaw.CHAIN), (4, Flaw.CHAIN)} <= found(path, key)


def test_entries_that_changed_places_are_found(path: Path, key: FileKey) -> None:
    filled(path, key)

    for from_seq, to_seq in ((2, 99), (3, 2), (99, 3)):
        edit(path, "UPDATE entry SET seq = ? WHERE seq = ?", to_seq, from_seq)

    assert {(2, Flaw.CHAIN), (3, Flaw.CHAIN)} <= found(path, key)


def test_an_entry_signed_by_another_key_is_found(path: Path, key: FileKey, tmp_path: Path) -> None:
    filled(path, key, 2)
    other = FileKey.kept_in(tmp_path / "other.pem")
    with Journal(path, other, TERMINAL) as journal:
        redeems(journal, 3)

    assert found(path, key) == {(3, Flaw.SIGNATURE)}


def test_a_coupon_taken_out_of_the_ledger_is_missed(path: Path, key: FileKey) -> None:
    filled(path, key)

    edit(path, "DELETE FROM spent WHERE seq = 4")

    assert found(path, key) == {(4, Flaw.LEDGER)}


def test_an_older_copy_that_was_put_back_is_found(path: Path, key: FileKey) -> None:
    filled(path, key, 3)
    shutil.copy(path, path.with_name("copy"))
    with Journal(path, key, TERMINAL) as journal:
        redeems(journal, 4, max_count=100)

    shutil.copy(path.with_name("copy"), path)

    assert found(path, key) == {(4, Flaw.OLDER_COPY)}


def test_a_copy_that_went_on_by_itself_is_found(path: Path, key: FileKey) -> None:
    """A fork: as long as before, with another last entry."""
    filled(path, key, 3)
    shutil.copy(path, path.with_name("copy"))
    with Journal(path, key, TERMINAL) as journal:
        redeems(journal, 4, max_count=100)
    mark = path.with_name("journal.db.mark").read_bytes()
    shutil.copy(path.with_name("copy"), path)
    with Journal(path, key, TERMINAL) as journal:
        redeems(journal, 44, max_count=100)
    path.with_name("journal.db.mark").write_bytes(mark)

    assert found(path, key) == {(4, Flaw.OLDER_COPY)}


def test_a_copy_at_another_terminal_is_found(path: Path, key: FileKey, tmp_path: Path) -> None:
    """Also where somebody has written the other terminal's name into it."""
    filled(path, key, 1)
    edit(path, "UPDATE kept SET value = ? WHERE name = 'terminal'", str(UUID(int=99)))
    other = FileKey.kept_in(tmp_path / "other.pem")

    with Journal(path, key, UUID(int=99)) as journal:
        assert Finding(1, Flaw.OTHER_TERMINAL) in journal.check()
    with Journal(path, other, UUID(int=99)) as journal:
        assert Finding(1, Flaw.SIGNATURE) in journal.check()


def test_a_lost_mark_is_no_flaw(path: Path, key: FileKey) -> None:
    """Power may fail before it is on disk; the journal itself was waited for."""
    filled(path, key)
    path.with_name("journal.db.mark").write_bytes(b"")

    assert found(path, key) == set()


def test_a_mark_that_lags_behind_is_no_flaw(path: Path, key: FileKey) -> None:
    filled(path, key, 3)
    mark = path.with_name("journal.db.mark")
    earlier = mark.read_bytes()
    with Journal(path, key, TERMINAL) as journal:
        redeems(journal, 4, max_count=100)
    mark.write_bytes(earlier)

    assert found(path, key) == set()


# The server's word.


def ack(journal: Journal, seq: int, *answers: AnswerView, **changes: Any) -> str:
    key = changes.pop("key", SERVER)
    typ = changes.pop("typ", Typ.ACKNOWLEDGEMENT)
    usual: dict[str, Any] = {
        "dev": TERMINAL,
        "seq": seq,
        "hash": journal.hash_at(seq) or "0" * 64,
        "iat": SECOND,
        "gaps": (),
        "answers": answers,
    }
    told = Acknowledgement(**{**usual, **changes})
    return sign_typed(told.model_dump(mode="json"), key, typ)


def hears(journal: Journal, seq: int, *answers: AnswerView, **changes: Any) -> Acknowledgement:
    return journal.acknowledged(ack(journal, seq, *answers, **changes), jwk(SERVER))


def answer(seq: int, word: EntryAnswer = EntryAnswer.ACCEPTED) -> AnswerView:
    return AnswerView(seq=seq, answer=word)


@pytest.fixture
def three(journal: Journal) -> Journal:
    for number in range(1, 4):
        redeems(journal, number)
    return journal


def test_what_is_acknowledged_is_not_sent_again(three: Journal) -> None:
    assert len(three.unsent(2)) == 2

    hears(three, 2)

    assert [hash_of(text) for text in three.unsent(10)] == [three.last.hash]


def test_answers_are_kept_and_a_final_one_does_not_change(three: Journal) -> None:
    hears(three, 3, answer(1, EntryAnswer.PROVISIONAL), answer(2, EntryAnswer.DISPUTED))

    hears(three, 3, answer(1), answer(2))

    first, second = three.answer_to(1), three.answer_to(2)
    assert first is not None
    assert second is not None
    assert (first.answer, second.answer) == (EntryAnswer.ACCEPTED, EntryAnswer.DISPUTED)
    assert three.answer_to(3) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"key": ISSUER},
        {"key": new_private_key()},
        {"typ": Typ.BUNDLE},
        {"dev": UUID(int=99)},
        {"hash": "b" * 64},
    ],
)
def test_a_word_that_is_not_the_servers_about_this_chain_is_refused(
    three: Journal, changes: dict[str, Any]
) -> None:
    with pytest.raises(AcknowledgementRefused):
        hears(three, 2, answer(1), **changes)

    assert (three.acknowledged_seq, three.answer_to(1)) == (0, None)


def test_a_server_that_knows_more_than_the_file_has_seen_an_older_copy_put_back(
    three: Journal,
) -> None:
    with pytest.raises(JournalRolledBack):
        hears(three, 4)


def test_an_older_word_changes_nothing(three: Journal) -> None:
    hears(three, 3)

    assert hears(three, 2, answer(1)).seq == 3

    assert (three.acknowledged_seq, three.answer_to(1)) == (3, None)


def test_an_acknowledgement_survives_a_restart(path: Path, key: FileKey) -> None:
    with Journal(path, key, TERMINAL) as journal:
        redeems(journal, 1)
        hears(journal, 1, answer(1))

    with Journal(path, key, TERMINAL) as journal:
        assert (journal.acknowledged_seq, journal.unsent(10)) == (1, [])
        assert journal.answer_to(1) == answer(1)


# Pruning.


def test_only_what_was_acknowledged_and_answered_for_good_is_pruned(
    journal: Journal, key: FileKey
) -> None:
    for number in range(1, 7):
        redeems(journal, number, max_count=100)
    hears(journal, 5, answer(1), answer(2), answer(3, EntryAnswer.PROVISIONAL), answer(4))

    assert journal.prune(NOW + A_DAY) == 2

    assert [claims_of(text, key).seq for text in journal.unsent(10)] == [6]
    assert journal.check() == []
    assert redeems(journal, 7, max_count=100).seq == 7
    assert journal.check() == []


def test_nothing_is_pruned_before_the_server_has_it(three: Journal) -> None:
    assert three.prune(NOW + 365 * A_DAY) == 0

    assert len(three.unsent(10)) == 3


def test_a_no_is_not_pruned_before_the_server_has_it_either(journal: Journal) -> None:
    for _ in range(4):
        refuses(journal)
    hears(journal, 2)

    assert journal.prune(NOW + 365 * A_DAY) == 2

    assert len(journal.unsent(10)) == 2


def test_what_is_young_stays(three: Journal) -> None:
    hears(three, 3, answer(1), answer(2), answer(3))

    assert three.prune(NOW) == 0


def test_a_pruned_coupon_stays_spent_until_it_would_have_ended(three: Journal) -> None:
    hears(three, 3, answer(1), answer(2), answer(3))

    assert three.prune(NOW + A_DAY) == 2
    assert three.spent(UUID(int=1)) is not None

    three.prune(NOW + 31 * A_DAY)
    assert three.spent(UUID(int=1)) is None
    assert three.spent(UUID(int=3)) is not None  # its entry stays: the next is chained to it


def test_the_chain_goes_on_after_everything_was_pruned(path: Path, key: FileKey) -> None:
    with Journal(path, key, TERMINAL) as journal:
        redeems(journal, 1)
        redeems(journal, 2)
        hears(journal, 2, answer(1), answer(2))
        journal.prune(NOW + A_DAY)

    with Journal(path, key, TERMINAL) as journal:
        assert redeems(journal, 3).seq == 3
        assert journal.check() == []


def test_entries_are_chained_for_whoever_reads_them_all(three: Journal, key: FileKey) -> None:
    texts = three.unsent(10)

    assert all(claims_of(after, key).prev == hash_of(before) for before, after in pairwise(texts))
