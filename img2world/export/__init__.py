"""Exporters write a scene as a file or folder, read it back, and raise ExportError when it differs."""

EXPORTERS = {
    "ply": "img2world.export.ply:PlyExport",
    "mesh": "img2world.export.mesh:MeshExport",
    "turntable": "img2world.export.turntable:TurntableExport",
    "dataset": "img2world.export.dataset:DatasetExport",
    "html": "img2world.export.html:WorldPageExport",
}
"""Name of each exporter and its "module:class"."""
