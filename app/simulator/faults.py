"""Scripted faults: `--fault SPEC` and `PUT /simulator/faults`.

    SPEC    = NAME[=VALUE][:KEY=VALUE[,KEY=VALUE ...]]      a fault, or SWITCH=VALUE (see app.simulator.switches)
    KEY     = route        place modify cancel orders order trades positions holdings margins quote historical
                           instruments session profile charges gtt alerts mf history calendar socket; any when
                           absent (of requests that match NAME)
              instrument   NSE:INFY
              nth          from the nth matching event on (counted from when the fault was set); default 1
              count        how many times it strikes; default 1, 0 = until it is released
              chance       0 to 1, drawn from the exchange's seed; default 1
              retry-after  for status: sent as the header of that name, whatever it says
              kind         for status: the error type, where it is not the usual one of the code
              text         for status, refuse and reject; takes the rest of the SPEC, commas and all

Of a request: lost-before (closed, nothing done)          lost-after (done, closed without a reply)
              delay=S (done, replied S s later)           accept-late=S (done and replied S s later)
              late-lost=S (closed at once, done S s later) status=CODE (400 to 599, nothing done)
              throttle[=S] (429, Retry-After S)           html-403  html=CODE (a page where JSON belongs)
              bad-gzip     cut-json     close (half a reply)        slow=S (a byte every S s)
              oversized=MB (so much more, in a body of unknown length)  repeat-page (a page is answered with the last)
              refuse[=TYPE]:text=... (an error envelope)
At the broker, tied to a request: end-session (before it)  withdraw (before it, the last trade is taken back)
              fill-before=N  fill-after=N (the client buys N, below nought sells, on another terminal; instrument says
              what; tied to the request's route)
Of an order:  reject:text=... (REJECTED after acceptance)  partial=N (N units, in
              whole lots, fill; the rest waits until released)
Of an update: update-drop  update-duplicate  update-delay=S  update-reorder (sent after the next one)
Of the ticker (an event is a batch of ticks): ticker-disconnect  ticker-cut  ticker-malformed  ticker-silence=S
Of order updates with a stream of their own (Upstox): order-stream-down (cut, and none is opened until released)
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.simulator.switches import CHOICES, Switches

REQUEST = frozenset(
    {
        "lost-before",
        "lost-after",
        "delay",
        "accept-late",
        "late-lost",
        "status",
        "throttle",
        "html-403",
        "bad-gzip",
        "cut-json",
        "close",
        "refuse",
        "html",
        "slow",
        "oversized",
        "repeat-page",
    }
)
HAPPENING = frozenset({"end-session", "withdraw", "fill-before", "fill-after"})
ORDER = frozenset({"reject", "partial"})
UPDATE = frozenset({"update-drop", "update-duplicate", "update-delay", "update-reorder"})
STANDING = frozenset({"order-stream-down"})
"""Not met by events: they hold from when they are set until they are released."""
TICKER = frozenset({"ticker-disconnect", "ticker-cut", "ticker-malformed", "ticker-silence"})
_NEEDS_NUMBER = frozenset(
    {
        "delay",
        "accept-late",
        "late-lost",
        "status",
        "partial",
        "update-delay",
        "ticker-silence",
        "html",
        "slow",
        "oversized",
        "fill-before",
        "fill-after",
    }
)
_CODES = frozenset({"status", "html"})
_SIGNED = frozenset({"fill-before", "fill-after"})
_TEXTS = {"instrument": "instrument", "retry-after": "retry_after", "kind": "kind"}
LEAST_CODE, LARGEST_CODE = 400, 599
ROUTES = frozenset(
    {
        "place",
        "modify",
        "cancel",
        "orders",
        "order",
        "trades",
        "positions",
        "holdings",
        "margins",
        "quote",
        "historical",
        "instruments",
        "session",
        "profile",
        "charges",
        "gtt",
        "alerts",
        "mf",
        "history",
        "calendar",
        "socket",
        "login",
        "other",
    }
)


@dataclass(slots=True)
class Fault:
    """One scripted fault and how often it has been met and has struck."""

    id: int
    spec: str
    name: str
    value: str = ""
    route: str = ""
    instrument: str = ""
    nth: int = 1
    count: int = 1
    chance: float = 1.0
    text: str = ""
    retry_after: str = ""
    kind: str = ""
    about: str = ""
    """What a happening is about; it meets every request of its route."""
    seen: int = 0
    struck: int = 0

    @property
    def seconds(self) -> float:
        """Its value as a number."""
        return float(self.value or 0)

    def row(self) -> dict[str, Any]:
        """As GET /simulator/faults shows it."""
        return {"id": self.id, "spec": self.spec, "seen": self.seen, "struck": self.struck}


class Faults:
    """All faults that are set, and the switches. Used on the loop thread only."""

    def __init__(self, specs: Sequence[str] = (), seed: int | None = None) -> None:
        self.switches = Switches()
        self._faults: dict[int, Fault] = {}
        self._next = 1
        self._random = random.Random(seed)
        for spec in specs:
            self.add(spec)

    def add(self, spec: str) -> Fault | None:
        """Sets a fault, or a switch (then None). Raises ValueError in words."""
        head, _, tail = spec.strip().partition(":")
        name, _, value = head.partition("=")
        if name in CHOICES:
            self.switches = self.switches.turned(name, value)
            return None
        if name not in REQUEST | HAPPENING | ORDER | UPDATE | TICKER | STANDING:
            raise ValueError(f"there is no fault or switch called {name!r}")
        fault = Fault(self._next, spec.strip(), name, value)
        if name in _NEEDS_NUMBER:
            number = _number(fault.name, value, signed=name in _SIGNED)
            if name in _CODES and not LEAST_CODE <= number <= LARGEST_CODE:
                raise ValueError(f"{name} needs a code from {LEAST_CODE} to {LARGEST_CODE}, not {value}")
        self._read_keys(fault, tail)
        if name in HAPPENING:
            fault.about, fault.instrument = fault.instrument, ""
        self._faults[fault.id] = fault
        self._next += 1
        return fault

    def replace(self, specs: Sequence[str]) -> None:
        """The whole set at once, switches back to their defaults first. All or nothing."""
        probe = Faults(specs)
        self._faults.clear()
        self.switches = probe.switches
        for spec in specs:
            self.add(spec)

    def release(self, fault_id: int) -> Fault | None:
        """Takes one fault away."""
        return self._faults.pop(fault_id, None)

    def rows(self) -> list[dict[str, Any]]:
        """All faults that are set."""
        return [fault.row() for fault in self._faults.values()]

    def holds(self, instrument: str) -> bool:
        """Whether a `partial` fault still stands for an instrument: until it goes, the rest does not fill."""
        return any(f.name == "partial" and f.instrument in ("", instrument) for f in self._faults.values())

    def stands(self, name: str) -> bool:
        """Whether one of `STANDING` is set."""
        return any(fault.name == name for fault in self._faults.values())

    def strike(self, kinds: frozenset[str], route: str = "", instrument: str = "") -> Fault | None:
        """The first fault that an event meets and that is due; counts the event on every fault that it meets."""
        found: Fault | None = None
        for fault in self._faults.values():
            if fault.name not in kinds or fault.route not in ("", route) or fault.instrument not in ("", instrument):
                continue
            fault.seen += 1
            spent = fault.count and fault.struck >= fault.count
            if found is None and not spent and fault.seen >= fault.nth and self._random.random() < fault.chance:
                fault.struck += 1
                found = fault
        return found

    @staticmethod
    def _read_keys(fault: Fault, tail: str) -> None:
        rest = tail
        while rest:
            if rest.startswith("text="):
                fault.text = rest.removeprefix("text=")
                return
            pair, _, rest = rest.partition(",")
            key, _, value = pair.partition("=")
            if key == "route":
                if value not in ROUTES:
                    raise ValueError(f"there is no route called {value!r}; there are {', '.join(sorted(ROUTES))}")
                fault.route = value
            elif key in _TEXTS:
                setattr(fault, _TEXTS[key], value)
            elif key == "nth":
                fault.nth = int(_number(key, value))
            elif key == "count":
                fault.count = int(_number(key, value))
            elif key == "chance":
                fault.chance = _number(key, value)
            else:
                raise ValueError(
                    f"a fault has no key {key!r}: route, instrument, nth, count, chance, retry-after, kind, text"
                )


def _number(name: str, text: str, *, signed: bool = False) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} needs a number, not {text!r}") from None
    if value < 0 and not signed:
        raise ValueError(f"{name} cannot be negative")
    return value
