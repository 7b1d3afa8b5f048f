"""Image → wanted cameras: one backend per kind of path."""

TRAJECTORIES = {
    "auto": "img2world.trajectory.paths:AutoTrajectory",
    "orbit": "img2world.trajectory.paths:OrbitTrajectory",
    "dynamic-orbit": "img2world.trajectory.paths:DynamicOrbitTrajectory",
    "arc": "img2world.trajectory.paths:ArcTrajectory",
    "spiral": "img2world.trajectory.paths:SpiralTrajectory",
    "dolly": "img2world.trajectory.paths:DollyTrajectory",
    "file": "img2world.trajectory.paths:FileTrajectory",
}
