"""What the page says in plain words, for people who have never heard of PSNR or COLMAP."""

from collections.abc import Mapping
from typing import Any

from img2world.quality.grade import CAMERAS

WORLD_GRADES = {
    "A": "It looks right from everywhere on its path",
    "B": "It looks good, with faults that one notices",
    "C": "It disappoints in places",
    "D": "It is a preview at most",
}
CAMERA_GRADES = {
    "A": "reliable",
    "B": "good enough for a reconstruction",
    "C": "doubtful",
    "D": "not to be trusted",
}

COSTS = {
    "fidelity": "From the place of the photo, the world does not quite look like the photo.",
    "detail": "From the place of the photo, the world is softer than the photo.",
    "bending": "Straight edges bend when one moves.",
    "floaters": "Bits of colour float in front of the surfaces.",
    "wobble": "Outlines change their shape when one moves.",
    "parallax": "The world is flat: near things hardly move against far ones.",
    "unseen": "From the sides one sees much that the photo does not show.",
    "stretched": "From the sides, parts of the photo are stretched.",
    "invented": "Much of the object is not in the photo and had to be invented.",
    "plain_back": "The back is plainer than the front.",
    "fused": "Gaps, as between legs, are filled.",
    "thickness": "The object is flat.",
    "heldout_psnr": "Pictures that were kept aside for a test are not met exactly.",
    CAMERAS: "The cameras had to be found, and are not certain.",
}
"""What each figure that costs points means."""

SOURCES = {
    "picture": "one photo",
    "video": "a video",
    "photos": "photos",
    "dataset": "photos with cameras",
    "videos": "pictures of several cameras at the same times",
    "matrix": "pictures from several sides at several times",
}

STAGES = {
    "input": "Looking at the photo",
    "trajectory": "Planning the camera path",
    "video": "Reading the frames",
    "doctor": "Looking for faults",
    "poses": "Finding the cameras",
    "isolation": "Cutting out the subject",
    "splat": "Training the scene",
    "measure": "Measuring the world",
    "quality": "Judging the world",
    "comparison": "Comparing views",
}
"""What each stage does; those of exports are named by their format."""


def stage_name(stage: str, kind: str) -> str:
    """Return what a stage does for a source of a kind."""
    name, _, part = stage.partition(".")
    if name == "video" and kind == "picture":
        return "Making the video"
    return f"Writing {part}" if part else STAGES.get(name, name)


FORMATS = {
    "world.html": "The world as a web page: double-click it, send it, host it anywhere",
    "scene.ply": "Gaussians for SuperSplat, Unity, Unreal, Blender",
    "mesh.glb": "Textured mesh for any engine or 3D program",
    "turntable.mp4": "Video of the finished world",
    "dataset": "Frames and cameras for training with other programs",
}
"""What the common files are for."""

SEVERITIES = {"reject": "Rules out a world", "warning": "The world will suffer", "note": "For information"}

TERMS = {
    "grade": (
        "Grade",
        "A to D, for what one sees. A looks right from everywhere on the path, B has faults that one notices, "
        "C disappoints in places, D is a preview at most.",
    ),
    "camera-grade": (
        "Grade of the cameras",
        "A to D, for how far the positions of the cameras can be trusted, whatever the world looks like. A is "
        "reliable, B is good enough for a reconstruction, C is doubtful, at D the run stops. It is measured on points "
        "that were kept aside while the cameras were found.",
    ),
    "held-out": (
        "Held out",
        "A picture that was kept aside while the world was trained, as an exam question is. Only such pictures tell "
        "how the world looks from a place that it has not learned by heart.",
    ),
    "db": (
        "dB (decibel)",
        "How close two pictures are, as PSNR. More is closer: at 20 dB one sees blur at once, at 30 dB one has to "
        "look twice, above 40 dB hardly anybody sees a difference. 6 dB more halve the error.",
    ),
    "difference": (
        "Difference of colours",
        "Measured as the eye sees it (ΔE). At 2 one can just notice it side by side, from 10 on it is plain to see, "
        "at 40 it is another colour. Black on the maps is equal.",
    ),
    "origin": (
        "Seen, continued, invented",
        "Seen is what the photo itself shows. Continued is what was hidden or cut off and follows from its "
        "surroundings, such as a wall behind a chair. Invented is what nothing in the photo tells, such as the back "
        "of a head.",
    ),
    "gaussians": (
        "Gaussians",
        "Small, soft, coloured clouds, tens of thousands of them, of which the world is made (3D Gaussian splatting).",
    ),
}
"""Terms that the page explains at its end: name and meaning."""

READ_BACK = {
    "gaussians": "{:,.0f} Gaussians",
    "vertices": "{:,.0f} vertices",
    "faces": "{:,.0f} faces",
    "images": "{:,.0f} images",
    "points": "{:,.0f} points",
    "frames": "{:,.0f} frames",
    "bundles": "{:,.0f} bundles",
    "psnr": "{:.0f} dB",
    "deviation": "within {:.2g} grid steps of the surface",
    "max_error_in_steps": "largest error {:.2g} steps of rounding",
}
"""How facts of files are told; others by their names."""


def file_facts(facts: Mapping[str, Any]) -> str:
    """Return what was found in a file when it was read back."""
    told = []
    if "width" in facts and "height" in facts:
        told.append(f"{facts['width']:.0f} × {facts['height']:.0f} pixels")
    if "watertight" in facts:
        told.append("closed" if facts["watertight"] else "open surface")
    for name, value in facts.items():
        if name.endswith("_deg"):
            told.append(f"rotations within {max(value, 0.001):.2g}°")
        elif name in READ_BACK:
            told.append(READ_BACK[name].format(value))
        elif name not in ("bytes", "reader", "width", "height", "watertight"):
            told.append(f"{name.replace('_', ' ')} {value:.3g}" if isinstance(value, float | int) else str(value))
    return ", ".join(told)


def size_text(size: float) -> str:
    """Return a number of bytes for people."""
    for unit, bytes_in_it in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= bytes_in_it:
            value = size / bytes_in_it
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size:.0f} bytes"


def seconds_text(seconds: float) -> str:
    """Return a duration for people."""
    if seconds >= 90:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def percent(share: float) -> str:
    """Return a fraction in percent; one that is almost nothing is not told as nothing."""
    return "less than 1%" if 0 < share < 0.005 else f"{share:.0%}"


def sentence(text: str) -> str:
    """Return a phrase as a sentence: with a capital and a full stop."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def plural(count: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
