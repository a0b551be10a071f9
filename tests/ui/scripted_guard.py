"""The guard's verbs in memory, for view tests."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.errors import Denied, WrongPassphrase
from app.domain.guard import AwayReport, Companion, Farewell, GuardSettings, GuardView
from app.runtime.secret import Secret
from tests.ui.script import Script

ALONE = "Nobody takes over if this program dies: only your passphrase opens the profile."


class ScriptedGuard:
    """Nobody waits beside the window, unless the test says so."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.settings = GuardSettings()
        self.companions: tuple[Companion, ...] = ()
        self.reports: tuple[AwayReport, ...] = ()
        self.left: list[Farewell] = []

    async def view(self) -> GuardView:
        return GuardView(self.settings, self.companions, False, "" if self.companions else ALONE, "")

    async def save_settings(self, settings: GuardSettings) -> None:
        await self.script.enter("save guarding", settings)
        self.settings = settings

    async def absences(self, limit: int = 50) -> Sequence[AwayReport]:
        return self.reports[:limit]

    async def lock_screen(self) -> None:
        if self.script.keyring:
            raise Denied("This profile has no passphrase to unlock the screen with.", "Lock the computer's own screen.")

    async def unlock_screen(self, passphrase: Secret) -> None:
        if passphrase.reveal() != self.script.passphrase:
            raise WrongPassphrase("The passphrase does not open the vault.")

    async def leave(self, how: Farewell) -> None:
        self.left.append(how)
