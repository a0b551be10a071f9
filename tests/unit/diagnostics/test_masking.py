"""Masking: what says whose it is goes, the same thing by the same name, and what tells the story stays."""

from __future__ import annotations

import pytest

from app.diagnostics.masking import Masker

KNOWN = {
    "AB1234": "client",
    "Asha Rao": "name",
    "apikey0001": "key",
    "/srv/desk of asha": "profile",
    "S00000000001": "order",
    "A": "client",
}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("zerodha-AB1234 and ab1234", "zerodha-client-1 and client-1"),
        ("Asha Rao, asha%20rao, ASHA+RAO", "name-1, name-1, name-1"),
        ("AB12345 is another", "AB12345 is another"),
        ("api_key=apikey0001&v=3", "api_key=key-1&v=3"),
        ("/srv/desk of asha/book.db", "profile-1/book.db"),
        ("stop S00000000001 fired", "stop order-1 fired"),
        ("/home/asha/x, /Users/rao/y, C:\\Users\\asha\\z", "~/x, ~/y, ~\\z"),
        ('"C:\\\\Users\\\\asha\\\\z"', '"~\\\\z"'),
        (
            "order 2611160000000000001, again 2611160000000000001, then 240108010918222",
            "order id-1, again id-1, then id-2",
        ),
        ("asha.rao+x@example.co.in wrote", "mail-1 wrote"),
        ("from 203.0.113.7 to 127.0.0.1:8080, from 203.0.113.7", "from ip-1 to 127.0.0.1:8080, from ip-1"),
        ("fe80:0:0:0:1:2:3:4 said", "ip-1 said"),
        ("eyJhbGciOi.eyJzdWIiOiJB.c2ln failed", "token-1 failed"),
        ("q7canaryapisecretzx4mvn82kfjwe91", "code-1"),
        ("d9428888-122b-11e1-b85c-61cd3cbb3210", "id-1"),
        ("the-secret of it, the%2Dsecret", "*** of it, the%2Dsecret"),
        # The story stays.
        ("2026-11-16T09:15:00.123+05:30 p99 9000 us, 4,500 ms, NSE:INFY", None),
        ('File "/usr/lib/python3.11/asyncio/base_events.py", line 1936', None),
        ("app.engine.strategies.happenings in _on_reply_of_the_broker", None),
        ("Python 3.11.7, PySide6 6.11.3, 1480.05, 0.123456789012", None),
    ],
)
def test_what_is_masked_and_what_is_not(before: str, after: str | None) -> None:
    assert Masker(KNOWN, ["the-secret"]).text(before) == (before if after is None else after)


def test_a_thing_has_one_name_in_all_files() -> None:
    masker = Masker(KNOWN)
    assert masker.text("id 123456789012") == "id id-1"
    assert masker.text("x 998877665544, 123456789012") == "x id-2, id-1"
