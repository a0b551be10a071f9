"""What the embedded login page may load. Pure decisions on addresses; the browser asks for each request."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QUrl

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_WITHOUT_HOST = frozenset({"data", "blob"})
"""Pictures and scripts that a page carries inside itself: they reach no host."""


def is_allowed(url: QUrl, hosts: Iterable[str]) -> bool:
    """Whether a request may leave. `hosts` are exact names, `name:port` for one port alone; no wildcards.

    Plain HTTP and WS only on loopback: a broker's page is never loaded in the clear.
    """
    scheme, host = url.scheme().lower(), url.host().lower()
    if scheme in _WITHOUT_HOST:
        return True
    if url.toString() == "about:blank":
        return True
    secure = scheme in ("https", "wss")
    if not secure and not (scheme in ("http", "ws") and host in LOOPBACK):
        return False
    port = url.port(443 if secure else 80)
    return any(entry.lower() in (host, f"{host}:{port}") for entry in hosts)


def is_redirect(url: QUrl, redirect_url: str) -> bool:
    """Whether this is the address that the login ends at, whatever its query: same scheme, host, port and path."""
    wanted = QUrl(redirect_url)
    return (
        bool(redirect_url)
        and url.scheme() == wanted.scheme()
        and url.host().lower() == wanted.host().lower()
        and url.port(_port(url)) == wanted.port(_port(wanted))
        and (url.path() or "/").rstrip("/") == (wanted.path() or "/").rstrip("/")
    )


def _port(url: QUrl) -> int:
    return 443 if url.scheme() == "https" else 80
