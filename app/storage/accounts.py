"""Connected accounts (A5). Secrets are in here as the vault sealed them; this module cannot open them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select, text, update
from sqlalchemy.dialects.sqlite import insert

from app.domain.account import Endpoints
from app.domain.events import SessionState
from app.domain.ids import AccountId, Nanos
from app.storage.schema_book import accounts
from app.storage.store import Store


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """Everything kept of one account."""

    id: AccountId
    broker: str
    endpoints: Endpoints
    api_key: str = field(repr=False)
    user_id: str = ""
    """The broker's; empty before the first login."""
    client_name: str = ""
    state: SessionState = SessionState.LOGGED_OUT
    sealed_secret: bytes | None = field(default=None, repr=False)
    """The API secret, as `Vault.seal` made it."""
    sealed_token: bytes | None = field(default=None, repr=False)
    """The access token, likewise."""
    token_issued_at: Nanos | None = None
    token_expires_at: Nanos | None = None
    last_refresh: Nanos | None = None
    last_sync: Nanos | None = None
    next_sync: Nanos | None = None
    last_error: str = ""
    error_count: int = 0
    """Errors in a row; a success sets it back."""
    sync_on: bool = True
    sync_every_s: int = 900
    fills_synced: int = 0
    syncs_failed: int = 0
    connected_at: Nanos | None = None
    disconnected_at: Nanos | None = None

    @property
    def disconnected(self) -> bool:
        """The trader took it away and has not logged in again; its trades stay."""
        return self.state is SessionState.LOGGED_OUT and self.disconnected_at is not None


class Accounts:
    """The account records of the book."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> list[AccountRecord]:
        """All of them, disconnected ones too, in the order in which they were added: the first one's feed serves the
        display, and the ticket offers it first."""
        query = select(accounts).order_by(text("rowid"))
        return await self._store.run(lambda c: [_record(row) for row in c.execute(query)])

    async def get(self, account: AccountId) -> AccountRecord | None:
        """One of them."""
        query = select(accounts).where(accounts.c.id == account)
        row = await self._store.run(lambda c: c.execute(query).one_or_none())
        return None if row is None else _record(row)

    async def save(self, record: AccountRecord) -> None:
        """Adds or replaces a record."""
        row = _row(record)
        changed = {name: value for name, value in row.items() if name != "id"}
        change = insert(accounts).values(row).on_conflict_do_update(index_elements=["id"], set_=changed)
        await self._store.change(lambda c: c.execute(change))

    async def remove_tokens(self, account: AccountId) -> None:
        """Forgets the access token; the record and its history stay (A7)."""
        change = (
            update(accounts)
            .where(accounts.c.id == account)
            .values(sealed_token=None, token_issued_at=None, token_expires_at=None)
        )
        await self._store.change(lambda c: c.execute(change))


def _row(record: AccountRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "broker": record.broker,
        "user_id": record.user_id,
        "client_name": record.client_name,
        "state": record.state.value,
        "api_key": record.api_key,
        "api_url": record.endpoints.api_url,
        "login_url": record.endpoints.login_url,
        "ws_url": record.endpoints.ws_url,
        "redirect_url": record.endpoints.redirect_url,
        "ca_file": record.endpoints.ca_file,
        "sealed_secret": record.sealed_secret,
        "sealed_token": record.sealed_token,
        "token_issued_at": record.token_issued_at,
        "token_expires_at": record.token_expires_at,
        "last_refresh": record.last_refresh,
        "last_sync": record.last_sync,
        "next_sync": record.next_sync,
        "last_error": record.last_error,
        "error_count": record.error_count,
        "sync_on": int(record.sync_on),
        "sync_every_s": record.sync_every_s,
        "fills_synced": record.fills_synced,
        "syncs_failed": record.syncs_failed,
        "connected_at": record.connected_at,
        "disconnected_at": record.disconnected_at,
    }


def _record(row: Row[Any]) -> AccountRecord:
    return AccountRecord(
        id=AccountId(row.id),
        broker=row.broker,
        endpoints=Endpoints(row.api_url, row.login_url, row.ws_url, row.redirect_url, row.ca_file),
        api_key=row.api_key,
        user_id=row.user_id,
        client_name=row.client_name,
        state=SessionState(row.state),
        sealed_secret=row.sealed_secret,
        sealed_token=row.sealed_token,
        token_issued_at=row.token_issued_at,
        token_expires_at=row.token_expires_at,
        last_refresh=row.last_refresh,
        last_sync=row.last_sync,
        next_sync=row.next_sync,
        last_error=row.last_error,
        error_count=row.error_count,
        sync_on=bool(row.sync_on),
        sync_every_s=row.sync_every_s,
        fills_synced=row.fills_synced,
        syncs_failed=row.syncs_failed,
        connected_at=row.connected_at,
        disconnected_at=row.disconnected_at,
    )
