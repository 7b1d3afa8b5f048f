"""Layered images: one photo as textured surfaces that other cameras can look at."""

SUBJECTS = {"auto": "img2world.layered.subject:AutoSubject"}
"""Name to "module:Class" of a backend with `find(image) -> Subject`."""
