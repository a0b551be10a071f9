"""Windows that ask: create or open the vault, connect an account."""
