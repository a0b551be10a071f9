"""What tables show, as Qt item models, and the window's copy of the desk's facts."""
