from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QPushButton

from app.desk.messages import LoginPage, PaperLogin
from app.domain.errors import Denied, LoginFailed
from app.domain.events import SessionState
from app.ui.dialogs.login import LoginWindow
from tests.ui import scripted_market as market
from tests.ui.browser import system_browser
from tests.ui.charts.stage import Stage
from tests.ui.web.server import Site, serving

REDIRECT = "http://127.0.0.1:1/redirect"


@pytest.fixture
def site(stage: Stage) -> Iterator[Site]:
    with serving() as site:
        site.pages["/login"] = f"<script>location = '{REDIRECT}?status=success&request_token=t&state=s'</script>"
        host = f"127.0.0.1:{site.port}"
        stage.desk.script.login_page = LoginPage(market.ACCOUNT, f"http://{host}/login", REDIRECT, (host,))
        yield site


@pytest.fixture
def login(stage: Stage, site: Site) -> Iterator[LoginWindow]:
    window = LoginWindow(stage.bridge, stage.desk.script.accounts[market.ACCOUNT])
    window.show()
    yield window
    window.close()
    stage.settle()
    window.deleteLater()
    QApplication.processEvents()


def said(window: LoginWindow, name: str) -> str:
    found = window.findChild(QLabel, name)
    assert found is not None
    return found.text()


def test_the_redirect_is_handed_over_whole_and_the_window_closes(stage: Stage, login: LoginWindow) -> None:
    done: list[object] = []
    login.logged_in.connect(done.append)
    stage.bridge.start(login.begin())
    stage.until(lambda: bool(done), within=20)
    assert stage.desk.script.called("complete_login") == [
        (market.ACCOUNT, f"{REDIRECT}?status=success&request_token=t&state=s")
    ]
    assert not login.isVisible()
    assert stage.desk.script.accounts[market.ACCOUNT].state is SessionState.ACTIVE
    assert stage.desk.script.called("cancel_login") == []


def test_a_wrong_secret_is_said_and_another_attempt_takes_a_fresh_page(stage: Stage, login: LoginWindow) -> None:
    stage.desk.script.fail("complete_login", LoginFailed("Key and secret do not match.", "Check the API secret."))
    stage.bridge.start(login.begin())
    stage.until(lambda: "do not match" in said(login, "login.message.text"), within=20)
    assert login.isVisible()
    again = login.findChild(QPushButton, "login.again")
    assert again is not None
    again.click()
    stage.until(lambda: not login.isVisible(), within=20)
    assert len(stage.desk.script.called("begin_login")) == 2


def test_a_page_that_does_not_load_is_said(stage: Stage, site: Site, login: LoginWindow) -> None:
    stage.desk.script.login_page = LoginPage(market.ACCOUNT, "http://127.0.0.1:1/login", REDIRECT, ("127.0.0.1",))
    stage.bridge.start(login.begin())
    stage.until(lambda: "could not be loaded" in said(login, "login.message.text"), within=20)


def test_closing_it_cancels_the_attempt(stage: Stage, site: Site, login: LoginWindow) -> None:
    site.pages["/login"] = "<p>wait</p>"
    stage.bridge.start(login.begin())
    stage.until(lambda: "own page" in said(login, "login.status"), within=20)
    user = stage.desk.script.accounts[market.ACCOUNT].user_id
    assert user
    assert login.windowTitle().endswith(user), "of several accounts at one broker"
    assert f"Log in as {user} on" in said(login, "login.status")
    login.close()
    stage.until(lambda: stage.desk.script.called("cancel_login") == [(market.ACCOUNT,)])


def test_the_paper_strip_shows_what_to_type_and_renews_the_code(stage: Stage, site: Site, login: LoginWindow) -> None:
    site.pages["/login"] = "<p>wait</p>"
    stage.desk.script.paper = PaperLogin("PAPER1", "sunrise-4417", "111111", 0)
    stage.bridge.start(login.begin())
    stage.until(lambda: said(login, "login.paper.code") == "111111", within=20)
    assert said(login, "login.paper.user") == "PAPER1"
    assert said(login, "login.paper.password") == "sunrise-4417"
    stage.desk.script.paper = PaperLogin("PAPER1", "sunrise-4417", "222222", 30)
    stage.until(lambda: said(login, "login.paper.code") == "222222", within=20)


def test_the_traders_own_browser_opens_the_page_and_the_window_waits_for_it(stage: Stage, login: LoginWindow) -> None:
    done: list[object] = []
    login.logged_in.connect(done.append)
    own, redirect = login.findChild(QPushButton, "login.own"), login.findChild(QLineEdit, "login.redirect")
    assert own is not None
    assert redirect is not None
    stage.desk.script.fail("begin_browser", Denied("Port 8765 of this computer is taken by another program."))
    with system_browser("http") as opened:
        own.click()
        stage.until(lambda: "is taken" in said(login, "login.message.text"))
        assert redirect.isVisible()
        stage.until(redirect.hasFocus)
        redirect.setText(" http://127.0.0.1:8766/stopline ")
        own.click()
        stage.until(lambda: bool(opened))
    page = stage.desk.script.login_page
    assert page is not None
    assert opened == [page.url]
    assert "in your browser" in said(login, "login.status")
    assert stage.desk.script.called("begin_browser")[-1] == (market.ACCOUNT, "http://127.0.0.1:8766/stopline")
    stage.desk.browser.address = f"{REDIRECT}?status=success&request_token=t&state=s"
    stage.thread.loop.call_soon_threadsafe(stage.desk.browser.came_back.set)
    stage.until(lambda: bool(done))
    assert not login.isVisible()


class NoBrowser:
    """A desktop on which nothing opens a page."""

    @staticmethod
    def openUrl(url: QUrl) -> bool:
        return False


def test_without_a_browser_the_address_is_told_and_still_waited_for(
    stage: Stage, login: LoginWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ui.dialogs.login.QDesktopServices", NoBrowser)
    own = login.findChild(QPushButton, "login.own")
    assert own is not None
    own.click()
    stage.until(lambda: "No browser could be started" in said(login, "login.message.text"))
    page = stage.desk.script.login_page
    assert page is not None
    assert page.url in said(login, "login.message.text")
    assert "Stopline waits" in said(login, "login.status")


def test_who_gives_up_the_own_browser_is_not_waited_for(stage: Stage, login: LoginWindow) -> None:
    own = login.findChild(QPushButton, "login.own")
    assert own is not None
    with system_browser("http") as opened:
        own.click()
        stage.until(lambda: bool(opened))
    login.close()
    stage.until(lambda: stage.desk.script.called("cancel_browser") == [(market.ACCOUNT,)])
    stage.settle()
    assert said(login, "login.message.text") == ""
