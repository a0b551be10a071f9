from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QUrl
from pytestqt.qtbot import QtBot

from app.desk.messages import LoginPage
from app.domain.ids import AccountId
from app.ui.web.login_page import LoginBrowser
from app.ui.web.rules import is_allowed, is_redirect
from tests.ui.web.server import Site, make_authority, serving

REDIRECT = "http://127.0.0.1:1/redirect"
"""Nothing listens there: it is never loaded."""

Open = Callable[..., LoginBrowser]


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def open_page(qtbot: QtBot) -> Iterator[Open]:
    """Opens a login page of a site; closes all of them, and waits until the browser is gone."""
    opened: list[LoginBrowser] = []

    def open_one(site: Site, path: str = "/login", *, scheme: str = "http", ca_file: str = "") -> LoginBrowser:
        address = f"{scheme}://127.0.0.1:{site.port}{path}"
        page = LoginPage(AccountId("zerodha-x"), address, REDIRECT, (f"127.0.0.1:{site.port}",), ca_file)
        browser = LoginBrowser(page)
        browser.resize(500, 400)
        browser.show()
        browser.start()
        opened.append(browser)
        return browser

    yield open_one
    for browser in opened:
        profile, page = browser._profile, browser._page
        with qtbot.waitSignals([page.destroyed, profile.destroyed], timeout=5000):
            browser.close_browser()
        browser.deleteLater()


def test_a_login_ends_at_the_redirect_which_is_caught_and_never_loaded(
    qtbot: QtBot, site: Site, open_page: Open
) -> None:
    site.pages["/login"] = (
        "<form method=post action=/submit><input name=user value=PAPER1></form>"
        "<script>setTimeout(() => document.forms[0].submit(), 50)</script>"
    )
    site.redirects["/submit"] = f"{REDIRECT}?request_token=abc%2B1&status=success&state=s-1"
    browser = open_page(site)
    with qtbot.waitSignal(browser.arrived, timeout=20_000) as caught:
        pass
    assert caught.args == [f"{REDIRECT}?request_token=abc%2B1&status=success&state=s-1"]
    assert site.posted == [{"user": ["PAPER1"]}]


def test_a_redirect_made_by_the_page_itself_is_caught_once(qtbot: QtBot, site: Site, open_page: Open) -> None:
    site.pages["/login"] = f"<script>location = '{REDIRECT}?request_token=t'</script>"
    seen: list[str] = []
    browser = open_page(site)
    browser.arrived.connect(seen.append)
    qtbot.waitUntil(lambda: bool(seen), timeout=20_000)
    qtbot.wait(100)
    assert seen == [f"{REDIRECT}?request_token=t"]


def test_a_host_that_is_not_on_the_list_is_never_asked(qtbot: QtBot, site: Site, open_page: Open) -> None:
    with serving() as foreign:
        foreign.pages["/"] = "stolen"
        other = f"http://127.0.0.1:{foreign.port}"
        site.pages["/login"] = (
            f"<img src='{other}/pixel.png'><iframe src='{other}/frame'></iframe><script src='{other}/s.js'></script>"
            f"<script>fetch('{other}/fetch').catch(() => 0); new WebSocket('ws://127.0.0.1:{foreign.port}/ws');"
            f"setTimeout(() => location = '{other}/navigate', 100)</script>"
        )
        blocked: list[str] = []
        browser = open_page(site)
        browser.blocked.connect(blocked.append)
        qtbot.waitUntil(lambda: len(blocked) >= 5, timeout=20_000)
        site.pages["/done"] = "<p>still here</p>"
        browser._page.setUrl(QUrl(f"http://127.0.0.1:{site.port}/done"))
        with qtbot.waitSignal(browser.loaded, timeout=20_000):
            pass
        assert foreign.asked == []
        assert set(blocked) == {"127.0.0.1"}


