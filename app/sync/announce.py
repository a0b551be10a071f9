"""What a run tells the trader, in words."""

from __future__ import annotations

from collections.abc import Callable

from app.domain.events import BookChanged, Event, FundsChanged, HoldingsChanged, Level, Noticed
from app.domain.fill import Fill
from app.domain.ids import AccountId
from app.domain.money import grouped, said_price
from app.sync.apply import Applied, Fetched
from app.sync.diff import Conflict
from app.sync.recompute import Gaps

Publish = Callable[[Event], None]


def applied(publish: Publish, account: AccountId, fetched: Fetched, result: Applied) -> None:
    """What was saved, and what could not be."""
    if fetched.funds is not None:
        publish(FundsChanged(fetched.funds))
    if fetched.holdings is not None:
        publish(HoldingsChanged(account, tuple(fetched.holdings)))
    if result.changed:
        publish(BookChanged(account, result.changed))
    if result.conflicts:
        count = len(result.conflicts)
        publish(
            Noticed(
                Level.WARNING,
                f"{'A fill differs' if count == 1 else f'{count:,} fills differ'} from what the broker says now",
                "; ".join(story(conflict) for conflict in result.conflicts[:5]) + ".",
                "The book keeps what it had; Sync shows both sides, and you settle which is right.",
                account,
                f"sync conflict {account}",
            )
        )
    if result.withdrawn:
        count = len(result.withdrawn)
        publish(
            Noticed(
                Level.WARNING,
                f"The broker has taken back {'a fill' if count == 1 else f'{count:,} fills'} that it had reported",
                "; ".join(_told(fill) for fill in result.withdrawn[:5]) + ".",
                "The book no longer counts it; compare your positions with the broker's own pages.",
                account,
                f"withdrawn {account}",
            )
        )
    gaps(publish, account, result.gaps)


def gaps(publish: Publish, account: AccountId | None, found: Gaps) -> None:
    """Fills without a rate on file, and contracts whose lots are of unknown size."""
    if found.unsized:
        publish(
            Noticed(
                Level.WARNING,
                "Some trades are shown without figures",
                "How much a lot holds is not known yet: " + ", ".join(found.unsized[:5]) + ".",
                "It is learnt from the broker's positions: sync on a day on which the contract is traded or held.",
                account,
                f"unsized {account}",
            )
        )
    if why := found.uncharged:
        publish(
            Noticed(
                Level.WARNING,
                "Some trades are shown without charges",
                "; ".join(why[:5]),
                "Install a rate table that covers them.",
                account,
                f"uncharged {account}",
            )
        )


def breaker_opened(publish: Publish, broker: str, account: AccountId) -> None:
    """The sync leaves a broker alone for a while."""
    publish(
        Noticed(
            Level.WARNING,
            f"Sync with {broker} pauses for a minute",
            "Five reads in a row failed.",
            "Orders, exits and prices are not held up by this; the sync goes on by itself.",
            account,
            f"breaker {broker}",
        )
    )


def story(conflict: Conflict) -> str:
    """Both sides in one line."""
    ours, theirs = conflict.ours, conflict.theirs
    return f"{ours.instrument}: {_deal(ours)} here, {_deal(theirs)} there"


def _told(fill: Fill) -> str:
    return f"{fill.instrument}: {_deal(fill)}, order {fill.broker_order_id}"


def _deal(fill: Fill) -> str:
    return f"{fill.side.value} {grouped(fill.quantity)} at {said_price(fill.price, fill.price_scale)}"


def book_changed(publish: Publish, account: AccountId, fills: int) -> None:
    """The trade book has other rows now."""
    publish(BookChanged(account, fills))
