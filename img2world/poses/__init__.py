"""Camera pose estimation: from frames to views."""

SOLVERS = {
    "commanded": "img2world.poses.commanded:CommandedPoses",
    "auto": "img2world.poses.auto:AutoPoses",
    "given": "img2world.poses.given:GivenPoses",
    "orbit": "img2world.poses.orbit:OrbitPoses",
    "colmap": "img2world.poses.colmap:ColmapPoses",
    "flow-colmap": "img2world.poses.flow_colmap:FlowColmapPoses",
}
"""Backends by their name in recipes, as "module:Class"."""
