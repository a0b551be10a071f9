"""Composition root: builds every object in order. The only module that names concrete classes; nobody imports it."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from app import __version__
from app.cli.commands import (
    COULD_NOT_START,
    FINE,
    AccountCommand,
    AccountList,
    Connect,
    DataCommand,
    DeskCommand,
    Doctor,
    ExitCommand,
    Flatten,
    Guard,
    InstrumentCommand,
    InstrumentStats,
    InstrumentSync,
    OutwardCommand,
    QuoteCommand,
    Restore,
    Simulate,
    Workstation,
)
from app.cli.main import parse
from app.runtime.files import no_core_files
from app.runtime.paths import ProfilePaths, program, provider_folders, resource, resource_texts

if TYPE_CHECKING:
    from app.desk.companions import Companions
    from app.desk.desk import LocalDesk
    from app.desk.remote import ProfileLock
    from app.vault.vault import Vault

ANOTHER_COMMAND_SECONDS = 120.0
"""How long a command waits for another one on the same profile."""

Headless = DataCommand | DeskCommand

PRELOADED = """brokers.registry brokers.zerodha.adapter brokers.upstox.adapter desk.instruments desk.paper desk.settle
desk.upkeep engine.rules storage.store runtime.helper"""

OPENING_POSITIONS = ("NSE:RELIANCE=50@MIS", "NSE:SBIN=200@MIS")
"""What a new paper account holds, so that there is something to guard in the first minute."""


def run(arguments: Sequence[str]) -> int:
    """The program: parses the command line, builds what the command needs, returns its exit code."""
    command = parse(arguments)
    no_core_files()
    if isinstance(command, Simulate):
        from app.simulator.main import main as simulate

        return simulate(command.arguments)
    if isinstance(command, Workstation):
        return _workstation(command)
    if isinstance(command, Guard):
        return _guard(command)
    return _headless(command)


def _workstation(command: Workstation) -> int:
    """The window, until it is closed."""
    from app.cli.display import why_no_display
    from app.desk.beside import Claim, claim, take_back
    from app.desk.companions import Companions
    from app.desk.first_look import first_look
    from app.desk.remote import ProfileLock, RemoteServer
    from app.diagnostics.crash import CrashReporter
    from app.domain.errors import AppError
    from app.runtime.log import Logs
    from app.runtime.loop import SWITCH_INTERVAL, LoopThread

    missing = why_no_display(os.environ, sys.platform)
    if missing:
        sys.stderr.write(f"{missing}\n")
        return COULD_NOT_START
    paths = ProfilePaths(command.profile)
    try:
        paths.create()
        lock = ProfileLock(paths.lock)
        claimed = claim(lock, paths)
    except AppError as failure:
        sys.stderr.write(f"{failure}\n")
        return COULD_NOT_START
    if claimed is Claim.SHOWN:
        sys.stderr.write("Stopline is already running on this profile; its window was brought forward.\n")
        return FINE
    logs = Logs()
    logs.hold()
    crashes = CrashReporter(paths.crash, __version__)
    crashes.install()
    sys.setswitchinterval(SWITCH_INTERVAL)
    loop = LoopThread()
    loop.start()
    crashes.watch(loop.loop)
    paper = command.paper
    raise_window: list[Callable[[], None]] = []
    stops: list[Callable[[], Coroutine[Any, Any, None]]] = []

    def show() -> None:
        for raiser in raise_window:
            raiser()

    async def build() -> LocalDesk:
        """Called once the first window is on the screen: the imports behind a desk take longer than the paint."""
        from app.runtime.profile_log import open_log

        mistake = open_log(logs, paths)
        from app.desk.crash_news import tell_crashes
        from app.desk.data_verbs import data_verbs
        from app.desk.settings_news import tell_mistake
        from app.desk.verbs import remote_verbs

        companions = Companions(loop.loop)
        desk = await build_desk(paths, paper=paper, settled=claimed is Claim.GUARDED, companions=companions)
        tell_crashes(crashes, desk)
        tell_mistake(mistake, desk)
        remote = RemoteServer(paths, {**remote_verbs(desk, show), **data_verbs(desk)}, loop.loop, companions)

        async def take() -> None:
            """The guard watches until the trader has opened the vault: no longer than needed is nobody there."""
            await asyncio.to_thread(take_back, paths, lock)
            await asyncio.to_thread(remote.start)

        async def stop() -> None:
            await asyncio.to_thread(companions.part, desk.guard.farewell(desk.armed))
            await asyncio.to_thread(remote.stop)
            await desk.stop()
            lock.release()  # windows take their time to go, and one that hangs keeps no guard waiting

        if claimed is Claim.GUARDED:
            desk.session.before_open = take
            await asyncio.to_thread(_load)  # while the guard still watches
        else:
            await asyncio.to_thread(remote.start)
        stops.append(stop)
        return desk

    async def shutdown() -> None:
        while stops:
            await stops.pop()()

    try:
        from app.ui.application import WindowOptions, run_window

        options = WindowOptions(command.profile, paper, raise_window.append, shutdown, first_look(command.profile))
        return run_window(build, loop.submit, options)
    finally:
        loop.submit(shutdown()).result(timeout=20)
        loop.stop()
        crashes.uninstall()
        logs.end(paths.logs, console=sys.stderr)
        lock.release()


def _guard(command: Guard) -> int:
    """The desk without a window, until it is asked to end or nothing is left to guard."""
    from app.cli.guard import run_guard, status_line
    from app.cli.output import Output
    from app.cli.passphrase import Passphrases
    from app.desk import guard
    from app.desk.remote import ProfileLock
    from app.domain.errors import AppError
    from app.runtime.log import Logs
    from app.runtime.loop import SWITCH_INTERVAL
    from app.runtime.profile_log import open_log
    from app.vault.vault import Vault

    out = Output(sys.stdout, sys.stderr, command.as_json)
    paths = ProfilePaths(command.profile)
    passphrases = Passphrases(os.environ, terminal=sys.stdin.isatty())
    vault = Vault(paths.root)
    logs = Logs()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        paths.create()
        open_log(logs, paths, "guard")
        info = vault.info()
        passphrase = None if info.opens_with_keyring or not info.exists else passphrases.known()
        key = guard.KeyInHand(vault, passphrase)

        def build() -> Coroutine[Any, Any, LocalDesk]:
            return build_desk(paths, paper=command.paper, vault=vault)

        lock, told = ProfileLock(paths.lock), status_line(out)
        return run_guard(guard.Guard(paths, lock, key, build, _load, told, attached=command.attached))
    except AppError as failure:
        out.failed(failure)
        return COULD_NOT_START
    finally:
        vault.lock()
        logs.close()


def _load() -> None:
    """What a desk imports when it is built and at its first login, ahead of time."""
    for name in PRELOADED.split():
        importlib.import_module(f"app.{name}")


def _headless(command: Headless) -> int:
    """A command: through the workstation that runs on the profile, else with a desk of its own."""
    from app.cli.output import Output
    from app.desk.data_verbs import RemoteData
    from app.desk.remote import ProfileLock
    from app.desk.verbs import RemoteDesk
    from app.domain.errors import AppError
    from app.runtime.log import Logs
    from app.runtime.loop import new_event_loop
    from app.runtime.profile_log import open_log

    out = Output(sys.stdout, sys.stderr, command.as_json)
    paths = ProfilePaths(command.profile)
    try:
        paths.create()
        lock = ProfileLock(paths.lock)
        if not _owned(lock, paths):
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                if isinstance(command, DataCommand):
                    return runner.run(_data_command(RemoteData(paths), command, out))
                return runner.run(_command(RemoteDesk(paths), command, out))
        paths.remote_address.unlink(missing_ok=True)  # of a workstation that was killed: nobody listens there
        logs = Logs()
        open_log(logs, paths)
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                return runner.run(_with_own_desk(paths, command, out))
        finally:
            logs.close()
            lock.release()
    except AppError as failure:
        out.failed(failure)
        return COULD_NOT_START


def _owned(lock: ProfileLock, paths: ProfilePaths) -> bool:
    """Whether this process owns the profile now. False: a workstation does. Another command is waited for."""
    from app.desk.remote import ProfileInUse

    deadline = time.monotonic() + ANOTHER_COMMAND_SECONDS
    while True:
        try:
            lock.acquire()
        except ProfileInUse:
            if paths.remote_address.exists() or time.monotonic() > deadline:
                return False
            time.sleep(0.1)  # no loop runs yet, and the system does not tell when a lock is free
        else:
            return True


async def _with_own_desk(paths: ProfilePaths, command: Headless, out: Any) -> int:
    from app.cli.data import told
    from app.cli.passphrase import Passphrases, open_vault
    from app.desk.data_verbs import DirectData
    from app.desk.verbs import DirectDesk

    desk = await build_desk(paths, paper=False, guarding=False)
    desk.listen(out.heard)
    try:
        passphrases = Passphrases(os.environ, terminal=sys.stdin.isatty())
        if isinstance(command, Restore):  # the present profile may be damaged or locked: it is not opened
            return await _data_command(DirectData(desk), command, out, passphrases)
        if isinstance(command, Doctor):
            damage = await desk.health.look_closed(passphrases.known)
            if damage:
                return await told(DirectData(desk), command, damage, out)
        await open_vault(desk.session, passphrases, create=isinstance(command, Connect | InstrumentSync))
        if not isinstance(command, InstrumentStats | AccountList):
            await desk.session.resumed()
        if isinstance(command, DataCommand):
            return await _data_command(DirectData(desk), command, out, passphrases)
        return await _command(DirectDesk(desk), command, out)
    finally:
        await desk.stop()


async def _data_command(desk: Any, command: DataCommand, out: Any, passphrases: Any = None) -> int:
    from app.cli.data import run_data
    from app.cli.passphrase import Passphrases

    return await run_data(desk, command, out, passphrases or Passphrases(os.environ, terminal=sys.stdin.isatty()))


async def _command(desk: Any, command: DeskCommand, out: Any) -> int:
    from app.cli.accounts import run_accounts
    from app.cli.connect import run_connect
    from app.cli.exits import run_exits
    from app.cli.flatten import run_flatten
    from app.cli.instruments import run_instruments
    from app.cli.metrics import run_outward
    from app.cli.quotes import run_quotes
    from app.cli.sync import run_sync

    if isinstance(command, InstrumentCommand):
        return await run_instruments(desk.instruments, command, out)
    if isinstance(command, AccountCommand):
        return await run_accounts(desk.accounts, command, out)
    if isinstance(command, QuoteCommand):
        return await run_quotes(desk.quotes, command, out)
    if isinstance(command, Flatten):
        return await run_flatten(desk.flatten, command, out)
    if isinstance(command, OutwardCommand):
        return await run_outward(desk, command, out)
    if isinstance(command, ExitCommand):
        return await run_exits(desk.exits, command, out)
    if isinstance(command, Connect):
        return await run_connect(desk, command, out, sys.stdin.readline)
    return await run_sync(desk, command, out)


async def build_desk(
    paths: ProfilePaths,
    *,
    paper: bool,
    guarding: bool = True,
    settled: bool = False,
    vault: Vault | None = None,
    companions: Companions | None = None,
) -> LocalDesk:
    """Every concrete part of a desk, wired. On the loop thread.

    `settled`: another process has the profile and has brought its files to one state. `vault`: one that may be open.
    `companions`: the guards that wait beside it, where it has a window.
    """
    from app.analytics.charge_table import ChargeTable
    from app.brokers import instrument_files
    from app.brokers.registry import Registry
    from app.desk.data import DataDesk
    from app.desk.desk import LocalDesk
    from app.desk.guarding import GuardingDesk
    from app.desk.instruments import InstrumentDesk
    from app.desk.paper import PaperExchange
    from app.desk.settle import settle
    from app.desk.upkeep import declared
    from app.desk.workspace import Workspace
    from app.domain.calendar import TradingCalendar, ist_date
    from app.engine.rules import ExitRules
    from app.runtime.bus import Bus
    from app.runtime.clock import SystemClock
    from app.runtime.helper import Helper
    from app.runtime.loop import Tasks
    from app.runtime.profile_log import read_settings
    from app.vault.vault import Vault

    bus, tasks, helper, vault = Bus(), Tasks(), Helper(), vault or Vault(paths.root)
    if not settled:
        await asyncio.to_thread(settle, paths.root, vault)  # before anything of the profile is opened
    workspace = Workspace(
        paths.root,
        vault,
        Registry(helper, third_parties=True, folders=provider_folders(os.environ)),
        ExitRules.parse(
            *(
                resource("rules", name).read_text("utf-8")
                for name in ("exits.csv", "protection.csv", "freeze.csv", "backstop.csv")
            )
        ),
        ChargeTable.parse(*resource_texts("charges", "*.csv")),
        TradingCalendar.parse(*resource_texts("calendar", "*.json")),
        bus.publish,
        tasks,
        guarding=guarding,
        helper=helper,
    )
    exchange = None
    if paper:
        chosen = read_settings(paths)[0]
        options = ["--feed", chosen.paper_feed, "--speed", str(chosen.paper_speed)]
        options += [word for position in OPENING_POSITIONS for word in ("--opening-position", position)]
        exchange = PaperExchange([*program(), "simulate"], paths.exchange, options)
    store_helper = Helper()
    upkeep = declared(resource_texts("upkeep", "*.json"), ist_date(SystemClock().now()))
    data = DataDesk(workspace, store_helper, upkeep)

    async def end_helpers() -> None:
        await asyncio.gather(helper.stop(), store_helper.stop())

    instruments = InstrumentDesk(workspace, instrument_files, helper)
    command = [*program(), "guard", "--profile", str(paths.root), "--attached", *(["--paper"] if paper else [])]
    guard = GuardingDesk(workspace, companions, command)
    desk = LocalDesk(workspace, bus, tasks, data, instruments, guard, exchange, helper, last=end_helpers)
    if address := os.environ.get("STOPLINE_SHARED_LIMITS", ""):
        desk.sync.share_limits(address)
    return desk
