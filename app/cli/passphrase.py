"""Opens the profile's vault for a command: by the keyring, by STOPLINE_PASSPHRASE, or by asking on the terminal."""

from __future__ import annotations

import getpass
from collections.abc import Callable, MutableMapping

from app.desk.api_accounts import SessionVerbs
from app.desk.messages import VaultState
from app.domain.errors import Denied
from app.runtime import redaction
from app.runtime.secret import Secret

VARIABLE = "STOPLINE_PASSPHRASE"


class Passphrases:
    """Where a passphrase comes from. Read once; taken out of the environment so that no child process inherits it."""

    def __init__(
        self, environment: MutableMapping[str, str], *, terminal: bool, ask: Callable[[str], str] = getpass.getpass
    ) -> None:
        given = environment.pop(VARIABLE, "")
        self._given = Secret(given) if given else None
        self._terminal = terminal
        self._ask = ask
        if self._given is not None:
            redaction.redact(self._given)

    @property
    def given(self) -> Secret | None:
        """What the environment held; nobody is asked."""
        return self._given

    def known(self) -> Secret | None:
        """The passphrase of an existing vault, None when there is nobody to ask."""
        self._given = self._given or self._asked("Passphrase: ")
        return self._given

    def new(self) -> Secret | None:
        """A passphrase for a new vault, typed twice."""
        if self._given is not None:
            return self._given
        first = self._asked("New passphrase for the profile: ")
        if first is not None and first != self._asked("Once more: "):
            raise Denied("The two passphrases differ.", "Try again.")
        return first

    def _asked(self, prompt: str) -> Secret | None:
        if not self._terminal:
            return None
        answer = Secret(self._ask(prompt))
        redaction.redact(answer)
        return answer or None


async def open_vault(session: SessionVerbs, passphrases: Passphrases, *, create: bool) -> None:
    """Unlocks the vault; makes one when there is none and `create` says so. Raises Denied, WrongPassphrase, Damaged."""
    vault = await session.vault()
    if vault.state is VaultState.OPEN:
        return
    if vault.state is VaultState.ABSENT:
        if not create:
            raise Denied(f"There is no profile in {vault.profile} yet.", "Connect an account first.")
        passphrase = passphrases.new()
        if passphrase is None and not vault.keyring_available:
            raise _no_passphrase()
        await session.create_vault(passphrase, use_keyring=passphrase is None)
        return
    if vault.opens_with_keyring:
        await session.unlock(None)
        return
    passphrase = passphrases.known()
    if passphrase is None:
        raise _no_passphrase()
    await session.unlock(passphrase)


def _no_passphrase() -> Denied:
    return Denied("The profile needs its passphrase.", f"Set {VARIABLE}, or run this on a terminal.")
