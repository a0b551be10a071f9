"""The audit trail's seals: whatever a hand that holds the key does to the lines, the place is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection

from app.domain.errors import StorageError
from app.storage.database import StoreKind
from app.storage.journal import Journal
from app.storage.migrations import versions
from app.storage.store import Store, open_store
from app.storage.trail import LINES_AT_ONCE, TOLD_BREAKS
from tests.unit.storage.samples import KEY, entry

UNGUARDED = [
    f"DROP TRIGGER {name}" for name in ("audit_no_update", "audit_no_delete", "audit_only_grows", "audit_sealed")
]


async def forge(store: Store, *statements: str) -> None:
    """What somebody with the key can do: the triggers go first."""

    def work(connection: Connection) -> None:
        for statement in (*UNGUARDED, *statements):
            connection.exec_driver_sql(statement)

    await store.change(work)


async def ten_lines(journal: Journal) -> None:
    for number in range(1, 11):
        await journal.audit(entry(number, f"word {number}"))


async def test_a_trail_that_nobody_touched_is_unbroken(journal: Journal) -> None:
    assert (await journal.check_audit()).lines == 0
    await journal.audit(*[entry(n, f"word {n}", detail="₹ 1,00,000") for n in range(LINES_AT_ONCE)])
    await ten_lines(journal)
    found = await journal.check_audit()
    assert (found.lines, found.breaks) == (LINES_AT_ONCE + 10, ())
    await journal.audit(entry(99))
    assert (await journal.check_audit()).head != found.head


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["UPDATE audit SET detail = 'sold at 200' WHERE id = 4"], ["line 4 (stop:STP000000001: word 4) was changed"]),
        (["UPDATE audit SET at = 1 WHERE id = 10"], ["line 10 "]),
        (["UPDATE audit SET stop = NULL WHERE id = 1"], ["line 1 "]),
        (["DELETE FROM audit WHERE id = 5"], ["line 5 is missing"]),
        (["DELETE FROM audit WHERE id IN (3, 4, 5)", "DELETE FROM audit WHERE id = 8"], ["lines 3 to 5", "line 8 is"]),
        (["DELETE FROM audit WHERE id > 8"], ["lines 9 to 10 are missing"]),
        (["DELETE FROM audit"], ["lines 1 to 10 are missing"]),
        # Two lines change places, seals and all.
        (
            [
                "UPDATE audit SET id = 99 WHERE id = 2",
                "UPDATE audit SET id = 2 WHERE id = 3",
                "UPDATE audit SET id = 3 WHERE id = 99",
            ],
            ["line 2 (stop:STP000000001: word 3)", "line 3 (stop:STP000000001: word 2)", "line 4 "],
        ),
        # A line that was left out, and the rest moved up.
        (
            ["DELETE FROM audit WHERE id = 9", "UPDATE audit SET id = 9 WHERE id = 10"],
            ["line 9 (stop:STP000000001: word 10)", "line 10 is missing"],
        ),
        # A forger who seals his own line breaks the next one.
        (["UPDATE audit SET what = 'x', chain = (SELECT chain FROM audit WHERE id = 6) WHERE id = 6"], ["line 6 "]),
        (["UPDATE audit SET chain = 'nonsense' WHERE id = 6"], ["line 6 ", "line 7 "]),
    ],
)
async def test_the_place_is_named(
    journal: Journal, journal_store: Store, statements: Sequence[str], words: Sequence[str]
) -> None:
    await ten_lines(journal)
    await forge(journal_store, *statements)
    found = await journal.check_audit()
    assert len(found.breaks) == len(words)
    for place, wanted in zip(found.breaks, words, strict=True):
        assert place.words.startswith(wanted)


async def test_what_was_cut_off_at_the_end_stays_missing_however_much_is_added(
    journal: Journal, journal_store: Store
) -> None:
    await ten_lines(journal)
    await forge(journal_store, "DELETE FROM audit WHERE id >= 9")
    await journal.audit(entry(11), entry(12))
    found = await journal.check_audit()
    assert [place.words for place in found.breaks] == ["lines 9 to 10 are missing"]
    assert found.lines == 10


async def test_many_places_are_counted(journal: Journal, journal_store: Store) -> None:
    await journal.audit(*[entry(n) for n in range(50)])
    await forge(journal_store, "UPDATE audit SET detail = 'x'")
    found = await journal.check_audit()
    assert (len(found.breaks), found.more_breaks) == (TOLD_BREAKS, 50 - TOLD_BREAKS)


async def test_a_line_without_a_seal_is_refused(journal_store: Store) -> None:
    with pytest.raises(StorageError):
        await journal_store.change(
            lambda c: c.exec_driver_sql(
                "INSERT INTO audit (at, account, subject, what, detail) VALUES (1, 'a', 's', 'w', 'd')"
            )
        )


async def test_the_lines_of_an_older_program_get_their_seals(tmp_path: Path) -> None:
    old = [version for version in versions(StoreKind.JOURNAL) if version.number <= "0004"]
    store, _ = await open_store(tmp_path, KEY, StoreKind.JOURNAL, versions=old)

    def lines(connection: Connection) -> None:
        for number in range(1, 1_500):
            connection.exec_driver_sql(
                "INSERT INTO audit (at, account, subject, what, detail, stop) VALUES (?, 'a', 's', 'w', '₹', NULL)",
                (number,),
            )

    await store.change(lines)
    await store.close()
    store, opened = await open_store(tmp_path, KEY, StoreKind.JOURNAL)
    assert opened.migrated_from == "0004"
    journal = Journal(store)
    await journal.audit(entry(2_000))
    found = await journal.check_audit()
    assert (found.lines, found.breaks) == (1_500, ())
    for statement in ("UPDATE audit SET what = 'x'", "DELETE FROM audit WHERE id = 1"):
        with pytest.raises(StorageError):
            await store.change(lambda c, s=statement: c.exec_driver_sql(s))  # type: ignore[misc]
    await journal.close()
