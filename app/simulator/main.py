"""`python main.py simulate`: the paper exchange alone. Prints one JSON line, then serves until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

from app.simulator.book import BookInUse
from app.simulator.clock import IST
from app.simulator.exchange import UPSTOX, ZERODHA, CannotStart, Exchange, Opening, Plan
from app.simulator.faults import Faults
from app.simulator.kite.postback import checked
from app.simulator.kite.sessions import Credentials
from app.simulator.opening import open_market
from app.simulator.tls import certificate
from app.simulator.upstox.tokens import UpstoxCredentials

BROKERS = {"zerodha": (ZERODHA,), "upstox": (UPSTOX,), "both": (ZERODHA, UPSTOX)}
FROM_STDIN = "-"
LARGEST_PORT = 65_535
_SECRETS = ("api_secret", "password", "totp_secret", "analytics_token")


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 after an interrupt, 2 when it could not start; argparse's 2 for bad arguments."""
    options = _parser().parse_args(arguments)
    try:
        try:
            plan, ca_file = _plan(options)
        except ValueError as error:
            raise CannotStart(str(error)) from error
        try:
            return _serve(plan, ca_file, show_secrets=options.credentials != FROM_STDIN)
        finally:
            if ca_file is not None and options.state is None:
                shutil.rmtree(ca_file.parent, ignore_errors=True)
    except (CannotStart, BookInUse, OSError) as error:
        print(f"simulate: {error}", file=sys.stderr)  # noqa: T201 - the command line's answer
        return 2


def _serve(plan: Plan, ca_file: Path | None, *, show_secrets: bool) -> int:
    async def serve() -> None:
        # Before anybody learns where it listens: a stop that comes at once must still keep the book.
        interrupted = _on_interrupt()
        exchange = Exchange(plan)
        try:
            await exchange.start()
            if exchange.book.set_aside is not None:
                words = f"simulate: the book was damaged or another client's; it is kept as {exchange.book.set_aside}"
                print(words, file=sys.stderr)  # noqa: T201 - the command line's answer
            print(json.dumps(_lines(exchange, plan, ca_file, show_secrets)), flush=True)  # noqa: T201 - the contract
            await interrupted.wait()
        finally:
            await exchange.stop()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve())
    return 0


def _lines(exchange: Exchange, plan: Plan, ca_file: Path | None, show_secrets: bool) -> dict[str, dict[str, str]]:
    """Broker -> where it listens and who may log in."""
    lines: dict[str, dict[str, str]] = {}
    if ZERODHA in plan.brokers:
        lines[ZERODHA] = {**exchange.urls, **exchange.credentials.as_dict()}
    if exchange.upstox is not None:
        lines[UPSTOX] = exchange.upstox.line()
    for line in lines.values():
        if not show_secrets:
            for name in _SECRETS:
                line.pop(name, None)
        if ca_file is not None:
            line["ca_file"] = str(ca_file)
    return lines


