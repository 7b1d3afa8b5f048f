"""What the backends that run a big open video model share; each model has a file of its own in img2world.video."""
