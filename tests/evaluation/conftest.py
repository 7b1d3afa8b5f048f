import numpy as np
import pytest
import trimesh
from PIL import Image as PillowImage
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals


def chequered(size: int, first: tuple[int, int, int], second: tuple[int, int, int], cells: int = 4) -> np.ndarray:
    cell = (np.arange(size) * cells // size) % 2
    return np.where((cell[:, None] ^ cell)[..., None], first, second).astype(np.uint8)


def textured_box(extents=(1.0, 0.8, 0.6)) -> trimesh.Trimesh:
    """A box each side of which shows the whole texture."""
    box = trimesh.creation.box(extents=extents)
    corners = box.triangles.reshape(-1, 3)
    axis = np.abs(box.face_normals).argmax(1).repeat(3)
    unit = corners / extents + 0.5
    other = np.array([[2, 1], [0, 2], [0, 1]])[axis]
    uv = np.take_along_axis(unit, other, 1)
    image = PillowImage.fromarray(chequered(64, (220, 40, 30), (250, 240, 80)))
    return trimesh.Trimesh(
        corners,
        np.arange(len(corners)).reshape(-1, 3),
        visual=TextureVisuals(uv=uv, material=PBRMaterial(baseColorTexture=image)),
        process=False,
    )


def colored_torus() -> trimesh.Trimesh:
    torus = trimesh.creation.torus(0.5, 0.2)
    colors = np.clip(255 * (torus.vertices / 1.4 + 0.5), 0, 255).astype(np.uint8)
    torus.visual.vertex_colors = np.column_stack([colors, np.full(len(colors), 255, np.uint8)])
    return torus


@pytest.fixture(scope="session")
def asset_folder(tmp_path_factory):
    """Three typical assets: GLB with a texture, GLB with vertex colours, OBJ with a material."""
    folder = tmp_path_factory.mktemp("models")
    textured_box().export(folder / "box.glb")
    colored_torus().export(folder / "torus.glb")
    blue = trimesh.creation.icosphere(subdivisions=3, radius=2.0)
    blue.visual = TextureVisuals(material=trimesh.visual.material.SimpleMaterial(diffuse=(30, 60, 200, 255)))
    blue.export(folder / "ball.obj")
    return folder
