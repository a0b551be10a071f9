"""Numbers from facts. Pure."""
