"""What must hold after every run. Each violation is a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from app.domain.events import Level, Noticed, OrderChanged, StopFired
from app.domain.ids import StopId
from app.domain.stop import FiredBy, Stop, StopState, stop_of_tag
from app.simulator.order import Order
from tests.harness.acts import BUSY_AFTER, Stage
from tests.harness.night_verdict import of_nights, sent_by_triggers
from tests.harness.plans import earliest, first_price, leaves_at, target_of, units_of
from tests.harness.scenes import closed_at, of_flatten, of_flights, of_portfolio, of_slices, of_strategies
from tests.harness.script import TRADES, Guarded, Kind, Rule
from tests.harness.world import MORNING, Traded

KNOWN_AFTER = 0.1
"""Seconds after which whoever looks into the order book before he sends again has seen an order there."""
REFUSAL_SAID = 1.5
"""Seconds until a refusal is said: book and positions are read first, whenever the next attempt may leave."""
REFUSAL_SAID_SLOW = 8.0
"""The same over a busy disk."""
SAID_AFTER = 8.0
"""Seconds: silence is found after three, and said two later."""
REVERSED_AT_MOST = 2.0
"""Seconds in fair weather that a position may be turned round."""


async def violations(stage: Stage, armed: dict[str, int]) -> list[str]:
    """All that is wrong at the end. `armed`: by stop id, the trigger that was acknowledged."""
    found: list[str] = []
    world = stage.world
    station = world.station
    if station is None:
        return ["the workstation was not running at the end"]
    for life in world.stations:
        found += [f"a task of life {life.number} failed: {bug!r}" for bug in life.bugs]
    journal = {stop.id: stop for stop in await station.journal.stops_since(0)}
    mine = {stop.id: stop for stop in station.stops}
    for number, guarded in enumerate(stage.script.guarded):
        found += [f"{guarded.instrument}: {words}" for words in _of_position(stage, guarded)]
        stop = next((s for s in journal.values() if s.key.instrument == guarded.instrument), None)
        if stop is None:
            if number < len(armed):
                found.append(f"{guarded.instrument}: the stop is not in the journal")
            continue
        found += [f"{guarded.instrument}: {words}" for words in _of_stop(stage, guarded, stop, mine)]
        found += [f"{guarded.instrument}: {words}" for words in _without_cause(stage, guarded, stop)]
    for planned in stage.script.planned:
        found += [f"{planned.instrument}: {words}" for words in _of_position(stage, planned.guarded)]
    found += await of_strategies(stage)
    found += await of_nights(stage)
    found += of_portfolio(stage)
    found += of_flatten(stage)
    found += of_slices(stage)
    found += await of_flights(stage)
    found += _lost_from_journal(armed, set(journal))
    found += await _unjournalled(stage)
    found += _sent_again(stage)
    found += _orphans(stage, journal)
    found += _alarms_missing(stage)
    return found


def _lost_from_journal(armed: dict[str, int], journal: set[str]) -> list[str]:
    return [f"stop {stop} was acknowledged and is not in the journal" for stop in armed if stop not in journal]


def _of_stop(stage: Stage, guarded: Guarded, stop: Stop, mine: dict[StopId, Stop]) -> Iterator[str]:
    """A stop is armed and watched, or closed and its position gone; nothing between, when all is quiet again."""
    world = stage.world
    net = world.net(guarded.instrument, guarded.product)
    known = mine.get(stop.id)
    if known is None:
        yield f"stop {stop.id} of the journal is not known to the engine"
        return
    if known.state is not stop.state:
        yield f"the journal says {stop.state}, the engine {known.state}"
    held = net * (1 if guarded.quantity > 0 else -1)
    if stop.state in (StopState.CLOSED, StopState.DISARMED):
        grown = stage.happened.get(Kind.PHONE_GROW, 0)
        if held > guarded.beside and not grown:
            yield f"the stop is {stop.state} ({stop.note}) and {net} units are still there"
        return
    if stop.state is StopState.SUSPENDED and _was_asked(stage, guarded):
        return
    if stop.state is not StopState.ARMED:
        yield f"the stop is still {stop.state} ({stop.note}); the exchange has {net} units"
        return
    yield from _of_armed(stage, guarded, known, held)


def _was_asked(stage: Stage, guarded: Guarded) -> bool:
    """Whether the price was restated, or the market fell that far overnight, only the trader can tell (F8)."""
    told = (h.event for h in stage.world.heard if isinstance(h.event, Noticed))
    return any(event.level is Level.ALARM and guarded.instrument in event.title for event in told)


def _of_armed(stage: Stage, guarded: Guarded, stop: Stop, held: int) -> Iterator[str]:
    """It guards what is there, it is watched, and nothing has happened that it should have acted upon."""
    world = stage.world
    station = world.station
    if held <= 0:
        yield f"the stop is armed on nothing: {held} units"
    elif stop.quantity != (min(held, units_of(guarded)) if guarded.beside else held):
        yield f"the stop is armed for {stop.quantity} of {held} units"
    last = world.exchange.market.quotes[world.tape.listings.by_key[guarded.instrument].token].last_price
    if stop.is_hit(last):
        yield f"the price {last} is beyond {stop.trigger} and the stop has not fired"
    if guarded.rule is Rule.TARGET and (last - target_of(guarded)) * (1 if guarded.quantity > 0 else -1) >= 0:
        yield f"the price {last} is beyond the target {target_of(guarded)} and nothing was sold"
    if guarded.rule is Rule.TIME and world.loop.time() > stage.begun + leaves_at(guarded):
        yield "its time has come, and it is armed"
    if station is not None and station.desk.stops.watching == 0:
        yield "the stop is armed and nothing watches"


def _without_cause(stage: Stage, guarded: Guarded, stop: Stop) -> Iterator[str]:
    """A stop that fired had a price of the tape beyond its level, or its time had come."""
    if stop.fired_at is None or stop.fired_price is None or guarded.instrument in stage.moved_stops:
        return
    if stop.fired_by is FiredBy.PORTFOLIO and stage.day_loss:
        return  # judged by the day's result
    if stop.fired_by is FiredBy.TRADER and (stage.flattened or stage.happened.get(Kind.MANUAL_EXIT)):
        return
    world = stage.world
    token = world.tape.listings.by_key[guarded.instrument].token
    fired = stage.begun + (stop.fired_at - MORNING.timestamp() * 1e9) / 1e9
    fired = min(fired, world.loop.time())  # on another day
    before = [price for at, price in world.printed[token] if at <= fired + 0.5]
    sign = 1 if guarded.quantity > 0 else -1
    best = max(price * sign for price in before) * sign
    if guarded.rule is Rule.TIME and fired >= stage.begun + leaves_at(guarded):
        return
    if guarded.rule is Rule.TARGET and (best - target_of(guarded)) * sign >= 0:
        return
    worst = min(price * sign for price in before) * sign
    level = earliest(guarded, best, first_price(guarded))
    if (worst - level) * sign > 0:
        yield f"it fired at {stop.fired_price}; no price was at or beyond {level} before"


def _of_position(stage: Stage, guarded: Guarded) -> Iterator[str]:
    """Never turned round, but where two exits crossed on the wire, and then not for long."""
    world = stage.world
    token = world.tape.listings.by_key[guarded.instrument].token
    sign = 1 if guarded.quantity > 0 else -1
    trades = [t for t in world.traded if (t.token, t.product) == (token, guarded.product)]
    turned: Traded | None = None
    for trade in trades:
        held = trade.net * sign
        if held < 0 and turned is None:
            turned = trade
            yield from _knew_better(stage, guarded, trade)
        elif held >= 0 and turned is not None:
            yield from _told_of_turn(stage, guarded, turned, trade)
            # An order that works at another terminal is never touched: what it sells on top goes back in its own time.
            since = max(t.at for t in trades if turned.at <= t.at < trade.at and (t is turned or _pushes(t, sign)))
            if _of_ours(trades, turned.at, sign) and _still_ours(trades, since, sign):
                yield from _too_long(stage, since, trade.at, _book_takes(stage, guarded, since, trade.at))
            turned = None
    if turned is None:
        return
    if stage.night is not None and turned.at < world.turned_day:  # the broker closes it; from then on nobody was there
        yield from _too_long(stage, turned.at, max(turned.at, stage.night))
        return
    yield from _told_of_turn(stage, guarded, turned, None)
    if _by_hand_and_late(stage, guarded, turned):
        return
    # What another terminal has sold since is nobody's to take back.
    others = sum(t.quantity * _sign(t) for t in trades if t.at >= turned.at and not t.tag) * sign
    if others < 0 <= (world.net(guarded.instrument, guarded.product) * sign - others):
        return
    undone = _converted(stage, guarded.instrument) and world.net(guarded.instrument, guarded.product) * sign >= 0
    if not undone:
        yield f"turned round from {turned.at - stage.begun:.2f} s to the end"


def _of_ours(trades: list[Traded], turned: float, sign: int) -> bool:
    """Orders of this program were among those that closed the position before it was turned round; else there is
    nothing that it has to take back."""
    return any(trade.tag and _sign(trade) != sign for trade in trades if trade.at <= turned)


def _still_ours(trades: list[Traded], since: float, sign: int) -> bool:
    """This program has closed more than it has taken back by then: the rest is what others have sold."""
    return sum(trade.quantity * -_sign(trade) * sign for trade in trades if trade.tag and trade.at <= since) > 0


def _pushes(trade: Traded, sign: int) -> bool:
    """Another terminal's order has turned the position further round."""
    return not trade.tag and _sign(trade) != sign


