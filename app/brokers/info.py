"""What is known of a shipped broker, from its dated file `resources/brokers/<name>.json`."""

from __future__ import annotations

import msgspec

from app.domain.broker import BrokerInfo
from app.runtime.paths import resource


def parse_info(text: bytes | str) -> BrokerInfo:
    """A broker's metadata from JSON. Raises ValueError that names the field."""
    try:
        return msgspec.json.decode(text, type=BrokerInfo)
    except msgspec.DecodeError as bad:
        raise ValueError(f"broker metadata: {bad}") from bad


def shipped_info(name: str) -> BrokerInfo:
    """Of a broker that comes with the program."""
    return parse_info(resource("brokers", f"{name}.json").read_bytes())
