"""Which of Upstox's hosts a call goes to. Pure.

Placing, changing and cancelling one order has a host of its own; everything else, orders in bulk and GTTs included,
stays on the main one (Upstox's official client chooses by path in the same way). A paper exchange is all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from app.domain.account import Endpoints
from app.domain.errors import BadAnswer

ORDER_PATHS = ("/order/place", "/order/modify", "/order/cancel")

SANDBOX_PATHS = frozenset(
    {
        *(f"/{version}/order/{verb}" for version in ("v2", "v3") for verb in ("place", "modify", "cancel")),
        "/v2/order/multi/place",
    }
)
"""All that the sandbox serves."""

SANDBOX_HOSTS = frozenset({"api-sandbox.upstox.com"})
_MAIN = "api.upstox.com"
_ORDERS = "https://api-hft.upstox.com"
_FILES = "https://assets.upstox.com"
_DOMAIN = ".upstox.com"


@dataclass(frozen=True, slots=True)
class Hosts:
    """Addresses without a path."""

    main: str
    orders: str
    files: str


def hosts_of(endpoints: Endpoints) -> Hosts:
    """The hosts behind an account's addresses."""
    main = endpoints.api_url.rstrip("/")
    if urlsplit(main).hostname == _MAIN:
        return Hosts(main, _ORDERS, _FILES)
    return Hosts(main, main, main)


def in_sandbox(endpoints: Endpoints) -> bool:
    """Whether an account lives in Upstox's own practice world."""
    return urlsplit(endpoints.api_url).hostname in SANDBOX_HOSTS


def takes_orders(path: str) -> bool:
    """Whether a path belongs on the order host."""
    return any(part in path for part in ORDER_PATHS)


def checked_socket(url: str, endpoints: Endpoints) -> str:
    """A socket address that the broker handed out, when it lies in the same world as the account. Raises BadAnswer."""
    given = urlsplit(url)
    host = given.hostname or ""
    if endpoints.paper:
        fine = given.scheme in ("ws", "wss") and host in ("127.0.0.1", "localhost", "::1")
    else:
        fine = given.scheme == "wss" and host.endswith(_DOMAIN)
    if not fine:
        raise BadAnswer("The broker named an odd address for its stream.", detail=f"{given.scheme}://{host}")
    return url
