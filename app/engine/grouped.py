"""A mapping that also finds its values by what they belong to, without looking through all of them: a thousand stops
and their orders would hold the loop for milliseconds at each exit. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, ItemsView, Iterator, MutableMapping, ValuesView
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
G = TypeVar("G", bound=Hashable)


class Grouped(MutableMapping[K, V], Generic[K, V, G]):
    """Values by key, and by each of their groups. `groups` is pure: what a value belongs to goes by the value alone."""

    def __init__(self, groups: Callable[[V], tuple[G, ...]]) -> None:
        self._groups = groups
        self._values: dict[K, V] = {}
        self._keys: dict[G, dict[K, None]] = {}

    def of(self, group: G) -> list[V]:
        """Those of a group, in the order in which they came to it."""
        return [self._values[key] for key in self._keys.get(group, ())]

    @property
    def groups(self) -> list[G]:
        """All that have a value, in the order in which they were first seen."""
        return list(self._keys)

    def __setitem__(self, key: K, value: V) -> None:
        now = self._groups(value)
        if key in self._values:
            before = self._groups(self._values[key])
            self._leave(key, [group for group in before if group not in now])
        self._values[key] = value
        for group in now:
            self._keys.setdefault(group, {})[key] = None

    def __delitem__(self, key: K) -> None:
        self._leave(key, self._groups(self._values[key]))
        del self._values[key]

    def _leave(self, key: K, groups: tuple[G, ...] | list[G]) -> None:
        for group in groups:
            del self._keys[group][key]
            if not self._keys[group]:
                del self._keys[group]

    def __getitem__(self, key: K) -> V:
        return self._values[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    # What the base class would do step by step in Python.

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def values(self) -> ValuesView[V]:
        """For `Mapping`."""
        return self._values.values()

    def items(self) -> ItemsView[K, V]:
        """For `Mapping`."""
        return self._values.items()
