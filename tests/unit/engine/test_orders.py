"""Orders of the trader's hand: journalled first, sent once, looked up when nobody answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from app.domain.errors import Denied, OutcomeUnknown, Unreachable
from app.domain.events import Noticed, OrderUnresolved
from app.domain.instrument import Exchange, Instrument, InstrumentKind, Product
from app.domain.order import OrderKind, OrderRequest, OrderStatus, Side
from app.domain.portfolio import PositionKey
from app.engine.limits import check_order
from app.engine.orders import OrderManager
from app.engine.rules import ExitRules, InstrumentClass, class_of, limit_pricer
from tests.fakes.fast_loop import run, settle
from tests.fakes.trading import ACCOUNT, INFY, KEY, OPTION, RULES, Rig, refusal

TEXT = RULES.read_text(encoding="utf-8")
BUY = OrderRequest(ACCOUNT, INFY.id, Side.BUY, 10, Product.MIS, OrderKind.MARKET)


def play(script: Callable[[Rig, OrderManager], Awaitable[None]]) -> Rig:
    async def scene() -> Rig:
        rig = Rig()
        await script(rig, rig.orders)
        await settle()
        await rig.tasks.stop()
        return rig

    return run(scene())


def test_an_order_is_on_disk_before_it_is_sent_and_resolved_after() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        number = await orders.place(BUY)
        assert [str(request.tag) for request in (*rig.journal.intents, *rig.broker.placed)] == [number, number]
        assert rig.journal.resolved == [(rig.journal.intents[0].tag, OrderStatus.OPEN)]

    play(script)


@pytest.mark.parametrize(
    ("failure", "status"), [(refusal(), OrderStatus.REJECTED), (Unreachable("down"), OrderStatus.DENIED)]
)
def test_a_refused_order_is_resolved_and_raised(failure: Exception, status: OrderStatus) -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = [failure]
        with pytest.raises(type(failure)):
            await orders.place(BUY)
        assert [found for _, found in rig.journal.resolved] == [status]

    play(script)


def test_an_unanswered_order_that_exists_is_found_by_its_tag_and_not_sent_again() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.state = None
        rig.broker.answers = ["lost"]
        await orders.place(BUY)
        assert any(isinstance(event, OrderUnresolved) for event in rig.events)
        assert [status for _, status in rig.journal.resolved] == [OrderStatus.UNKNOWN, OrderStatus.FILLED]

    assert len(play(script).broker.placed) == 1


def test_an_unanswered_order_that_is_absent_twice_was_never_sent() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.broker.failures = {"orders": [Unreachable("down")]}
        with pytest.raises(Denied, match="did not reach"):
            await orders.place(BUY)

    play(script)


def test_an_unanswered_order_that_cannot_be_looked_up_stays_unknown() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = [OutcomeUnknown("lost")]
        rig.broker.failures = {"orders": [Unreachable("down")] * 50}
        with pytest.raises(OutcomeUnknown):
            await orders.place(BUY)
        assert rig.journal.resolved[-1][1] is OrderStatus.UNKNOWN

    play(script)


def test_a_position_is_squared_off_with_the_kind_of_its_class() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        key = PositionKey(ACCOUNT, OPTION.id, Product.NRML)
        rig.broker.held = {KEY: -10, key: 500}
        await orders.square_off(KEY)
        await orders.square_off(key)
        share, option = rig.broker.placed
        assert (share.side, share.quantity, share.kind) == (Side.BUY, 10, OrderKind.MARKET)
        assert (option.side, option.quantity, option.kind) == (Side.SELL, 500, OrderKind.LIMIT)
        assert option.price

    play(script)


def test_what_is_unknown_is_denied() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        orders._instrument = lambda _: None
        rig.broker.held = {KEY: 10}
        with pytest.raises(Denied, match="instrument list"):
            await orders.place(BUY)
        with pytest.raises(Denied, match="instrument list"):
            await orders.square_off(KEY)

    play(script)


def test_changes_and_cancels_read_the_book_again() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.answers = ["open"]
        await orders.place(BUY)
        number = next(iter(rig.broker.book))
        await orders.modify(number, price=99_000)
        await orders.cancel(number)
        rig.broker.failures = {"positions": [Unreachable("down")]}
        await orders.cancel(number)
        for _ in range(20):
            await settle(200)
        assert rig.broker.priced == [(number, 99_000)]

    play(script)


def test_a_book_that_cannot_be_read_afterwards_is_a_warning() -> None:
    async def script(rig: Rig, orders: OrderManager) -> None:
        rig.broker.failures = {"orders": [Unreachable("down")]}
        await orders._refresh()
        assert any(isinstance(e, Noticed) and "could not be read" in e.title for e in rig.events)

    play(script)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantity": 0}, "quantity is zero"),
        ({"product": Product.NRML}, "NRML is for futures"),
        ({"kind": OrderKind.LIMIT}, "needs a price"),
        ({"kind": OrderKind.LIMIT, "price": 99_001}, "on a tick"),
        ({"kind": OrderKind.SL_M}, "needs a trigger"),
        ({"kind": OrderKind.SL_M, "trigger_price": 99_001}, "trigger is not on a tick"),
    ],
)
def test_what_the_broker_would_refuse_is_denied_with_what_to_change(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Denied, match=words):
        check_order(replace(BUY, **change), INFY)


def test_derivatives_have_lots_products_and_kinds_of_their_own() -> None:
    option = replace(BUY, instrument=OPTION.id, product=Product.NRML, quantity=500, kind=OrderKind.LIMIT, price=100)
    check_order(option, OPTION)
    changes: tuple[tuple[dict[str, Any], str], ...] = (
        ({"quantity": 400}, "lot size"),
        ({"product": Product.CNC}, "for shares"),
        ({"kind": OrderKind.MARKET, "price": None}, "no market orders"),
    )
    for change, words in changes:
        with pytest.raises(Denied, match=words):
            check_order(replace(option, **change), OPTION)
    with pytest.raises(Denied, match="is an index"):
        check_order(BUY, replace(INFY, kind=InstrumentKind.INDEX))


# -- the exit table ----------------------------------------------------------------------------------------------------


def of_kind(kind: InstrumentKind, name: str = "RELIANCE") -> Instrument:
    return replace(OPTION, kind=kind, name=name, exchange=Exchange.NFO)


def test_every_class_has_its_row() -> None:
    assert class_of(INFY) is InstrumentClass.SHARE
    assert class_of(of_kind(InstrumentKind.FUTURE)) is InstrumentClass.FUTURE
    assert class_of(OPTION) is InstrumentClass.STOCK_OPTION
    assert class_of(of_kind(InstrumentKind.PUT, "NIFTY")) is InstrumentClass.INDEX_OPTION
    with pytest.raises(Denied, match="is an index"):
        class_of(replace(INFY, kind=InstrumentKind.INDEX))


def test_a_missing_rule_is_denied_and_a_broken_table_names_its_line() -> None:
    from datetime import date

    rules = ExitRules.parse(TEXT)
    with pytest.raises(Denied, match="no exit rule"):
        rules.rule("nobody", INFY, date(2026, 11, 20))
    with pytest.raises(Denied, match="no exit rule"):
        rules.rule("zerodha", INFY, date(1990, 1, 1))
    with pytest.raises(ValueError, match="line 2"):
        ExitRules.parse("broker,class,since,kind,bands\nzerodha,share,2016-01-01,MAGIC,*:1\n")


def test_a_limit_reaches_the_band_beyond_the_last_price_on_a_tick_rounded_towards_a_fill() -> None:
    from datetime import date

    rule = ExitRules.parse(TEXT).rule("zerodha", INFY, date(2026, 11, 20))
    sell, buy = limit_pricer(rule, INFY, Side.SELL), limit_pricer(rule, INFY, Side.BUY)
    assert sell(9_999) == 9_800  # 2 % below 100 rupees
    assert buy(9_999) == 10_200
    assert sell(40_000) == 39_600  # 1 %
    assert sell(100_001) == 99_500  # 0.5 %
    assert limit_pricer(rule, INFY, Side.SELL, widen=2)(100_000) == 99_000
    assert sell(1) == 5, "never below one tick"
    endless = replace(rule, bands=rule.bands[:1])
    assert limit_pricer(endless, INFY, Side.SELL)(1_000_000) == 1_000_000
