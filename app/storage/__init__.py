"""The only place with SQL: two encrypted files, each with a thread of its own (B2)."""
