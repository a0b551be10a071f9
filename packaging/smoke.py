"""Tries a frozen program: `python packaging/smoke.py PROGRAM`. It must start, open a vault and guard a position.

Without a window: help, the paper exchange, connecting an account, a sync. With one: the end-to-end tests marked
`packaged`, which arm a stop, let it fire and count the exits in the exchange's book.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp

ROOT = Path(__file__).resolve().parent.parent
PASSPHRASE = "smoke test, not a secret"  # noqa: S105 -- of a profile that is thrown away
OPENING = "NSE:INFY=100@MIS"


class Broken(Exception):
    """What the frozen program does not do."""


def run(program: Path, *arguments: str, folder: Path) -> str:
    """Runs a command to its end; its stdout. Raises Broken unless it exits 0."""
    environment = {
        **os.environ,
        "STOPLINE_PASSPHRASE": PASSPHRASE,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }
    command = [str(program), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise Broken(f"{' '.join(arguments[:2])} gave {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def exchange(program: Path, folder: Path) -> Iterator[dict[str, str]]:
    """The paper exchange of the frozen program; what it printed."""
    command = [str(program), "simulate", "--port", "0", "--opening-position", OPENING]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
        try:
            line = process.stdout.readline()
            if not line:
                raise Broken(f"simulate ended with {process.wait(10)} and printed nothing")
            told: dict[str, str] = json.loads(line)["zerodha"]
            yield told
        finally:
            process.send_signal(signal.SIGINT)
            if process.wait(20) != 0:
                raise Broken(f"simulate gave {process.returncode} after an interrupt")


def request_token(told: dict[str, str]) -> str:
    """Logs in as a person would, form by form; the token of the redirect."""
    with httpx.Client() as browser:
        form = {"api_key": told["api_key"], "user_id": told["user_id"], "password": told["password"]}
        page = browser.post(f"{told['login_url'].split('?')[0]}", data=form)
        attempt = re.search(r'name="attempt" value="([^"]+)"', page.text)
        if attempt is None:
            raise Broken(f"the login page did not ask for the code: {page.status_code}")
        code = {"api_key": told["api_key"], "attempt": attempt[1], "totp": pyotp.TOTP(told["totp_secret"]).now()}
        redirect = browser.post(str(page.url), data=code)
    return parse_qs(urlsplit(redirect.headers["location"]).query)["request_token"][0]


def headless(program: Path, folder: Path) -> None:
    """Everything that works without a window."""
    if "Stopline" not in run(program, "--version", folder=folder):
        raise Broken("--version does not say who it is")
    run(program, "--help", folder=folder)
    profile = folder / "profile"
    with exchange(program, folder) as told:
        secret = folder / "secret.txt"
        secret.write_text(told["api_secret"])
        where = [
            f"--{name.replace('_', '-')}={told[name]}" for name in ("api_url", "login_url", "ws_url", "redirect_url")
        ]
        key = ["--api-key", told["api_key"], "--api-secret-file", str(secret), "--request-token", request_token(told)]
        connected = run(program, "connect", "zerodha", *key, *where, f"--profile={profile}", "--json", folder=folder)
        synced = run(program, "sync", f"--profile={profile}", "--json", folder=folder)
    account: dict[str, Any] = json.loads(connected)
    summary: dict[str, Any] = json.loads(synced)
    if not (account["ok"] and account["account"]["paper"] and summary["ok"] and summary["accounts"]):
        raise Broken(f"connect said {connected}, sync said {synced}")
    for name in ("book.db", "journal.db"):
        if (profile / name).read_bytes()[:16] == b"SQLite format 3\0":
            raise Broken(f"{name} is not encrypted")


def with_window(program: Path) -> None:
    """The end-to-end tests that the frozen program must pass too. None found counts as failed."""
    environment = {**os.environ, "STOPLINE_PROGRAM": str(program)}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "packaged", "tests/e2e"]
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise Broken("the end-to-end tests marked `packaged` did not pass")


def main() -> int:
    """Exit code 0 when the program does all of it."""
    program = Path(sys.argv[1]).resolve()
    try:
        with tempfile.TemporaryDirectory() as folder:
            headless(program, Path(folder))
        print("without a window: fine", flush=True)
        with_window(program)
    except Broken as broken:
        print(f"The frozen program is broken: {broken}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
