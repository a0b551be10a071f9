"""Triggers by hand: from which side they are reached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from app.desk.gtts import GttDesk
from app.desk.workspace import Workspace
from app.domain.errors import Denied, NotPermitted, Unreachable
from app.domain.gtt import GttLeg, GttRequest, GttRole
from app.domain.ids import GttId, InstrumentId
from app.domain.instrument import Instrument
from app.domain.money import Price
from app.domain.order import OrderKind, Side
from tests.fakes.trading import ACCOUNT, INFY, KEY

LEG = GttLeg(95_000, Side.SELL, 5, KEY.product, 0, OrderKind.MARKET)
Answer = Price | Exception | None


def sent(shown: Price, seen: Price | None, answer: Answer, *, sees: bool = True) -> Price:
    """The last price that goes to the broker with a change, where the window shows another one."""
    gone: list[GttRequest] = []

    async def last_prices(instruments: Sequence[InstrumentId]) -> Mapping[InstrumentId, Price]:
        if isinstance(answer, Exception):
            raise answer
        return {} if answer is None else dict.fromkeys(instruments, answer)

    async def modify(_gtt: GttId, request: GttRequest, instrument: Instrument) -> None:
        assert instrument is INFY, "as the account's own broker lists it, whatever tick or lot another has"
        gone.append(request)

    async def read() -> Sequence[object]:
        return ()

    desk = SimpleNamespace(
        account=ACCOUNT,
        sees=sees,
        last_price=lambda _instrument: seen,
        instrument=lambda _instrument: INFY,
        broker=SimpleNamespace(last_prices=last_prices),
        orders=SimpleNamespace(gtts=SimpleNamespace(modify=modify, read=read)),
    )
    workspace = SimpleNamespace(
        account=lambda _account: desk,
        instrument=lambda _instrument: replace(INFY, tick_size=10),
        publish=lambda _event: None,
    )
    desks = GttDesk(cast("Workspace", workspace))
    asyncio.run(desks.modify(GttId("1"), GttRequest(ACCOUNT, INFY.id, shown, (LEG,))))
    return gone[0].last_price


def test_a_change_goes_out_with_the_price_of_now_whatever_the_window_shows() -> None:
    """A stop below the market that goes out as one above it sells at once."""
    assert sent(0, 100_000, None) == 100_000
    assert sent(0, None, 100_000) == 100_000
    assert sent(94_000, 94_000, 100_000, sees=False) == 100_000, "no old price decides"
    assert sent(99_000, None, NotPermitted("This key has no prices.")) == 99_000


@pytest.mark.parametrize("answer", [None, Unreachable("down")])
def test_where_no_price_is_known_nothing_goes_out(answer: Answer) -> None:
    with pytest.raises((Denied, Unreachable)):
        sent(0, None, answer)


@pytest.mark.parametrize(
    ("legs", "passed"),
    [
        ((LEG,), True),
        ((replace(LEG, trigger=85_000),), False),
        ((replace(LEG, role=GttRole.ENTRY), replace(LEG, role=GttRole.STOP, trigger=80_000)), True),
        ((replace(LEG, role=GttRole.ENTRY, at_once=True), replace(LEG, role=GttRole.STOP, trigger=95_000)), False),
    ],
)
def test_a_trigger_that_the_price_has_passed_meanwhile_is_not_placed_on_its_other_side(
    legs: tuple[GttLeg, ...], passed: bool
) -> None:
    """The window still shows 1,000, and the market stands at 900: a stop at 950 would wait there for a rise to 950, and
    guard nothing."""
    gone: list[GttRequest] = []

    async def place(request: GttRequest, _instrument: Instrument) -> GttId:
        gone.append(request)
        return GttId("1")

    async def read() -> Sequence[object]:
        return ()

    desk = SimpleNamespace(
        account=ACCOUNT,
        sees=True,
        last_price=lambda _instrument: 90_000,
        instrument=lambda _instrument: INFY,
        orders=SimpleNamespace(gtts=SimpleNamespace(place=place, read=read)),
    )
    workspace = SimpleNamespace(account=lambda _account: desk, publish=lambda _event: None)
    placing = GttDesk(cast("Workspace", workspace)).place(GttRequest(ACCOUNT, INFY.id, 100_000, legs))
    if passed:
        with pytest.raises(Denied, match="passed"):
            asyncio.run(placing)
    else:
        asyncio.run(placing)
    assert [request.last_price for request in gone] == [90_000] * (not passed)
