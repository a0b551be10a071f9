"""Vault, accounts, logins, as the desk's callers see them (see `desk.api`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.desk.messages import AccountView, LoginPage, PaperLogin, PassphraseStrength, VaultInfo
from app.domain.account import Endpoints
from app.domain.broker import BrokerListing
from app.domain.ids import AccountId
from app.runtime.secret import Secret


class SessionVerbs(Protocol):
    """Vault, accounts, logins."""

    async def vault(self) -> VaultInfo:
        """Whether there is one, and what opens it."""
        ...

    def strength(self, passphrase: Secret) -> PassphraseStrength:
        """A hint, never a bar. Any thread."""
        ...

    async def create_vault(self, passphrase: Secret | None, use_keyring: bool) -> None:
        """First run. Opens the new vault and the store. Raises Denied when neither way to open it was chosen."""
        ...

    async def unlock(self, passphrase: Secret | None) -> None:
        """None: by the keyring. Raises WrongPassphrase, Damaged. Afterwards stops are being re-armed."""
        ...

    async def brokers(self) -> Sequence[BrokerListing]:
        """What can be connected, with what is known of each."""
        ...

    async def recover(self, recovery_key: Secret, new: Secret) -> None:
        """Opens the vault by the recovery key; `new` is the passphrase from now on. Raises as `unlock`."""
        ...

    async def accounts(self) -> Sequence[AccountView]:
        """All that were ever connected."""
        ...

    async def add_account(
        self, broker: str, api_key: str, api_secret: Secret, endpoints: Endpoints | None = None
    ) -> AccountId:
        """Checked in words before anything is stored (Denied); logged out until its login."""
        ...

    async def connect_by_hand(
        self, broker: str, api_key: str, api_secret: Secret, access_token: Secret, endpoints: Endpoints | None = None
    ) -> AccountView:
        """The same with an access token that the trader has: proved with real calls before anything is stored (A4).

        Raises Denied, LoginFailed (no token, expired, not of this key), NotPermitted, Unreachable; each in words.
        """
        ...

    async def begin_login(self, account: AccountId) -> LoginPage:
        """A fresh page with a fresh single-use state."""
        ...

    async def complete_login(self, account: AccountId, redirected_to: str) -> AccountView:
        """The address that the login page redirected to. Raises LoginFailed with words for wrong, replayed or late
        state, cancelled login, wrong API secret."""
        ...

    async def cancel_login(self, account: AccountId) -> None:
        """The page was closed: a redirect that still comes is refused."""
        ...

    async def paper_login(self, account: AccountId) -> PaperLogin | None:
        """What to type, for a paper account that this program started; else None."""
        ...

    async def disconnect(self, account: AccountId, *, hand_over: bool = False) -> Sequence[str]:
        """Kills the session and wipes the tokens (A7). Raises Denied while stops are armed, unless they are handed
        over: then an order or trigger that rests at the broker takes the place of each first. Returns those, in words.
        """
        ...

    async def pause(self, account: AccountId) -> AccountView:
        """No sync by itself and no new order; stops and exits go on. Raises Denied when not logged in."""
        ...

    async def go_on(self, account: AccountId) -> AccountView:
        """Ends a pause. Raises Denied when it is not paused."""
        ...


class BrowserLoginVerbs(Protocol):
    """Logins through the trader's own browser (A3)."""

    async def begin(self, account: AccountId, redirect_url: str = "") -> LoginPage:
        """Listens at the redirect URL registered with the broker, and gives the page to open. Raises Denied in words
        where nobody can listen there."""
        ...

    async def finish(self, account: AccountId) -> AccountView:
        """Waits until the browser came back. Raises LoginFailed in words, Cancelled when the trader gave up."""
        ...

    async def cancel(self, account: AccountId) -> None:
        """The trader gave up: `finish` raises Cancelled."""
        ...
