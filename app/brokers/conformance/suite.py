"""All cards, for a test module to import: `from app.brokers.conformance.suite import *` beside a fixture `bench`."""

from __future__ import annotations

from app.brokers.conformance.cards_factory import TestHowASessionBegins, TestWhatItSaysOfItself
from app.brokers.conformance.cards_parts import TestOtherParts, TestRestingTriggers
from app.brokers.conformance.cards_reading import TestHistory, TestWhatIsNoAnswer, TestWhatItTells
from app.brokers.conformance.cards_stream import TestExits, TestPrices
from app.brokers.conformance.cards_trading import TestOrders

__all__ = [
    "TestExits",
    "TestHistory",
    "TestHowASessionBegins",
    "TestOrders",
    "TestOtherParts",
    "TestPrices",
    "TestRestingTriggers",
    "TestWhatIsNoAnswer",
    "TestWhatItSaysOfItself",
    "TestWhatItTells",
]
