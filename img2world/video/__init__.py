"""From a picture to frames: one file per model or source."""

VIDEOS = {
    "nano": "img2world.video.nano:NanoVideo",
    "file": "img2world.video.file:FileVideo",
    "synthetic": "img2world.video.synthetic:SyntheticVideo",
}
"""Backends by their name in recipes, as "module:Class"."""
