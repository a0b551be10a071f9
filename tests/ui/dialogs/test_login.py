from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from app.desk.messages import LoginPage, PaperLogin
from app.domain.errors import LoginFailed
from app.domain.events import SessionState
from app.ui.dialogs.login import LoginWindow
from tests.ui import scripted_market as market
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
