"""What the journal could not take is on disk as soon as it can be: whoever is killed before that loses it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from app.domain.errors import DiskFull
from app.domain.events import AuditEntry
from app.engine.debts import PAY_SECONDS, Debts
from tests.fakes.fast_loop import run
from tests.fakes.trading import ACCOUNT


@dataclass(frozen=True, slots=True)
class Owed:
    entry: AuditEntry


def test_once_there_is_space_all_debts_are_paid_at_once_and_in_order() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        space_at, written = loop.time() + 5.5, list[str]()

        async def write(debt: Owed) -> None:
            await asyncio.sleep(0.01)
            if loop.time() < space_at:
                raise DiskFull("There is no space left.")
            written.append(debt.entry.what)

        debts = Debts(write, "debts of a test")
        names = [str(number) for number in range(40)]
        for name in names:
            debts.owe(Owed(AuditEntry(1, ACCOUNT, "stop:X", name, "")))
        await asyncio.sleep(5.5 + PAY_SECONDS + 40 * 0.01 + 0.1)
        assert written == names
        assert not len(debts)

    run(scene())
