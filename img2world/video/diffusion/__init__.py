"""Code shared by the backends of big open video models; each model has a file of its own in img2world.video."""
