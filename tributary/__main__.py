"""`python -m tributary` is the command `tributary`."""

from tributary.cli import main

main()
