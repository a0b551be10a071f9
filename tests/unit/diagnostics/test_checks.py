"""What each fact means, in words: the limits, and a next step wherever something is to be done."""

from __future__ import annotations

from datetime import date

import pytest

from app.brokers.info import shipped_info
from app.diagnostics import checks
from app.domain.broker import BrokerListing, ProviderProblem
from app.domain.calendar import AlwaysOpen, TradingCalendar
from app.domain.events import FeedState, SessionState
from app.domain.health import Finding, HealthState, Remedy
from app.domain.ids import AccountId
from app.runtime.paths import resource
from app.runtime.priority import Precedence

A = AccountId("zerodha-AB1234")
GB = 1_000_000_000
HOUR = 3_600_000_000_000
OK, WARNING, FAILED = HealthState.OK, HealthState.WARNING, HealthState.FAILED


def known_calendar() -> TradingCalendar:
    return TradingCalendar.parse(*(path.read_text() for path in sorted(resource("calendar").glob("*.json"))))


CASES: list[tuple[Finding, HealthState]] = [
    (checks.store("book.db", 1, ""), OK),
    (checks.store("book.db", 1, "page 7 does not pass"), FAILED),
    (checks.backup(None, 0, 24), WARNING),
    (checks.backup(0, 47 * HOUR, 24), OK),
    (checks.backup(0, 49 * HOUR, 24), WARNING),
    (checks.backup(0, 13 * 24 * HOUR, 0), OK),
    (checks.backup(0, 15 * 24 * HOUR, 0), WARNING),
    (checks.disk(50 * GB, GB), OK),
    (checks.disk(2 * GB, GB), WARNING),
    (checks.disk(GB, 1), WARNING),
    (checks.disk(100_000_000, 1), FAILED),
    (checks.clock("zerodha", 0.4), OK),
    (checks.clock("zerodha", -2.5), WARNING),
    (checks.clock("zerodha", 3600.0), FAILED),
    (checks.clock("zerodha", None, "no connection"), WARNING),
    *((checks.precedence(precedence), OK) for precedence in Precedence),
    (checks.session(A, SessionState.ACTIVE, "", 0), OK),
    (checks.session(A, SessionState.EXPIRED, "", 0), WARNING),
    (checks.session(A, SessionState.EXPIRED, "", 2), FAILED),
    (checks.reachable(A, 12.0), OK),
    (checks.reachable(A, None, "refused"), FAILED),
    (checks.reachable(A, None, "refused", paper=True), WARNING),
    (checks.feed(A, FeedState.LIVE, 0, guarding=True), OK),
    (checks.feed(A, FeedState.CLOSED, 0, guarding=True), OK),
    (checks.feed(A, FeedState.SILENT, 0, guarding=True), WARNING),
    (checks.feed(A, FeedState.SILENT, 1, guarding=True), FAILED),
    (checks.feed(A, FeedState.REFUSED, 0, guarding=True), WARNING),
    (checks.feed(A, FeedState.REFUSED, 1, guarding=True), FAILED),
    (checks.feed(A, FeedState.REFUSED, 0, guarding=True, logged_in=False), WARNING),
    (checks.feed(A, FeedState.REFUSED, 1, guarding=True, logged_in=False), FAILED),
    (checks.feed(A, FeedState.OFF, 1, guarding=False), OK),
    (checks.instruments("Zerodha", "zerodha", 0, None, 0), WARNING),
    (checks.instruments("Zerodha", "zerodha", 90_000, 0, 4 * 24 * HOUR), OK),
    (checks.instruments("Zerodha", "zerodha", 152, 0, 0, sample=True), WARNING),
    (checks.instruments("Zerodha", "zerodha", 90_000, 0, 5 * 24 * HOUR), WARNING),
    (checks.calendar(AlwaysOpen(), date(2026, 11, 25)), OK),
    (checks.calendar(known_calendar(), date(2026, 11, 25)), OK),
    (checks.calendar(known_calendar(), date(2026, 12, 15)), WARNING),
    (checks.calendar(known_calendar(), date(2031, 1, 1)), FAILED),
]


@pytest.mark.parametrize(("finding", "state"), CASES, ids=[f"{f.name}: {f.words}" for f, _ in CASES])
def test_a_fact_is_judged_and_a_next_step_named(finding: Finding, state: HealthState) -> None:
    assert finding.state is state
    assert finding.words
    assert bool(finding.next_step) == (state is not OK)


@pytest.mark.parametrize(
    ("keyring", "by_keyring", "by_passphrase", "recovery", "states"),
    [
        (True, True, True, True, [OK, OK, OK]),
        (False, False, True, False, [OK, OK, WARNING]),
        (False, False, False, False, [FAILED, FAILED, WARNING]),
    ],
)
def test_the_ways_into_the_vault(
    keyring: bool, by_keyring: bool, by_passphrase: bool, recovery: bool, states: list[HealthState]
) -> None:
    found = checks.vault(
        damaged=False,
        keyring_available=keyring,
        with_keyring=by_keyring,
        with_passphrase=by_passphrase,
        recovery_key=recovery,
    )
    assert [finding.state for finding in found] == states


def test_a_third_partys_broken_provider_is_a_finding_and_not_a_failure_of_ours() -> None:
    listings = [BrokerListing(shipped_info("zerodha")), BrokerListing(shipped_info("upstox"), "some-package 1.0")]
    broken = ProviderProblem("stopline-x 2.5", "x", "It failed to load: ImportError: y", "Ask its author.")
    there, left_out = checks.brokers(listings, [broken])
    assert (there.state, there.words) == (HealthState.OK, "Zerodha, Upstox (some-package 1.0)")
    assert left_out.state is HealthState.WARNING
    assert "stopline-x 2.5 is left out" in left_out.words
    assert left_out.next_step


def test_a_feed_that_waits_for_a_login_asks_for_no_data_plan() -> None:
    assert "plan" in checks.feed(A, FeedState.REFUSED, 0, guarding=True).next_step
    finding = checks.feed(A, FeedState.REFUSED, 0, guarding=True, logged_in=False)
    assert (finding.words, finding.next_step) == ("no prices without a session", "It comes back with the login.")


def test_a_broker_that_was_not_there_is_no_reason_to_log_in_again() -> None:
    finding = checks.session(A, SessionState.ERROR, "No answer. Check the connection; Stopline keeps trying.", 0)
    assert finding.words == "error: No answer. Check the connection; Stopline keeps trying."
    assert finding.next_step == ""


def test_the_sample_in_the_place_of_the_brokers_list_is_named_and_mended_by_one_click() -> None:
    finding = checks.instruments("Zerodha", "zerodha", 152, 0, 0, sample=True)
    assert "sample" in finding.words
    assert (finding.remedy, finding.about) == (Remedy.IMPORT_INSTRUMENTS, "zerodha")
