"""From frames to views: how the cameras are found."""

SOLVERS = {
    "commanded": "img2world.poses.commanded:CommandedPoses",
    "colmap": "img2world.poses.colmap:ColmapPoses",
}
"""Backends by their name in recipes, as "module:Class"."""
