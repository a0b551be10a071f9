"""How long a price connection brought nothing while the market traded (E3). Loop thread only."""

from __future__ import annotations

import logging
from collections.abc import Callable

from app.domain.events import FeedGap, FeedState
from app.domain.ids import AccountId, InstrumentId, Nanos
from app.market.lane import Lane

log = logging.getLogger(__name__)


class Gaps:
    """One account's."""

    def __init__(
        self,
        account: AccountId,
        patience: Callable[[frozenset[int]], float | None],
        now: Callable[[], Nanos],
        shown: Callable[[Lane], tuple[InstrumentId, ...]],
        publish: Callable[[FeedGap], None],
    ) -> None:
        self._account = account
        self._patience = patience
        """None while nothing of what a connection carries trades."""
        self._now = now
        self._shown = shown
        """Of what a connection carries, what has a chart or a stop."""
        self._publish = publish
        self._since: dict[int, Nanos] = {}
        """Since when nothing comes, by the number of the connection."""

    def forget(self) -> None:
        """Other connections begin."""
        self._since.clear()

    def mark(self, lane: Lane) -> None:
        """A connection changed its state. A gap goes from the last price before to the first after."""
        if lane.state is FeedState.LIVE:
            since = self._since.pop(lane.number, None)
            if since is not None:
                until = self._now()
                seconds = (until - since) / 1e9
                log.info("no prices of %s on connection %d for %.1f s", self._account, lane.number, seconds)
                self._publish(FeedGap(self._account, since, until, self._shown(lane)))
        elif lane.state in (FeedState.SILENT, FeedState.DOWN) and lane.data_at:
            if self._patience(lane.tokens) is None:
                return
            self._since.setdefault(lane.number, self._now() - (lane.data_age_ms or 0) * 1_000_000)
