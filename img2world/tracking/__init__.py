"""Point tracks and object masks in the frames of a video; used by the pose solvers and the doctor."""
