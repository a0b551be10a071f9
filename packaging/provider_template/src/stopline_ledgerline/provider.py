"""Ledgerline's calls: login, and one logged-in account as far as reading goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from importlib.resources import files
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from app.brokers.base import CONTRACT, Credentials, ExchangeClockReading, Login, Profile, ReadSession, Session
from app.brokers.configuration import check_endpoints
from app.brokers.documents import decode_json
from app.brokers.http import Answer, HttpClient
from app.brokers.info import parse_info
from app.brokers.parts import FillPage
from app.brokers.reading import converted
from app.brokers.rows import Row
from app.domain.account import Endpoints
from app.domain.errors import BadAnswer, Denied, LoginFailed, NotPermitted, Rejected, SessionExpired
from app.domain.fill import Fill
from app.domain.ids import AccountId, BrokerOrderId, Nanos
from app.domain.instrument import Exchange, Instrument
from app.domain.order import Order
from app.domain.portfolio import Funds, Holding, Position
from app.runtime.clock import to_datetime
from app.runtime.helper import Helper
from app.runtime.secret import Secret
from stopline_ledgerline import wire

T = TypeVar("T")

INFO = parse_info(files("stopline_ledgerline").joinpath("info.json").read_bytes())
DEADLINE = 7.0
"""Seconds for a whole read."""
OK = 200


class LedgerlineFactory:
    """What the entry point leads to. `helper` is a process of Stopline's for parses that would take over a millisecond;
    the client hands big answers to it by itself."""

    contract = CONTRACT
    info = INFO

    def __init__(self, helper: Helper | None = None, *, deadline: float = DEADLINE) -> None:
        self._helper = helper
        self._deadline = deadline

    def login(self, account: AccountId, credentials: Credentials, endpoints: Endpoints) -> Login:
        """For an account that is not logged in."""
        check_endpoints(self.info, endpoints)
        return LedgerlineLogin(account, credentials, endpoints, self._deadline)

    def session(self, session: Session, credentials: Credentials, endpoints: Endpoints) -> ReadSession:
        """For one that is."""
        check_endpoints(self.info, endpoints)
        return LedgerlineSession(session, credentials, endpoints, self._deadline, self._helper)


class Wire:
    """Requests and their envelope."""

    def __init__(
        self, endpoints: Endpoints, token: Secret | None, deadline: float, helper: Helper | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}
        self._http = HttpClient(
            endpoints.api_url, headers=headers, ca_file=endpoints.ca_file, helper=helper, deadline=deadline
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def call(self, method: str, path: str, params: Sequence[tuple[str, str]] = (), json: Any = None) -> Any:
        """The JSON object of a good answer; anything else raises."""
        document = decode_json((await self._good(method, path, params, json)).body)
        if not isinstance(document, dict):
            raise BadAnswer("Ledgerline's answer is not an object.", detail=type(document).__name__)
        return document

    async def rows(self, what: str, path: str, convert: Callable[[object], T]) -> list[T]:
        """The list of a good answer, converted; a long one is cut up by the helper. No list: BadAnswer, never empty."""
        answer = await self._good("GET", path)
        return await converted(self._http, answer.body, (what,), convert)

    async def _good(self, method: str, path: str, params: Sequence[tuple[str, str]] = (), json: Any = None) -> Answer:
        answer = await self._http.request(method, f"/v1{path}", params=params, json=json)
        if answer.status == OK and answer.is_json:
            return answer
        document = decode_json(answer.body) if answer.is_json else None
        error = wire.error_from(answer.status, document, answer.headers.get("retry-after", ""))
        raise error or BadAnswer("Something else than Ledgerline answered.", detail=f"HTTP {answer.status}")


class LedgerlineLogin:
    """The login page gives a code; the code and the secret give a session."""

    def __init__(self, account: AccountId, credentials: Credentials, endpoints: Endpoints, deadline: float) -> None:
        self._account = account
        self._credentials = credentials
        self._endpoints = endpoints
        self._deadline = deadline

    def login_url(self, state: str) -> str:
        """The broker's page."""
        return f"{self._endpoints.login_url}?{urlencode({'key': self._credentials.api_key, 'state': state})}"

    async def exchange(self, request_token: str) -> Session:
        """A code for a session."""
        told = {
            "key": self._credentials.api_key,
            "secret": self._credentials.api_secret.reveal(),
            "code": request_token,
        }
        http = Wire(self._endpoints, None, self._deadline)
        try:
            answer = Row(await http.call("POST", "/session", json=told), "session")
        except (Rejected, SessionExpired, NotPermitted) as refused:
            raise LoginFailed(
                "Ledgerline refused the login.", "Compare key and secret, then log in again.", detail=refused.detail
            ) from refused
        finally:
            await http.close()
        client = answer.part("client")
        return Session(
            account=self._account,
            user_id=client.text("id"),
            user_name=client.text("name"),
            access_token=Secret(answer.text("token")),
            issued_at=answer.time("issued"),
            expires_at=answer.time("expires"),
        )

    async def logout(self, session: Session) -> None:
        """Ends the session; one that is over is fine."""
        http = Wire(self._endpoints, session.access_token, self._deadline)
        try:
            await http.call("DELETE", "/session")
        except SessionExpired:
            return
        finally:
            await http.close()


