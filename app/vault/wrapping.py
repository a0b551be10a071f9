"""The ways into a vault: a passphrase, the OS keyring, a recovery key. Each wraps the same master key."""

from __future__ import annotations

import base64
import secrets

from app.domain.errors import Damaged, Denied, WrongPassphrase
from app.runtime.secret import Secret
from app.vault import sealing
from app.vault.keystore import Keystore
from app.vault.sealing import KEY_BYTES, KdfCost
from app.vault.vault_file import Keyring, Passphrase, Recovery, VaultFile

_CODE_BYTES = 20
"""160 random bits: nobody guesses them, so no slow derivation is needed."""
_GROUP = 4
_RECOVERY_INFO = b"recovery key"
_LOOKALIKES = str.maketrans("018", "OIB")


def by_passphrase(master: bytes | bytearray, vault_id: str, passphrase: Secret, cost: KdfCost) -> Passphrase:
    """Takes a tenth of a second and more."""
    salt = secrets.token_bytes(16)
    binding = Passphrase(cost, salt, b"").binding(vault_id)
    key = sealing.passphrase_key(passphrase.reveal(), salt, cost)
    return Passphrase(cost, salt, sealing.seal(key, master, binding))


def by_keyring(master: bytes | bytearray, vault_id: str, keystore: Keystore) -> Keyring:
    """Raises Denied when the keyring does not keep the entry."""
    key = secrets.token_bytes(KEY_BYTES)
    if not keystore.write(vault_id, key.hex()):
        raise Denied("The keyring did not keep the key.", "Unlock the keyring, or choose a passphrase.")
    return Keyring(sealing.seal(key, master, Keyring(b"").binding(vault_id)))


def by_recovery(master: bytes | bytearray, vault_id: str) -> tuple[Recovery, Secret]:
    """The wrapping, and the recovery key to write down: eight groups of four letters and digits."""
    code = secrets.token_bytes(_CODE_BYTES)
    letters = base64.b32encode(code).decode()
    shown = "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))
    key = sealing.derived_key(code, salt=vault_id.encode(), info=_RECOVERY_INFO)
    return Recovery(sealing.seal(key, master, Recovery(b"").binding(vault_id))), Secret(shown)


def master_by_passphrase(file: VaultFile, passphrase: Secret) -> bytearray:
    """Raises WrongPassphrase; Denied when there is no such way in."""
    if file.passphrase is None:
        raise Denied("This vault has no passphrase.", "Open it with the keyring.")
    if not passphrase.reveal():
        raise WrongPassphrase("The passphrase is missing.", "Type the passphrase of this profile.")
    wrapped = file.passphrase
    key = sealing.passphrase_key(passphrase.reveal(), wrapped.salt, wrapped.cost)
    master = sealing.unseal(key, wrapped.sealed, wrapped.binding(file.vault_id))
    if master is None:
        raise WrongPassphrase("The passphrase does not open this vault.")
    return bytearray(master)


def master_by_keyring(file: VaultFile, keystore: Keystore) -> bytearray:
    """Raises Denied when the keyring has no such entry, Damaged when its key does not fit."""
    if file.keyring is None:
        raise Denied("This vault does not open with the keyring.", "Type the passphrase.")
    otherwise = "Type the passphrase." if file.passphrase else "Unlock the keyring of this user and try again."
    kept = keystore.read(file.vault_id)
    if kept is None:
        raise Denied("The keyring did not give the key of this vault.", otherwise)
    try:
        master = sealing.unseal(bytes.fromhex(kept), file.keyring.sealed, file.keyring.binding(file.vault_id))
    except ValueError:
        master = None
    if master is None:
        raise Damaged("The keyring's key does not open this vault.", otherwise)
    return bytearray(master)


def master_by_recovery(file: VaultFile, typed: Secret) -> bytearray:
    """Raises WrongPassphrase for a key with a mistake; Denied when there is no such way in."""
    if file.recovery is None:
        raise Denied("This vault has no recovery key.", "Type the passphrase.")
    letters = "".join(c for c in typed.reveal().upper() if c.isalnum()).translate(_LOOKALIKES)
    try:
        code = base64.b32decode(letters)
    except ValueError:
        code = b""
    key = sealing.derived_key(code, salt=file.vault_id.encode(), info=_RECOVERY_INFO)
    master = sealing.unseal(key, file.recovery.sealed, file.recovery.binding(file.vault_id))
    if master is None:
        raise WrongPassphrase(
            "This is not the recovery key of this vault.",
            "Check it letter by letter. One from before the keys were changed, or before another was made, has ended.",
        )
    return bytearray(master)
