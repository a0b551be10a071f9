"""Strategies: bought by the clock, guarded by a stop, sold by the clock."""
