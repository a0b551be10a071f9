"""Takes out of text what says whose it is: names, accounts, orders, keys, addresses, paths. The same thing gets the
same name everywhere in a report, so that a story can still be followed. Pure; runs in the helper process.

What is known is replaced wherever it stands; what is not known is found by its look. A masker is made for one report
and forgotten with it: nothing can be led back from a pseudonym.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from ipaddress import ip_address
from urllib.parse import quote, quote_plus

_SHORTEST = 2
"""Known words below it are left: hiding every "A" would hide the report."""

_WORD = re.compile(r"[A-Za-z0-9_]+")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]+(?:\.[\w-]+){1,2}")
"""A JSON Web Token."""
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_HOME = re.compile(r"""(?:/home/|/Users/|[A-Za-z]:\\{1,2}Users\\{1,2})([^/\\\s"':,;]+)""")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\w)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F:]{0,39}[0-9a-fA-F](?![\w:])")
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{9,}(?![\d.])")
"""Ids of orders, trades and triggers; amounts and times in these files are shorter or have a point."""
_CODE = re.compile(r"(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])[\w-]{20,}={0,2}(?![\w-])")
"""Long words of letters and digits: keys, tokens, tags, hashes."""


class Masker:
    """Knows some things by their kind, and finds others."""

    def __init__(self, known: Mapping[str, str], hidden: Iterable[str] = ()) -> None:
        """`known`: what is looked for, and what kind of thing it is (`client`, `name`, `order`, ...). `hidden`:
        secrets, which get no name at all."""
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._words: dict[str, str] = {}
        phrases: dict[str, str] = {}
        for text, kind in sorted(known.items()):
            if len(text) < _SHORTEST:
                continue
            name = self._name(text, kind)
            if _WORD.fullmatch(text):
                self._words[text.lower()] = name
            else:
                phrases |= {form.lower(): name for form in (text, quote(text, safe=""), quote_plus(text))}
        for secret in hidden:
            if len(secret) > 3:
                phrases |= dict.fromkeys(
                    (f.lower() for f in (secret, quote(secret, safe=""), quote_plus(secret))), "***"
                )
        self._phrases = phrases
        longest = sorted(phrases, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest)), re.IGNORECASE) if longest else None

    def text(self, text: str) -> str:
        """Without anything of the above."""
        if self._pattern is not None:
            text = self._pattern.sub(lambda found: self._phrases[found.group().lower()], text)
        text = _HOME.sub("~", text)
        for pattern, kind in ((_MAIL, "mail"), (_TOKEN, "token"), (_UUID, "id")):
            text = pattern.sub(partial(self._found, kind), text)
        text = _WORD.sub(self._word, text)
        text = _IPV4.sub(self._address, text)
        text = _IPV6.sub(self._address, text)
        text = _CODE.sub(partial(self._found, "code"), text)
        return _LONG_NUMBER.sub(partial(self._found, "id"), text)

    def _found(self, kind: str, found: re.Match[str]) -> str:
        return self._name(found.group(), kind)

    def _word(self, found: re.Match[str]) -> str:
        return self._words.get(found.group().lower(), found.group())

    def _address(self, found: re.Match[str]) -> str:
        try:
            address = ip_address(found.group())
        except ValueError:  # four numbers, and no address
            return self._found("ip", found)
        return found.group() if address.is_loopback or address.is_unspecified else self._found("ip", found)

    def _name(self, thing: str, kind: str) -> str:
        name = self._names.get(thing.lower())
        if name is None:
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            name = self._names[thing.lower()] = f"{kind}-{number}"
        return name