def test_popups_and_downloads_are_refused(qtbot: QtBot, site: Site, open_page: Open, tmp_path: Path) -> None:
    site.downloads["/statement"] = b"x" * 1000
    site.pages["/pop"] = "popup"
    site.pages["/login"] = (
        "<a id=a href=/pop target=_blank>p</a><script>window.open('/pop'); a.click();"
        "setTimeout(() => location = '/statement', 50)</script>"
    )
    browser = open_page(site)
    states: list[object] = []
    browser._profile.downloadRequested.connect(lambda request: states.append(request.state()))
    qtbot.waitUntil(lambda: bool(states), timeout=20_000)
    assert [str(state).rpartition(".")[2] for state in states] == ["DownloadCancelled"]
    assert "/pop" not in site.asked


def test_nothing_of_the_browser_outlives_it(qtbot: QtBot, site: Site, open_page: Open) -> None:
    site.pages["/login"] = "<script>localStorage.x = 'canary-storage-7781'; document.title = 'kept'</script>"
    browser = open_page(site)
    with qtbot.waitSignal(browser.loaded, timeout=20_000):
        pass
    profile = browser._profile
    assert profile.isOffTheRecord()
    assert profile.persistentCookiesPolicy() is profile.PersistentCookiesPolicy.NoPersistentCookies
    for folder in {profile.persistentStoragePath(), profile.cachePath()} - {""}:
        for file in Path(folder).rglob("*"):
            if file.is_file():
                assert b"canary" not in file.read_bytes(), file


@pytest.mark.expects_log("certificate of 127.0.0.1 was refused")
def test_a_private_authority_is_taken_only_with_its_file(qtbot: QtBot, open_page: Open, tmp_path: Path) -> None:
    with serving(tls=tmp_path) as site:
        site.pages["/login"] = "<p>secure</p>"
        with qtbot.waitSignal(open_page(site, scheme="https").loaded, timeout=20_000) as unknown:
            pass
        assert unknown.args == [False]
        assert site.asked == []
        make_authority(tmp_path, "other.pem")
        with qtbot.waitSignal(
            open_page(site, scheme="https", ca_file=str(tmp_path / "other.pem")).loaded, timeout=20_000
        ) as other:
            pass
        assert other.args == [False]
        assert site.asked == []
        with qtbot.waitSignal(
            open_page(site, scheme="https", ca_file=str(tmp_path / "ca.pem")).loaded, timeout=20_000
        ) as named:
            pass
        assert named.args == [True]
        assert "/login" in site.asked


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://kite.zerodha.com/connect/login?v=3", True),
        ("https://KITE.zerodha.com/x", True),
        ("https://kite.zerodha.com:8443/x", True),
        ("http://kite.zerodha.com/x", False),
        ("https://kite.zerodha.com.evil.example/x", False),
        ("https://evil-kite.zerodha.com/x", False),
        ("https://user@evil.example/kite.zerodha.com", False),
        ("http://127.0.0.1:5001/x", True),
        ("http://127.0.0.1:5002/x", False),
        ("ws://127.0.0.1:5001/x", True),
        ("file:///etc/passwd", False),
        ("data:image/png;base64,AA", True),
        ("chrome://settings", False),
    ],
)
def test_the_host_list_means_exact_names(address: str, allowed: bool) -> None:
    assert is_allowed(QUrl(address), ("kite.zerodha.com", "127.0.0.1:5001")) is allowed


@pytest.mark.parametrize(
    ("address", "caught"),
    [
        ("http://127.0.0.1:5010/cb?request_token=1", True),
        ("http://127.0.0.1:5010/cb/?request_token=1#x", True),
        ("http://127.0.0.1:5010/cb2?request_token=1", False),
        ("http://127.0.0.1:5011/cb?request_token=1", False),
        ("https://127.0.0.1:5010/cb?request_token=1", False),
        ("http://localhost:5010/cb", False),
    ],
)
def test_the_redirect_is_recognised_by_everything_but_its_query(address: str, caught: bool) -> None:
    assert is_redirect(QUrl(address), "http://127.0.0.1:5010/cb") is caught
