"""Finnhub: quotes only."""
