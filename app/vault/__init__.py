"""Secrets at rest: the master key and its wrappings, keys derived from it, sealed broker secrets (B1, B2)."""
