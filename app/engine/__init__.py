"""Where money moves."""
