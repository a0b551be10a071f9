"""The program's verbs. The window and the command line hold a `Desk` and nothing below it."""
