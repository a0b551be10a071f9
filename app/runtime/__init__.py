"""Plumbing without opinions: loop thread, bus, clock, paths, log, settings. Knows nothing of trading but `domain`."""