def _converted(stage: Stage, instrument: str) -> bool:
    """The trader has moved this position to another product: a change without a trade or an update."""
    return any(name == instrument for name, _ in stage.converted)


def _sign(trade: Traded) -> int:
    return 1 if trade.side == "BUY" else -1


def _by_hand_and_late(stage: Stage, guarded: Guarded, turned: Traded) -> bool:
    """An order by hand that was proven absent, and came all the same: the trader is called, and decides."""
    by_hand = bool(turned.tag) and stop_of_tag(turned.tag) is None
    return by_hand and bool(stage.happened.get(Kind.LATE)) and _called(stage, guarded.instrument, turned.at)


def _told_of_turn(stage: Stage, guarded: Guarded, turned: Traded, back: Traded | None) -> Iterator[str]:
    """An exit of ours that turned a position round calls the trader, where nobody else has turned it back at once."""
    if stop_of_tag(turned.tag or None) is None or _converted(stage, guarded.instrument):
        return  # by a conversion it may be turned back, too
    by_others = back is not None and not back.tag and stage.fair(turned.at, back.at) < REVERSED_AT_MOST
    if not by_others and not _called(stage, guarded.instrument, turned.at):
        yield f"exit {turned.tag} turned it round and nobody was called"


def _called(stage: Stage, about: str, since: float) -> bool:
    """The trader was alarmed about something from then on."""
    return any(at >= since and about in words for at, words in _alarms(stage))


