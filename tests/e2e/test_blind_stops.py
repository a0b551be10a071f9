"""Prices that do not come, that are old or somebody else's; sessions and exchanges that die under a stop."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import pytest

from tests.e2e.hosts import Nursery, RunningHost
from tests.e2e.test_engine_faults import Scene
from tests.exchange import PaperExchange, eventually
from tests.shared_data import shared_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery(light=True) as started:
        yield started


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperExchange]:
    state = tmp_path_factory.mktemp("exchange")
    with PaperExchange(state, "--fault", "limits=off", "--cash", "100000000") as started:
        yield started


@pytest.fixture(scope="module")
def home(exchange: PaperExchange, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """[profile, account], set up once."""
    profile = tmp_path_factory.mktemp("profile")
    with nursery.host(profile) as host:
        account = host.set_up(exchange)
    return [str(profile), account]


@pytest.fixture
def host(nursery: Nursery, exchange: PaperExchange, home: list[str]) -> Iterator[RunningHost]:
    exchange.faults("limits=off")
    with nursery.host(Path(home[0])) as started:
        started.ask("open")
        started.ask("recovered", account=home[1])
        yield started


@pytest.fixture
def scene(host: RunningHost, exchange: PaperExchange, home: list[str], request: pytest.FixtureRequest) -> Scene:
    names = ["NSE:INFY", "NSE:SBIN", "NSE:TCS", "NSE:ITC", "NSE:LT", "NSE:NTPC", "NSE:WIPRO", "NSE:CIPLA"]
    names += ["NSE:HDFCBANK", "NSE:ICICIBANK", "NSE:AXISBANK", "NSE:MARUTI"]
    found = Scene(host, exchange, home[1], names[len(exchange.book()["orders"]) % len(names)])
    found.guard()
    live(found)
    return found


def live(scene: Scene, since: int = 0) -> None:
    scene.host.event("FeedChanged", 20, since=since, state="live")


def test_a_silent_feed_is_noticed_and_fires_nothing_until_prices_return(scene: Scene) -> None:
    since = len(scene.host.events)
    scene.fault_anywhere("ticker-silence=5")
    began = time.monotonic()
    noticed = scene.host.event("FeedChanged", 10, since=since, state="silent")
    assert noticed["age"] < 3_000, "noticed within 3 s of the last data"
    assert scene.host.ask("status", account=scene.account)["blind"] == 1
    scene.breach()
    assert scene.exits() == []
    live(scene, since)
    assert time.monotonic() - began >= 2.0
    scene.closed()
    scene.filled_once()


def test_quotes_fire_a_stop_of_a_silent_feed_only_where_the_trader_chose_so(scene: Scene) -> None:
    scene.host.ask("guarding", account=scene.account, polled_fires=True)
    try:
        since = len(scene.host.events)
        scene.fault_anywhere("ticker-silence=9")
        scene.host.event("Noticed", 10, since=since, title="No prices come", level="alarm")
        scene.breach()
        fired = scene.host.event("StopFired", 15, since=since, stop=scene.stop)
        lived = [e["state"] for e in scene.host.events[since : scene.host.events.index(fired)] if "age" in e]
        assert "live" not in lived, "no packet had come"
        scene.closed()
        scene.filled_once()
    finally:
        scene.exchange.faults("limits=off")
        scene.host.ask("guarding", account=scene.account)


@pytest.mark.parametrize("fires", [False, True])
def test_a_trade_beyond_the_stop_that_no_packet_showed_is_told(scene: Scene, fires: bool) -> None:
    scene.host.ask("guarding", account=scene.account, missed_fires=fires)
    first = scene.last()
    last = eventually(lambda: scene.last() != first and scene.last())  # a packet since it was armed
    since = len(scene.host.events)
    scene.fault_anywhere("ticker-silence=2")
    scene.exchange.price(**{scene.instrument: scene.trigger * 99 // 10_000})
    scene.exchange.price(**{scene.instrument: last // 100})
    scene.host.event("Noticed", 15, since=since, title=f"Stop on {scene.instrument}", level="alarm")
    if fires:
        scene.closed()
        scene.filled_once()
    else:
        assert scene.exits() == []
        assert scene.host.ask("status", account=scene.account)["watching"] == 1
        scene.breach()
        scene.closed()
    scene.host.ask("guarding", account=scene.account)


@pytest.mark.parametrize("fault", ["ticker-disconnect", "ticker-cut", "ticker-malformed"])
def test_a_broken_stream_mends_itself_and_the_stop_fires(scene: Scene, fault: str) -> None:
    since = len(scene.host.events)
    scene.fault_anywhere(fault)
    if fault == "ticker-malformed":
        scene.host.event("Noticed", 10, since=since, title="A price packet could not be read")
    else:
        scene.host.event("FeedChanged", 10, since=since, state="down")
        live(scene, since)
    scene.breach()
    scene.closed()
    scene.filled_once()


def test_the_exchange_dies_and_comes_back(nursery: Nursery, tmp_path: Path) -> None:
    with (
        PaperExchange(tmp_path / "exchange", "--fault", "limits=off") as exchange,
        nursery.host(tmp_path / "profile") as host,
    ):
        scene = Scene(host, exchange, host.set_up(exchange), "NSE:INFY")
        scene.guard()
        live(scene)
        since = len(host.events)
        exchange.kill()
        host.event("FeedChanged", 10, since=since, state="down")
        assert host.ask("status", account=scene.account)["blind"] == 1
        exchange.start()
        live(scene, since)
        scene.breach()
        scene.closed()
        scene.filled_once()


def test_a_dead_token_makes_stops_blind_and_a_new_login_fires_them(scene: Scene) -> None:
    since = len(scene.host.events)
    scene.exchange.call("POST", "/simulator/faults", {"faults": ["relogin=newest"]})
    steal_session(scene.exchange)
    scene.host.event("SessionChanged", 45, since=since, state="revoked")
    scene.host.event("Noticed", 5, since=since, title="Stops are blind", level="alarm")
    scene.breach()
    assert scene.exits() == []
    scene.host.log_in(scene.exchange, scene.account)
    scene.closed()
    scene.filled_once()


def test_the_token_dies_with_the_exit_on_its_way(scene: Scene) -> None:
    since = len(scene.host.events)
    scene.exchange.call(
        "POST", "/simulator/faults", {"faults": ["relogin=newest", "refuse=TokenException:route=place"]}
    )
    scene.breach()
    scene.host.event("StopFired", 10, since=since, stop=scene.stop)
    scene.closed()
    scene.filled_once()


def test_twenty_stops_in_one_message_each_exactly_once(
    host: RunningHost, exchange: PaperExchange, home: list[str]
) -> None:
    exchange.faults("limits=on")
    symbols = (
        "BHARTIARTL KOTAKBANK HINDUNILVR BAJFINANCE SUNPHARMA TITAN POWERGRID TATASTEEL ADANIENT HCLTECH TECHM ONGC"
    )
    symbols += " COALINDIA JSWSTEEL NESTLEIND DRREDDY EICHERMOT INDUSINDBK BANKBARODA PNB"
    exchange.faults("limits=off")
    scenes = [Scene(host, exchange, home[1], f"NSE:{symbol}", 2) for symbol in symbols.split()]
    assert len(scenes) == 20
    for one in scenes:
        one.guard()
    exchange.faults("limits=on")  # ten orders a second, as in real life
    try:
        exchange.price(**{one.instrument: one.trigger * 98 // 10_000 for one in scenes})
        for one in scenes:
            one.closed(60)
            one.filled_once()
    finally:
        exchange.faults("limits=off")


def test_a_tick_of_another_account_fires_nothing(
    scene: Scene, nursery: Nursery, exchange: PaperExchange, home: list[str]
) -> None:
    """The same instrument at another exchange falls; this account's stop hears its own feed alone."""
    with PaperExchange(None, "--seed", "9") as other:
        second = scene.host.ask("connect", urls=other.urls)
        scene.host.log_in(other, second)
        elsewhere = Scene(scene.host, other, second, scene.instrument)
        elsewhere.guard()
        elsewhere.breach()
        elsewhere.closed()
        elsewhere.filled_once()
        assert scene.exits() == []
        assert scene.host.ask("status", account=scene.account)["watching"] == 1
        scene.host.ask("forget", account=second)
    scene.breach()
    scene.closed()
    scene.filled_once()


