"""Entry point of `python -m img2world.cli`."""

from img2world.cli import main

main()
