"""The OS keyring: macOS Keychain, Windows Credential Manager, Secret Service, KWallet. Never a plain-text one."""

from __future__ import annotations

import logging

from keyring.backend import KeyringBackend

log = logging.getLogger(__name__)

SERVICE = "Stopline vault"

_SAFE_MODULES = (
    "keyring.backends.macOS",
    "keyring.backends.Windows",
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
)
"""Backends of the operating system. Third-party ones may keep their entries in plain files, so they are not asked."""


class Keystore:
    """Entries in the OS keyring. `available` is False where there is none (a headless machine).

    A backend may be handed in; else the system's is looked for when first needed. May be used from any thread.
    """

    def __init__(self, backend: KeyringBackend | None = None) -> None:
        self._backend = backend
        self._searched = backend is not None

    @property
    def available(self) -> bool:
        """Whether entries can be kept."""
        return self._found() is not None

    def read(self, entry: str) -> str | None:
        """The entry's secret; None when there is no such entry, no keyring, or the user refused access."""
        backend = self._found()
        if backend is None:
            return None
        try:
            return backend.get_password(SERVICE, entry)
        except Exception as error:  # noqa: BLE001 - backends raise D-Bus, COM and OS errors of their own
            log.warning("the keyring did not answer: %s", type(error).__name__)
            return None

    def write(self, entry: str, secret: str) -> bool:
        """Keeps a secret, and reads it back: some backends accept and forget."""
        backend = self._found()
        if backend is None:
            return False
        try:
            backend.set_password(SERVICE, entry, secret)
            return backend.get_password(SERVICE, entry) == secret
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("the keyring refused the entry: %s", type(error).__name__)
            return False

    def remove(self, entry: str) -> None:
        """Forgets an entry, if it is there."""
        backend = self._found()
        if backend is None:
            return
        try:
            backend.delete_password(SERVICE, entry)
        except Exception as error:  # noqa: BLE001 - as above; an entry that stays unwraps nothing without its file
            log.info("the keyring entry was not removed: %s", type(error).__name__)

    def _found(self) -> KeyringBackend | None:
        if not self._searched:
            self._backend = _system_backend()
            self._searched = True
        return self._backend


def _system_backend() -> KeyringBackend | None:
    import keyring

    try:
        chosen = keyring.get_keyring()
    except Exception as error:  # noqa: BLE001 - a broken plug-in of another program must not keep ours from starting
        log.warning("no keyring: %s", type(error).__name__)
        return None
    # The chainer asks several backends in turn, unsafe ones too: take the safe ones out of it.
    candidates: list[KeyringBackend] = [chosen, *getattr(chosen, "backends", ())]
    for backend in candidates:
        if type(backend).__module__ in _SAFE_MODULES:
            return backend
    return None
