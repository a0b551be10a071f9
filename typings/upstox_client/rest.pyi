class ApiException(Exception):
    status: int
    body: bytes | str | None
