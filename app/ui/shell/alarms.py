"""What is told aloud: alarms as strips over the chart with a sound, the rest as short messages."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from PySide6.QtWidgets import QApplication

from app.domain.errors import AppError
from app.domain.events import Level, Noticed
from app.domain.stop import Stop
from app.ui.bridge import Bridge
from app.ui.models.facts import Facts
from app.ui.shell.banners import Banners, Toasts
from app.ui.views.notices import Entry

_OVER_WITH_THE_EXIT = ":exit "
"""In the names of alarms about an exit that does not get through: when its position is flat they are history."""

_OVER = " over:"
"""In the key of a notice that ends an alarm: `silent over:X` takes the strip of `silent:X` away."""

_HIT = ":hit"
"""In the name of what is told of an exit that went through: quiet, and said on the desktop for who looks elsewhere."""


class Alarms:
    """Shows each notice where it belongs. GUI thread; made by the main window."""

    def __init__(
        self,
        bridge: Bridge,
        facts: Facts,
        banners: Banners,
        toasts: Toasts,
        said: Callable[[], Collection[str]],
        call: Callable[[str, str], object],
        mention: Callable[[str, str], object],
    ) -> None:
        self._bridge = bridge
        self._facts = facts
        self._banners = banners
        self._toasts = toasts
        self._said = said
        """Names of alarms that an account's own strip says, with the way out."""
        self._call = call
        """Tells the desktop, title and text."""
        self._mention = mention
        """The same of what is no alarm."""
        facts.stop_changed.connect(self._on_stop)

    def show(self, entry: Entry) -> None:
        """A notice came, or came again."""
        entry = replace(entry, notice=self._whose(entry))
        notice = entry.notice
        if _OVER in notice.repeat_key:
            self._banners.drop(notice.repeat_key.replace(_OVER, ":", 1))
        if notice.level is not Level.ALARM:
            self._toasts.add(entry)
            if notice.repeat_key.endswith(_HIT) and entry.times == 1:
                self._mention(notice.title, notice.cause)
            return
        rest = " ".join(part for part in (notice.cause, notice.next_step) if part)
        title = notice.title
        text = f"{title}{'' if title.endswith(('.', '!', '?', ':')) else '.'} {rest}" if rest else title
        name = notice.repeat_key or f"alarm-{entry.number}"
        if name not in self._banners.names:  # the first time, or it was over, or put away
            self._call(title, rest)
        if self._banners.text_of(name) != text:
            QApplication.beep()  # what has become worse is heard again, too
        if name in self._said():
            return
        cancel = None if notice.order is None else partial(self._cancel, notice)
        button = "" if cancel is None else "Cancel that order"
        self._banners.show_banner(name, text, role="strip-danger", dismissable=True, button=button, do=cancel)

    def _whose(self, entry: Entry) -> Noticed:
        """Where several accounts are at work, whose it is, unless its words say so."""
        notice, whose = entry.notice, entry.account
        words = f"{notice.title} {notice.cause} {notice.next_step}"
        if len(self._facts.accounts) < 2 or not whose or whose in words:
            return notice
        return replace(notice, title=f"{whose}: {notice.title}")

    def _cancel(self, notice: Noticed) -> None:
        self._bridge.start(self._take_off(notice), "cancel the order that holds the units")

    async def _take_off(self, notice: Noticed) -> None:
        if notice.account is None or notice.order is None:
            return
        try:
            await self._bridge.call(self._bridge.desk.trading.cancel(notice.account, notice.order))
        except AppError as failure:
            self._banners.show_banner("cancel", str(failure), role="strip-danger", dismissable=True)

    def _on_stop(self, stop: Stop) -> None:
        if stop.state.is_final:
            for name in self._banners.names:
                if name.startswith(f"{stop.id}{_OVER_WITH_THE_EXIT}"):
                    self._banners.drop(name)
