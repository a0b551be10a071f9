"""Rows and columns of the accounts page: how each account stands, and what its broker can do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.desk.messages import AccountView
from app.domain.broker import BrokerInfo, Support
from app.domain.events import FeedState, SessionState
from app.domain.ids import Nanos
from app.ui import format as fmt
from app.ui.models.table import Column, Key, Tone

ALL = "all"
"""Key of the line of totals."""

_STATE_TONES = {
    SessionState.ACTIVE: Tone.GOOD,
    SessionState.PAUSED: Tone.WARN,
    SessionState.EXPIRED: Tone.ALARM,
    SessionState.REVOKED: Tone.ALARM,
    SessionState.ERROR: Tone.ALARM,
}
_SUPPORT_TONES = {Support.YES: Tone.GOOD, Support.NO: Tone.DIM, Support.UNKNOWN: Tone.WARN}
_SUPPORT_WORDS = {Support.YES: "yes", Support.NO: "no", Support.UNKNOWN: "not known"}
_ABILITIES = {
    "gtt": "Triggers that rest at the broker (GTT)",
    "gtt_two_leg": "Triggers with stop and target",
    "gtt_bracket": "Triggers with an entry before them",
    "gtt_limit": "Triggers that send a limit price",
    "amo": "Orders after hours (AMO)",
    "order_stream": "Order updates by themselves",
    "streaming": "Live prices",
    "trading": "Orders and stops",
    "exit_line": "Exits over warm connections",
    "quotes": "Last prices on request",
    "candles": "Past candles",
    "order_cost": "Margin and charges before an order",
    "instruments": "Instrument list over the API",
    "pnl_report": "Yearly report",
}


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account, or all of them together."""

    name: str
    money: str
    client: str
    state: str
    tone: Tone
    ends: Nanos | None
    feed: str
    armed: int
    last_sync: Nanos | None
    next_sync: Nanos | None
    synced: int
    failed: int
    errors: int
    words: str
    total: bool = False


def account_rows(
    views: Sequence[AccountView], feeds: dict[str, FeedState], armed: dict[str, int]
) -> Iterable[tuple[Key, AccountRow]]:
    """Each account by its name; below them what they come to together, where there are several."""
    for view in sorted(views, key=lambda view: view.name):
        yield (
            view.id,
            AccountRow(
                view.name,
                "PAPER" if view.paper else "LIVE",
                view.client_name,
                str(view.state),
                _STATE_TONES.get(view.state, Tone.DIM),
                view.token_expires_at if view.state.may_live else None,
                str(feeds.get(view.id, view.feed)),
                armed.get(view.id, 0),
                view.last_sync,
                view.next_sync if view.sync_on and view.state is not SessionState.PAUSED else None,
                view.fills_synced,
                view.syncs_failed,
                view.error_count,
                view.last_error,
            ),
        )
    if len(views) > 1:
        good = sum(view.state is SessionState.ACTIVE for view in views)
        lasts = [view.last_sync for view in views if view.last_sync is not None]
        yield (
            ALL,
            AccountRow(
                f"All {len(views)} accounts",
                "",
                "",
                f"{good} active",
                Tone.GOOD if good == len(views) else Tone.WARN,
                None,
                "",
                sum(armed.values()),
                max(lasts, default=None),
                None,
                sum(view.fills_synced for view in views),
                sum(view.syncs_failed for view in views),
                sum(view.error_count for view in views),
                "",
                total=True,
            ),
        )


def _money_tone(row: AccountRow) -> Tone:
    return Tone.ALARM if row.money == "LIVE" else Tone.WARN


def _count_tone(count: int) -> Tone:
    return Tone.ALARM if count else Tone.DIM


def when(at: Nanos) -> str:
    """`25 Nov 14:05`."""
    return f"{fmt.short_day(fmt.moment(at).date())} {fmt.clock(at)}"


