"""Launcher for a checkout: `python cli.py run photo.jpg`."""

from img2world.cli import main

main()
