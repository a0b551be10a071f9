"""Upstox's calls of version 2, which are deprecated and still there. What version 3 has is asked there by everybody
else. Loop thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

from app.brokers.rows import Row
from app.brokers.upstox import mapping, quotes, requests
from app.brokers.upstox.outcomes import order_id_of
from app.brokers.upstox.part import UpstoxPart, stretches
from app.domain.errors import Denied
from app.domain.ids import BrokerOrderId, InstrumentId, Nanos
from app.domain.instrument import Instrument
from app.domain.margin import SegmentFunds
from app.domain.market import Candle, Interval, Quote, Tick
from app.domain.money import Price
from app.domain.order import Order, OrderRequest
from app.runtime.clock import to_datetime

T = TypeVar("T")

_INTERVALS: Mapping[Interval, tuple[str, int]] = {
    Interval.MINUTE: ("1minute", 28),
    Interval.MINUTES_30: ("30minute", 365),
    Interval.DAY: ("day", 365),
}
_TODAY = frozenset({Interval.MINUTE, Interval.MINUTES_30})
"""Intervals of which the running day is told."""


class UpstoxOlder(UpstoxPart):
    """Orders, quotes, candles and funds as version 2 has them."""

    async def place_v2(self, request: OrderRequest) -> BrokerOrderId:
        """No slices, no market protection. Sent once."""
        self._deny_reading()
        body = requests.order_body_v2(request, self._directory)
        return order_id_of(await self._rest.send("POST", "/v2/order/place", body=body))

    async def modify_v2(
        self,
        known: Order,
        *,
        quantity: int | None = None,
        price: Price | None = None,
        trigger_price: Price | None = None,
    ) -> None:
        """Changes what is given of an order as it was last read."""
        self._deny_reading()
        await self._rest.send(
            "PUT", "/v2/order/modify", body=requests.modify_body(known, quantity, price, trigger_price)
        )

    async def cancel_v2(self, order: BrokerOrderId) -> None:
        """Cancels what is open of an order."""
        self._deny_reading()
        await self._rest.send("DELETE", "/v2/order/cancel", params=[("order_id", order)])

    # -- quotes ------------------------------------------------------------------------------------------------------

    async def last_prices_v2(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Price]:
        """Last traded prices."""
        return await self._quoted("ltp", instruments, quotes.last_price, version=2)

    async def day_prices_v2(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Tick]:
        """Last price, open, high and low of the day."""
        now = time.time_ns()
        return await self._quoted("ohlc", instruments, lambda row, one: quotes.day_v2(row, one, now), version=2)

    async def quotes_v2(self, instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Quote]:
        """Everything, with depth and circuit limits."""
        now = time.time_ns()
        return await self._quoted("quotes", instruments, lambda row, one: quotes.quote(row, one, now), version=2)

    # -- candles and funds -------------------------------------------------------------------------------------------

    async def candles_v2(
        self, instrument: Instrument, interval: Interval, start: Nanos, end: Nanos
    ) -> Sequence[Candle]:
        """Past candles, oldest first, both ends included; of one minute, half an hour or a day."""
        if interval not in _INTERVALS:
            raise Denied(f"Version 2 keeps no candles of {int(interval)} s.", "Choose a minute, half an hour or a day.")
        word, days = _INTERVALS[interval]
        key = quote(instrument.key or self._key(instrument.id), safe="")
        first, last = to_datetime(start).date(), to_datetime(end).date()
        today = to_datetime((await self._rest.clock()).now).date()
        paths = [f"/v2/historical-candle/intraday/{key}/{word}"] if last >= today and interval in _TODAY else []
        paths += [
            f"/v2/historical-candle/{key}/{word}/{until}/{since}" for since, until in stretches(first, last, days)
        ]
        return await self._candles(paths, instrument.price_scale, start, end)

    async def segment_funds(self) -> Sequence[SegmentFunds]:
        """Of shares and commodities apart, as before 2025-07-19: one pool stands under equity, commodity is zeros."""
        row = Row(await self._rest.get("/v2/user/get-funds-and-margin"), "funds")
        return [mapping.segment_funds_from(row.part(name), name, self._account) for name in ("equity", "commodity")]
