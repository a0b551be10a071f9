"""Settings, Data: backups, keys, how long things are kept, and whether all is well."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QTabWidget, QVBoxLayout, QWidget

from app.desk.data_messages import DataView, UpkeepSettings
from app.domain.errors import AppError
from app.domain.health import HealthState
from app.ui import format as fmt
from app.ui.bridge import Bridge
from app.ui.dialogs.data_pages import BackupPage, HealthPage, KeptPage, KeysPage
from app.ui.format import moment
from app.ui.widgets.text import Message, Question, label


class DataDialog(QDialog):
    """The Data page. One verb at a time; the window goes on meanwhile."""

    def __init__(self, bridge: Bridge, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("data")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Data")
        self._bridge = bridge
        self._view: DataView | None = None
        self._where = label("", "faint", wrap=True, name="data.where")
        self.message = Message(name="data.message")
        self.question = Question(name="data.question")
        self.backups = BackupPage()
        self.keys = KeysPage()
        self.kept = KeptPage()
        self.health = HealthPage()
        self._tabs = QTabWidget()
        self._tabs.setObjectName("data.tabs")
        for title, page in (
            ("&Backups", self.backups),
            ("&Keys", self.keys),
            ("&Retention", self.kept),
            ("&Health", self.health),
        ):
            self._tabs.addTab(page, title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(8)
        layout.addWidget(self._where)
        layout.addWidget(self.message)
        layout.addWidget(self.question)
        layout.addWidget(self._tabs, 1)
        self.resize(640, 520)
        self.backups.make.connect(lambda: self._start(self._backup, "Making a backup…"))
        self.backups.put_back.connect(self._ask_restore)
        self.backups.save.connect(self._save)
        self.keys.change.connect(lambda: self._start(self._change_passphrase, "Changing the passphrase…"))
        self.keys.recovery.connect(lambda: self._start(self._make_recovery_key, "Making a recovery key…"))
        self.keys.rotate.connect(self._ask_rotate)
        self.kept.save.connect(self._save)
        self.kept.tidy.connect(self._ask_tidy)
        self.health.files.connect(lambda: self._start(self._check_files, "Reading every page…"))
        self.health.look.connect(lambda: self._start(self._look, "Looking…"))
        bridge.start(self._load(), "data")

    async def _load(self) -> None:
        self._show(await self._bridge.call(self._bridge.desk.data.view()))

    def _show(self, view: DataView) -> None:
        self._view = view
        held = view.book_bytes + view.journal_bytes
        self._where.setText(
            f"{fmt.from_home(view.profile)}: {megabytes(held)} in use, {megabytes(view.free_bytes)} free on the disk"
        )
        self.backups.show_view(view)
        self.keys.show_view(view)
        self.kept.show_view(view)
        if view.restore_waits and not self.message.text:  # what a verb has just said says it better
            self.message.say("A restored backup takes its place when Stopline is started again.")

    # One verb at a time

    def _start(self, work: Callable[[], Coroutine[Any, Any, str]], words: str) -> None:
        self._set_busy(words)
        self._bridge.start(self._run(work), words)

    async def _run(self, work: Callable[[], Coroutine[Any, Any, str]]) -> None:
        try:
            said = await work()
        except AppError as failure:
            self.message.say(str(failure), "strip-danger")
        else:
            self.message.say(said, "strip")
            await self._load()
        finally:
            self._set_busy("")

    def _set_busy(self, words: str) -> None:
        self._tabs.setEnabled(not words)
        if words:
            self.question.hide()
            self.message.say(words, "strip")

    # Backups

    async def _backup(self) -> str:
        made = await self._bridge.call(self._bridge.desk.data.backup(self.backups.target() or None))
        return f"Backup made, read back and compared: {made.rows:,} rows, {megabytes(made.size)}, {made.file}"

    def _ask_restore(self) -> None:
        file = self.backups.source()
        if not file:
            self.message.say("Choose the backup to restore.")
            return
        self.question.ask(
            f"Restore {file}? The present state is set aside in the profile, and the backup takes its place when "
            "Stopline is started again.",
            "&Yes, restore",
            "Keep the &present state",
            lambda: self._start(self._restore, "Checking the backup…"),
        )

    async def _restore(self) -> str:
        passphrase = self.backups.passphrase()
        done = await self._bridge.call(self._bridge.desk.data.restore(self.backups.source(), passphrase))
        self.backups.forget()
        return (
            f"The backup of {moment(done.made_at):%d %b %Y %H:%M} is sound ({done.rows:,} rows). Close Stopline and "
            f"start it again to use it; the present state will be kept in {done.set_aside}."
        )

    def _save(self) -> None:
        view = self._view
        if view is not None:
            chosen = self.kept.chosen(self.backups.chosen(view.settings))
            self._start(lambda: self._save_settings(chosen), "Saving…")

    async def _save_settings(self, chosen: UpkeepSettings) -> str:
        await self._bridge.call(self._bridge.desk.data.save_settings(chosen))
        return "Saved. What is older than that is dropped once a day, or with Tidy up now."

    # Keys

    async def _change_passphrase(self) -> str:
        current, new = self.keys.passphrases()
        await self._bridge.call(self._bridge.desk.data.change_passphrase(current, new))
        self.keys.forget()
        return "The passphrase was changed; the backups in the folder open with the new one, too."

    async def _make_recovery_key(self) -> str:
        shown = await self._bridge.call(self._bridge.desk.data.make_recovery_key(self.keys.current()))
        self.keys.forget()
        self.keys.show_recovery_key(shown)
        return "Write the recovery key down and keep it away from this computer. It is not shown again."

    def _ask_rotate(self) -> None:
        self.question.ask(
            "Make new keys? Everything is encrypted anew and the old keys open nothing any more, backups in the "
            "folder included. Stops stay watched. A recovery key ends.",
            "&Make new keys",
            "Keep the ke&ys",
            lambda: self._start(self._rotate, "Encrypting everything anew…"),
        )

    async def _rotate(self) -> str:
        done = await self._bridge.call(self._bridge.desk.data.rotate_key(self.keys.current()))
        self.keys.forget()
        words = f"New keys are in use; {done.secrets} secrets were sealed anew."
        if done.recovery_key_ended:
            words += " Make a new recovery key: the old one has ended."
        if done.backups_foreign:
            words += f" {done.backups_foreign} files in the backup folder were not ours to change."
        if done.still_old:
            words += f" Set aside earlier and still under old keys: {', '.join(done.still_old)}."
        return words

    # Retention and health

    def _ask_tidy(self) -> None:
        """By what the page shows, saved or not: nobody who typed a number means the one from before."""
        view = self._view
        if view is None:
            return
        chosen = self.kept.chosen(view.settings)
        self.question.ask(
            f"Drop notifications older than {days(chosen.notifications_days)}, sync runs older than "
            f"{days(chosen.sync_log_days)}, ticks older than {days(chosen.ticks_days)} and the oldest ticks above "
            f"{chosen.ticks_megabytes} MB? They do not come back. Trades, orders and the audit trail stay.",
            "Dr&op them",
            "K&eep them",
            lambda: self._start(lambda: self._tidy(chosen), "Tidying up…"),
        )

    async def _tidy(self, chosen: UpkeepSettings) -> str:
        await self._bridge.call(self._bridge.desk.data.save_settings(chosen))
        done = await self._bridge.call(self._bridge.desk.data.tidy())
        told = (
            counted(done.notifications, "notification"),
            counted(done.sync_runs, "sync run"),
            counted(done.ticks, "block") + " of ticks",
        )
        return f"Dropped: {', '.join(told)}."

    async def _check_files(self) -> str:
        found = await self._bridge.call(self._bridge.desk.data.check_files())
        damaged = [f"{check.name}: {check.damage}" for check in found if check.damage]
        return " ".join(damaged) or "Every page of both databases is sound."

    async def _look(self) -> str:
        findings = await self._bridge.call(self._bridge.desk.health.look())
        self.health.show_findings(findings)
        states = [finding.state for finding in findings]
        told = [
            f"{states.count(state)} {words}"
            for state, words in ((HealthState.FAILED, "failed"), (HealthState.WARNING, "to see to"))
            if state in states
        ]
        return f"{len(findings)} things were looked at: {', '.join(told) or 'all is well'}."


def counted(count: int, what: str) -> str:
    """`1 notification`, `2 notifications`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def days(count: int) -> str:
    """`1 day`, `90 days`."""
    return counted(count, "day")


def megabytes(size: int) -> str:
    """As people read it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
