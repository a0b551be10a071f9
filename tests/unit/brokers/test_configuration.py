"""What a trader may enter to connect, and what is said of the rest."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from app.brokers.configuration import check, check_same_money, completed, problems
from app.brokers.info import parse_info, shipped_info
from app.domain.account import Endpoints
from app.domain.broker import Environment
from app.domain.errors import Denied

ZERODHA = shipped_info("zerodha")
PAPER = Endpoints("http://127.0.0.1:1", "http://127.0.0.1:1/connect/login", "ws://127.0.0.1:1/ws")
RIGHT = {"api_key": "abcd1234efgh5678", "api_secret": "canary-secret"}


def test_what_is_right_has_no_problems() -> None:
    assert problems(ZERODHA, RIGHT) == ()
    assert problems(ZERODHA, RIGHT, PAPER) == ()
    assert problems(ZERODHA, RIGHT, ZERODHA.endpoints) == ()
    assert problems(ZERODHA, RIGHT, replace(PAPER, redirect_url="http://127.0.0.1:8000/kite")) == ()


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"api_secret": "s"}, "api_key", "The API key is missing"),
        ({"api_key": "abcd"}, "api_secret", "The API secret is missing"),
        ({**RIGHT, "api_key": "ab cd"}, "api_key", "blanks"),
        ({**RIGHT, "api_secret": "canary\n"}, "api_secret", "blanks or line breaks"),
        ({**RIGHT, "api_secret": "canary\u00e9"}, "api_secret", "letters in it"),
        ({**RIGHT, "api_key": "abc/def"}, "api_key", "no API key of Zerodha"),
        ({**RIGHT, "pin": "1234"}, "pin", "no setting called pin"),
    ],
)
def test_each_mistake_is_named_with_its_field_and_a_way_out(values: dict[str, str], field: str, words: str) -> None:
    (problem,) = problems(ZERODHA, values)
    assert problem.field == field
    assert words in problem.cause
    assert problem.next_step
    assert "canary" not in f"{problem}"


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"api_url": ""}, "api_url", "is missing"),
        ({"api_url": "127.0.0.1:5000"}, "api_url", "not an address"),
        ({"api_url": "http://127.0.0.1:x"}, "api_url", "not an address"),
        ({"api_url": "ftp://127.0.0.1"}, "api_url", "cannot begin with ftp:"),
        ({"ws_url": "https://127.0.0.1"}, "ws_url", "cannot begin with https:"),
        ({"login_url": "http://me:canary@127.0.0.1/login"}, "login_url", "name or password"),
        ({"api_url": "http://api.kite.trade"}, "api_url", "without encryption"),
        ({"redirect_url": "myapp"}, "redirect_url", "not an address"),
        ({"redirect_url": "http://127.0.0.1/#x"}, "redirect_url", "ends with a #"),
        ({"api_url": "https://api.kite.trade"}, "", "neither Zerodha's nor all on this machine"),
        ({"api_url": "http://[::1"}, "api_url", "not an address"),
    ],
)
def test_each_bad_address_is_named(change: dict[str, str], field: str, words: str) -> None:
    (problem,) = problems(ZERODHA, RIGHT, replace(PAPER, **change))
    assert (problem.field, words in problem.cause) == (field, True), problem
    assert problem.next_step
    assert "canary" not in f"{problem}"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Denied, match="API key is missing") as caught:
        check(ZERODHA, {}, replace(PAPER, ws_url="http://127.0.0.1"))
    assert "API secret" in caught.value.detail
    assert "price stream" in caught.value.detail


def test_a_practice_world_of_the_broker_is_its_own_and_not_mixed_with_live() -> None:
    demo = Endpoints("https://demo.kite.trade", "https://demo.kite.trade/login", "wss://demo.kite.trade")
    info = replace(ZERODHA, environments=(Environment("demo", demo),))
    assert problems(info, RIGHT, demo) == ()
    (problem,) = problems(info, RIGHT, replace(demo, api_url=ZERODHA.endpoints.api_url))
    assert "neither" in problem.cause
    assert problems(ZERODHA, RIGHT, demo) != ()


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [(PAPER, ZERODHA.endpoints, "would go to a live broker"), (ZERODHA.endpoints, PAPER, "to a paper exchange")],
)
def test_an_account_never_changes_between_play_money_and_real_money(
    before: Endpoints, after: Endpoints, words: str
) -> None:
    with pytest.raises(Denied, match=words):
        check_same_money(before, after)
    check_same_money(before, before)


def test_metadata_that_is_not_metadata_is_named_by_its_field() -> None:
    told = msgspec.json.decode(msgspec.json.encode(ZERODHA))
    told["capabilities"]["gtt"] = "perhaps"
    with pytest.raises(ValueError, match=r"\$\.capabilities\.gtt"):
        parse_info(msgspec.json.encode(told))


def test_a_redirect_url_alone_stands_beside_the_brokers_own_addresses() -> None:
    info = shipped_info("upstox")
    alone = Endpoints("", "", "", "http://127.0.0.1:8321/done")
    assert completed(info, alone) == replace(info.endpoints, redirect_url="http://127.0.0.1:8321/done")
    assert completed(info, None) == info.endpoints
    assert completed(info, PAPER) == PAPER
    half = replace(alone, api_url="https://api.upstox.com")
    assert "is missing" in problems(info, RIGHT, completed(info, half))[0].cause


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"capabilites": {}}, "$.capabilites"),
        ({"capabilities": {"gtts": "yes"}}, "$.capabilities.gtts"),
        ({"rate_limits": [{"kind": "read", "amount": 1, "seconds": 1, "per": "key"}]}, "$.rate_limits[0].per"),
    ],
)
def test_a_misspelt_field_is_named_and_never_ignored(change: dict[str, object], named: str) -> None:
    told = {**msgspec.json.decode(msgspec.json.encode(ZERODHA)), **change}
    with pytest.raises(ValueError, match="there is no field") as caught:
        parse_info(msgspec.json.encode(told))
    assert str(caught.value).endswith(named)


@pytest.mark.parametrize("name", ["zerodha", "upstox"])
def test_the_shipped_metadata_has_no_misspelt_field(name: str) -> None:
    assert shipped_info(name).name == name
