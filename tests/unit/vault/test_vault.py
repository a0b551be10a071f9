"""The vault: what opens it, what does not, and what is left on disk."""

from __future__ import annotations

import hmac
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked, PasswordDeleteError

from app.domain.errors import Damaged, Denied, StorageError, VaultLocked, WrongPassphrase
from app.domain.ids import AccountId
from app.runtime.secret import Secret
from app.vault.keystore import SERVICE, Keystore
from app.vault.sealing import KdfCost
from app.vault.vault import Vault

CHEAP = KdfCost(memory_kib=19_456, iterations=1, lanes=1)
PASSPHRASE = Secret("canary-passphrase-7f3a")
A, B = AccountId("zerodha-AB1234"), AccountId("zerodha-CD5678")


class MemoryKeyring(KeyringBackend):
    """A keyring that keeps its entries in memory, like a login keyring does while the user is logged in."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("the user said no")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise KeyringLocked("the user said no")
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError(username)


class Headless(Keystore):
    """A machine without any keyring."""

    @property
    def available(self) -> bool:
        return False


def vault_at(profile: Path, backend: KeyringBackend | None = None) -> Vault:
    return Vault(profile, Keystore(backend) if backend else Headless(), CHEAP)


def created(profile: Path) -> Vault:
    vault = vault_at(profile)
    vault.create(PASSPHRASE, use_keyring=False)
    return vault


def test_a_vault_opens_again_with_its_passphrase_and_gives_the_same_keys(tmp_path: Path) -> None:
    first = created(tmp_path / "p")
    book, journal = first.database_key("book"), first.database_key("journal")
    sealed = first.seal(A, Secret("token"))

    again = vault_at(tmp_path / "p")
    info = again.info()
    assert (info.exists, info.keyring_available, info.opens_with_keyring, info.opens_with_passphrase) == (
        True,
        False,
        False,
        True,
    )
    assert not again.is_open
    again.unlock(Secret(PASSPHRASE.reveal()))
    assert again.database_key("book") == book
    assert again.database_key("journal") == journal
    assert book != journal
    assert len(bytes.fromhex(book.reveal())) == 32
    assert again.open(A, sealed).reveal() == "token"


def test_two_profiles_with_one_passphrase_share_no_key(tmp_path: Path) -> None:
    assert created(tmp_path / "p").database_key("book") != created(tmp_path / "q").database_key("book")


@pytest.mark.parametrize("typed", ["", "canary-passphrase-7f3A", "canary-passphrase-7f3a "])
def test_a_wrong_passphrase_is_said_in_words_and_opens_nothing(tmp_path: Path, typed: str) -> None:
    vault = created(tmp_path / "p")
    vault.lock()
    with pytest.raises(WrongPassphrase) as caught:
        vault.unlock(Secret(typed))
    assert caught.value.next_step
    assert not vault.is_open
    vault.unlock(PASSPHRASE)
    assert vault.is_open


def test_a_locked_vault_gives_nothing_and_its_key_is_overwritten(tmp_path: Path) -> None:
    vault = created(tmp_path / "p")
    sealed = vault.seal(A, Secret("token"))
    assert vault._keys is not None
    master = vault._keys.master
    vault.lock()
    assert master == bytes(32)
    with pytest.raises(VaultLocked):
        vault.database_key("book")
    with pytest.raises(VaultLocked):
        vault.seal(A, Secret("token"))
    with pytest.raises(VaultLocked):
        vault.open(A, sealed)


def test_a_secret_moved_to_another_account_does_not_open(tmp_path: Path) -> None:
    vault = created(tmp_path / "p")
    sealed = vault.seal(A, Secret("token"))
    with pytest.raises(Damaged):
        vault.open(B, sealed)
    assert vault.open(A, sealed).reveal() == "token"


def test_every_altered_byte_of_a_sealed_secret_is_noticed(tmp_path: Path) -> None:
    vault = created(tmp_path / "p")
    sealed = vault.seal(A, Secret("tok"))
    for at in range(len(sealed)):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(Damaged):
            vault.open(A, bytes(altered))
    for length in range(len(sealed)):
        with pytest.raises(Damaged):
            vault.open(A, sealed[:length])


def test_sealing_twice_gives_different_bytes(tmp_path: Path) -> None:
    vault = created(tmp_path / "p")
    assert vault.seal(A, Secret("token")) != vault.seal(A, Secret("token"))


def test_changing_the_passphrase_keeps_the_keys(tmp_path: Path) -> None:
    vault = created(tmp_path / "p")
    key = vault.database_key("book")
    with pytest.raises(WrongPassphrase):
        vault.change_passphrase(Secret("not it"), Secret("next"))
    with pytest.raises(WrongPassphrase):
        vault.change_passphrase(None, Secret("next"))
    with pytest.raises(Denied):
        vault.change_passphrase(PASSPHRASE, Secret(""))
    vault.change_passphrase(PASSPHRASE, Secret("next"))

    again = vault_at(tmp_path / "p")
    with pytest.raises(WrongPassphrase):
        again.unlock(PASSPHRASE)
    again.unlock(Secret("next"))
    assert again.database_key("book") == key


def test_a_keyring_opens_the_vault_without_a_question(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    vault = vault_at(tmp_path / "p", keyring)
    vault.create(None, use_keyring=True)
    key = vault.database_key("book")
    assert [service for service, _ in keyring.entries] == [SERVICE]

    again = vault_at(tmp_path / "p", keyring)
    assert again.info().opens_with_keyring
    assert not again.info().opens_with_passphrase
    again.unlock(None)
    assert again.database_key("book") == key
    with pytest.raises(Denied):
        again.unlock(PASSPHRASE)


def test_keyring_and_passphrase_both_open_the_same_vault(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    vault = vault_at(tmp_path / "p", keyring)
    vault.create(PASSPHRASE, use_keyring=True)
    key = vault.database_key("book")
    again = vault_at(tmp_path / "p", keyring)
    for way in (None, PASSPHRASE):
        again.lock()
        again.unlock(way)
        assert again.database_key("book") == key
    again.change_passphrase(PASSPHRASE, Secret("next"))
    for way in (None, Secret("next")):
        third = vault_at(tmp_path / "p", keyring)
        third.unlock(way)
        assert third.database_key("book") == key


@pytest.mark.expects_log("the keyring did not answer")
def test_a_keyring_that_lost_or_swapped_the_entry_is_said_in_words(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    vault_at(tmp_path / "p", keyring).create(None, use_keyring=True)
    again = vault_at(tmp_path / "p", keyring)
    (entry,) = keyring.entries
    kept = keyring.entries.pop(entry)
    with pytest.raises(Denied, match="did not give the key"):
        again.unlock(None)
    for wrong in ("not hex", "ab" * 32, kept[:-2]):
        keyring.entries[entry] = wrong
        with pytest.raises(Damaged):
            again.unlock(None)
    keyring.entries[entry] = kept
    keyring.locked = True
    with pytest.raises(Denied):
        again.unlock(None)
    keyring.locked = False
    again.unlock(None)
    assert again.is_open


def test_without_a_keyring_only_a_passphrase_creates_a_vault(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "p", Headless(), CHEAP)
    with pytest.raises(Denied):
        vault.create(None, use_keyring=True)
    with pytest.raises(Denied):
        vault.create(None, use_keyring=False)
    with pytest.raises(Denied):
        vault.create(Secret(""), use_keyring=False)
    assert not (tmp_path / "p" / "vault.json").exists()


@pytest.mark.expects_log("the keyring refused")
def test_a_keyring_that_refuses_leaves_no_vault(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    keyring.locked = True
    with pytest.raises(Denied):
        vault_at(tmp_path / "p", keyring).create(PASSPHRASE, use_keyring=True)
    assert not (tmp_path / "p" / "vault.json").exists()


def test_the_system_search_never_takes_a_backend_that_is_not_the_systems_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring

    none = NoKeyring()  # type: ignore[no-untyped-call]  # the library leaves it untyped

    class Chainer(MemoryKeyring):
        backends = (MemoryKeyring(), none)

    for found in (MemoryKeyring(), none, Chainer()):
        monkeypatch.setattr(keyring, "get_keyring", lambda found=found: found)
        assert not Keystore().available


@pytest.mark.parametrize("module", ["macOS", "Windows", "SecretService", "libsecret", "kwallet"])
def test_the_system_search_takes_the_operating_systems_own_keyring(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    import keyring

    system = type("Keyring", (MemoryKeyring,), {"__module__": f"keyring.backends.{module}"})()
    chainer = type("ChainerBackend", (MemoryKeyring,), {"backends": (MemoryKeyring(), system)})()
    for found in (system, chainer):
        monkeypatch.setattr(keyring, "get_keyring", lambda found=found: found)
        keystore = Keystore()
        assert keystore.write("entry", "secret")
        assert system.entries == {(SERVICE, "entry"): "secret"}
        assert keystore.read("entry") == "secret"
        keystore.remove("entry")
        assert keystore.read("entry") is None
        keystore.remove("entry")


def test_a_vault_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    keyring = MemoryKeyring()
    vault = vault_at(tmp_path, keyring)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", _no_space)
        with pytest.raises(StorageError, match="could not be written"):
            vault.create(PASSPHRASE, use_keyring=True)
    assert not vault.is_open
    assert keyring.entries == {}
    assert list(tmp_path.iterdir()) == []


def _no_space(handle: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_secret_is_sealed_as_the_requirement_says(tmp_path: Path) -> None:
    """B1, opened with nothing of ours: HKDF-SHA256 by RFC 5869 from `hmac`, then AES-256-GCM."""
    vault = created(tmp_path)
    sealed = vault.seal(A, Secret("token"))
    assert vault._keys is not None
    extracted = hmac.digest(A.encode(), bytes(vault._keys.master), "sha256")
    key = hmac.digest(extracted, b"broker-token-encryption" + b"\x01", "sha256")
    bound = b"stopline account secret 1:" + A.encode()
    assert AESGCM(key).decrypt(sealed[1:13], sealed[13:], bound) == b"token"


def test_a_second_vault_is_not_created_over_the_first(tmp_path: Path) -> None:
    vault = created(tmp_path / "p")
    before = (tmp_path / "p" / "vault.json").read_bytes()
    with pytest.raises(Denied):
        vault.create(Secret("other"), use_keyring=False)
    assert (tmp_path / "p" / "vault.json").read_bytes() == before


def test_a_lost_vault_file_is_not_replaced_while_databases_need_it(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"x")
    with pytest.raises(Denied, match=r"journal\.db"):
        vault_at(tmp_path).create(PASSPHRASE, use_keyring=False)


def test_unlocking_where_there_is_no_vault_is_denied(tmp_path: Path) -> None:
    vault = vault_at(tmp_path)
    assert not vault.info().exists
    with pytest.raises(Denied):
        vault.unlock(PASSPHRASE)


def test_a_truncated_or_foreign_vault_file_is_named_and_kept(tmp_path: Path) -> None:
    vault = created(tmp_path)
    vault.lock()
    file = tmp_path / "vault.json"
    whole = file.read_bytes()
    wrong = [whole[:length] for length in range(0, len(whole), 7)]
    wrong += [b"{}", b"[]", b"null", b"\xff\xfe", b'{"format": "other", "version": 1}', b"[" * 9_000, b" " * 20_000]
    for content in wrong:
        file.write_bytes(content)
        with pytest.raises(Damaged) as caught:
            vault.unlock(PASSPHRASE)
        assert "vault.json" in str(caught.value)
        assert vault.info().damaged
        assert file.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["vault.json"]
    file.write_bytes(whole)
    vault.unlock(PASSPHRASE)


@pytest.mark.parametrize(
    "cost",
    [
        {"memory_kib": 1 << 40},
        {"memory_kib": 8},
        {"iterations": 10**9},
        {"iterations": 0},
        {"lanes": 5000},
        {"memory_kib": 1 << 20, "iterations": 20},
        {"memory_kib": True},
        {"memory_kib": "65536"},
        {"kdf": "md5"},
        {"salt": ""},
    ],
)
def test_tampered_costs_neither_hang_nor_weaken(tmp_path: Path, cost: dict[str, object]) -> None:
    vault = created(tmp_path)
    file = tmp_path / "vault.json"
    content = json.loads(file.read_bytes())
    content["passphrase"].update(cost)
    file.write_text(json.dumps(content))
    with pytest.raises(Damaged):
        vault.unlock(PASSPHRASE)


def test_a_changed_cost_within_bounds_does_not_open(tmp_path: Path) -> None:
    vault = created(tmp_path)
    file = tmp_path / "vault.json"
    content = json.loads(file.read_bytes())
    content["passphrase"]["iterations"] = 2
    file.write_text(json.dumps(content))
    with pytest.raises(WrongPassphrase):
        vault.unlock(PASSPHRASE)


def test_a_vault_of_a_newer_program_is_not_called_damaged(tmp_path: Path) -> None:
    vault = created(tmp_path)
    file = tmp_path / "vault.json"
    content = json.loads(file.read_bytes())
    content["version"] = 2
    file.write_text(json.dumps(content))
    with pytest.raises(StorageError, match="newer") as caught:
        vault.unlock(PASSPHRASE)
    assert not isinstance(caught.value, Damaged)


def test_the_default_cost_is_rfc_9106s_second_recommendation_and_is_stored(tmp_path: Path) -> None:
    vault = Vault(tmp_path, Headless())
    vault.create(PASSPHRASE, use_keyring=False)
    kept = json.loads((tmp_path / "vault.json").read_bytes())["passphrase"]
    assert (kept["memory_kib"], kept["iterations"], kept["lanes"]) == (64 * 1024, 3, 4)
    vault.lock()
    vault.unlock(PASSPHRASE)
    assert vault.is_open


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_the_vault_file_is_its_owners_alone(tmp_path: Path) -> None:
    created(tmp_path / "p")
    assert stat.S_IMODE((tmp_path / "p" / "vault.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o700


def test_no_secret_is_in_repr_or_file(tmp_path: Path) -> None:
    vault = created(tmp_path)
    key = vault.database_key("book")
    assert vault._keys is not None
    master = vault._keys.master
    shown = f"{vault!r} {vault} {key!r} {vault.__dict__!r}"
    assert PASSPHRASE.reveal() not in shown
    assert key.reveal() not in shown
    content = (tmp_path / "vault.json").read_bytes()
    assert PASSPHRASE.reveal().encode() not in content
    assert bytes(master) not in content
    assert master.hex().encode() not in content


def test_a_program_killed_while_it_changes_the_passphrase_leaves_an_openable_vault(tmp_path: Path) -> None:
    created(tmp_path)
    script = (
        "import sys; from pathlib import Path; from app.runtime.secret import Secret\n"
        "from app.vault.vault import Vault; from app.vault.sealing import KdfCost\n"
        "a = Secret(sys.argv[2])\n"
        "v = Vault(Path(sys.argv[1]), None, KdfCost(19456, 1, 1)); v.unlock(a)\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    b = Secret('even' if a.reveal() != 'even' else 'odd'); v.change_passphrase(a, b); a = b\n"
        "    print('changed', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), PASSPHRASE.reveal()], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for _ in range(8):
            assert process.stdout.readline()
        process.kill()
    opened = []
    for candidate in ("even", "odd"):
        vault = vault_at(tmp_path)
        try:
            vault.unlock(Secret(candidate))
        except WrongPassphrase:
            continue
        opened.append(candidate)
    assert len(opened) == 1
