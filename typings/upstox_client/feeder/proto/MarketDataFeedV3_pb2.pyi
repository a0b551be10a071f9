from typing import Any

FeedResponse: Any
