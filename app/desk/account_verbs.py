"""What the command line asks of the accounts, of a desk here or of the workstation that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from app.desk.api import Desk
from app.desk.messages import AccountView
from app.desk.remote import Verb, call
from app.domain.errors import Denied
from app.domain.ids import AccountId
from app.runtime.paths import ProfilePaths

SECONDS = 60.0
"""How long a workstation may take."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """An account whose session was ended."""

    account: AccountView
    resting: tuple[str, ...] = ()
    """What the broker keeps in place of its stops."""


class AccountCommands(Protocol):
    """The part of a desk that the command uses. Raises AppError."""

    async def accounts(self) -> Sequence[AccountView]:
        """All that were ever connected."""
        ...

    async def disconnect(self, account: AccountId, *, hand_over: bool = False) -> Disconnected:
        """Ends its session and wipes its tokens. Raises Denied while stops are armed and not handed over."""
        ...

    async def pause(self, account: AccountId, *, paused: bool) -> AccountView:
        """Pauses it, or ends a pause. Raises Denied when not logged in, or not paused."""
        ...


class DirectAccounts:
    """A desk in this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def accounts(self) -> Sequence[AccountView]:
        """All that were ever connected."""
        return await self._desk.session.accounts()

    async def disconnect(self, account: AccountId, *, hand_over: bool = False) -> Disconnected:
        """Says which account it does not know."""
        await self._check(account)
        resting = await self._desk.session.disconnect(account, hand_over=hand_over)
        return Disconnected(next(view for view in await self.accounts() if view.id == account), tuple(resting))

    async def pause(self, account: AccountId, *, paused: bool) -> AccountView:
        """The same."""
        await self._check(account)
        session = self._desk.session
        return await (session.pause(account) if paused else session.go_on(account))

    async def _check(self, account: AccountId) -> None:
        known = {view.id for view in await self.accounts()}
        if account not in known:
            raise Denied(f"There is no account {account}.", f"There are: {', '.join(sorted(known)) or 'none'}.")


class RemoteAccounts:
    """The desk of the workstation that runs on a profile."""

    def __init__(self, paths: ProfilePaths) -> None:
        self._paths = paths

    async def accounts(self) -> Sequence[AccountView]:
        """The same, in the workstation."""
        answer = await asyncio.to_thread(call, self._paths, "accounts.list", {}, timeout=SECONDS)
        return msgspec.convert(answer, list[AccountView])

    async def disconnect(self, account: AccountId, *, hand_over: bool = False) -> Disconnected:
        """The same, in the workstation."""
        params = {"account": account, "hand_over": hand_over}
        answer = await asyncio.to_thread(call, self._paths, "accounts.disconnect", params, timeout=SECONDS)
        return msgspec.convert(answer, Disconnected)

    async def pause(self, account: AccountId, *, paused: bool) -> AccountView:
        """The same, in the workstation."""
        params = {"account": account, "paused": paused}
        answer = await asyncio.to_thread(call, self._paths, "accounts.pause", params, timeout=SECONDS)
        return msgspec.convert(answer, AccountView)


def account_verbs(desk: Desk) -> dict[str, Verb]:
    """What a workstation answers on its local socket."""
    direct = DirectAccounts(desk)

    async def listed(_: Mapping[str, Any]) -> Sequence[AccountView]:
        return await direct.accounts()

    async def disconnect(params: Mapping[str, Any]) -> Disconnected:
        return await direct.disconnect(params["account"], hand_over=bool(params.get("hand_over")))

    async def pause(params: Mapping[str, Any]) -> AccountView:
        return await direct.pause(params["account"], paused=bool(params["paused"]))

    return {"accounts.list": listed, "accounts.disconnect": disconnect, "accounts.pause": pause}
