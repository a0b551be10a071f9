"""Typed publish and subscribe on the loop thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

E = TypeVar("E")

log = logging.getLogger(__name__)


class Bus:
    """Delivers each event at once, in the order of subscription. A raising handler is reported, never fatal.

    Loop thread only. Handlers return at once; slow work goes into a task.
    """

    def __init__(self) -> None:
        self._by_type: dict[type, list[Callable[[Any], None]]] = {}
        self._all: list[Callable[[Any], None]] = []

    def subscribe(self, kind: type[E], handler: Callable[[E], None]) -> None:
        """Handler is called with every event of exactly this type."""
        self._by_type.setdefault(kind, []).append(handler)

    def subscribe_all(self, handler: Callable[[Any], None]) -> None:
        """Handler is called with every event (the window's bridge)."""
        self._all.append(handler)

    def unsubscribe(self, handler: Callable[[Any], None]) -> None:
        """Removes a handler from wherever it was subscribed; unknown ones are ignored."""
        for handlers in (*self._by_type.values(), self._all):
            if handler in handlers:
                handlers.remove(handler)

    def publish(self, event: object) -> None:
        """Hands the event to everyone who asked for it."""
        for handler in (*self._by_type.get(type(event), ()), *self._all):
            try:
                handler(event)
            except Exception:  # one bad view must not cost another its fill
                log.exception("a handler of %s failed", type(event).__name__)
