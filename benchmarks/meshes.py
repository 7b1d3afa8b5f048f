"""Compare the methods of the mesh export on runs: likeness to the views, and soundness of the surface.

    python benchmarks/meshes.py runs/blocks runs/coffee

Prints a Markdown table. PSNR is that of the textured mesh to the photo, and to eight other views of the run on average,
with the scene's background. A part is what hangs together; sides of a seam are together. Poisson needs Open3D.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import trimesh

from evaluation.assets import load_asset
from evaluation.rendering import UNLIT, render_asset
from img2world.core.mesh import Mesh
from img2world.core.scene import Scene
from img2world.core.views import Views
from img2world.export.glb import write_glb
from img2world.export.mesh import MeshExport
from img2world.meshing.surface import mesh_statistics

OTHER_VIEWS = 8


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--methods", nargs="+", default=["tsdf", "poisson"])
    options = parser.parse_args()
    columns = ("run", "method", "photo dB", "others dB", "faces", "boundary edges", "watertight", "parts", "surface s")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for run in options.runs:
        scene, views = Scene.load(run / "scene" / "scene.safetensors"), Views.load(run / "views")
        kind = "object" if scene.is_object else "scene"
        for method in options.methods:
            print(f"| {run.name}, {kind} | {method} | {row(MeshExport(method=method), scene, views)} |", flush=True)


def row(exporter: MeshExport, scene: Scene, views: Views) -> str:
    """Return the columns after the name of the method."""
    start = time.perf_counter()
    measured = exporter.measure_surface(scene)
    seconds = time.perf_counter() - start
    mesh = exporter.mesh_from_surface(measured, scene, views)
    psnr = psnr_of_views(mesh, scene, views)
    # Sides of a seam are in the same place.
    merged = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    merged.merge_vertices(merge_tex=True, merge_norm=True)
    edges = np.unique(merged.edges_sorted, axis=0, return_counts=True)[1]
    watertight = "yes" if mesh_statistics(mesh)["watertight"] else "no"
    parts = f"{(edges == 1).sum():,} | {watertight} | {merged.body_count}"
    return f"{psnr[0]:.2f} | {psnr[1:].mean():.2f} | {len(mesh.faces):,} | {parts} | {seconds:.1f}"


def psnr_of_views(mesh: Mesh, scene: Scene, views: Views) -> np.ndarray:
    """Return the PSNR of the mesh to the first view and to others."""
    chosen = np.unique([0, *np.linspace(1, len(views) - 1, OTHER_VIEWS).astype(int)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.glb"
        write_glb(mesh, path, unlit=True, double_sided=True)
        asset = load_asset(path)
    drawn = render_asset(asset, views.cameras.select(chosen), lighting=UNLIT, background=scene.background)
    pictures = views.rgb[chosen].astype(np.float64)
    if views.alpha is not None:
        alpha = views.alpha[chosen, ..., None] / 255
        pictures = pictures * alpha + 255 * np.array(scene.background) * (1 - alpha)
    return -10 * np.log10(((drawn.rgb.astype(np.float64) - pictures) ** 2).mean((1, 2, 3)) / 255**2)


if __name__ == "__main__":
    main()
