"""The targets of bundles: the formats they read and the steps of import.

Sources: github.com/aras-p/UnityGaussianSplatting 1.1.1, github.com/JI20/unreal-splat cc89f2c,
github.com/ReconWorldLab/godot-gaussian-splatting 2.1.0, github.com/Kiri-Innovation/3dgs-render-blender-addon, and
the engines in tests/engines.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Target:
    """An engine or a place where a bundle is used."""

    title: str
    engines: tuple[str, ...] = ()
    """Keys of ENGINE_FROM_FILE that show both splats and mesh, the first one in the steps."""
    splats: str = ""
    """Exporter of the splats; empty if the target shows none."""
    splat_options: dict[str, Any] = field(default_factory=dict)
    mesh_suffix: str = ".glb"
    page: bool = False
    """It has world.html and index.html."""
    up: str
    hand: str
    unit: str
    steps: tuple[str, str, str]
    """Steps of import; {turn} stands for the sentence that says how to turn the splats."""
    checked: dict[str, str]
    """In which program our tests draw such files, "splats" and "mesh"."""


UNCHECKED = "not checked in this engine"
FULL_SH = {"full_sh": True}
"""These plugins take f_rest columns as 15 for each channel, whatever the degree of the file."""

TARGETS = {
    "unity": Target(
        title="Unity 2022.3 or later",
        engines=("unity",),
        splats="ply",
        splat_options=FULL_SH,
        up="+Y",
        hand="left",
        unit="metre",
        steps=(
            "In the Package Manager, add Unity glTFast (com.unity.cloud.gltfast) and UnityGaussianSplatting "
            "(github.com/aras-p/UnityGaussianSplatting, folder package), and copy the .glb files into Assets.",
            "With Tools > Gaussian Splats > Create GaussianSplatAsset, make an asset of scene.ply. Add the component "
            "GaussianSplatRenderer to an empty object and set that asset.",
            "Drag mesh.glb to the origin, where the splats are. {turn} Now both lie upon each other.",
        ),
        checked={
            "splats": f"{UNCHECKED}; from the source code of UnityGaussianSplatting 1.1.1",
            "mesh": f"{UNCHECKED}; from the documentation of glTFast and UnityGLTF",
        },
    ),
    "unreal": Target(
        title="Unreal Engine 5.5",
        engines=("unreal",),
        splats="ply",
        splat_options=FULL_SH,
        up="+Z",
        hand="left",
        unit="centimetre",
        steps=(
            "Copy the plugin UnrealSplat (github.com/JI20/unreal-splat) into the folder Plugins of the project and "
            "scene.ply into its Content/Models. Other plugins (XV3DGS, Luma, Postshot) read this PLY, too, but may "
            "turn it another way, which was not checked here.",
            "Open UnrealSplat in the toolbar, enter scene.ply and render it.",
            "Drag the .glb files into the Content Browser, and mesh.glb to the origin, where the splats are. {turn} "
            "Now both lie upon each other.",
        ),
        checked={
            "splats": f"{UNCHECKED}; from the source code of UnrealSplat cc89f2c",
            "mesh": f"{UNCHECKED}; from the source code of Unreal's glTF importer",
        },
    ),
    "godot": Target(
        title="Godot 4.4 or later",
        engines=("godot",),
        splats="compressed-ply",
        up="+Y",
        hand="right",
        unit="metre",
        steps=(
            "Copy the folder addons/gdgs of github.com/ReconWorldLab/godot-gaussian-splatting into the project, enable "
            "the plugin gdgs, and copy these files into the project.",
            "Add a GaussianSplatNode, and set scene.compressed.ply as its gaussian. {turn} "
            "Add a WorldEnvironment whose Compositor has an effect with the script gaussian_compositor_effect.gd.",
            "Drag mesh.glb into the scene, at the origin. Now both lie upon each other.",
        ),
        checked={
            "splats": f"{UNCHECKED}; from the source code of gdgs 2.1.0",
            "mesh": "Godot 3, by tests/engines; not checked in Godot 4",
        },
    ),
    "blender": Target(
        title="Blender 4.3 or later",
        engines=("blender",),
        splats="ply",
        splat_options=FULL_SH,
        up="+Z",
        hand="right",
        unit="metre",
        steps=(
            "Install the add-on 3DGS Render from the releases of github.com/Kiri-Innovation/3dgs-render-blender-addon.",
            "Import scene.ply with it. {turn}",
            "Import mesh.glb with File > Import > glTF 2.0. Now both lie upon each other.",
        ),
        checked={
            "splats": f"{UNCHECKED}; from the source code of 3DGS Render, which calls Blender's own import of PLY",
            "mesh": "Blender 5.0 (Cycles), by tests/engines",
        },
    ),
    "web": Target(
        title="web pages",
        engines=("three", "playcanvas", "babylon"),
        splats="sog",
        page=True,
        up="+Y",
        hand="right",
        unit="metre",
        steps=(
            "Double-click world.html: a page for visitors, complete in one file. Host it anywhere.",
            "For a page of your own, start from index.html, which shows splats and mesh with three.js and Spark, "
            "loaded from the internet: run python -m http.server here, then open http://localhost:8000. "
            "The key M changes between the two.",
            "three.js with Spark, PlayCanvas and Babylon.js load scene.sog and mesh.glb. {turn} "
            "That is for three.js and PlayCanvas; manifest.json has the turn for each.",
        ),
        checked={
            "splats": "three.js with Spark, PlayCanvas and Babylon.js, by tests/engines",
            "mesh": "three.js, PlayCanvas and Babylon.js, by tests/engines",
        },
    ),
    "quicklook": Target(
        title="Quick Look on iPhone, iPad, Mac and Vision Pro",
        mesh_suffix=".usdz",
        up="+Y",
        hand="right",
        unit="metre",
        steps=(
            "Send mesh.usdz to the device, by AirDrop, mail or Messages, or put it on a web server.",
            "Tap it: it opens in Quick Look; the button AR puts it into the room, one unit of the file to the metre.",
            "On a web page, write <a rel='ar' href='mesh.usdz'><img src='preview.png'></a>. There are no splats.",
        ),
        checked={"mesh": f"{UNCHECKED}; by the rules of OpenUSD for ARKit, in tests/export"},
    ),
}
"""Targets by name."""

DEFAULT_TARGETS = tuple(name for name, target in TARGETS.items() if target.mesh_suffix == ".glb")
"""Targets that need no further package."""