def _alarms(stage: Stage) -> list[tuple[float, str]]:
    return [
        (h.at, f"{h.event.title} {h.event.cause}")
        for h in stage.world.heard
        if isinstance(h.event, Noticed) and h.event.level is Level.ALARM
    ]


def _book_takes(stage: Stage, guarded: Guarded, since: float, until: float) -> float:
    """Seconds that a thin book needs for what went back: what nobody takes cannot be squared off at once."""
    world = stage.world
    row = world.tape.listings.by_key[guarded.instrument]
    lots = world.tape.thin.get(row.token)
    if lots is None:
        return 0.0
    sign = 1 if guarded.quantity > 0 else -1
    back = sum(
        trade.quantity
        for trade in world.traded
        if (trade.token, trade.product) == (row.token, guarded.product)
        and since < trade.at <= until
        and _sign(trade) == sign
    )
    return back / (lots * row.lot_size) * TRADES


def _too_long(stage: Stage, since: float, until: float, needed: float = 0.0) -> Iterator[str]:
    fair = stage.fair(since, until)
    if fair > REVERSED_AT_MOST + needed:
        yield f"turned round for {until - since:.2f} s, {fair:.2f} of them in fair weather"


def _knew_better(stage: Stage, guarded: Guarded, trade: Traded) -> Iterator[str]:
    """The order that turned it round must have left before the news of what made it too large had come."""
    world = stage.world
    if stop_of_tag(trade.tag or None) is None or stage.happened.get(Kind.NEXT_DAY):
        return
    if _converted(stage, guarded.instrument):
        return  # no update tells of it
    left = world.left[trade.tag] - 0.001
    life = world.life_at(left)
    heard: dict[str, int] = {}
    for news in world.events(OrderChanged):
        if news.at < left and news.station == life and isinstance(news.event, OrderChanged):
            order = news.event.order
            mine = (order.instrument, order.product.value) == (guarded.instrument, guarded.product)
            if mine and order.broker_order_id != trade.order:
                heard[order.broker_order_id] = order.filled_quantity
    known = _known(stage, guarded, life, heard)
    asked = world.exchange.oms.records.orders[trade.order].quantity
    if asked > known >= 0 and heard:
        yield f"exit {trade.tag} for {asked} turned the position round; it left when {known} units were known of"


