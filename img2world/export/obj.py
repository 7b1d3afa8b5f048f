"""Writing and checking of meshes as Wavefront OBJ, with a material (MTL) and a texture (PNG) beside it.

Source: Wavefront, "Advanced Visualizer Manual", appendix B1 (object files); Ramey, Rose and Tyerman 1995, "MTL Material
Format".
"""

from pathlib import Path

import numpy as np

from img2world.core.errors import ExportError
from img2world.core.mesh import Mesh
from img2world.export.glb import gltf_attributes, png_bytes

MATERIAL = "world"


def write_obj(mesh: Mesh, path: Path, *, unlit: bool) -> None:
    """Write a textured mesh with +Y up, and files of the same name with the suffixes .mtl and .png.

    `unlit` asks for illumination model 0, constant color, which many programs ignore.
    """
    assert mesh.texture is not None
    attributes = gltf_attributes(mesh)
    points, normals = attributes["POSITION"], attributes["NORMAL"]
    # A position is written once for both sides of a seam; vertices that only happen to coincide differ in the normal.
    _, first, place = np.unique(np.concatenate([points, normals], 1), axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    # Texture coordinates count from the lower left corner.
    uvs = np.stack([mesh.uvs[:, 0], 1 - mesh.uvs[:, 1]], -1)  # pyright: ignore[reportOptionalSubscript]
    lines = [f"# img2world, +Y up\nmtllib {path.stem}.mtl\no {MATERIAL}"]
    # Nine digits are enough for any float32 to be read back exactly.
    for name, rows in (("v", points[first]), ("vt", uvs), ("vn", normals[first])):
        lines += [f"{name} " + " ".join(f"{value:.9g}" for value in row) for row in rows.tolist()]
    lines.append(f"usemtl {MATERIAL}")
    corners = np.stack([place[mesh.faces], mesh.faces, place[mesh.faces]], -1) + 1
    lines += ["f " + " ".join(f"{v}/{vt}/{vn}" for v, vt, vn in face) for face in corners.tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    path.with_suffix(".png").write_bytes(png_bytes(mesh.texture))
    path.with_suffix(".mtl").write_text(
        f"newmtl {MATERIAL}\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum {0 if unlit else 1}\nmap_Kd {path.stem}.png\n",
        encoding="ascii",
    )


def check_obj(mesh: Mesh, path: Path) -> None:
    """Compare the mesh with what trimesh reads. Raises ExportError when they differ."""
    import trimesh

    assert mesh.texture is not None
    # load_mesh would lose the normals.
    (read,) = trimesh.load_scene(path, process=False).geometry.values()
    corners = read.faces.reshape(-1)
    expected = gltf_attributes(mesh)
    visual = read.visual
    image, uvs = getattr(getattr(visual, "material", None), "image", None), getattr(visual, "uv", None)
    found = {"positions": read.vertices, "normals": read.vertex_normals, "texture coordinates": uvs}
    written = (expected["POSITION"], expected["NORMAL"], expected["TEXCOORD_0"] * [1, -1] + [0, 1])
    wrong = [
        name
        for (name, array), target in zip(found.items(), written, strict=True)
        if array is None
        or len(corners) != mesh.faces.size
        or not _equal(array[corners], target[mesh.faces.reshape(-1)])
    ]
    if image is None or not np.array_equal(np.asarray(image.convert("RGB")), mesh.texture):
        wrong.append("texture")
    if wrong:
        raise ExportError(
            f"the OBJ file reads back with wrong {', '.join(wrong)}", hint=f"check the disk and write it again ({path})"
        )


def _equal(found: np.ndarray, expected: np.ndarray) -> bool:
    """Return True for equal attributes; trimesh normalizes normals again, which changes their last bits."""
    return np.allclose(found, expected, rtol=1e-6, atol=1e-6)
