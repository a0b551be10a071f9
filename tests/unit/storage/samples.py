"""Domain objects with every field set to something of its own, so that a mixed-up column shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time
from decimal import Decimal
from typing import Any

from app.domain.events import AuditEntry
from app.domain.fill import Charges, Fill, Trade
from app.domain.ids import AccountId, BrokerOrderId, FillId, InstrumentId, OrderId, StopId, Tag
from app.domain.instrument import InstrumentKind, Product, Segment
from app.domain.market import Interval
from app.domain.order import OrderKind, OrderRequest, Side, Validity
from app.domain.portfolio import PositionKey
from app.domain.stop import BreakEven, FiredBy, Stop, StopPlan, StopState, TimeExit, Trail, TrailKind, TriggerSource
from app.runtime.secret import Secret

KEY = Secret("ab" * 32)
OTHER_KEY = Secret("cd" * 32)
A, B = AccountId("zerodha-AB1234"), AccountId("zerodha-CD5678")
INFY, NIFTY = InstrumentId("NSE:INFY"), InstrumentId("NFO:NIFTY26NOVFUT")
DAY = "2026-11-16"
FULL_PLAN = StopPlan(
    trigger=2_650_015,
    target=2_600_000,
    trail=Trail(TrailKind.ATR, Decimal("2.5"), 20, 21, Interval.MINUTES_15),
    break_even=BreakEven(5_000, 40, with_charges=False),
    time_exit=TimeExit(time(15, 10), 7, date(2026, 11, 17)),
    source=TriggerSource.UNDERLYING,
    underlying=InstrumentId("NSE:NIFTY 50"),
    longest_wait=9,
    last_trigger=2_651_000,
    quantity=65,
    strategy="opening range",
)


def stop(number: int = 1, **changes: Any) -> Stop:
    bare = Stop(
        id=StopId(f"STP{number:09d}"),
        key=PositionKey(A, INFY, Product.MIS),
        side=Side.SELL,
        trigger=148_005,
        quantity=75,
        state=StopState.ARMED,
        armed_at=1_763_000_000_000_000_001,
        plan=StopPlan(148_005),
        token=408_065,
        tick_size=10,
    )
    return replace(bare, **changes)


def finished_stop(number: int = 2) -> Stop:
    return Stop(
        id=StopId(f"STP{number:09d}"),
        key=PositionKey(B, NIFTY, Product.NRML),
        side=Side.BUY,
        trigger=2_650_015,
        quantity=65,
        state=StopState.CLOSED,
        armed_at=11,
        plan=FULL_PLAN,
        best=2_649_000,
        exit_at=14,
        seen_price=2_650_010,
        seen_at=15,
        fired_by=FiredBy.TARGET,
        attempt=3,
        token=14_000_130,
        tick_size=20,
        price_scale=10_000,
        exit_order=BrokerOrderId("2611160000000000001"),
        fired_at=12,
        fired_price=2_650_020,
        closed_at=13,
        exit_average=2_650_035,
        note="position flat",
    )


def exit_of(guarded: Stop, **changes: Any) -> OrderRequest:
    bare = OrderRequest(
        account=guarded.key.account,
        instrument=guarded.key.instrument,
        side=guarded.side,
        quantity=guarded.quantity,
        product=guarded.key.product,
        kind=OrderKind.MARKET,
        tag=guarded.tag(),
    )
    return replace(bare, **changes)


def manual_order(number: int = 1) -> tuple[OrderId, OrderRequest]:
    request = OrderRequest(
        account=B,
        instrument=NIFTY,
        side=Side.BUY,
        quantity=130,
        product=Product.NRML,
        kind=OrderKind.SL,
        price=2_660_005,
        trigger_price=2_659_995,
        validity=Validity.IOC,
        tag=Tag(f"M{number:013d}"),
        market_protection=3,
    )
    return OrderId(f"order-{number}"), request


def entry(at: int = 1, what: str = "armed", **changes: Any) -> AuditEntry:
    return replace(AuditEntry(at, A, "stop:STP000000001", what, "148.05 × 75", StopId("STP000000001")), **changes)


def fill(number: int = 1, **changes: Any) -> Fill:
    """Changes of account, side or order also change the identity."""
    bare = Fill(
        id=FillId("zerodha", A, "NSE", "NSE-EQ", DAY, BrokerOrderId("o1"), str(number), "BUY"),
        account=A,
        instrument=INFY,
        segment=Segment.EQUITY,
        kind=InstrumentKind.SHARE,
        product=Product.MIS,
        side=Side.BUY,
        quantity=10 + number,
        price=148_000 + number,
        filled_at=1_000 + number,
        broker_order_id=BrokerOrderId("o1"),
        price_scale=100,
    )
    changed = replace(bare, **changes)
    identity = replace(
        changed.id, account=changed.account, side=changed.side.value, broker_order_id=changed.broker_order_id
    )
    return replace(changed, id=identity)


def charges() -> Charges:
    return Charges(
        brokerage=Decimal("40.00"),
        transaction_tax=Decimal(12),
        exchange_charge=Decimal("3.41"),
        sebi_fee=Decimal("0.05"),
        stamp_duty=Decimal("1.5"),
        gst=Decimal("7.82"),
        other=Decimal("0.00"),
    )


def trade(number: int = 1, **changes: Any) -> Trade:
    bare = Trade(
        account=A,
        instrument=INFY,
        segment=Segment.EQUITY,
        product=Product.MIS,
        side=Side.BUY,
        quantity=75,
        entry_price=148_000,
        opened_at=1_000 + number,
        exit_price=148_100,
        closed_at=2_000 + number,
        gross=7_500,
        charges=charges(),
        net=1_022,
        price_scale=100,
    )
    return replace(bare, **changes)
