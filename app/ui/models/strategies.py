"""The window's copy of the strategies, and of the timeline of the one that is looked at. GUI thread."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from app.domain.events import StrategyChanged, StrategyDeleted, StrategyMarked
from app.domain.ids import StrategyId
from app.domain.strategy import Strategy, StrategyMark, StrategyState
from app.ui.bridge import Bridge


class StrategyFacts(QObject):
    """As last heard."""

    changed = Signal(object)
    """The strategy that stands somewhere else."""
    gone = Signal(object)
    """The id of one that was deleted."""
    marked = Signal(object)
    """The id of the one whose timeline is looked at and grew."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self.strategies: dict[StrategyId, Strategy] = {}
        self.marks: list[StrategyMark] = []
        self._looked_at: StrategyId | None = None
        self._heard: set[StrategyId] = set()
        bridge.subscribe(StrategyChanged, self._on_changed)
        bridge.subscribe(StrategyDeleted, self._on_deleted)
        bridge.subscribe(StrategyMarked, self._on_marked)

    async def load(self) -> None:
        """All of them, after the unlock. What an event said meanwhile is newer and stays."""
        for strategy in await self._bridge.call(self._bridge.desk.strategies.strategies()):
            if strategy.id not in self._heard:
                self.strategies[strategy.id] = strategy
                self.changed.emit(strategy)

    def running(self) -> list[str]:
        """Names of those that buy or sell by themselves."""
        return [
            one.plan.name
            for one in self.strategies.values()
            if one.state.is_running and one.state is not StrategyState.PAUSED
        ]

    def look_at(self, strategy: StrategyId | None) -> None:
        """Whose timeline is shown."""
        if strategy == self._looked_at:
            return
        self._looked_at, self.marks = strategy, []
        if strategy is not None:
            self.marked.emit(strategy)
            self._bridge.start(self._read(strategy), "read a timeline")

    async def _read(self, strategy: StrategyId) -> None:
        marks = list(await self._bridge.call(self._bridge.desk.strategies.timeline(strategy)))
        if strategy == self._looked_at:
            later = [mark for mark in self.marks if mark not in marks]
            self.marks = [*marks, *later]
            self.marked.emit(strategy)

    def _on_changed(self, event: StrategyChanged) -> None:
        self._heard.add(event.strategy.id)
        self.strategies[event.strategy.id] = event.strategy
        self.changed.emit(event.strategy)

    def _on_deleted(self, event: StrategyDeleted) -> None:
        self.strategies.pop(event.strategy, None)
        self.gone.emit(event.strategy)

    def _on_marked(self, event: StrategyMarked) -> None:
        if event.mark.strategy == self._looked_at:
            self.marks.append(event.mark)
            self.marked.emit(event.mark.strategy)
