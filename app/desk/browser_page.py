"""The page that a browser shows after a login: what happened, in words. Pure."""

from __future__ import annotations

import base64
import hashlib
from html import escape

CLOSE = "history.replaceState(null,'',location.pathname);window.close()"
"""The token leaves the address line and the history; then the page goes, where the browser lets it."""
FORGET = "history.replaceState(null,'',location.pathname)"
STYLE = "body{font:16px system-ui;margin:20vh auto;max-width:34em;padding:0 1em;color:#222}h1{font-size:1.4em}"


def page_of(title: str, words: str, *, status: str = "200 OK", closes: bool = False) -> bytes:
    """A whole HTTP answer. Nothing is loaded from anywhere, and nothing of it is kept."""
    script = CLOSE if closes else FORGET
    body = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Stopline</title><style>{STYLE}</style>"
        f"<h1>{escape(title)}</h1><p>{escape(words)}</p><script>{script}</script></html>"
    ).encode()
    policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(STYLE)}; frame-ancestors 'none'"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        f"Content-Security-Policy: {policy}\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
