"""Prices, live and past."""
