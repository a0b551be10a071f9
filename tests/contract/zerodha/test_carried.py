"""What the paper exchange tells of a position on the day after, as the adapter reads it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from app.brokers.zerodha.mapping import position_from_row
from app.domain.ids import AccountId
from app.simulator.account import Account, carry_over
from app.simulator.kite.portfolio import net_row
from app.simulator.listing import Listing

CALL = Listing(258, 2, "NIFTY26DEC25000CE", "NIFTY", date(2026, 12, 29), Decimal(25000), 5, 75, "CE", "NFO-OPT", "NFO")


def test_the_day_after_a_position_has_made_nothing_yet_and_what_it_makes_is_the_brokers_m2m() -> None:
    account = Account("AB1234", 1_000_000_00)
    account.apply(CALL, "NRML", "BUY", 750, 200_00)
    carry_over(account, {CALL.token: CALL}, lambda _: (100_00, 210_00))
    (position,) = account.positions.values()
    for last, made in ((100_00, 0), (90_00, -7_500)):
        row = net_row(position, CALL, last, 100_00)
        read = position_from_row(row, AccountId("zerodha-X"))
        assert (read.carried_quantity, read.carried_cost) == (750, Decimal(150_000))
        assert read.day_pnl_at(last) == row["m2m"] == made
        assert read.pnl_at(last) == made - 75_000
    account.apply(CALL, "NRML", "SELL", 750, 110_00)
    row = net_row(position, CALL, 120_00, 100_00)
    assert position_from_row(row, AccountId("zerodha-X")).day_pnl_at(120_00) == row["m2m"] == 7_500
