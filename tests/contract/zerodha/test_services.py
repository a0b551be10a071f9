"""What only some brokers have, as the trader's desk gives it: a whole desk against the paper exchange."""

from __future__ import annotations

from decimal import Decimal

import pytest

from app.domain.alert import AlertRequest, AlertStatus, Comparison
from app.domain.errors import Denied
from app.domain.ids import InstrumentId
from app.domain.instrument import Product
from app.domain.order import OrderKind, OrderRequest, Side, Variety
from tests.contract.zerodha.test_desk_verbs import INFY, SBIN, Trader, exchange, trader
from tests.fakes.paper_exchange import eventually

__all__ = ["exchange", "trader"]

NIFTY = InstrumentId("NSE:NIFTY 50")


async def alerts(trader: Trader) -> None:
    services, account = trader.desk.services, trader.account
    last = await trader.last()
    far = Decimal(last * 2) / 100
    asked = AlertRequest(account, " up ", INFY, Comparison.AT_LEAST, far)
    made = await services.create_alert(asked)
    assert (made.name, made.status, made.amount) == ("up", AlertStatus.ENABLED, far)
    index = await services.create_alert(AlertRequest(account, "index", NIFTY, Comparison.ABOVE, Decimal(99_999)))
    assert index.instrument == "INDICES:NIFTY 50"
    assert {alert.id for alert in await services.alerts(account)} >= {made.id, index.id}
    changed = await services.change_alert(made, AlertRequest(account, "now", INFY, Comparison.AT_LEAST, Decimal(1)))
    assert (changed.id, changed.name) == (made.id, "now")

    async def fired() -> bool:
        return bool(await services.alert_history(account, made.id))

    assert await eventually(fired)
    await services.delete_alerts(account, [made.id, index.id])
    assert not {made.id, index.id} & {alert.id for alert in await services.alerts(account)}
    for wrong in (
        AlertRequest(account, "", INFY, Comparison.ABOVE, Decimal(1)),
        AlertRequest(account, "x", INFY, Comparison.ABOVE, Decimal(0)),
        AlertRequest(account, "x", INFY, Comparison.ABOVE),
    ):
        with pytest.raises(Denied):
            await services.create_alert(wrong)
    with pytest.raises(Denied, match="no option chains"):
        await services.expiries(account, NIFTY)
    with pytest.raises(Denied, match="approved on the phone"):
        await services.request_approval(account)


async def auctions(trader: Trader) -> None:
    services, account = trader.desk.services, trader.account
    assert await services.auctions(account) == []
    await trader.exchange.control("PUT", "/auction", {"instrument": SBIN, "number": "22"})
    (offer,) = await services.auctions(account)
    with pytest.raises(Denied, match="1 to 20"):
        await services.bid(offer, 21, offer.last_price)
    number = await services.bid(offer, 5, offer.last_price // 10 * 10)
    (order,) = [order for order in await trader.desk.trading.orders() if order.id == number]
    assert (order.variety, order.side, order.quantity) == (Variety.AUCTION, Side.SELL, 5)
    await trader.exchange.control("PUT", "/auction", {"instrument": SBIN, "price": 0})


async def baskets_and_notes(trader: Trader) -> None:
    services, account = trader.desk.services, trader.account
    await trader.last()
    orders = [
        OrderRequest(account, INFY, Side.BUY, 10, Product.MIS, OrderKind.MARKET),
        OrderRequest(account, SBIN, Side.BUY, 10, Product.CNC, OrderKind.LIMIT, 80_000),
    ]
    plan = await services.plan_basket(orders)
    assert plan.margin is not None
    assert len(plan.margin.orders) == len(plan.notes) == 2
    assert Decimal(0) < plan.margin.final.total <= plan.margin.initial.total <= plan.available
    assert plan.charges == sum(note.total for note in plan.notes) > 0
    assert [note.tax for note in plan.notes] == ["stt", "stt"]
    other = OrderRequest(type(account)("zerodha-other"), INFY, Side.BUY, 1, Product.MIS, OrderKind.MARKET)
    for wrong in ([], [*orders, other]):
        with pytest.raises(Denied, match="one account"):
            await services.plan_basket(wrong)
    await trader.buy(10, Product.MIS)
    note = await services.contract_note(account)
    line = next(line for line in note.lines if line.note.instrument == INFY and line.note.product is Product.MIS)
    assert (line.note.quantity, note.computed_by) == (10, "contract note")
    assert note.total >= line.note.total > 0


async def test_alerts_auctions_baskets_and_contract_notes(trader: Trader) -> None:
    """At one desk: to log in takes longer than all of it."""
    await alerts(trader)  # made, changed, fires, ends; what Zerodha lacks is denied in words
    await auctions(trader)  # a holding is offered, and no more than there is
    await baskets_and_notes(trader)  # before orders are sent, and after they were done
