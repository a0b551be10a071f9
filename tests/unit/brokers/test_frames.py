from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from app.brokers.frames import FrameSplitter, Part

LIMIT = 100_000
SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 70_000)
"""On both sides of each length field."""


def raw(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """A server's frame, written by the library."""
    return Frame(opcode, data, fin=fin).serialize(mask=False)


def split(stream: bytes, cuts: list[int]) -> list[Part]:
    splitter = FrameSplitter(LIMIT)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [part for start, end in pairwise(edges) for part in splitter.feed(stream[start:end])]


FRAMES = st.lists(
    st.tuples(
        st.sampled_from([Opcode.BINARY, Opcode.BINARY, Opcode.TEXT, Opcode.CONT, Opcode.PING, Opcode.CLOSE]),
        st.booleans(),
        st.sampled_from(SIZES),
    ),
    max_size=6,
)


@given(frames=FRAMES, cuts=st.lists(st.integers(min_value=0), max_size=8))
def test_however_the_stream_is_cut_the_parts_are_the_same(
    frames: list[tuple[Opcode, bool, int]], cuts: list[int]
) -> None:
    stream, expected = b"", []
    for number, (opcode, last, length) in enumerate(frames):
        control = opcode in (Opcode.PING, Opcode.CLOSE)
        fin, size = (True, min(length, 125)) if control else (last, length)
        data = bytes([number]) * size
        written = raw(opcode, data, fin=fin)
        stream += written
        whole = opcode is Opcode.BINARY and fin
        expected.append((whole, data if whole else written))
    assert split(stream, cuts) == expected


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_that_comes_byte_by_byte(size: int) -> None:
    stream = raw(Opcode.BINARY, b"x" * size)
    splitter = FrameSplitter(LIMIT)
    head = stream[:12]
    parts = [part for n in range(len(head)) for part in splitter.feed(head[n : n + 1])]
    parts += splitter.feed(stream[12:]) if len(stream) > 12 else []
    assert parts == [(True, b"x" * size)]


@pytest.mark.parametrize(
    "wrong",
    [
        Frame(Opcode.BINARY, b"masked").serialize(mask=True),
        raw(Opcode.BINARY, bytes(LIMIT + 1)),
        b"\xc2" + raw(Opcode.BINARY, b"reserved")[1:],
    ],
    ids=["masked", "too long", "reserved bit"],
)
def test_what_breaks_the_protocol_reaches_the_library_which_says_how(wrong: bytes) -> None:
    good = raw(Opcode.BINARY, b"good")
    parts = split(good + wrong, [])
    assert parts[0] == (True, b"good")
    library = Protocol(CLIENT, max_size=LIMIT)
    for whole, part in parts[1:]:
        assert not whole
        library.receive_data(part)
    assert library.parser_exc is not None


def test_after_a_frame_that_ends_the_connection_nothing_is_taken_for_a_price() -> None:
    splitter = FrameSplitter(LIMIT)
    splitter.feed(raw(Opcode.BINARY, bytes(LIMIT + 1))[:20])
    assert splitter.feed(raw(Opcode.BINARY, b"price")) == [(False, raw(Opcode.BINARY, b"price"))]
