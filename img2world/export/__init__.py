"""Scenes to files, one file per format. An exporter reads back what it wrote; ExportError says that it is wrong."""

EXPORTERS = {
    "ply": "img2world.export.ply:PlyExport",
    "mesh": "img2world.export.mesh:MeshExport",
    "turntable": "img2world.export.turntable:TurntableExport",
    "dataset": "img2world.export.dataset:DatasetExport",
    "html": "img2world.export.html:WorldPageExport",
}
"""Name to "module:class"."""
