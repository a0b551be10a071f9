from __future__ import annotations

from dataclasses import replace

import pytest

from app.brokers.base import Credentials
from app.brokers.registry import Registry
from app.brokers.zerodha.auth import next_death
from app.brokers.zerodha.factory import ZERODHA
from app.domain.account import Endpoints
from app.domain.broker import Capabilities, Support
from app.domain.errors import Denied
from app.domain.ids import AccountId
from app.runtime.clock import to_datetime
from app.runtime.secret import Secret
from tests.unit.brokers.zerodha.test_mapping import utc

A = AccountId("zerodha-AB1234")
KEYS = Credentials("key", Secret("secret"))
PAPER = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1/connect/login", "ws://127.0.0.1:1/ws")


def test_zerodha_is_there_with_what_the_registry_knows_of_it() -> None:
    info = next(found.info for found in Registry().available() if found.info.name == "zerodha")
    assert (info.name, info.session_dies_at, info.history_days) == ("zerodha", "06:00", 1)
    assert not info.endpoints.paper
    assert (info.capabilities.trading, info.capabilities.trade_history) == (Support.YES, Support.NO)
    assert {limit.kind for limit in info.rate_limits} == {"order", "placement", "quote", "history", "read"}


def test_yes_no_and_unknown_are_never_taken_for_true_or_false() -> None:
    with pytest.raises(TypeError, match="three values"):
        bool(Support.NO)
    assert Capabilities().said()["gtt"] is Support.UNKNOWN


def test_brokers_are_offered_in_our_order() -> None:
    assert [listing.info.name for listing in Registry().available()] == ["zerodha", "upstox"]


def test_an_unknown_broker_is_denied_in_words() -> None:
    with pytest.raises(Denied, match="nobody"):
        Registry().factory("nobody")


@pytest.mark.parametrize(
    "endpoints",
    [
        replace(ZERODHA.endpoints, api_url="https://api.kite.trade.evil.example"),
        replace(ZERODHA.endpoints, api_url="http://api.kite.trade"),
        replace(ZERODHA.endpoints, ws_url="ws://127.0.0.1:1"),
        replace(PAPER, login_url="https://kite.zerodha.com/connect/login"),
        replace(PAPER, api_url="http://127.0.0.1.evil.example"),
    ],
)
def test_live_secrets_never_go_to_an_overridden_address_off_loopback(endpoints: Endpoints) -> None:
    with pytest.raises(Denied, match=r"neither Zerodha's nor all on this machine|without encryption"):
        Registry().factory("zerodha").login(A, KEYS, endpoints)


@pytest.mark.parametrize("endpoints", [ZERODHA.endpoints, PAPER])
def test_the_login_page_carries_key_version_and_state(endpoints: Endpoints) -> None:
    login = Registry().factory("zerodha").login(A, KEYS, endpoints)
    assert login.login_url("a-_b") == (f"{endpoints.login_url}?v=3&api_key=key&redirect_params=state%3Da-_b")


@pytest.mark.parametrize(
    ("now", "death"),
    [
        ("2026-11-20T10:00:00+05:30", "2026-11-21T06:00:00+05:30"),
        ("2026-11-20T05:59:59+05:30", "2026-11-20T06:00:00+05:30"),
        ("2026-11-20T06:00:00+05:30", "2026-11-21T06:00:00+05:30"),
        ("2026-12-31T23:00:00+05:30", "2027-01-01T06:00:00+05:30"),
    ],
)
def test_tokens_die_at_the_next_six_in_india(now: str, death: str) -> None:
    assert to_datetime(next_death(utc(now))) == to_datetime(utc(death))