def test_a_price_from_before_the_opening_does_not_fire(nursery: Nursery, tmp_path: Path) -> None:
    """A replayed day: armed before 09:15 on a price that is far below, the stop waits for the session."""
    tape = shared_data("minute_1m_kite_2023", "SBIN.csv.gz")
    options = ("--feed", f"replay:{tape}", "--fault", "limits=off", "--opening-position", "NSE:SBIN=10@MIS")
    with PaperExchange(None, *options) as exchange:
        day = exchange.call("GET", "/simulator/clock")["now"][:10]
        # Early enough for a slow machine: the clock runs on.
        exchange.call("PUT", "/simulator/clock", {"now": f"{day}T09:10:00"})
        with nursery.host(tmp_path / "profile") as host:
            account = host.set_up(exchange)
            scene = Scene(host, exchange, account, "NSE:SBIN")
            eventually(lambda: exchange.quantity("SBIN") == 10)
            scene.arm()
            scene.breach()
            time.sleep(1.0)  # its ticks are there, and do not count
            assert scene.exits() == []
            assert host.ask("status", account=account)["watching"] == 1
            exchange.call("PUT", "/simulator/clock", {"now": f"{day}T09:15:01"})

            def fired() -> bool:
                """The desk reads the exchange's clock every two seconds."""
                scene.breach()
                return bool(scene.exits())

            eventually(fired)
            scene.closed()
            scene.filled_once()


def steal_session(exchange: PaperExchange) -> None:
    """A login from elsewhere, after which only its token is good."""
    where = exchange.urls
    token = parse_qs(urlsplit(exchange.log_in()).query)["request_token"][0]
    checksum = hashlib.sha256(f"{where['api_key']}{token}{where['api_secret']}".encode()).hexdigest()
    form = {"api_key": where["api_key"], "request_token": token, "checksum": checksum}
    with urlopen(f"{where['api_url']}/session/token", urlencode(form).encode(), timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
