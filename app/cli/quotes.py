"""`quotes`: who is asked for prices that no feed brings, in which order, and what they say. For the display only."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, QuoteAsk, QuoteChange, QuoteCommand, QuoteKey
from app.cli.output import NOTHING_DONE, Output
from app.domain.errors import AppError, Denied
from app.domain.ids import InstrumentId
from app.domain.quotes import PolledPrice, QuoteSource, QuoteSources
from app.runtime.clock import to_datetime
from app.runtime.secret import Secret

if TYPE_CHECKING:
    from app.desk.api_quotes import QuoteVerbs

NAME = "quotes"


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    common: argparse.ArgumentParser,
) -> None:
    """`quotes`, and what is changed about them."""
    quotes = commands.add_parser(
        NAME,
        parents=[common],
        allow_abbrev=False,
        help="who is asked for prices that no feed brings",
        description="Lists the sources in the order in which they are asked: accounts, and providers that only quote. "
        "What they say is shown and never reaches a stop.",
    )
    quotes.add_argument("--json", action="store_true", help="print one JSON object")
    what = quotes.add_subparsers(dest="what", metavar="order|on|off|key|forget|ask")

    def add(verb: str, told: str) -> argparse.ArgumentParser:
        one = what.add_parser(verb, parents=[common], allow_abbrev=False, help=told)
        one.add_argument("--json", action="store_true", help="print one JSON object")
        return one

    add("order", "ask them in this order").add_argument("names", nargs="+", metavar="NAME", help="as `quotes` lists it")
    for verb, told in (("on", "let one be asked"), ("off", "leave one out"), ("forget", "wipe a provider's key")):
        add(verb, told).add_argument("names", nargs=1, metavar="NAME", help="as `quotes` lists it")
    key = add("key", "store a provider's key, proved with a real call")
    key.add_argument("provider", metavar="NAME", help="e.g. finnhub")
    key.add_argument("--key-file", required=True, metavar="F", help="file holding the key (never given as an argument)")
    key.add_argument("--api-url", default="", metavar="URL", help="another address on this machine, for tests")
    ask = add("ask", "prices now, from the first that knows each")
    ask.add_argument("instruments", nargs="+", metavar="EXCHANGE:SYMBOL")


def parsed(asked: argparse.Namespace, profile: Path) -> QuoteCommand:
    """The command asked for."""
    if asked.what == "key":
        return QuoteKey(profile, asked.provider, Path(asked.key_file), asked.api_url, asked.json)
    if asked.what == "ask":
        return QuoteAsk(profile, tuple(InstrumentId(name) for name in asked.instruments), asked.json)
    return QuoteChange(profile, asked.what or "", tuple(asked.names) if asked.what else (), asked.json)


async def run_quotes(desk: QuoteVerbs, command: QuoteCommand, out: Output) -> int:
    """Exit code 0 done; 1 it failed, or a price is missing; 2 refused or could not start: nothing was done."""
    try:
        if isinstance(command, QuoteAsk):
            return _told(command, await desk.ask(command.instruments), out)
        sources = await _changed(desk, command)
    except AppError as error:
        out.failed(error)
        listed = isinstance(command, QuoteChange) and not command.what
        return COULD_NOT_START if listed or isinstance(error, NOTHING_DONE) else SOME_FAILED
    lines = [_line(number, one) for number, one in enumerate(sources.sources, 1)]
    out.result({"ok": True, "sources": msgspec.to_builtins(list(sources.sources))}, "\n".join(lines))
    return FINE


async def _changed(desk: QuoteVerbs, command: QuoteKey | QuoteChange) -> QuoteSources:
    if isinstance(command, QuoteKey):
        try:
            text = await asyncio.to_thread(command.key_file.read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Denied(f"{command.key_file} cannot be read: {why}.", "Name the file that holds the key.") from error
        return await desk.save_key(command.provider, Secret(text), command.api_url)
    if command.what == "order":
        return await desk.arrange(command.names)
    if command.what in ("on", "off"):
        return await desk.switch(command.names[0], on=command.what == "on")
    if command.what == "forget":
        return await desk.forget_key(command.names[0])
    return await desk.view()


def _told(command: QuoteAsk, prices: Sequence[PolledPrice], out: Output) -> int:
    found = {price.tick.instrument: price for price in prices}
    lines = [
        _price_line(found[name]) if name in found else f"{name}: nobody knows a price" for name in command.instruments
    ]
    whole = len(found) == len(set(command.instruments))
    out.result({"ok": whole, "prices": msgspec.to_builtins(list(found.values()))}, "\n".join(lines))
    return FINE if whole else SOME_FAILED


def _price_line(price: PolledPrice) -> str:
    tick = price.tick
    traded = "" if tick.exchange_time is None else f", traded {to_datetime(tick.exchange_time):%Y-%m-%d %H:%M:%S}"
    return f"{tick.instrument}: {Decimal(tick.last_price) / price.price_scale:.2f} from {price.source}{traded}"


def _line(number: int, source: QuoteSource) -> str:
    state = "off" if not source.on else "ready" if source.ready else "not ready"
    used = f"  {source.used} of {source.limit} requests" if source.limit and source.ready else ""
    words = f"  {source.words}" if source.words else ""
    return f"{number}. {source.name}  {source.title}  {state}{used}{words}"
