"""The book: everything of a profile but the journal. Awaited on the loop; read and written on the book's own thread."""

from __future__ import annotations

from app.storage.accounts import Accounts
from app.storage.charts import Candles, Curve
from app.storage.contract_sizes import ContractSizes
from app.storage.fills import Fills
from app.storage.instruments import Instruments
from app.storage.leases import Leases
from app.storage.metrics import Metrics
from app.storage.notices import Notices
from app.storage.orders import Orders
from app.storage.portfolio import Holdings, Positions
from app.storage.preferences import Settings, Watchlists
from app.storage.store import Store
from app.storage.sync_log import SyncLog
from app.storage.sync_state import Backfills, DataSets, SyncDays, SyncPlans
from app.storage.sync_trouble import FailedJobs, FillConflicts
from app.storage.ticks import Ticks
from app.storage.trades import Trades


class Book:
    """The book's parts, by name. Every write is committed and on disk when it returns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.settings = Settings(store)
        self.accounts = Accounts(store)
        self.instruments = Instruments(store)
        self.fills = Fills(store)
        self.trades = Trades(store)
        self.orders = Orders(store)
        self.positions = Positions(store)
        self.holdings = Holdings(store)
        self.contract_sizes = ContractSizes(store)
        self.sync_log = SyncLog(store)
        self.leases = Leases(store)
        self.sync_plans = SyncPlans(store)
        self.data_sets = DataSets(store)
        self.sync_days = SyncDays(store)
        self.backfills = Backfills(store)
        self.failed_jobs = FailedJobs(store)
        self.conflicts = FillConflicts(store)
        self.watchlists = Watchlists(store)
        self.notices = Notices(store)
        self.candles = Candles(store)
        self.ticks = Ticks(store)
        self.curve = Curve(store)
        self.metrics = Metrics(store)

    async def verify(self) -> None:
        """Reads the whole file. Raises Damaged."""
        await self._store.verify()

    @property
    def store(self) -> Store:
        """The file itself, for work on it as a whole."""
        return self._store

    async def close(self) -> None:
        """Finishes what was asked for and closes the file."""
        await self._store.close()
