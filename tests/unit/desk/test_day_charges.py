"""What a day's fills cost: wherever it is worked out, it comes to the same."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Sequence

import pytest

from app.analytics.charge_table import ChargesUnknown
from app.analytics.contract_sizes import NOTHING_TOLD
from app.desk.day_charges import SOME, DayCharges
from app.domain.fill import Fill
from app.domain.instrument import Product
from app.runtime.helper import Helper
from tests.unit.analytics.builders import BUY, SELL, fill, shipped

DAY = "2026-03-02"
MANY = SOME + 101


@pytest.fixture
async def helper() -> AsyncIterator[Helper]:
    made = Helper()
    yield made
    await made.stop()


def shares(count: int, day: str = DAY) -> list[Fill]:
    """In and out again; the last is open."""
    return [
        fill(
            f"NSE:S{n // 2 % 40}", SELL if n % 2 else BUY, 10, 100 + n % 7, day, product=Product.MIS, order=str(n), at=n
        )
        for n in range(count)
    ]


async def cost(fills: Sequence[Fill], helper: Helper | None = None) -> int:
    return await DayCharges(shipped(), helper).of(fills, NOTHING_TOLD, "zerodha", DAY)


async def test_the_helper_process_works_out_the_same_charges(helper: Helper) -> None:
    fills = shares(MANY)
    there = await cost(fills, helper)
    assert there == await cost(fills)
    assert there > MANY * 10


@pytest.mark.expects_log("they are worked out here")
async def test_a_helper_process_that_dies_costs_no_charges(helper: Helper) -> None:
    os.kill(await helper.call(os.getpid), signal.SIGKILL)
    fills = shares(MANY)
    assert await cost(fills, helper) == await cost(fills)


@pytest.mark.parametrize("count", [3, 30, MANY])
async def test_a_day_without_rates_is_said_wherever_it_is_found(helper: Helper, count: int) -> None:
    with pytest.raises(ChargesUnknown):
        await cost(shares(count, "1999-03-02"), helper)


@pytest.mark.parametrize("count", [3, MANY])
async def test_a_contract_of_unknown_size_is_named_and_left_out(
    helper: Helper, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    fills = shares(count)
    odd = fill("MCX:NEWTHING26MARFUT", BUY, 1, 100, DAY, order="odd")
    with caplog.at_level("INFO"):
        assert await cost([*fills, odd], helper) == await cost(fills, helper)
    assert "charges of MCX:NEWTHING26MARFUT are left out" in caplog.text
