"""A login at Upstox in the embedded browser, typed into the paper exchange's own pages (A2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pyotp
import pytest
from pytestqt.qtbot import QtBot

from app.brokers.login_state import LoginAttempts
from app.desk.messages import LoginPage
from app.ui.web.login_page import LoginBrowser
from tests.contract.upstox.conftest import FACTORY, A, Upstox, upstox_exchange


@pytest.fixture
def exchange() -> Iterator[Upstox]:
    with upstox_exchange("--seed", "7", "--clock", "2026-11-20T10:00:00") as running:
        yield running


def test_a_trader_logs_in_on_three_pages_and_the_code_becomes_a_session(qtbot: QtBot, exchange: Upstox) -> None:
    attempts, endpoints = LoginAttempts(), exchange.endpoints
    login = FACTORY.login(A, exchange.credentials, endpoints)
    url = login.login_url(attempts.begin(A, endpoints.redirect_url).state)
    browser = LoginBrowser(LoginPage(A, url, endpoints.redirect_url, (urlsplit(url).netloc,)))
    typed = iter(
        [
            ("user_id", exchange.line["mobile"]),
            ("totp", pyotp.TOTP(exchange.line["totp_secret"]).now()),
            ("pin", exchange.line["password"]),
        ]
    )

    def fill(ok: bool) -> None:
        field, value = next(typed, ("", ""))
        if ok and field:
            browser._page.runJavaScript(
                f"document.querySelector('[name={field}]').value = '{value}'; document.getElementById('submit').click()"
            )

    browser._page.loadFinished.connect(fill)
    browser.resize(500, 400)
    browser.show()
    profile, page = browser._profile, browser._page
    try:
        with qtbot.waitSignal(browser.arrived, timeout=20_000) as caught:
            browser.start()
    finally:
        with qtbot.waitSignals([page.destroyed, profile.destroyed], timeout=5000):
            browser.close_browser()
        browser.deleteLater()
    (address,) = caught.args
    assert address.startswith(f"{endpoints.redirect_url}?")
    session = asyncio.run(login.exchange(attempts.check(A, address, FACTORY.info.redirect_parameter)))
    assert session.user_id == exchange.line["user_id"]
