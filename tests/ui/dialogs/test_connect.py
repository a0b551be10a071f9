from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtWidgets import QApplication, QComboBox, QLabel, QLineEdit, QPushButton

from app.brokers.info import shipped_info
from app.domain.account import Endpoints
from app.domain.broker import AuthKind, BrokerInfo, BrokerListing, Capabilities, ConfigField, Support
from app.domain.errors import Denied, LoginFailed
from app.domain.ids import AccountId
from app.runtime.secret import Secret
from app.ui.dialogs.connect import ConnectDialog
from tests.ui.charts.stage import Stage

REDIRECT = "http://127.0.0.1:8765/stopline"
READS = BrokerInfo(
    "ledgerline",
    "Ledgerline",
    AuthKind.LOGIN_PAGE,
    False,
    730,
    "https://ledgerline.example/docs",
    Endpoints("https://a.example", "https://a.example/login", "wss://a.example"),
    fields=(
        ConfigField("api_key", "API key", "Settings, API.", example="LL-0123ABCD"),
        ConfigField("api_secret", "API secret", "Shown once.", secret=True),
    ),
    capabilities=Capabilities(trading=Support.NO, access_token=Support.NO),
)


@pytest.fixture
def dialog(stage: Stage) -> Iterator[ConnectDialog]:
    stage.desk.script.brokers = (
        BrokerListing(shipped_info("zerodha")),
        BrokerListing(READS, "stopline-ledgerline 1.0"),
    )
    dialog = ConnectDialog(stage.bridge)
    dialog.show()
    stage.settle()
    yield dialog
    dialog.close()
    stage.settle()
    dialog.deleteLater()
    QApplication.processEvents()


def edit(dialog: ConnectDialog, name: str) -> QLineEdit:
    found = dialog.findChild(QLineEdit, f"connect.{name}")
    assert found is not None
    return found


def button(dialog: ConnectDialog) -> QPushButton:
    found = dialog.findChild(QPushButton, "connect.submit")
    assert found is not None
    return found


def typed(dialog: ConnectDialog, token: str = "") -> None:
    edit(dialog, "api_key").setText("abcd")
    edit(dialog, "api_secret").setText("canary-secret")
    edit(dialog, "access_token").setText(token)
    edit(dialog, "redirect_url").setText(REDIRECT)


def test_it_offers_what_the_desk_knows_and_says_whose_it_is_and_what_it_can(dialog: ConnectDialog) -> None:
    choice = dialog.findChild(QComboBox, "connect.broker")
    about = dialog.findChild(QLabel, "connect.about")
    assert choice is not None
    assert about is not None
    assert [choice.itemText(n) for n in range(choice.count())] == [
        "Zerodha",
        "Ledgerline (of stopline-ledgerline 1.0)",
    ]
    assert "trades of today only" in about.text()
    assert edit(dialog, "access_token").isVisible()
    choice.setCurrentIndex(1)
    assert "Is only read" in about.text()
    assert edit(dialog, "api_key").placeholderText() == "LL-0123ABCD"
    assert not edit(dialog, "access_token").isVisible()


def test_without_a_token_the_account_goes_on_to_its_login_page(stage: Stage, dialog: ConnectDialog) -> None:
    added: list[object] = []
    dialog.added.connect(added.append)
    typed(dialog)
    assert "login" in button(dialog).text()
    button(dialog).click()
    stage.until(lambda: bool(added))
    assert stage.desk.script.called("add_account") == [
        ("zerodha", "abcd", Secret("canary-secret"), Endpoints("", "", "", REDIRECT))
    ]
    assert stage.desk.script.called("connect_by_hand") == []


def test_with_a_token_it_is_proved_and_connected_without_a_page(stage: Stage, dialog: ConnectDialog) -> None:
    connected: list[object] = []
    dialog.connected.connect(connected.append)
    typed(dialog, "canary-token")
    assert button(dialog).text() == "&Connect"
    button(dialog).click()
    stage.until(lambda: bool(connected))
    assert connected == [AccountId("zerodha-abcd")]
    assert edit(dialog, "access_token").text() == edit(dialog, "api_secret").text() == ""


def test_who_is_quicker_than_the_list_of_brokers_loses_nothing(stage: Stage) -> None:
    dialog = ConnectDialog(stage.bridge)
    dialog.show()
    added: list[object] = []
    dialog.added.connect(added.append)
    typed(dialog)
    button(dialog).click()
    stage.until(lambda: bool(added))
    dialog.deleteLater()
    QApplication.processEvents()


@pytest.mark.parametrize("token", ["", "canary-token"])
def test_what_is_wrong_is_said_in_place_and_can_be_mended(stage: Stage, dialog: ConnectDialog, token: str) -> None:
    words = "This token has expired." if token else "The API key has blanks in it."
    failure = LoginFailed(words, "Log in again.") if token else Denied(words, "Copy it again, alone.")
    stage.desk.script.fail("connect_by_hand" if token else "add_account", failure)
    typed(dialog, token)
    button(dialog).click()
    stage.until(lambda: words in dialog.message.text)
    assert dialog.isVisible()
    stage.until(button(dialog).isEnabled)
    assert edit(dialog, "api_key").text() == "abcd"


def test_a_broker_whose_token_is_made_by_hand_asks_for_it(stage: Stage) -> None:
    stage.desk.script.brokers = (BrokerListing(replace(READS, auth=AuthKind.HAND_MADE)),)
    dialog = ConnectDialog(stage.bridge)
    dialog.show()
    stage.settle()
    assert edit(dialog, "access_token").isVisible()
    dialog.close()
    dialog.deleteLater()
    QApplication.processEvents()


def test_a_login_page_needs_the_redirect_url_that_it_ends_on(stage: Stage, dialog: ConnectDialog) -> None:
    typed(dialog)
    edit(dialog, "redirect_url").setText("")
    button(dialog).click()
    stage.settle()
    assert "redirect URL" in dialog.message.text
    assert stage.desk.script.called("add_account") == []
