"""The window. The only place with Qt; holds a Desk through the bridge."""
