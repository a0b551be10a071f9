"""What happens at the broker between two requests, on Upstox's wire."""

from __future__ import annotations

from tests.unit.simulator.upstox.conftest import UpstoxBench


async def test_the_session_dies_between_two_reads(upstox: UpstoxBench) -> None:
    for spec in ("fill-after=5:route=trades,instrument=NSE:INFY", "end-session:route=positions,nth=2"):
        upstox.exchange.faults.add(spec)
    assert (await upstox.http.get("/v2/order/trades/get-trades-for-day")).json()["data"] == []
    (row,) = (await upstox.http.get("/v2/portfolio/short-term-positions")).json()["data"]
    assert row["quantity"] == 5
    dead = await upstox.http.get("/v2/portfolio/short-term-positions")
    assert (dead.status_code, dead.json()["errors"][0]["errorCode"]) == (401, "UDAPI100050")
