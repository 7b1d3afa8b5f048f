"""Points and objects followed through the frames of a video."""
