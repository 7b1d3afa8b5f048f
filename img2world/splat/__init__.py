"""Splat backends: posed pictures to a scene of Gaussians."""

OPTIMIZERS = {
    "gaussians": "img2world.splat.optimize:GaussianSplat",
    "nerfstudio": "img2world.splat.nerfstudio:NerfstudioSplat",
}
"""Name to "module:class" of a backend with `optimize(views, *, seed, progress) -> Scene` and `held_out(num_views)`."""
