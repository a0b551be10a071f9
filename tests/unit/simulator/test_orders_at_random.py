"""Days of random trading: whatever is asked in whatever order, nothing is lost, doubled or filled at a worse price."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from app.simulator.account import Conversion
from app.simulator.form import ModifyForm
from app.simulator.gtt import Leg
from app.simulator.kite.form import modify_form, order_form
from app.simulator.matching import crosses
from app.simulator.refusal import Refused
from tests.unit.simulator.conftest import Bench, Make

INFY = "NSE:INFY"
TICK = 10


def random_order(chance: random.Random, last: int) -> dict[str, str]:
    side = chance.choice(["BUY", "SELL"])
    kind = chance.choice(["MARKET", "LIMIT", "LIMIT", "SL", "SL-M"])
    away = chance.randint(1, 40) * TICK * (1 if side == "BUY" else -1)
    form = {
        "exchange": "NSE",
        "tradingsymbol": "INFY",
        "transaction_type": side,
        "quantity": str(chance.randint(1, 300)),
        "product": chance.choice(["MIS", "MIS", "CNC"]),
        "order_type": kind,
        "validity": chance.choice(["DAY", "DAY", "IOC"]),
    }
    if kind in ("MARKET", "SL-M"):
        form["market_protection"] = chance.choice(["-1", "2", "0.5"])
    if kind in ("SL", "SL-M"):
        form["trigger_price"] = f"{(last + away) / 100}"
    if kind in ("LIMIT", "SL"):
        form["price"] = f"{(last + away * chance.choice([1, 2] if kind == 'SL' else [-1, 1])) / 100}"
    return form


def random_quote(bench: Bench, chance: random.Random) -> None:
    last = bench.last(INFY) + chance.randint(-15, 15) * TICK
    last = min(max(last, 1050_00), 1200_00)

    def side(sign: int) -> list[tuple[int, int, int]]:
        levels = chance.randint(0, 5)
        return [(last + sign * (n + 1) * TICK, chance.randint(1, 150), 1) for n in range(levels)]

    bench.depth(INFY, side(-1), side(1), last=last)


def act(bench: Bench, chance: random.Random) -> None:
    oms = bench.exchange.oms
    open_orders = oms.records.live()
    try:
        draw = chance.random()
        if draw < 0.4:
            oms.place(order_form(random_order(chance, bench.last(INFY))))
        elif draw < 0.5 and open_orders:
            oms.cancel(chance.choice(open_orders).order_id)
        elif draw < 0.65 and open_orders:
            order = chance.choice(open_orders)
            form = {"quantity": str(chance.randint(1, 300))} if chance.random() < 0.5 else {}
            if order.order_type in ("LIMIT", "SL"):
                form["price"] = f"{(order.price + chance.randint(-9, 9) * TICK) / 100}"
            change: ModifyForm = modify_form(form)
            oms.modify(order.order_id, change)
        else:
            random_quote(bench, chance)
    except Refused as refused:
        assert refused.status == 400, refused.message  # noqa: PT017 - most refusals are right, none may be a bug


def act_widely(bench: Bench, chance: random.Random) -> None:
    """Also icebergs, cover orders, conversions, triggers, other terminals and trades that are taken back."""
    made, last = bench.exchange, bench.last(INFY)
    draw = chance.random()
    try:
        if draw < 0.15:
            form = random_order(chance, last) | {"iceberg_legs": "3"}
            made.legs.place(order_form(form, "iceberg"))
        elif draw < 0.3:
            form = random_order(chance, last) | {"product": "MIS"}
            away = 60 * TICK * (-1 if form["transaction_type"] == "BUY" else 1)
            made.legs.place(order_form(form | {"trigger_price": f"{(last + away) / 100}"}, "co"))
        elif draw < 0.35:
            covers = [order for order in made.oms.records.live() if order.variety == "co"]
            if covers:
                made.legs.exit(chance.choice(covers).order_id)
        elif draw < 0.4:
            old, new = chance.sample(["MIS", "CNC"], 2)
            move = Conversion(old, new, chance.choice(["BUY", "SELL"]), chance.randint(1, 200), overnight=False)
            listing = made.market.listings.by_key[INFY]
            made.ledger.convert(listing, move, made.oms.records.live())
        elif draw < 0.45:
            trigger = last + chance.choice([-9, 9]) * TICK
            leg = Leg(trigger, trigger > last, "BUY", chance.randint(1, 99), "CNC", "LIMIT", trigger)
            made.gtts.create("single", made.market.listings.by_key[INFY], last, [leg])
        elif draw < 0.48:
            made.happenings.trade_elsewhere(INFY, chance.choice([-50, 50]))
        elif draw < 0.5:
            plain = [fill for fill in made.oms.records.fills if fill.product == "MIS"]
            if plain:
                made.oms.withdraw(plain[-1])
        else:
            act(bench, chance)
    except Refused as refused:
        assert refused.status == 400, refused.message  # noqa: PT017 - most refusals are right, none may be a bug


def check_widely(bench: Bench) -> None:
    oms, account = bench.exchange.oms, bench.exchange.ledger.account
    filled: dict[str, int] = {}
    net = 0
    for fill in oms.records.fills:
        filled[fill.order_id] = filled.get(fill.order_id, 0) + fill.quantity
        net += fill.quantity if fill.side == "BUY" else -fill.quantity
    assert sum(position.quantity for position in account.positions.values()) == net
    live = {order.order_id for order in oms.records.live()}
    entries: dict[str, int] = {}
    for order in oms.records.orders.values():
        assert order.filled == filled.get(order.order_id, 0)
        assert order.filled + order.cancelled <= order.quantity
        assert order.final != (order.order_id in live)
        if order.parent_order_id:
            entries[order.parent_order_id] = entries.get(order.parent_order_id, 0) + order.filled
        if order.iceberg:
            assert order.quantity <= order.iceberg["leg_quantity"]
            assert order.iceberg["leg"] <= order.iceberg["legs"]
    for entry, closed in entries.items():  # a stop never sells more than its entry bought
        assert closed <= oms.records.orders[entry].filled


def check(bench: Bench) -> None:
    oms, account = bench.exchange.oms, bench.exchange.ledger.account
    filled: dict[str, int] = {}
    net: dict[str, int] = {}
    for fill in oms.records.fills:
        filled[fill.order_id] = filled.get(fill.order_id, 0) + fill.quantity
        sign = 1 if fill.side == "BUY" else -1
        net[fill.product] = net.get(fill.product, 0) + sign * fill.quantity
    live = {order.order_id for order in oms.records.live()}
    for order in oms.records.orders.values():
        assert order.filled == filled.get(order.order_id, 0)
        assert order.filled + order.cancelled <= order.quantity
        assert order.final != (order.order_id in live)
        if order.status == "COMPLETE":
            assert order.filled == order.quantity
        if order.status == "CANCELLED":
            assert order.filled + order.cancelled == order.quantity
    for product, quantity in net.items():
        position = account.positions[408065, product]
        assert position.quantity == quantity
    assert account.net_quantity(408065, "CNC") >= 0
    assert len({fill.trade_id for fill in oms.records.fills}) == len(oms.records.fills)


@pytest.mark.parametrize("seed", range(6))
async def test_random_trading_keeps_the_books_straight(make: Make, seed: int) -> None:
    bench = await make(cash=50_00_000_00)
    chance = random.Random(seed)
    bench.price(INFY, 1120_00)
    oms = bench.exchange.oms
    limits: dict[str, int] = {}
    known = 0
    for _ in range(400):
        act(bench, chance)
        if chance.random() < 0.7:
            await bench.settle()
        for fill in oms.records.fills[known:]:
            limits[fill.order_id] = oms.records.orders[fill.order_id].limit
            assert crosses(fill.side, limits[fill.order_id], fill.price)
        known = len(oms.records.fills)
        check(bench)
    await bench.settle()
    check(bench)
    assert known > 50


@pytest.mark.parametrize("seed", range(4))
async def test_every_kind_of_order_at_random_keeps_the_books_straight(make: Make, seed: int) -> None:
    bench = await make(cash=80_00_000_00)
    chance = random.Random(seed)
    bench.price(INFY, 1120_00)
    for _ in range(300):
        act_widely(bench, chance)
        if chance.random() < 0.7:
            await bench.settle()
        check_widely(bench)
    await bench.settle()
    check_widely(bench)
    kinds = {order.variety for order in bench.exchange.oms.records.orders.values()}
    assert kinds >= {"regular", "iceberg", "co"}


@pytest.mark.parametrize(("seed", "widely"), [(0, False), (1, False), (2, True), (3, True)])
async def test_a_restart_in_the_middle_of_random_trading(make: Make, seed: int, widely: bool, tmp_path: Path) -> None:
    chance = random.Random(seed)
    bench = await make(state=tmp_path)
    bench.price(INFY, 1120_00)
    for _ in range(4):
        for _ in range(60):
            (act_widely if widely else act)(bench, chance)
            if chance.random() < 0.5:
                await bench.settle()
        before, ledger = bench.exchange.oms.records, bench.exchange.ledger
        triggers = bench.exchange.gtts.listed()
        await make.end(bench)
        cash = ledger.available(before.live())
        bench = await make(state=tmp_path, login=False)
        after = bench.exchange.oms.records
        assert bench.exchange.gtts.listed() == triggers
        assert after.fills == before.fills
        assert after.history == before.history
        assert list(after.orders) == list(before.orders)
        for order_id, order in after.orders.items():
            assert order == before.orders[order_id]
        assert [order.order_id for order in after.live()] == [order.order_id for order in before.live()]
        assert bench.exchange.ledger.available(after.live()) == cash
        await bench.settle()
        (check_widely if widely else check)(bench)
