"""The broker's truth into our store."""