def _on_interrupt() -> asyncio.Event:
    """Set by the first interrupt or request to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(name, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(name, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        if sys.platform == "win32":
            import winloop

            return winloop.Loop
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


def _plan(options: argparse.Namespace) -> tuple[Plan, Path | None]:
    Faults(options.fault)  # in words, before anything is opened
    market = open_market(
        options.feed, seed=options.seed, speed=options.speed, clock=options.clock, instruments=options.instruments
    )
    context, ca_file = certificate(options.state) if options.tls else (None, None)
    brokers = BROKERS[options.broker]
    kite, upstox = _credentials(options, brokers)
    plan = Plan(
        market=market,
        credentials=kite,
        port=options.port if ZERODHA in brokers else 0,
        state=options.state,
        tls=context,
        faults=options.fault,
        seed=options.seed,
        cash=options.cash,
        delay=options.order_delay,
        openings=options.opening_position,
        postback=options.postback,
        brokers=brokers,
        upstox=upstox,
        upstox_port=0 if ZERODHA in brokers else options.port,
    )
    return plan, ca_file


_Client = TypeVar("_Client", Credentials, UpstoxCredentials)


def _credentials(options: argparse.Namespace, brokers: Sequence[str]) -> tuple[Credentials, UpstoxCredentials | None]:
    """From standard input, from the state folder, or fresh ones. Given for one broker, they are its own object; for
    both, an object with one for each."""
    given: dict[str, object] = {}
    if options.credentials == FROM_STDIN:
        document = _json(sys.stdin.readline(), "standard input")
        given = document if len(brokers) > 1 and isinstance(document, dict) else {brokers[0]: document}
    kite = _known(Credentials, options, given.get(ZERODHA), "credentials.json", asked=ZERODHA in brokers)
    if UPSTOX not in brokers:
        return kite, None
    return kite, _known(UpstoxCredentials, options, given.get(UPSTOX), "upstox.json", asked=True)


def _known(kind: type[_Client], options: argparse.Namespace, given: object, name: str, *, asked: bool) -> _Client:
    """One broker's credentials; the account itself keeps the first broker's in any case."""
    if asked and options.credentials == FROM_STDIN:
        return _read(kind, given, "standard input")
    if options.state is None:
        return kind.new()
    path: Path = options.state / name
    if path.exists():
        return _read(kind, _json(path.read_text(encoding="utf-8"), str(path)), str(path))
    fresh = kind.new()
    options.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(json.dumps(fresh.as_dict()), encoding="utf-8")
    return fresh


def _json(text: str, source: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise CannotStart(f"{source} holds no JSON object with credentials") from None


def _read(kind: type[_Client], document: object, source: str) -> _Client:
    try:
        return kind.read(document)
    except (ValueError, TypeError) as error:
        raise CannotStart(f"{source}: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulate", description="A paper exchange on 127.0.0.1 that speaks Kite Connect's and Upstox's wire."
    )
    add = parser.add_argument
    add(
        "--port",
        type=_port,
        default=0,
        help="0 (default): the remembered or a free one; of Zerodha's side when both are served",
    )
    add("--broker", choices=tuple(BROKERS), default="zerodha", help="whose wire it speaks; both: a port each")
    add("--feed", default="random", help="random (default) or replay:FILE")
    add("--speed", type=float, default=1.0, help="exchange seconds per real second (default 1)")
    add("--seed", type=int, default=1, help="of the random market, delays and faults (default 1)")
    add("--instruments", type=Path, help="a Kite instrument file in place of the shipped sample")
    add("--clock", type=_clock, help="where the exchange's clock begins, ISO, IST when no zone is given")
    add("--state", type=Path, help="folder of the book, so that it survives; without it nothing is kept")
    add("--tls", action="store_true", help="serve https and wss under a private authority, printed as ca_file")
    add("--fault", action="append", default=[], metavar="SPEC", help="see app/simulator/faults.py; may be repeated")
    add("--credentials", choices=(FROM_STDIN,), help="- reads them as one JSON line from standard input")
    add("--opening-position", type=opening, action="append", default=[], metavar="NSE:INFY=100@MIS[@PRICE]")
    add("--cash", type=_rupees, default=10_00_000_00, help="opening cash in rupees (default 10,00,000)")
    add("--postback", type=_postback, default="", metavar="URL", help="where order news are posted; this machine only")
    add("--order-delay", type=_delay, default=(0.005, 0.020), metavar="FROM-TO", help="ms, default 5-20")
    return parser


def opening(text: str) -> Opening:
    """`NSE:INFY=100@MIS` or `NSE:INFY=-100@MIS@1480.05`."""
    key, _, rest = text.partition("=")
    quantity, _, rest = rest.partition("@")
    product, _, price = rest.partition("@")
    try:
        count = int(quantity)
        paise = int(Decimal(price) * 100) if price else None
    except (ValueError, InvalidOperation):
        count, paise = 0, None
    if ":" not in key or count == 0 or product not in ("MIS", "CNC", "NRML") or (price and not paise):
        raise argparse.ArgumentTypeError(f"{text!r} is not like NSE:INFY=100@MIS or NSE:INFY=-100@MIS@1480.05")
    if product == "CNC" and count < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: shares cannot be held short")
    return Opening(key, count, product, paise)


def _postback(text: str) -> str:
    try:
        return checked(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to {LARGEST_PORT}")
    return int(text)


def _clock(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time like 2026-11-20T10:00:00") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=IST)


def _rupees(text: str) -> int:
    try:
        paise = Decimal(text) * 100
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount in rupees") from None
    if not paise.is_finite() or paise < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount in rupees")
    return int(paise)


def _delay(text: str) -> tuple[float, float]:
    first, _, last = text.partition("-")
    try:
        low, high = float(first) / 1000, float(last or first) / 1000
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 5-20, in milliseconds") from None
    if not 0 <= low <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not like 5-20, in milliseconds")
    return low, high
