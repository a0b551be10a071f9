"""What is refused before it leaves: an entry with exits that could not mean what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.errors import Denied
from app.domain.gtt import GttLeg, GttRequest, GttRole
from app.domain.ids import AccountId, InstrumentId
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product, Segment
from app.domain.order import OrderKind, Side
from app.engine.limits import check_gtt

SHARE = Instrument(
    InstrumentId("NSE:INFY"), 1, Exchange.NSE, Segment.EQUITY, InstrumentKind.SHARE, "INFY", tick_size=10, lot_size=1
)
ENTRY = GttLeg(1_500_00, Side.BUY, 5, Product.CNC, 0, OrderKind.MARKET, GttRole.ENTRY)
TARGET = replace(ENTRY, side=Side.SELL, trigger=1_600_00, role=GttRole.TARGET)
STOP = replace(TARGET, trigger=1_450_00, role=GttRole.STOP, gap=20_00)
SHORT = (
    replace(ENTRY, side=Side.SELL, product=Product.MIS),
    replace(TARGET, side=Side.BUY, trigger=1_400_00, product=Product.MIS),
    replace(STOP, side=Side.BUY, trigger=1_550_00, product=Product.MIS),
)


def request(*legs: GttLeg) -> GttRequest:
    return GttRequest(AccountId("upstox-X"), SHARE.id, 1_490_00, legs)


@pytest.mark.parametrize("legs", [(ENTRY, TARGET), (ENTRY, STOP), (ENTRY, TARGET, STOP), SHORT])
def test_an_entry_has_a_target_a_stop_or_both(legs: tuple[GttLeg, ...]) -> None:
    check_gtt(request(*legs), SHARE)


@pytest.mark.parametrize(
    ("legs", "words"),
    [
        ((ENTRY,), "a target, a stop, or both"),
        ((TARGET, ENTRY), "a target, a stop, or both"),
        ((ENTRY, STOP, TARGET), "a target, a stop, or both"),
        ((ENTRY, TARGET, TARGET), "a target, a stop, or both"),
        ((ENTRY, replace(STOP, side=Side.BUY)), "must close"),
        ((ENTRY, replace(STOP, quantity=6)), "must close"),
        ((ENTRY, replace(TARGET, trigger=1_500_00)), "beyond the entry"),
        ((ENTRY, replace(STOP, trigger=1_510_00)), "before the entry"),
        ((SHORT[0], replace(SHORT[1], trigger=1_510_00)), "beyond the entry"),
        ((ENTRY, replace(STOP, gap=15)), "whole ticks"),
        ((ENTRY, replace(TARGET, gap=10)), "Only a stop trails"),
        ((ENTRY, replace(STOP, trigger=1_450_05)), "not on a tick"),
    ],
)
def test_what_an_entry_with_exits_cannot_be(legs: tuple[GttLeg, ...], words: str) -> None:
    with pytest.raises(Denied, match=words):
        check_gtt(request(*legs), SHARE)
