"""What Upstox does beyond what every broker must (`brokers.parts`): history by date, GTTs, bulk calls, conversions,
reports, calendar. Loop thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from app.brokers.base import Session
from app.brokers.parts import FillPage, MarketDay, RealisedPage, SessionTiming
from app.brokers.rows import Row
from app.brokers.upstox import reports, requests, resting
from app.brokers.upstox.keys import Directory
from app.brokers.upstox.outcomes import bulk_from, gtt_ids_of
from app.brokers.upstox.part import UpstoxPart
from app.brokers.upstox.rest import UpstoxRest
from app.domain.errors import BadAnswer, BrokerError, Denied, Rejected
from app.domain.fill import Charges
from app.domain.gtt import Gtt, GttRequest
from app.domain.ids import BrokerOrderId, GttId, Tag
from app.domain.instrument import Segment
from app.domain.portfolio import Conversion
from app.runtime.clock import to_datetime

HISTORY_DAYS = 3 * 365
"""Of trades, counted from the login: three financial years (charges, historical trades)."""

_GTT = "/v3/order/gtt"
_HISTORY = "/v2/charges/historical-trades"
_REPORT = "/v2/trade/profit-loss"


class UpstoxSpecials(UpstoxPart):
    """The parts of an account that only some brokers have. The session itself is in `adapter`."""

    def __init__(self, session: Session, rest: UpstoxRest, directory: Directory) -> None:
        super().__init__(session, rest, directory)
        self._pages: dict[tuple[date, date], _PagesRead] = {}

    # -- trades of earlier days --------------------------------------------------------------------------------------

    async def fills_between(self, start: date, end: date, page: int = 1) -> FillPage:
        """One page of the fills of these days, both included. A page that repeats an earlier one is a BadAnswer."""
        if end < start:
            raise Denied("The range ends before it begins.", "Swap the two days.")
        oldest = to_datetime(self._session.issued_at).date() - timedelta(days=HISTORY_DAYS)
        if start < oldest:
            raise Denied(f"Upstox keeps trades since {oldest} only.", "Begin there.")
        asked = [
            ("start_date", start.isoformat()),
            ("end_date", end.isoformat()),
            ("page_number", str(page)),
            ("page_size", str(reports.PAGE_SIZE)),
        ]
        account, directory = self._account, self._directory
        found, beside, digest = await self._rest.page(
            _HISTORY, lambda row: reports.past_fill_from_row(row, account, directory), asked
        )
        paging = reports.paging_of(beside)
        if paging.number != page and found:
            raise BadAnswer("The broker sent another page than the one asked for.", detail=f"{paging.number}: {page}")
        if page == 1:
            self._pages.pop((start, end), None)
        read = self._pages.setdefault((start, end), _PagesRead())
        if found:
            read.take(page, digest)
        fills = tuple(one for one in found if one is not None)
        read.left_out += len(found) - len(fills)
        last = page >= paging.pages
        if last:
            self._pages.pop((start, end), None)
        # Mutual funds are counted by the broker and left out by us: what is true is known on the last page.
        return FillPage(fills, page, paging.pages, paging.total - read.left_out if last else None)

    # -- GTT ---------------------------------------------------------------------------------------------------------

    async def gtts(self) -> Sequence[Gtt]:
        """All that the broker lists."""
        return await self._rest.rows(_GTT, self._gtt)

    async def gtt(self, gtt: GttId) -> Gtt:
        """One, of any age."""
        found = await self._rest.rows(_GTT, self._gtt, params=[("gtt_order_id", gtt)])
        if not found:
            raise Rejected("The broker has no such GTT.", detail=gtt)
        return found[0]

    async def place_gtt(self, request: GttRequest) -> GttId:
        """A trigger with an order at market behind it, or an entry with exits."""
        self._deny_reading()
        body = requests.gtt_body(request, self._directory)
        return gtt_ids_of(await self._rest.send("POST", f"{_GTT}/place", body=body))[0]

    async def modify_gtt(self, gtt: GttId, request: GttRequest) -> None:
        """Type, quantity and rules again; product, side and instrument stay."""
        self._deny_reading()
        body = requests.gtt_body(request, self._directory)
        changed = {name: body[name] for name in ("type", "quantity", "rules")}
        gtt_ids_of(await self._rest.send("PUT", f"{_GTT}/modify", body={**changed, "gtt_order_id": gtt}))

    async def delete_gtt(self, gtt: GttId) -> None:
        """Ends it. The call has a body, though it is a DELETE."""
        self._deny_reading()
        gtt_ids_of(await self._rest.send("DELETE", f"{_GTT}/cancel", body={"gtt_order_id": gtt}))

    def _gtt(self, row: object) -> Gtt:
        return resting.gtt_from_row(row, self._account, self._directory)

    # -- in bulk -----------------------------------------------------------------------------------------------------

    async def cancel_many(
        self, tag: Tag | None = None, segment: str = ""
    ) -> tuple[Sequence[BrokerOrderId], Sequence[BrokerError]]:
        """Cancels every open order, or those of a tag or of one of Upstox's segments: (cancelled, refusals)."""
        self._deny_reading()
        return bulk_from(await self._rest.send_many("DELETE", "/v2/order/multi/cancel", params=_scope(tag, segment)))

    async def exit_positions(
        self, tag: Tag | None = None, segment: str = ""
    ) -> tuple[Sequence[BrokerOrderId], Sequence[BrokerError]]:
        """Squares off every open position at market, delivered shares aside: (exit orders, refusals)."""
        self._deny_reading()
        return bulk_from(await self._rest.send_many("POST", "/v2/order/positions/exit", params=_scope(tag, segment)))

    async def convert(self, conversion: Conversion) -> None:
        """A position changes its product."""
        self._deny_reading()
        body = requests.convert_body(conversion, self._directory)
        await self._rest.send("PUT", "/v2/portfolio/convert-position", body=body)

    # -- reports -----------------------------------------------------------------------------------------------------

    async def realised(
        self, segment: Segment, year: int, start: date | None = None, end: date | None = None, page: int = 1
    ) -> RealisedPage:
        """One page of the P&L report. How many there are is asked beside it."""
        asked = reports.report_query(segment, year, start, end)
        about = Row(await self._rest.get(f"{_REPORT}/metadata", asked), "report")
        size = min(about.whole("page_size_limit"), reports.REPORT_PAGE)
        if size <= 0:
            raise about.bad("page_size_limit")
        pages = -(-about.whole("trades_count") // size)
        if page > pages:
            return RealisedPage((), page, pages)
        params = [*asked, ("page_number", str(page)), ("page_size", str(size))]
        rows = await self._rest.rows(f"{_REPORT}/data", reports.realised_from_row, params=params)
        return RealisedPage(tuple(rows), page, pages)

    async def realised_charges(
        self, segment: Segment, year: int, start: date | None = None, end: date | None = None
    ) -> Charges:
        """The charges of the same trades."""
        asked = reports.report_query(segment, year, start, end)
        return reports.report_charges_from(await self._rest.get(f"{_REPORT}/charges", asked))

    # -- calendar ----------------------------------------------------------------------------------------------------

    async def market_days(self) -> Sequence[MarketDay]:
        """The special days of the current year."""
        return await self._rest.rows("/v2/market/holidays", reports.market_day_from_row)

    async def market_day(self, on: date) -> MarketDay | None:
        """What is special about one day, of any year; None for a day like others."""
        found = await self._rest.rows(f"/v2/market/holidays/{on.isoformat()}", reports.market_day_from_row)
        if any(day.on != on for day in found):
            raise BadAnswer("The broker told of another day than the one asked for.", detail=on.isoformat())
        return found[0] if found else None

    async def session_timings(self, on: date) -> Sequence[SessionTiming]:
        """Every exchange's session on a day; empty when all are closed."""
        return await self._rest.rows(f"/v2/market/timings/{on.isoformat()}", reports.timing_from_row)


class _PagesRead:
    """The pages of one range so far: a broker that repeats one would double its fills."""

    def __init__(self) -> None:
        self.left_out = 0
        self._digests: dict[bytes, int] = {}

    def take(self, page: int, digest: bytes) -> None:
        """Raises BadAnswer when these rows were another page."""
        earlier = self._digests.setdefault(digest, page)
        if earlier != page:
            raise BadAnswer(
                "The broker sent the same page of trades twice.",
                "Nothing of it was taken; the next sync reads it again.",
                detail=f"page {page} repeats {earlier}",
            )


def _scope(tag: Tag | None, segment: str) -> list[tuple[str, str]]:
    return [pair for pair in (("tag", tag or ""), ("segment", segment)) if pair[1]]