class LedgerlineSession:
    """One account. Implements `ReadSession`, `InstrumentSource` and `HistoryBroker`. Loop thread."""

    def __init__(
        self, session: Session, _: Credentials, endpoints: Endpoints, deadline: float, helper: Helper | None
    ) -> None:
        self._session = session
        self._paper = endpoints.paper
        self._wire = Wire(endpoints, session.access_token, deadline, helper)

    @property
    def account(self) -> AccountId:
        """Whose session this is."""
        return self._session.account

    @property
    def paper(self) -> bool:
        """Every address is on this machine."""
        return self._paper

    async def close(self) -> None:
        """Closes the connections."""
        await self._wire.close()

    async def profile(self) -> Profile:
        """Who is logged in."""
        return wire.profile_from(await self._wire.call("GET", "/me"))

    async def funds(self) -> Funds:
        """Cash."""
        return wire.funds_from(await self._wire.call("GET", "/funds"), self.account)

    async def orders(self) -> Sequence[Order]:
        """Today's orders."""
        return await self._wire.rows("orders", "/orders", lambda row: wire.order_from(row, self.account))

    async def order_history(self, order: BrokerOrderId) -> Sequence[Order]:
        """One order's states, oldest first."""
        path = f"/orders/{quote(order, safe='')}"
        return await self._wire.rows("orders", path, lambda row: wire.order_from(row, self.account))

    async def fills(self) -> Sequence[Fill]:
        """Today's fills."""
        return await self._wire.rows("fills", "/fills", lambda row: wire.fill_from(row, self.account))

    async def reported_fills(self) -> Sequence[tuple[Fill, str]]:
        """The same with the broker's own words."""
        return await self._wire.rows("fills", "/fills", lambda row: wire.reported_fill_from(row, self.account))

    async def positions(self) -> Sequence[Position]:
        """Open positions."""
        return await self._wire.rows("positions", "/positions", lambda row: wire.position_from(row, self.account))

    async def holdings(self) -> Sequence[Holding]:
        """Shares in demat."""
        return await self._wire.rows("holdings", "/holdings", lambda row: wire.holding_from(row, self.account))

    async def instruments(self, exchange: Exchange | None = None) -> Sequence[Instrument]:
        """The list of the day."""
        found = await self._wire.rows("instruments", "/instruments", wire.instrument_from)
        if not found:
            raise BadAnswer("Ledgerline's instrument list is empty.", "The one before stays in use.")
        return [known for known in found if exchange in (None, known.exchange)]

    async def fills_between(self, start: date, end: date, page: int = 1) -> FillPage:
        """One page of the fills of these days."""
        if end < start:
            raise Denied("The range ends before it begins.", "Choose a later end.")
        today = to_datetime(self._session.issued_at).date()
        first = today - timedelta(days=INFO.history_days or 1)
        if start < first:
            raise Denied(f"Ledgerline keeps no trades before {first}.", "Import them from a file.", detail=str(start))
        params = [("from", start.isoformat()), ("to", end.isoformat()), ("page", str(page))]
        document = await self._wire.call("GET", "/fills/past", params)
        fills = tuple(wire.past_fill_from(row, self.account) for row in wire.rows_of(document, "fills"))
        row = Row(document, "page of fills")
        total, size = row.whole("total"), row.whole("page_size")
        if size <= 0:
            raise row.bad("page_size")
        return FillPage(fills, page, math.ceil(total / size), total)

    async def exchange_time(self) -> Nanos:
        """The broker's clock."""
        return (await self.exchange_clock()).now

    async def exchange_clock(self) -> ExchangeClockReading:
        """The broker's clock."""
        return ExchangeClockReading(Row(await self._wire.call("GET", "/clock"), "clock").time("now"))
