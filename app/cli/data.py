"""`backup`, `restore`, `rotate-keys`, `doctor`: the verbs of the Data page, with exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from app.cli.commands import COULD_NOT_START, FINE, SOME_FAILED, Backup, DataCommand, Doctor, Restore, RotateKeys, Tidy
from app.cli.output import NOTHING_DONE, Output
from app.cli.passphrase import VARIABLE, Passphrases
from app.domain.errors import AppError, Denied, WrongPassphrase
from app.domain.health import Finding, HealthState, failed
from app.runtime.secret import Secret

if TYPE_CHECKING:
    from app.desk.data_verbs import DataCommands

T = TypeVar("T")

_MARKS = {HealthState.OK: "ok     ", HealthState.WARNING: "warning", HealthState.FAILED: "FAILED "}

NAMES = ("backup", "restore", "doctor", "rotate-keys", "tidy")
KEPT = ("ticks_days", "ticks_megabytes", "notifications_days", "sync_log_days")


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """The commands for the parser."""

    def add(name: str, words: str, description: str) -> argparse.ArgumentParser:
        parser = commands.add_parser(name, parents=[common], allow_abbrev=False, help=words, description=description)
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        return parser

    backup = add(
        "backup",
        "an encrypted, verified copy of the profile in one file",
        "Writes a backup, reads it back and compares every table with the original. It opens with the passphrase or "
        "the recovery key of today, on any machine.",
    )
    backup.add_argument("file", nargs="?", metavar="FILE", help="a new file (default: in the backup folder)")
    restore = add(
        "restore",
        "put a backup in the profile's place",
        "Checks the backup, sets the present state aside inside the profile, and puts the backup in its place. While "
        "the workstation runs, the change waits for its next start. The passphrase is the backup's.",
    )
    restore.add_argument("file", metavar="FILE")
    add(
        "rotate-keys",
        "encrypt the profile anew",
        "Makes a new master key, seals every secret anew and re-keys both databases. The old keys open nothing "
        "afterwards, backups in the backup folder included; the recovery key ends.",
    )
    tidy = add(
        "tidy",
        "drop what has had its time",
        "Drops recorded ticks, notices and sync runs that are older than the settings say; it happens by itself once a "
        "day. A number given here becomes the setting. Trades stay for ever.",
    )
    for name in KEPT:
        unit = "MB" if name.endswith("megabytes") else "DAYS"
        tidy.add_argument(f"--{name.replace('_', '-')}", type=_positive, metavar=unit)
    doctor = add(
        "doctor",
        "is everything well?",
        "Looks at store, vault, backups, disk, clock, brokers, feeds, instruments and calendar. Exit code 1 when "
        "something does not work. With --report it writes a zip to send to somebody who helps: versions, health, "
        "figures, recorded exits, logs; accounts, names, orders, keys, addresses and folders masked, no trades in it.",
    )
    doctor.add_argument("--report", metavar="FILE", help="a new file: the same, and logs, as a masked report to send")


def parsed(asked: argparse.Namespace, profile: Path) -> DataCommand:
    """The command of these arguments."""
    if asked.command == "backup":
        return Backup(profile, Path(asked.file).absolute() if asked.file else None, asked.json)
    if asked.command == "restore":
        return Restore(profile, Path(asked.file).absolute(), asked.json)
    if asked.command == "tidy":
        return Tidy(profile, asked.json, *(getattr(asked, name) for name in KEPT))
    if asked.command == "rotate-keys":
        return RotateKeys(profile, asked.json)
    return Doctor(profile, asked.json, None if asked.report is None else Path(asked.report).expanduser().absolute())


async def run_data(desk: DataCommands, command: DataCommand, out: Output, passphrases: Passphrases) -> int:
    """Exit code 0 fine, 1 it failed or something is wrong, 2 could not start."""
    if isinstance(command, Doctor):
        return await _doctor(desk, command, out)
    if isinstance(command, Restore):
        return await _restore(desk, command, out, passphrases)
    if isinstance(command, Tidy):
        return await _tidy(desk, command, out)
    if isinstance(command, RotateKeys):
        return await _rotate(desk, out, passphrases)
    try:
        made = await desk.backup(str(command.file) if command.file is not None else None)
    except NOTHING_DONE as error:
        out.failed(error)
        return COULD_NOT_START
    except AppError as error:
        out.failed(error)
        return SOME_FAILED
    words = f"{made.file}: {made.rows} rows, {made.size / 1e6:.1f} MB, verified"
    out.result({"ok": True, **msgspec.to_builtins(made)}, words)
    return FINE


async def _restore(desk: DataCommands, command: Restore, out: Output, passphrases: Passphrases) -> int:
    if not command.file.is_file():
        out.failed(Denied(f"There is no file {command.file}."))
        return COULD_NOT_START
    try:
        done = await _with_passphrase(lambda typed: desk.restore(str(command.file), typed), passphrases)
    except (*NOTHING_DONE, WrongPassphrase) as error:
        out.failed(error)
        return COULD_NOT_START
    except AppError as error:
        out.failed(error)
        return SOME_FAILED
    words = f"restored from {done.file}: {done.rows} rows"
    if done.at_next_start:
        words += "; it takes its place when the workstation is started again"
    if done.set_aside:
        words += f"; the state before is kept in {command.profile / done.set_aside}"
    out.result({"ok": True, **msgspec.to_builtins(done)}, words)
    return FINE


def _positive(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if not 1 <= number <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above nought")
    return number


async def _tidy(desk: DataCommands, command: Tidy, out: Output) -> int:
    wanted = {name: value for name in KEPT if (value := getattr(command, name)) is not None}
    try:
        done = await desk.tidy(wanted)
    except NOTHING_DONE as error:
        out.failed(error)
        return COULD_NOT_START
    except AppError as error:
        out.failed(error)
        return SOME_FAILED
    words = f"dropped {done.notifications} notices, {done.sync_runs} sync runs, {done.ticks} blocks of ticks"
    out.result({"ok": True, **msgspec.to_builtins(done)}, words)
    return FINE


async def _rotate(desk: DataCommands, out: Output, passphrases: Passphrases) -> int:
    try:
        done = await _with_passphrase(desk.rotate_keys, passphrases)
    except (*NOTHING_DONE, WrongPassphrase) as error:
        out.failed(error)
        return COULD_NOT_START
    except AppError as error:
        out.failed(error)
        return SOME_FAILED
    words = f"new keys are in use, {done.secrets} secrets sealed anew"
    words += "; the recovery key has ended: make a new one" if done.recovery_key_ended else ""
    out.result({"ok": True, **msgspec.to_builtins(done)}, words)
    return FINE


async def _with_passphrase(verb: Callable[[Secret | None], Awaitable[T]], passphrases: Passphrases) -> T:
    """Without a passphrase where none is needed: the vault that is open, or this machine's keyring."""
    try:
        return await verb(passphrases.given)
    except WrongPassphrase:
        asked = None if passphrases.given is not None else passphrases.known()
        if asked is None and passphrases.given is None:
            raise Denied("The passphrase is asked for again.", f"Set {VARIABLE}, or run this on a terminal.") from None
        if asked is None:
            raise
    return await verb(asked)


