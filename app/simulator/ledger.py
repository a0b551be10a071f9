"""The account in use: what is available, what an order needs, fills taken in, the day change. Writes to the book.

Owned by the order system; runs on the loop thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date

from app.simulator import account as accounts
from app.simulator import demat, margins, spreads
from app.simulator.account import Account, Conversion, Holding, Position
from app.simulator.book import Book
from app.simulator.charges import of_fills
from app.simulator.listing import Listing
from app.simulator.market import Market
from app.simulator.order import Fill, Order
from app.simulator.refusal import Refused, bad_input
from app.simulator.refusals import insufficient_funds, price_of


class Ledger:
    """See the module."""

    def __init__(self, account: Account, market: Market, book: Book) -> None:
        self.account = account
        self._market = market
        self._book = book
        self.converted: Callable[[int, Conversion], None] = lambda _token, _move: None
        """Told of a position that changed its product."""

    # -- what may be done

    def check(self, order: Order, beside: Iterable[Order], live: Callable[[], Iterable[Order]]) -> None:
        """Raises Refused when an order needs more than there is.

        `beside`: the other open orders of its instrument; `live`: all open orders, asked for only when money is needed.
        """
        listing = self._market.listings.by_token[order.token]
        opening = self._opening(order, beside)
        if opening <= 0:
            return
        if order.product in ("CNC", "MTF") and order.side == "SELL":
            raise Refused(
                400,
                "HoldingException",
                f"Insufficient holdings. {order.tradingsymbol}: {order.left - opening} can be sold, "
                f"{order.left} asked for.",
            )
        needed = self._needed(order, listing, opening) - self._covered(order, listing, opening)
        available = self.available([o for o in live() if o.order_id != order.order_id])
        if needed > available:
            raise insufficient_funds(needed, available)

    def available(self, live: Iterable[Order]) -> int:
        """Cash and the day's cash flow less what positions and open orders tie up. Paise."""
        cash, margin = self.usage()
        return self.account.cash + cash - margin.total - self.blocked(live)

    def usage(self) -> tuple[int, margins.Margin]:
        """Of the positions: cash flow of the day, and margins by head (premiums are cash flow)."""
        cash, heads = 0, [0, 0, 0]
        for position in self.account.positions.values():
            listing = self._market.listings.by_token.get(position.token)
            if listing is None:
                continue
            used, flow = self.account.used(position, listing)
            cash += flow
            heads = [heads[0] + used.var, heads[1] + used.span, heads[2] + used.exposure]
        heads[1] -= spreads.relief(self.stakes())
        return cash, margins.Margin(*heads)

    def stakes(self) -> list[spreads.Stake]:
        """The open positions, as they count in spreads."""
        found = []
        for position in self.account.positions.values():
            listing = self._market.listings.by_token.get(position.token)
            if listing is not None and position.quantity:
                price = price_of(listing, position.open_value(), abs(position.quantity))
                found.append(spreads.Stake(listing, position.product, position.quantity, price))
        return found

    def blocked(self, live: Iterable[Order]) -> int:
        """What the opening parts of open orders tie up. Paise. Earlier orders close the position first."""
        total = 0
        closable: dict[tuple[int, str, str], int] = {}
        for order in live:
            key = (order.token, order.product, order.side)
            free = closable.setdefault(key, self._closable(order))
            closing = min(free, order.left)
            closable[key] = free - closing
            if order.left > closing:
                listing = self._market.listings.by_token[order.token]
                total += self._needed(order, listing, order.left - closing)
        return total

    def _covered(self, order: Order, listing: Listing, opening: int) -> int:
        """What an order needs less because it makes a spread with what is held."""
        if not listing.underlying:
            return 0
        held = self.stakes()
        signed = opening if order.side == "BUY" else -opening
        stake = spreads.Stake(listing, order.product, signed, self._asked(order))
        return spreads.relief([*held, stake]) - spreads.relief(held)

    def _asked(self, order: Order) -> int:
        return order.limit or order.trigger_price or self._market.quotes[order.token].last_price

    def _needed(self, order: Order, listing: Listing, opening: int) -> int:
        return margins.required(listing, order.side, order.product, opening, self._asked(order)).total

    def _opening(self, order: Order, beside: Iterable[Order]) -> int:
        """Units of an order that do not close the position: what other orders of its side will close is gone."""
        closable = self._closable(order)
        for other in beside:
            if (other.product, other.side) == (order.product, order.side):
                closable -= min(closable, other.left)
        return order.left - min(order.left, closable)

    def _closable(self, order: Order) -> int:
        net = self.account.net_quantity(order.token, order.product)
        return max(0, net if order.side == "SELL" else -net)

    # -- what happened

    def take(self, fill: Fill) -> None:
        """A fill changes its position."""
        listing = self._market.listings.by_token[fill.token]
        position = self.account.apply(listing, fill.product, fill.side, fill.quantity, fill.price)
        self._book.put("position", _key(position), accounts.position_record(position))

    def take_back(self, fill: Fill) -> None:
        """A fill that is withdrawn leaves its position."""
        listing = self._market.listings.by_token[fill.token]
        position = self.account.apply(listing, fill.product, fill.side, -fill.quantity, fill.price)
        self._book.put("position", _key(position), accounts.position_record(position))

    def convert(self, listing: Listing, move: Conversion, live: Iterable[Order]) -> None:
        """Moves a part of a position to another product, if the money and the shares allow it. Raises Refused."""
        allowed = ("NRML", "MIS") if listing.underlying else ("CNC", "MIS")
        if move.old not in allowed or move.new not in allowed or move.old == move.new:
            raise bad_input(f"Positions in {listing.exchange} can be converted between {' and '.join(allowed)}.")
        if move.quantity <= 0:
            raise bad_input("Invalid `quantity`: it must be above 0.")
        waiting = list(live)
        before = self.available(waiting)
        keys = [(listing.token, move.old), (listing.token, move.new)]
        saved = {key: replace(position) for key in keys if (position := self.account.positions.get(key))}
        try:
            self.account.convert(listing, move)
            after = self.available(waiting)
            if after < 0 and after < before:
                raise insufficient_funds(before - after, before)
            if "CNC" in (move.old, move.new) and self.account.net_quantity(listing.token, "CNC") < 0:
                raise Refused(400, "HoldingException", f"Insufficient holdings of {listing.tradingsymbol}.")
        except Refused:
            for key in keys:
                self.account.positions.pop(key, None)
            self.account.positions.update(saved)
            raise
        for key in keys:
            position = self.account.positions[key]
            if position.overnight_quantity or position.bought or position.sold:
                self._book.put("position", _key(position), accounts.position_record(position))
            else:
                del self.account.positions[key]
                self._book.drop("position", _key(position))
        self._book.commit(durable=True)
        self.converted(listing.token, move)

    def hold(self, token: int, quantity: int, value: int) -> None:
        """Puts shares into the demat account, as if bought long ago."""
        holding = self.account.holdings.setdefault(token, Holding(token))
        holding.quantity += quantity
        holding.opening_quantity += quantity
        holding.value += value
        self._book.put("holding", str(token), accounts.holding_record(holding))

    def next_day(self, fills: list[Fill], ended: date, brokers: Mapping[str, str]) -> None:
        """06:00: see `account.carry_over`. The ended day's charges leave the cash, each order's at the rates of the
        broker over whose wire it came (order id to broker), and the depository's fees of what was sold of holdings."""
        for position in self.account.positions.values():
            self._book.drop("position", _key(position))
        for token in self.account.holdings:
            self._book.drop("holding", str(token))
        listings = self._market.listings.by_token
        due = of_fills(fills, listings, ended, brokers)
        due += demat.of_positions(self.account.positions.values(), fills, listings, ended, brokers)
        accounts.carry_over(self.account, listings, self._prices, due)
        self.save()

    def save(self) -> None:
        """All of it, into the book's next transaction."""
        self._book.put("account", self.account.user_id, self.account.record())
        for position in self.account.positions.values():
            self._book.put("position", _key(position), accounts.position_record(position))
        for token, holding in self.account.holdings.items():
            self._book.put("holding", str(token), accounts.holding_record(holding))

    def load(self) -> None:
        """From the book, what it has."""
        for record in self._book.load("account").values():
            self.account.cash = int(record["cash"])
        for record in self._book.load("position").values():
            position = Position(**record)
            self.account.positions[position.token, position.product] = position
        for record in self._book.load("holding").values():
            holding = Holding(**record)
            self.account.holdings[holding.token] = holding

    def _prices(self, token: int) -> tuple[int, int]:
        quote = self._market.quotes[token]
        return quote.last_price, quote.close


def _key(position: Position) -> str:
    return f"{position.token}:{position.product}"
