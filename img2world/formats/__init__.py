"""Splat files of other programs: one module per format, each with `read` and `write`."""

MODULES = {
    ".compressed.ply": "compressed_ply",
    ".ply": "ply",
    ".splat": "splat",
    ".ksplat": "ksplat",
    ".spz": "spz",
    ".sog": "sog",
    "meta.json": "sog",
    ".glb": "gltf",
    ".gltf": "gltf",
    ".usdc": "usd",
    ".usda": "usd",
    ".usdz": "usd",
    ".usd": "usd",
    ".i2w": "i2w",
    ".brush.zip": "brush",
}
"""Module of each format by the end of the file's name; the longest one counts."""

READ_ONLY = (".gltf",)
"""Formats that are read and not written: a .glb holds the same in one file."""

MOVING = (".i2w", ".brush.zip")
"""Formats that are written of what moves only."""

TIMED = (*MOVING, ".usdc", ".usda", ".usdz", ".usd")
"""Formats that can hold a motion."""
