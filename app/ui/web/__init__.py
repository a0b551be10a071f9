"""The broker's login page in an embedded browser that leaves nothing on disk."""
