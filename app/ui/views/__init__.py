"""One screen a file. A view holds the bridge and the window's state; it decides nothing about trading."""
