"""What a request carries, read without trust: what cannot be decoded is the client's mistake, never a server error.

Numbers are read as the brokers' servers read them: digits of ASCII alone, and nothing beyond 64 bits.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import MultiDictProxy

from app.simulator.refusal import bad_input

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_LONGEST = 64
"""Characters of a number."""
LARGEST_EXPONENT = 18
"""Powers of ten that a number may reach, up or down."""
MOST = 10**9
"""Units, and rupees a unit, that a calculator reckons with."""

Fields = MultiDictProxy[str | bytes | bytearray | web.FileField]


async def fields_of(request: web.Request) -> Fields:
    """The fields of a form, repeated ones and all. Raises Refused when the body is none that can be read."""
    try:
        return await request.post()
    except (ValueError, LookupError, HttpProcessingError):  # not its charset, no such charset, broken multipart
        raise bad_input("Invalid request body: a form in UTF-8 is expected.") from None


async def form_of(request: web.Request) -> dict[str, str]:
    """The text fields of a form, the last of each name. Raises Refused."""
    return {key: value for key, value in (await fields_of(request)).items() if isinstance(value, str)}


async def text_of(request: web.Request) -> str:
    """The body as text. Raises ValueError when it is none."""
    try:
        return await request.text()
    except LookupError as error:  # a charset that nobody knows
        raise ValueError(str(error)) from None


def json_value(text: str | bytes, *, exact: bool = False) -> Any:
    """A JSON value; `exact` reads numbers with a point as Decimal. Raises ValueError, for endless nesting too."""
    try:
        return json.loads(text, parse_float=Decimal if exact else float, parse_constant=_no_json)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_json(word: str) -> object:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(f"{word} is not JSON")


def whole_number(text: str) -> int:
    """An integer of at most 18 digits. Raises ValueError."""
    if _WHOLE.fullmatch(text) is None:
        raise ValueError("not an integer")
    return int(text)


def count(text: str) -> int:
    """A number of things; -1 when the text is none."""
    try:
        return max(-1, whole_number(text))
    except ValueError:
        return -1


def decimal_number(text: str) -> Decimal:
    """A finite decimal number of a sane size. Raises ValueError."""
    if len(text) > _LONGEST or _DECIMAL.fullmatch(text) is None:
        raise ValueError("not a decimal number")
    value = Decimal(text)
    if not is_sane(value):
        raise ValueError("too large or too small")
    return value


def raw(text: str) -> bytes:
    """A text as bytes, whatever is in it: a header or an escape may bring halves of characters."""
    return text.encode(errors="surrogatepass")


def is_sane(value: Decimal) -> bool:
    """Whether arithmetic with it is safe: finite, and within 18 powers of ten of one."""
    return value.is_finite() and (not value or -LARGEST_EXPONENT <= value.adjusted() <= LARGEST_EXPONENT)
