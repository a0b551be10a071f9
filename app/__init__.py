"""Stopline: a trading workstation. Start reading at `app.bootstrap`."""

__version__ = "0.1.0"