ACCOUNT_COLUMNS: tuple[Column[AccountRow], ...] = (
    Column("name", "Account", lambda r: r.name, whole=True, width=112, tip=lambda r: r.client),
    Column("money", "Money", lambda r: r.money, whole=True, width=52, tone=_money_tone, spare=2),
    Column("state", "State", lambda r: r.state, whole=True, width=62, tone=lambda r: r.tone),
    Column("ends", "Session ends", lambda r: r.ends, when, whole=True, width=88, tone=lambda _r: Tone.DIM, spare=4,
           help="In the exchange's time"),
    Column("feed", "Prices", lambda r: r.feed, whole=True, width=62, tone=lambda _r: Tone.DIM, spare=5),
    Column("armed", "Stops", lambda r: r.armed, fmt.group, number=True, width=44, spare=6, help="Armed stops of it",
           tone=lambda r: Tone.PLAIN if r.armed else Tone.DIM),
    Column("last", "Last sync", lambda r: r.last_sync, when, whole=True, width=88),
    Column("next", "Next sync", lambda r: r.next_sync, when, whole=True, width=88, tone=lambda _r: Tone.DIM, spare=3),
    Column("synced", "Fills", lambda r: r.synced, fmt.group, number=True, width=48,
           help="New fills that its syncs brought since it was connected"),
    Column("failed", "Failed", lambda r: r.failed, fmt.group, number=True, width=48,
           tone=lambda r: Tone.WARN if r.failed else Tone.DIM, help="Syncs that failed since it was connected"),
    Column("errors", "In a row", lambda r: r.errors, fmt.group, number=True, width=54, spare=7,
           tone=lambda r: _count_tone(r.errors), help="Syncs that failed one after the other until now"),
    Column("words", "Last error", lambda r: r.words, tip=lambda r: r.words, width=90, tone=lambda _r: Tone.DIM),
)  # fmt: skip


def facts_words(view: AccountView) -> str:
    """What the table has no room for, of one account."""
    said = [view.client_name or "Not logged in yet"]
    times = (
        ("connected", view.connected_at),
        ("last login or renewal", view.last_refresh),
        ("token issued", view.token_issued_at),
        ("session ends", view.token_expires_at if view.state.may_live else None),
        ("disconnected", view.disconnected_at if view.state is SessionState.LOGGED_OUT else None),
    )
    said += [f"{words} {when(at)}" for words, at in times if at is not None]
    if view.scopes:
        said.append(f"the token may: {', '.join(view.scopes)}")
    every = view.sync_every_s
    pace = f"every {every // 60} min" if every % 60 == 0 else f"every {every} s"
    said.append(f"synced by itself {pace}" if view.sync_on else "not synced by itself")
    return " · ".join(said)


# -- what a broker can do ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AbilityRow:
    """One thing known of an account's broker."""

    account: str
    what: str
    answer: str
    tone: Tone


def history_words(info: BrokerInfo) -> str:
    """How far back the broker tells of trades."""
    if info.history_days is None:
        return "depth not known"
    return "today only" if info.history_days <= 1 else f"{fmt.group(info.history_days)} days"


def _span(seconds: int) -> str:
    words = {1: "a second", 60: "a minute", 3_600: "an hour", 86_400: "a day"}
    return words.get(seconds) or f"in {fmt.group(seconds)} s"


def ability_rows(name: str, account: str, info: BrokerInfo) -> Iterable[tuple[Key, AbilityRow]]:
    """What the registry knows: history first, then facts, then each ability with yes, no or not known."""
    facts = [
        ("Trade history", history_words(info), Tone.WARN if info.history_days is None else Tone.PLAIN),
        ("Login", str(info.auth), Tone.PLAIN),
        ("Session ends", f"at {info.session_dies_at}" if info.session_dies_at else "after a time", Tone.PLAIN),
        ("Prices", "as they are traded" if info.real_time else "delayed", Tone.PLAIN),
        ("Worlds", ", ".join(["live", *(world.name for world in info.environments)]), Tone.PLAIN),
    ]
    facts += [
        (
            f"Requests: {limit.kind}",
            f"{fmt.group(limit.amount)} {_span(limit.seconds)}, by {limit.scope}",
            Tone.PLAIN,
        )
        for limit in info.rate_limits
    ]
    changes = "not known" if info.modifications is None else fmt.group(info.modifications)
    facts.append(("Changes of one order", changes, Tone.WARN if info.modifications is None else Tone.PLAIN))
    for what, answer, tone in facts:
        yield (account, what), AbilityRow(name, what, answer, tone)
    for ability, support in info.capabilities.said().items():
        what = _ABILITIES.get(ability) or ability.replace("_", " ").capitalize()
        yield (account, ability), AbilityRow(name, what, _SUPPORT_WORDS[support], _SUPPORT_TONES[support])
    documentation = f"{info.documentation}{f' · figures of {info.as_of}' if info.as_of else ''}"
    yield (account, "documentation"), AbilityRow(name, "Documentation", documentation, Tone.DIM)


ABILITY_COLUMNS: tuple[Column[AbilityRow], ...] = (
    Column("account", "Account", lambda r: r.account, whole=True, width=112, tone=lambda _r: Tone.DIM),
    Column("what", "What", lambda r: r.what, whole=True, width=220),
    Column("answer", "Answer", lambda r: r.answer, width=160, tone=lambda r: r.tone, tip=lambda r: r.answer),
)