def _known(stage: Stage, guarded: Guarded, life: int, heard: dict[str, int]) -> int:
    """Units that a life of the workstation knew of: those at its beginning, and what it has heard of since."""
    world = stage.world
    born = world.born(life)
    token = world.tape.listings.by_key[guarded.instrument].token
    sign = 1 if guarded.quantity > 0 else -1
    known = world.net_at(guarded.instrument, guarded.product, born) * sign
    fills: dict[str, int] = {}
    for trade in world.traded:
        if (trade.token, trade.product) == (token, guarded.product) and trade.order in heard:
            units = min(trade.quantity, heard[trade.order] - fills.get(trade.order, 0))
            if units > 0:
                fills[trade.order] = fills.get(trade.order, 0) + units
                if trade.at > born:  # what an order had filled before is in the position of the beginning
                    known += units * sign * _sign(trade)
    return known


async def _unjournalled(stage: Stage) -> list[str]:
    """Every order of ours at the exchange was written down before it left."""
    station = stage.world.station
    assert station is not None
    tags = await station.tags()
    live = {order.tag for order in stage.world.exchange.oms.records.live()}
    prepared = {stop.id for stop in station.stops if not stop.state.is_final}
    waiting = [
        intent.tag
        for intent in await station.journal.unfinished_intents(stage.world.wire.account)
        if intent.tag not in live and intent.stop not in prepared and not stage.happened.get(Kind.NEXT_DAY)
    ]
    return [f"the journal still waits for order {tag}" for tag in waiting] + [
        f"order {order.order_id} with our tag {order.tag} is not in the journal"
        for order in stage.world.exchange.oms.records.orders.values()
        if order.tag
        and stop_of_tag(order.tag) is not None
        and order.tag not in tags
        and not stage.died_owing(stage.world.left.get(order.tag, 0.0))
    ]


def _sent_again(stage: Stage) -> Iterator[str]:
    """No attempt leaves while an earlier one stands in the broker's book, unless it is for what that one left over."""
    world = stage.world
    if stage.happened.get(Kind.PHONE_GROW) or stage.happened.get(Kind.NEXT_DAY):
        return  # there is more to close; the orders of the day before are gone
    units = {
        g.instrument: abs(g.quantity) * world.tape.listings.by_key[g.instrument].lot_size for g in stage.script.guarded
    }
    closing = {g.instrument: "SELL" if g.quantity > 0 else "BUY" for g in stage.script.guarded}
    exits = [
        o
        for o in world.exchange.oms.records.orders.values()
        if stop_of_tag(o.tag or None)
        and o.tag in world.left
        and closing.get(f"{o.exchange}:{o.tradingsymbol}") == o.side  # else what was closed twice goes back
    ]
    for first in exits:
        for later in exits:
            same = stop_of_tag(first.tag) == stop_of_tag(later.tag) and first.side == later.side
            name = f"{first.exchange}:{first.tradingsymbol}"
            most = units.get(name, 0) + _taken_back(stage, later)
            beside = first.status in ("OPEN", "COMPLETE") and first.quantity + later.quantity > most
            waited = any(begin <= world.left[str(later.tag)] <= end + 2.5 for begin, end in stage.slow)
            if waited:
                continue  # its decision waited for the disk
            if same and beside and world.arrived[first.order_id] < world.left[str(later.tag)] - KNOWN_AFTER:
                yield f"{name}: exit {later.tag} left while {first.tag} was in the order book"


def _taken_back(stage: Stage, exit_order: Order) -> int:
    """Units that orders of the same stop had turned the other way again when an exit left."""
    left, stop = stage.world.left[str(exit_order.tag)], stop_of_tag(exit_order.tag)
    return sum(
        t.quantity
        for t in stage.world.traded
        if t.at < left and t.side != exit_order.side and stop_of_tag(t.tag or None) == stop
    )


