"""The pages of the Data dialog: fields and buttons, no verbs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.desk.data_messages import DataView, UpkeepSettings
from app.domain.health import Finding, HealthState
from app.runtime.secret import Secret
from app.ui import format as fmt
from app.ui import theme
from app.ui.format import moment
from app.ui.widgets.text import Message, label, selectable

_TONES = {HealthState.OK: "up", HealthState.WARNING: "warning", HealthState.FAILED: "danger"}


class BackupPage(QWidget):
    """Make one, bring one back, when they are made by themselves."""

    make = Signal()
    put_back = Signal()
    save = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._newest = label("", "muted", wrap=True, name="data.backups")
        self._target = _edit("data.target", "New file", "empty: a new file in the backup folder")
        self._source = _edit("data.source", "Backup to restore", "a backup file")
        self._passphrase = _secret("data.source.passphrase", "Passphrase of the backup")
        self._passphrase.setPlaceholderText("only where it differs from today's")
        self._hours = _number("data.hours", 0, 24 * 31, " hours")
        self._hours.setSpecialValueText("by hand only")
        self._keep = _number("data.keep", 1, 1000, " kept")
        self._folder = _edit("data.folder", "Backup folder", "empty: in the profile")
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addWidget(self._newest)
        layout.addLayout(_row(self._target, _button("data.backup", "Back up &now", self.make, "primary")))
        layout.addSpacing(8)
        layout.addWidget(label("By itself", "heading"))
        form = QFormLayout()
        form.addRow("&Every", self._hours)
        form.addRow("Scheduled &ones", self._keep)
        form.addRow("&Folder", self._folder)
        layout.addLayout(form)
        layout.addLayout(_row(None, _button("data.schedule.save", "&Save the schedule", self.save)))
        layout.addSpacing(8)
        layout.addWidget(label("Restore", "heading"))
        layout.addWidget(self._source)
        layout.addLayout(_row(self._passphrase, _button("data.restore", "Res&tore…", self.put_back, "danger")))
        layout.addStretch(1)

    def show_view(self, view: DataView) -> None:
        """What there is."""
        if view.backups:
            newest = view.backups[0]
            count = "1 backup" if len(view.backups) == 1 else f"{len(view.backups)} backups"
            made = f"{moment(newest.made_at):%d %b %Y %H:%M}"
            self._newest.setText(f"{count} in {fmt.from_home(view.backup_folder)}; the newest is of {made}.")
        else:
            self._newest.setText(f"There is no backup in {fmt.from_home(view.backup_folder)} yet.")
        self._hours.setValue(view.settings.backup_every_hours)
        self._keep.setValue(view.settings.backups_kept)
        self._folder.setText(view.settings.backup_folder)

    def target(self) -> str:
        """Where the new backup goes; empty: the folder."""
        return self._target.text().strip()

    def source(self) -> str:
        """The backup to restore."""
        return self._source.text().strip()

    def passphrase(self) -> Secret | None:
        """Of that backup, where one was typed."""
        return Secret(self._passphrase.text()) if self._passphrase.text() else None

    def forget(self) -> None:
        """Nothing typed outlives its use."""
        self._passphrase.clear()

    def chosen(self, settings: UpkeepSettings) -> UpkeepSettings:
        """With what this page says."""
        return replace(
            settings,
            backup_every_hours=self._hours.value(),
            backups_kept=self._keep.value(),
            backup_folder=self._folder.text().strip(),
        )


class KeysPage(QWidget):
    """Passphrase, recovery key, new keys."""

    change = Signal()
    recovery = Signal()
    rotate = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._asks = True
        self._current = _secret("data.current", "Present passphrase")
        self._new = _secret("data.new", "New passphrase")
        self._again = _secret("data.again", "New passphrase once more")
        self.message = Message(name="data.keys.message")
        self._recovery_words = label("", "muted", wrap=True, name="data.recovery.words")
        self._shown = selectable(label("", "heading", wrap=True, name="data.recovery.key"))
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        form = QFormLayout()
        form.addRow("&Present passphrase", self._current)
        form.addRow("&New passphrase", self._new)
        form.addRow("&Once more", self._again)
        layout.addLayout(form)
        layout.addWidget(self.message)
        self._change = _button("data.passphrase", "&Change the passphrase", None)
        self._change.clicked.connect(self._submit)
        layout.addLayout(_row(None, self._change))
        layout.addSpacing(8)
        layout.addWidget(label("Recovery key", "heading"))
        layout.addWidget(self._recovery_words)
        layout.addWidget(self._shown)
        layout.addLayout(_row(None, _button("data.recovery", "Make a reco&very key", self.recovery)))
        layout.addSpacing(8)
        layout.addWidget(label("New keys", "heading"))
        layout.addWidget(
            label(
                "Encrypts everything anew, e.g. after somebody may have copied the profile and knew the passphrase.",
                "muted",
                wrap=True,
            )
        )
        layout.addLayout(_row(None, _button("data.rotate", "Make ne&w keys…", self.rotate, "danger")))
        layout.addStretch(1)
        for edit in (self._current, self._new, self._again):
            edit.textChanged.connect(self.message.clear)

    def show_view(self, view: DataView) -> None:
        """What there is."""
        self._asks = view.asks_passphrase
        self._current.setEnabled(view.asks_passphrase)
        self._recovery_words.setText(
            "There is one. A new one ends it."
            if view.has_recovery_key
            else "There is none: who loses the passphrase loses everything."
        )
        if not view.has_recovery_key:
            self._shown.clear()  # one that has ended is not for writing down

    def current(self) -> Secret | None:
        """The present passphrase, where there is one."""
        return Secret(self._current.text()) if self._asks else None

    def passphrases(self) -> tuple[Secret | None, Secret]:
        """Present and new."""
        return self.current(), Secret(self._new.text())

    def show_recovery_key(self, key: Secret) -> None:
        """Once, until the dialog is closed."""
        self._shown.setText(key.reveal())

    def forget(self) -> None:
        """Nothing typed outlives its use."""
        for edit in (self._current, self._new, self._again):
            edit.clear()

    def _submit(self) -> None:
        if not self._new.text():
            self.message.say("Type the new passphrase.")
        elif self._new.text() != self._again.text():
            self.message.say("The two new passphrases differ. Type the same one twice.")
        else:
            self.change.emit()


class KeptPage(QWidget):
    """How long things are kept."""

    save = Signal()
    tidy = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._notifications = _number("data.notifications", 1, 3650, " days")
        self._sync_log = _number("data.sync_log", 7, 3650, " days")
        self._ticks = _number("data.ticks", 1, 3650, " days")
        self._megabytes = _number("data.ticks.megabytes", 10, 1_000_000, " MB")
        self._record = QCheckBox("Recor&d the ticks of open positions")
        self._record.setObjectName("data.ticks.record")
        self._also = _edit("data.ticks.also", "Instruments recorded besides", "e.g. NSE:INFY, NFO:NIFTY26DECFUT")
        self._held = label("", "muted", wrap=True, name="data.ticks.held")
        self._aside = label("", "muted", wrap=True, name="data.aside")
        form = QFormLayout()
        form.addRow("Trades, orders, audit", label("for ever", "muted"))
        form.addRow("&Notifications", self._notifications)
        form.addRow("S&ync log", self._sync_log)
        form.addRow("", self._record)
        form.addRow("Record bes&ides", self._also)
        form.addRow("&Ticks", self._ticks)
        form.addRow("Ticks, at &most", self._megabytes)
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addLayout(form)
        layout.addWidget(self._held)
        tidy = _button("data.tidy", "Tidy up no&w", self.tidy)
        layout.addLayout(_row(None, tidy, _button("data.kept.save", "&Save", self.save, "primary")))
        layout.addWidget(self._aside)
        layout.addStretch(1)

    def show_view(self, view: DataView) -> None:
        """What there is."""
        chosen = view.settings
        self._notifications.setValue(chosen.notifications_days)
        self._sync_log.setValue(chosen.sync_log_days)
        self._ticks.setValue(chosen.ticks_days)
        self._megabytes.setValue(chosen.ticks_megabytes)
        self._record.setChecked(chosen.record_ticks)
        self._also.setText(", ".join(chosen.record_also))
        since = f", the oldest of {moment(view.ticks_oldest):%d %b %Y}" if view.ticks_oldest is not None else ""
        self._held.setText(f"Recorded ticks take {view.ticks_bytes / 1e6:.1f} MB{since}; the oldest go first.")
        self._aside.setText(f"Set aside, never overwritten: {', '.join(view.set_aside)}" if view.set_aside else "")

    def chosen(self, settings: UpkeepSettings) -> UpkeepSettings:
        """With what this page says."""
        return replace(
            settings,
            notifications_days=self._notifications.value(),
            sync_log_days=self._sync_log.value(),
            ticks_days=self._ticks.value(),
            ticks_megabytes=self._megabytes.value(),
            record_ticks=self._record.isChecked(),
            record_also=tuple(name.strip() for name in self._also.text().split(",") if name.strip()),
        )


class HealthPage(QWidget):
    """What works and what does not, each with its next step."""

    files = Signal()
    look = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._area = QScrollArea()
        self._area.setObjectName("data.findings")
        self._area.setWidgetResizable(True)
        check = _button("data.files", "&Check the files", self.files)
        layout = QVBoxLayout(self)
        layout.addLayout(_row(None, check, _button("data.look", "&Look at everything", self.look, "primary")))
        layout.addWidget(self._area, 1)

    def show_findings(self, findings: Sequence[Finding]) -> None:
        """One line each."""
        inside = QWidget()
        grid = QGridLayout(inside)
        for row, finding in enumerate(findings):
            step = f". {finding.next_step}" if finding.next_step else ""
            name = label(finding.name, "muted")
            name.setAlignment(Qt.AlignmentFlag.AlignTop)
            state = label(str(finding.state), _TONES[finding.state])
            state.setAlignment(Qt.AlignmentFlag.AlignTop)
            grid.addWidget(state, row, 0)
            grid.addWidget(name, row, 1)
            grid.addWidget(selectable(label(f"{finding.words}{step}", wrap=True)), row, 2)
        grid.setColumnStretch(2, 1)
        grid.setRowStretch(len(findings), 1)
        self._area.setWidget(inside)


def _button(name: str, text: str, clicked: object, role: str = "") -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setAutoDefault(False)
    if role:
        theme.set_role(button, role)
    if clicked is not None:
        button.clicked.connect(clicked)
    return button


def _row(field: QWidget | None, *buttons: QPushButton) -> QHBoxLayout:
    row = QHBoxLayout()
    if field is None:
        row.addStretch(1)
    else:
        row.addWidget(field, 1)
    for button in buttons:
        row.addWidget(button)
    return row


def _edit(name: str, accessible: str, hint: str) -> QLineEdit:
    edit = QLineEdit()
    edit.setObjectName(name)
    edit.setAccessibleName(accessible)
    edit.setPlaceholderText(hint)
    return edit


def _secret(name: str, accessible: str) -> QLineEdit:
    edit = _edit(name, accessible, "")
    edit.setEchoMode(QLineEdit.EchoMode.Password)
    edit.setInputMethodHints(Qt.InputMethodHint.ImhSensitiveData | Qt.InputMethodHint.ImhNoPredictiveText)
    return edit


def _number(name: str, least: int, most: int, suffix: str) -> QSpinBox:
    box = QSpinBox()
    box.setObjectName(name)
    box.setRange(least, most)
    box.setSuffix(suffix)
    box.lineEdit().setTextMargins(6, 0, 0, 0)  # the style sheet's padding stops at the frame
    return box
