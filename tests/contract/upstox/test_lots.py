"""Stops on contracts whose orders count lots, over Upstox's wire: sizes, prices to a quarter paisa, and the money."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from app.domain.order import Side
from app.runtime.paths import ProfilePaths
from tests.contract.contracts import DOLLAR, DOLLAR_CALL, GOLD, booked, earned, listed, out_by_its_stop
from tests.contract.upstox.conftest import upstox_exchange
from tests.contract.upstox.test_desk import seated


async def test_stops_on_currencies_and_commodities_get_out_and_earn_by_the_contracts_size(tmp_path: Path) -> None:
    with upstox_exchange(
        *("--instruments", listed(tmp_path), "--seed", "7", "--clock", "2026-11-20T16:00:00", "--fault", "limits=off")
    ) as exchange:
        async with seated(exchange, ProfilePaths(tmp_path / "profile"), first=True) as seat:
            for contract, units, side, prices in (
                (DOLLAR, 1_000, Side.BUY, ("84.5", "83.5")),
                (DOLLAR_CALL, 1_000, Side.SELL, ("0.35", "0.5")),
                (GOLD, 100, Side.SELL, ("12000", "12400")),
            ):
                done = await out_by_its_stop(seat.desk, seat.account, exchange.control, contract, side, prices)
                book = cast("dict[str, Any]", await exchange.control("GET", "/book"))
                result = earned(book["trades"], contract.partition(":")[2], units)
                assert (done.multiplier, done.sell_value - done.buy_value) == (units, result)
                assert result < 0, "it was stopped out"
                await booked(seat.desk, seat.account, done, units)
