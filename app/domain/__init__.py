"""What trading is. Pure: standard library only, no clock, no I/O. Everybody may import it."""