async def _doctor(desk: DataCommands, command: Doctor, out: Output) -> int:
    try:
        findings = await desk.doctor()
    except AppError as error:
        out.failed(error)
        return COULD_NOT_START
    return await told(desk, command, findings, out)


async def told(desk: DataCommands, command: Doctor, findings: tuple[Finding, ...], out: Output) -> int:
    """Prints findings, and writes the report where one is asked for; the exit code."""
    saved = None
    if command.report is not None:
        try:
            saved = await desk.save_report(str(command.report))
        except AppError as error:
            out.failed(error)
            return COULD_NOT_START if isinstance(error, NOTHING_DONE) else SOME_FAILED
    lines = [_line(finding) for finding in findings]
    if saved is not None:
        lines.append(
            f"report  {saved.file}: {saved.size / 1000:.0f} kB, {len(saved.members)} files; look before you send"
        )
    wrong = failed(findings)
    report = {} if saved is None else {"report": msgspec.to_builtins(saved)}
    out.result({"ok": not wrong, "findings": msgspec.to_builtins(findings), **report}, "\n".join(lines))
    return SOME_FAILED if wrong else FINE


def _line(finding: Finding) -> str:
    step = f" -> {finding.next_step}" if finding.next_step else ""
    return f"{_MARKS[finding.state]} {finding.name}: {finding.words}{step}"
