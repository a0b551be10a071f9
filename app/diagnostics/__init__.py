"""Knowing what is wrong."""
