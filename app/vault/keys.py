"""What a master key gives: database keys, sealed secrets of accounts, the key of a backup. Plain; any thread."""

from __future__ import annotations

from app.domain.errors import Damaged
from app.domain.ids import AccountId
from app.runtime.secret import Secret
from app.vault import sealing

_SEALED_VERSION = b"\x01"
_TOKEN_INFO = b"broker-token-encryption"
_BACKUP_INFO = b"backup"


class MasterKeys:
    """Everything that is derived from one master key. Nothing of it shows in a `repr`.

    A bytearray is taken over, and wiped at the end; bytes are copied.
    """

    def __init__(self, master: bytes | bytearray) -> None:
        self._master = master if isinstance(master, bytearray) else bytearray(master)

    def __repr__(self) -> str:
        return "MasterKeys(***)"

    @property
    def master(self) -> bytearray:
        """The key itself, for those who wrap it."""
        return self._master

    def wipe(self) -> None:
        """Python may have copied the bytes elsewhere; what we hold ourselves is overwritten, not just let go."""
        self._master[:] = bytes(len(self._master))

    def database_key(self, name: str) -> Secret:
        """The raw SQLCipher key of one database file: 64 hex digits."""
        return Secret(sealing.derived_key(self._master, salt=None, info=f"database:{name}".encode()).hex())

    def backup_key(self) -> bytes:
        """What wraps the keys of backup files."""
        return sealing.derived_key(self._master, salt=None, info=_BACKUP_INFO)

    def seal(self, account: AccountId, plain: Secret) -> bytes:
        """A secret of one account as it may lie in the store (B1)."""
        return _SEALED_VERSION + sealing.seal(self._account_key(account), plain.reveal().encode(), _bound(account))

    def unsealed(self, account: AccountId, sealed: bytes) -> Secret | None:
        """The secret again; None when it was altered, or sealed for another account or by another key."""
        if sealed[:1] != _SEALED_VERSION:
            return None
        plain = sealing.unseal(self._account_key(account), sealed[1:], _bound(account))
        return None if plain is None else Secret(plain.decode())

    def open(self, account: AccountId, sealed: bytes) -> Secret:
        """As `unsealed`, but raises Damaged."""
        plain = self.unsealed(account, sealed)
        if plain is None:
            raise Damaged(f"A stored secret of {account} does not open.", "Connect the account again.")
        return plain

    def _account_key(self, account: AccountId) -> bytes:
        return sealing.derived_key(self._master, salt=account.encode(), info=_TOKEN_INFO)


def _bound(account: AccountId) -> bytes:
    return b"stopline account secret 1:" + account.encode()
