"""How much a lot of a contract holds, asked before anybody trades it. Loop thread only."""

from __future__ import annotations

from app.analytics.contract_sizes import told_by
from app.desk.account import AccountDesk
from app.desk.workspace import Workspace
from app.domain.instrument import COUNTED_IN_LOTS, Instrument


async def size_of_lot(workspace: Workspace, desk: AccountDesk, instrument: Instrument) -> int | None:
    """Units that one of its quantity holds: by today's positions, by what the broker ever said, else by the table.
    None: not known. Raises AppError."""
    if instrument.exchange not in COUNTED_IN_LOTS:
        return 1
    key = (desk.account, instrument.id)
    told = told_by(desk.positions).get(key) or (await workspace.book.contract_sizes.told(desk.account)).get(key)
    return told or workspace.charges.sizes.listed(desk.account.partition("-")[0], instrument.id)
