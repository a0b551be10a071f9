import asyncio
from typing import Any

class QEventLoop(asyncio.SelectorEventLoop):
    def __init__(self, app: Any = None, set_running_loop: bool = False, already_running: bool = False) -> None: ...