def _orphans(stage: Stage, journal: Mapping[StopId, Stop]) -> Iterator[str]:
    """No order of a stop outlives it."""
    for order in stage.world.exchange.oms.records.live():
        stop = journal.get(stop_of_tag(order.tag or None) or StopId(""))
        if stop is not None and stop.state.is_final:
            yield f"order {order.order_id} [{order.tag}] is still {order.status}, and its stop is {stop.state}"


def _alarms_missing(stage: Stage) -> Iterator[str]:
    """Whoever lost something is called."""
    world = stage.world
    for order in world.exchange.oms.records.orders.values():
        stop = stop_of_tag(order.tag or None)
        if stop is not None and order.status == "REJECTED":
            name, at = f"{order.exchange}:{order.tradingsymbol}", world.arrived.get(order.order_id, 0.0)
            there = at < closed_at(stage, stop) and world.net_at(name, order.product, at)
            held = there and not _closed_by_another(stage, order, at) and not _trigger_sells(stage, order, at)
            if held and not _superseded(stage, order, at) and not _called(stage, name, at):
                yield f"exit {order.order_id} of {name} was rejected and nobody was called"
    yield from _silence_unsaid(stage)
    yield from _debts_unsaid(stage)


def _superseded(stage: Stage, order: Order, at: float) -> bool:
    """It came long after it had been given up: a later attempt of its stop had left by then, and goes on."""
    stop, left = stop_of_tag(order.tag or None), stage.world.left
    later = [tag for tag in left if stop_of_tag(tag) == stop and tag > str(order.tag) and left[tag] < at]
    return bool(later)


def _closed_by_another(stage: Stage, order: Order, since: float) -> bool:
    """Before anybody had read again: nothing was lost then. A conversion leaves no trade."""
    name = f"{order.exchange}:{order.tradingsymbol}"
    slow = any(begin <= since <= end for begin, end in stage.slow)
    until = since + (REFUSAL_SAID_SLOW if slow else REFUSAL_SAID)
    return any(one == name and since - 0.5 <= at <= until for one, at in stage.converted) or any(
        (t.token, t.product, t.net) == (order.token, order.product, 0) and stop_of_tag(t.tag or None) is None
        for t in stage.world.traded
        if since - 0.5 <= t.at <= until
    )


def _trigger_sells(stage: Stage, order: Order, since: float) -> bool:
    """The stop's own trigger was selling the same units already, and sold them all: that is what it was refused for,
    and nothing was lost, however long the book took."""
    senders, orders = sent_by_triggers(stage), stage.world.exchange.oms.records.orders
    return any(
        trade.token == order.token and trade.at >= since and sender.quantity >= order.quantity
        for trade in stage.world.traded
        if trade.order in senders
        and (sender := orders.get(trade.order)) is not None  # those of the day before are gone
        and sender.status == "COMPLETE"
    )


def _silence_unsaid(stage: Stage) -> Iterator[str]:
    """Where nothing but silence happened, and something was armed all the while."""
    acts = stage.script.acts
    if len(acts) != 1 or acts[0].kind is not Kind.FEED_SILENT or acts[0].amount < SAID_AFTER:
        return
    over = acts[0].at + acts[0].amount
    armed = any(g.breach > over and not g.gain and g.rule is Rule.FIXED for g in stage.script.guarded)
    if armed and not stage.script.day_loss and not _called(stage, "No prices come", stage.begun + acts[0].at):
        yield f"no price came for {acts[0].amount} s, and nobody was called"


def _debts_unsaid(stage: Stage) -> Iterator[str]:
    """A stop that fired while the disk was full could not be written down."""
    for begin, end in stage.full:
        for heard in stage.world.events(StopFired):
            # What waits its turn at a busy disk may find space again when it comes.
            waits = any(since <= heard.at <= until + BUSY_AFTER for since, until in stage.slow)
            written = begin < heard.at < end - 0.1 and not waits and not stage.died_within(heard.at, 0.5)
            if not written or not isinstance(heard.event, StopFired):
                continue
            # Called once for each stop; one that waits for a connection has fired before its exit is written.
            about = f"{heard.event.stop.key.instrument} The journal cannot be written"
            if not _called(stage, about, begin):
                yield "a stop fired while the disk was full, and nobody was called"
