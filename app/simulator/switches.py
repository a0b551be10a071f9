"""Points on which the brokers' documents are silent or contradict each other: switches, tested both ways.

Set by `--fault NAME=VALUE` or `PUT /simulator/faults`. The first value of each is the default.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

CHOICES: dict[str, tuple[str, ...]] = {
    # Rate limits of A4, counted on real time. Load tests switch them off.
    "limits": ("on", "off"),
    # A5: orders only from registered addresses. On: every place, modify, cancel is refused.
    "static_ip": ("off", "on"),
    # A5: MARKET and SL-M without protection are refused since 2026-04-01.
    "protection": ("required", "optional"),
    # D2: the error type of that refusal.
    "protection_error": ("InputException", "OrderException"),
    # Brokers refuse MARKET on stock options and SL-M on index options.
    "stock_option_market": ("refused", "allowed"),
    "index_option_slm": ("refused", "allowed"),
    # A7.1: are funds checked before the answer, or does the order come back REJECTED?
    "funds": ("sync", "late"),
    # D1: what `quantity` of a modification counts.
    "modify_quantity": ("total", "remaining"),
    # Does turning a resting exit into a marketable one pass the risk check again?
    "modify_margin": ("none", "fresh"),
    # D5: what a second login does to the first token.
    "relogin": ("many", "newest", "same"),
    # A1: the version header missing.
    "version_header": ("tolerated", "required"),
    # A12: the instrument dump without a session.
    "instruments_auth": ("open", "required"),
    # A7.2: how a protected MARKET order reads in the order book.
    "market_row": ("LIMIT", "MARKET"),
    # Whether a feed that never sleeps keeps the real trading hours all the same: for AMO, refusals, triggers.
    "hours": ("feed", "clock"),
    # A8.4: whether the client has signed over the sale of its shares for good, or authorises each at the depository.
    "authorisation": ("given", "needed"),
    # The plan of the app: a Personal key has no market data; the status of that refusal is not documented.
    "plan": ("connect", "personal"),
    "plan_status": ("403", "400"),
    # D2: the error type of an order from an address that is not registered.
    "static_ip_error": ("PermissionException", "InputException"),
    # A2.5: individuals get no refresh token; approved platforms do.
    "renewal": ("none", "given"),
    # A2.2: what the redirect after a login carries beside the token and the status.
    "redirect_extras": ("on", "off"),
    # A3: the status of a sale of shares that are not held.
    "holding_status": ("400", "403"),
    # A4: whether changing and cancelling orders, and triggers, share the bucket of placing orders.
    "modify_bucket": ("orders", "other"),
    # Whether two orders of the client itself that meet trade with each other: one trade id, both sides.
    "self_match": ("off", "on"),
    # D6: the content type of a postback.
    "postback_content": ("application/json", "application/x-www-form-urlencoded"),
    # D3: the mode of an instrument after a bare subscribe.
    "stream_mode": ("quote", "full", "ltp"),
    # A17.2: whether the first packet after a subscribe is a snapshot, or ticks simply start.
    "stream_snapshot": ("on", "off"),
    # A17.4: text events of types that no document names.
    "stream_meta": ("off", "on"),
    # D4: how autoslice answers: the order with its children, or the plain list of the July 2026 page.
    "autoslice_answer": ("children", "list"),
    # Whether later legs of an iceberg name the first one (the samples show a first leg only).
    "iceberg_parent": ("none", "first"),
    # D8: whether a trigger at the broker may carry a MARKET order, and how far it must lie from the last price.
    "gtt_market": ("refused", "allowed"),
    "gtt_distance": ("any", "0.25"),
    # B1: which default User-Agents Upstox's CDN refuses: those of Python's libraries, urllib's alone, none.
    "user_agent": ("libraries", "urllib", "any"),
    # B2.3: does the token answer hold an extended token?
    "extended": ("entitled", "none"),
    # B15.1: Upstox Plus: more connections, 30 levels, expired contracts.
    "plus_plan": ("off", "on"),
    # D9: what a missing market_protection means at Upstox.
    "protection_default": ("auto", "none"),
    # D10: most slices of one order, most lines of a multi-order.
    "slices": ("10", "25"),
    "multi_lines": ("10", "25"),
    # D12: how trades print their times: 2026-11-20 10:00:00 or 20-Nov-2026 10:00:00.
    "trade_time": ("iso", "words"),
    # D13: the kind of the first message after a subscription.
    "first_feed": ("initial", "live"),
    # B8: are the funds calls closed from midnight to 05:30?
    "funds_night": ("closed", "open"),
    # B9: does the trade history hold the running day?
    "history_today": ("excluded", "included"),
    # B8: the price of a side on which nothing was done today: null or an empty text.
    "no_price": ("null", "empty"),
    # B7.4: are a multi-order's buyers placed before its sellers?
    "multi_order": ("buys-first", "as-given"),
    # B7.4: does the exit of all positions leave delivered shares alone?
    "exit_delivery": ("skipped", "sold"),
    # B11: do the historical candles hold the running day?
    "candles_today": ("excluded", "included"),
    # B13: at which moment of its day a contract's expiry stands in the instrument file.
    "expiry_moment": ("end", "start"),
    # B15.1: requests of the feed that come in text frames.
    "text_frames": ("ignored", "taken"),
    # B6: are funded positions listed apart from the others alone, or among them too?
    "mtf_listed": ("apart", "both"),
    # B16: what a portfolio stream without update_types tells of.
    "stream_default": ("order", "all"),
}


@dataclass(frozen=True, slots=True)
class Switches:
    """One setting of every switch."""

    limits: str = "on"
    static_ip: str = "off"
    protection: str = "required"
    protection_error: str = "InputException"
    stock_option_market: str = "refused"
    index_option_slm: str = "refused"
    funds: str = "sync"
    modify_quantity: str = "total"
    modify_margin: str = "none"
    relogin: str = "many"
    version_header: str = "tolerated"
    instruments_auth: str = "open"
    market_row: str = "LIMIT"
    hours: str = "feed"
    authorisation: str = "given"
    plan: str = "connect"
    plan_status: str = "403"
    static_ip_error: str = "PermissionException"
    renewal: str = "none"
    redirect_extras: str = "on"
    holding_status: str = "400"
    modify_bucket: str = "orders"
    self_match: str = "off"
    postback_content: str = "application/json"
    stream_mode: str = "quote"
    stream_snapshot: str = "on"
    stream_meta: str = "off"
    autoslice_answer: str = "children"
    iceberg_parent: str = "none"
    gtt_market: str = "refused"
    gtt_distance: str = "any"
    user_agent: str = "libraries"
    extended: str = "entitled"
    plus_plan: str = "off"
    protection_default: str = "auto"
    slices: str = "10"
    multi_lines: str = "10"
    trade_time: str = "iso"
    first_feed: str = "initial"
    funds_night: str = "closed"
    history_today: str = "excluded"
    no_price: str = "null"
    multi_order: str = "buys-first"
    exit_delivery: str = "skipped"
    candles_today: str = "excluded"
    expiry_moment: str = "end"
    text_frames: str = "ignored"
    stream_default: str = "order"
    mtf_listed: str = "apart"

    def turned(self, name: str, value: str) -> Switches:
        """With one switch set. Raises ValueError in words for a name or value that does not exist."""
        if name not in CHOICES:
            raise ValueError(f"there is no switch called {name!r}; there are {', '.join(CHOICES)}")
        if value not in CHOICES[name]:
            raise ValueError(f"switch {name} takes {' or '.join(CHOICES[name])}, not {value!r}")
        return replace(self, **{name: value})

    def as_dict(self) -> dict[str, str]:
        """Name to value."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
