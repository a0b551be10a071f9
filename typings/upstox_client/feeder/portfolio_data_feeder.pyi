from typing import Any

websocket: Any
