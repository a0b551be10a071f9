from typing import Any

from kiteconnect import exceptions as exceptions

class KiteConnect:
    reqsession: Any
    access_token: str | None
    def __init__(
        self,
        api_key: str,
        access_token: str | None = ...,
        root: str | None = ...,
        debug: bool = ...,
        timeout: float | None = ...,
        proxies: dict[str, str] | None = ...,
        pool: dict[str, Any] | None = ...,
        disable_ssl: bool = ...,
    ) -> None: ...
    def login_url(self) -> str: ...
    def generate_session(self, request_token: str, api_secret: str) -> dict[str, Any]: ...
    def renew_access_token(self, refresh_token: str, api_secret: str) -> dict[str, Any]: ...
    def invalidate_access_token(self, access_token: str | None = ...) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...

class KiteTicker:
    MODE_FULL: str
    MODE_QUOTE: str
    MODE_LTP: str
    def __init__(
        self, api_key: str, access_token: str, debug: bool = ..., root: str | None = ..., **options: Any
    ) -> None: ...
    def __getattr__(self, name: str) -> Any: ...
    def __setattr__(self, name: str, value: Any) -> None: ...
