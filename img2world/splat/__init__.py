"""Splat backends, which reconstruct a scene of Gaussians from images with known cameras."""

OPTIMIZERS = {
    "gaussians": "img2world.splat.optimize:GaussianSplat",
    "dynamic": "img2world.splat.dynamic:DynamicSplat",
    "nerfstudio": "img2world.splat.nerfstudio:NerfstudioSplat",
}
"""Name to "module:Class" of a backend with `optimize(views, *, seed, progress) -> Scene` and `held_out(num_views)`."""
