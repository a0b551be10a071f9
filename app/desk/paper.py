"""The paper exchange as a process beside the workstation: started, watched, taken over after a crash of either side.

Its secrets are made here, sealed in the vault, and handed over on standard input: they are on no command line and in
no file in plain. Loop thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pyotp

from app.brokers.base import Credentials
from app.desk.messages import PaperLogin
from app.desk.workspace import Workspace
from app.domain.account import Endpoints
from app.domain.errors import AppError, Unreachable
from app.domain.events import Level, Noticed
from app.domain.ids import AccountId
from app.runtime.redaction import redact
from app.runtime.secret import Secret

log = logging.getLogger(__name__)

ACCOUNT = AccountId("zerodha-PAPER")
SETTING = "paper_exchange"
START_SECONDS = 20.0
STOP_SECONDS = 5.0
CODE_SECONDS = 30
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_SECRETS = ("api_secret", "password", "totp_secret")


class PaperExchange:
    """One exchange per profile. `command` starts `simulate`; its state lives in the profile."""

    account = ACCOUNT

    def __init__(self, command: Sequence[str], state: Path, options: Sequence[str] = ()) -> None:
        self._command = list(command)
        self._state = state
        self._options = list(options)
        self._process: asyncio.subprocess.Process | None = None
        self._adopted: int | None = None
        self._watch: asyncio.Task[None] | None = None
        self._credentials: dict[str, str] = {}
        self._workspace: Workspace | None = None

    async def start(self, workspace: Workspace) -> tuple[Credentials, Endpoints]:
        """Starts it, or takes over one that outlived a crash of ours. Raises Unreachable in words."""
        self._workspace = workspace
        kept = await self._load(workspace)
        self._credentials = kept["credentials"]
        urls = kept["urls"]
        if urls and await self._alive(urls["api_url"]):
            log.info("the paper exchange is still running")
        else:
            urls = await self._launch()
            await self._save(workspace, urls)
        self._watch = asyncio.get_running_loop().create_task(self._guard(urls["api_url"]), name="paper exchange watch")
        credentials = Credentials(self._credentials["api_key"], Secret(self._credentials["api_secret"]))
        endpoints = Endpoints(
            urls["api_url"], urls["login_url"], urls["ws_url"], urls["redirect_url"], urls.get("ca_file", "")
        )
        return credentials, endpoints

    def login(self) -> PaperLogin:
        """What to type into its login page in this half minute."""
        now = time.time()
        code = pyotp.TOTP(self._credentials["totp_secret"]).at(int(now))
        left = CODE_SECONDS - int(now) % CODE_SECONDS
        return PaperLogin(self._credentials["user_id"], self._credentials["password"], code, left)

    async def stop(self, *, keep: bool = False) -> None:
        """Ends the exchange; its book is kept. A second call does nothing.

        With `keep` one that was taken over from another program is left running for the next: it goes on at once.
        """
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            await _end(process)
        elif self._adopted is not None and not keep:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._adopted, signal.SIGTERM)
        self._adopted = None

    # -- inside ------------------------------------------------------------------------------------------------------

    async def _load(self, workspace: Workspace) -> dict[str, Any]:
        """Credentials and addresses of an earlier run, or fresh credentials."""
        text = await workspace.book.settings.get(SETTING)
        if text is not None:
            sealed = bytes.fromhex(json.loads(text))
            kept: dict[str, Any] = json.loads(workspace.vault.open(ACCOUNT, sealed).reveal())
        else:
            kept = {"credentials": _new_credentials(), "urls": {}}
        for name in _SECRETS:
            redact(Secret(kept["credentials"][name]))
        return kept

    async def _save(self, workspace: Workspace, urls: dict[str, str]) -> None:
        kept = json.dumps({"credentials": self._credentials, "urls": urls})
        sealed = workspace.vault.seal(ACCOUNT, Secret(kept))
        await workspace.book.settings.put(SETTING, json.dumps(sealed.hex()))

    async def _alive(self, api_url: str) -> bool:
        """Whether our exchange answers there; remembers its process, to stop it later."""
        try:
            async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
                answer = await client.get(f"{api_url}/simulator/health")
            self._adopted = int(answer.json()["pid"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return False
        return True

    async def _launch(self) -> dict[str, str]:
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        arguments = [*self._command, "--state", str(self._state), "--credentials", "-", *self._options]
        try:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                # A session of its own: what ends the workstation leaves the exchange trading, as a real one would.
                start_new_session=sys.platform != "win32",
            )
        except OSError as failure:
            raise Unreachable("The paper exchange could not be started.", detail=str(failure)) from None
        self._process, self._adopted = process, None
        if process.stdin is None or process.stdout is None:
            raise Unreachable("The paper exchange has no pipes.")
        process.stdin.write(json.dumps(self._credentials).encode() + b"\n")
        await process.stdin.drain()
        process.stdin.close()
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
            urls: dict[str, str] = json.loads(line)["zerodha"]
        except (TimeoutError, ValueError, KeyError):
            await _end(process)
            raise Unreachable("The paper exchange did not start.", detail=f"exit code {process.returncode}") from None
        return {name: value for name, value in urls.items() if name.endswith("_url") or name == "ca_file"}

    async def _guard(self, api_url: str) -> None:
        """Starts it again when it dies: its port and book are kept, so sessions and orders go on."""
        while True:
            process = self._process
            if process is not None:
                await process.wait()
            else:
                await asyncio.sleep(1.0)
                if await self._alive(api_url):
                    continue
            log.warning("the paper exchange ended; it is being started again")
            if self._workspace is not None:
                self._workspace.publish(
                    Noticed(
                        Level.WARNING,
                        "The paper exchange stopped",
                        "It is being started again; its book is kept.",
                        repeat_key="paper exchange",
                    )
                )
            await asyncio.sleep(0.5)
            try:
                await self._launch()
            except AppError as failure:
                log.warning("the paper exchange: %s", failure)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _new_credentials() -> dict[str, str]:
    def word(length: int) -> str:
        return "".join(secrets.choice(_LETTERS) for _ in range(length))

    return {
        "api_key": word(16),
        "api_secret": word(32),
        "user_id": f"PA{secrets.randbelow(9000) + 1000}",
        "password": f"{word(4)}-{word(4)}",
        "totp_secret": pyotp.random_base32(),
    }
