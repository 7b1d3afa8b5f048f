"""Exporters write a scene as a file or folder, read it back, and raise ExportError when it differs."""

EXPORTERS = {
    "ply": "img2world.export.splats:PlyExport",
    "mesh": "img2world.export.mesh:MeshExport",
    "turntable": "img2world.export.turntable:TurntableExport",
    "dataset": "img2world.export.dataset:DatasetExport",
    "html": "img2world.export.html:WorldPageExport",
    "compressed-ply": "img2world.export.splats:CompressedPlyExport",
    "splat": "img2world.export.splats:SplatExport",
    "ksplat": "img2world.export.splats:KsplatExport",
    "spz": "img2world.export.splats:SpzExport",
    "sog": "img2world.export.splats:SogExport",
    "gltf": "img2world.export.splats:GltfExport",
    "usd": "img2world.export.splats:UsdExport",
    "i2w": "img2world.export.moving:I2wExport",
    "ply-sequence": "img2world.export.moving:PlySequenceExport",
    "spz-sequence": "img2world.export.moving:SpzSequenceExport",
    "brush": "img2world.export.moving:BrushExport",
    "bundle": "img2world.export.bundles:BundleExport",
}
"""Name of each exporter and its "module:class"."""
