"""What is known of a shipped broker, from its dated file `resources/brokers/<name>.json`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from app.domain.broker import BrokerInfo
from app.runtime.paths import resource


def parse_info(text: bytes | str) -> BrokerInfo:
    """A broker's metadata from JSON. Raises ValueError that names the field: a misspelt one is no silent default."""
    try:
        info = msgspec.json.decode(text, type=BrokerInfo)
    except msgspec.DecodeError as bad:
        raise ValueError(f"broker metadata: {bad}") from bad
    unknown = next(_unknown(msgspec.json.decode(text), msgspec.to_builtins(info), "$"), None)
    if unknown is not None:
        raise ValueError(f"broker metadata: there is no field {unknown}")
    return info


def _unknown(told: object, known: object, path: str) -> Iterator[str]:
    if isinstance(told, dict) and isinstance(known, dict):
        for key, value in told.items():
            if key not in known:
                yield f"{path}.{key}"
            else:
                yield from _unknown(value, known[key], f"{path}.{key}")
    elif isinstance(told, list) and isinstance(known, list | tuple):
        for number, pair in enumerate(zip(told, known, strict=True)):
            yield from _unknown(*pair, f"{path}[{number}]")


def shipped_info(name: str) -> BrokerInfo:
    """Of a broker that comes with the program."""
    return parse_info(resource("brokers", f"{name}.json").read_bytes())
