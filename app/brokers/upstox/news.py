"""What Upstox's portfolio stream tells beside orders: positions, holdings, triggers (portfolio stream feed). Pure.

Positions and holdings come without prices and without a symbol, so they say that something changed and are read.
"""

from __future__ import annotations

from app.brokers.rows import Row
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.mapping import key_of, product_of
from app.brokers.upstox.resting import gtt_from_row
from app.domain.ids import AccountId
from app.domain.news import BookNews, HoldingNews, PositionNews
from app.domain.portfolio import PositionKey


def news_from(data: object, account: AccountId, directory: Directory) -> BookNews:
    """Of an update that is no order's. Raises BadAnswer, for an unknown kind too."""
    row = Row(data, "portfolio update")
    kind = row.text("update_type")
    if kind == "gtt_order":
        return gtt_from_row(data, account, directory)
    if kind not in ("position", "holding"):
        raise row.bad("update_type")
    key = key_of(row)
    name = directory.name(key, row.maybe_text("trading_symbol") or key)
    if kind == "position":
        return PositionNews(PositionKey(account, name, product_of(row, key)), row.whole("quantity"))
    waiting, total = row.whole("t1_quantity"), row.whole("quantity")
    if waiting > total:
        raise row.bad("t1_quantity")
    return HoldingNews(account, name, total - waiting, waiting, row.whole("cnc_used_quantity"))
