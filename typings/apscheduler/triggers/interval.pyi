from datetime import datetime

class IntervalTrigger:
    def __init__(
        self, *, seconds: int = 0, start_date: datetime | None = None, end_date: datetime | None = None
    ) -> None: ...
    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None: ...
