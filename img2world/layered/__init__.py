"""Layered images: one photo as textured surfaces that other cameras can look at."""
