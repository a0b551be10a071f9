"""How often a provider of quotes may still be asked, and who of many waits longest."""

from __future__ import annotations

from app.domain.broker import RateLimit
from app.domain.ids import InstrumentId
from app.domain.quotes import QuoteChoice, in_turn
from app.market.allowance import Allowance

LIMITS = (RateLimit("quote", 10, 60), RateLimit("quote", 5, 1))


def test_every_window_holds_at_four_fifths() -> None:
    allowance = Allowance(LIMITS)
    assert (allowance.limit, allowance.room(0.0)) == (8, 4)
    for _ in range(4):
        allowance.took(0.0)
    assert allowance.room(0.5) == 0
    assert allowance.room(1.5) == 4
    for _ in range(4):
        allowance.took(1.5)
    assert (allowance.used(3.0), allowance.room(3.0)) == (8, 0)
    assert allowance.room(60.5) == 4


def test_a_pause_that_was_asked_for_is_kept() -> None:
    allowance = Allowance(LIMITS)
    allowance.pause(10.0, 30.0)
    allowance.pause(10.0, 5.0)
    assert (allowance.room(39.0), allowance.room(40.0)) == (0, 4)


def test_a_long_list_goes_round_under_a_small_limit() -> None:
    names = [InstrumentId(f"NSE:{letter}") for letter in "ABCDE"]
    asked: dict[InstrumentId, float] = {}
    turns = []
    for now in (0.0, 1.0, 2.0, 10.0):
        turn = in_turn(names, asked, now, every=10.0, room=2)
        asked.update(dict.fromkeys(turn, now))
        turns.append("".join(name[-1] for name in turn))
    assert turns == ["AB", "CD", "E", "AB"]
    assert in_turn(names, {}, 0.0, 10.0, -3) == []


def test_an_order_keeps_what_is_new_for_last() -> None:
    choice = QuoteChoice(("finnhub", "gone", "b"))
    assert choice.arranged(["a", "b", "finnhub"]) == ("finnhub", "b", "a")
