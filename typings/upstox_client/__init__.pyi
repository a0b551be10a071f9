from typing import Any

# The official client is generated without annotations; the tests look its classes up by name.
def __getattr__(name: str) -> Any: ...
