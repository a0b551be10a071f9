"""Frozen messages to bytes and back, so that any of them could cross a process boundary."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import msgspec


class MessageCodec:
    """Serialises the dataclasses it was given, each under its class name. Stateless after construction."""

    def __init__(self, types: Iterable[type]) -> None:
        self._types: dict[str, type] = {}
        for cls in types:
            if not dataclasses.is_dataclass(cls):
                raise TypeError(f"{cls.__name__} is not a dataclass")
            if self._types.setdefault(cls.__name__, cls) is not cls:
                raise ValueError(f"two message types are called {cls.__name__}")

    def encode(self, message: object) -> bytes:
        """One JSON document `{"type": name, "data": {...}}`. Raises KeyError for a type it was not given."""
        name = type(message).__name__
        if self._types.get(name) is not type(message):
            raise KeyError(name)
        return msgspec.json.encode({"type": name, "data": message})

    def decode(self, data: bytes) -> Any:
        """The message again, strictly typed. Raises msgspec.ValidationError or KeyError on anything else."""
        envelope = msgspec.json.decode(data, type=_Envelope)
        return msgspec.json.decode(envelope.data, type=self._types[envelope.type])


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    data: msgspec.Raw
