"""What the program asks of the system's memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

ASKING = """
import ctypes
from app.runtime.loop import LoopThread
loop = LoopThread()
loop.start()
print(ctypes.CDLL(None).prctl(42, 0, 0, 0, 0))  # PR_GET_THP_DISABLE
loop.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages are asked for on Linux alone")
def test_beside_the_loop_thread_no_block_is_made_of_huge_pages() -> None:
    assert subprocess.run([sys.executable, "-c", ASKING], check=True, capture_output=True, text=True).stdout == "1\n"
