"""OpenUSD splats are read in a child process: `python -m img2world.formats.usd_process`, run by `usd`.

OpenUSD crashes on some damaged files.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from img2world.core.child_process import answer
from img2world.core.errors import FormatError
from img2world.core.progress import Progress
from img2world.formats.splat_file import SplatFile, assemble, join_files, logit_from_floats, place, reason
from img2world.formats.usd import SH, TYPE, modules

SUFFIXES = (".usdc", ".usda", ".usd", ".usdz")
"""OpenUSD knows a file by its suffix."""

HINT = "the file is damaged or was made by a faulty program; write it again"


def read_stage(options: dict, progress: Progress) -> None:
    """Write the Gaussians of a USD file as arrays to a .npz file. Options: source, target."""
    del progress
    with np.errstate(all="ignore"):
        file = load(Path(options["source"]))
    details = np.array(json.dumps({"broken": file.broken, "details": file.details}))
    with Path(options["target"]).open("wb") as target:
        np.savez(target, details=details, **vars(file.gaussians))


def load(path: Path) -> SplatFile:
    """Read a USD file in this process. Raises FormatError when it has no Gaussians, or is damaged."""
    tf, usd, _, _ = modules()
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise FormatError(f"the USD file has another name: {path}", hint=f"give it one that ends with {known}")
    try:
        parts = _parts(usd.Stage.Open(str(path)))
    except tf.ErrorException as error:
        # What it says is about code in C++, and not always text.
        raise FormatError(f"OpenUSD cannot read the file: {path}", hint=HINT) from error
    except (TypeError, ValueError) as error:
        raise FormatError(f"the USD file has a wrong value: {reason(error)}", hint=HINT) from error
    if not parts:
        raise FormatError(f"the USD file has no Gaussian splats: {path}", hint=f"needs a prim {TYPE}")
    return join_files(parts)


def _parts(stage: Any) -> list[SplatFile]:
    """Return the content of each prim of splats, in our axes."""
    _, usd, geometry, _ = modules()
    cache = geometry.XformCache(usd.TimeCode.EarliestTime())
    # With +Z up, +Y points away from the viewer.
    is_z_up = geometry.GetStageUpAxis(stage) == geometry.Tokens.z
    y_up = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]]) if is_z_up else np.eye(4)
    parts = []
    for prim in stage.Traverse(usd.TraverseInstanceProxies()):
        if prim.GetTypeName() == TYPE:
            matrix = y_up @ np.array(cache.GetLocalToWorldTransform(prim)).T
            file = place(_read_prim(prim, usd.TimeCode.EarliestTime()), matrix)
            samples = prim.GetAttribute("positions").GetNumTimeSamples()
            timed = _times(stage, samples) if samples > 1 else {}
            parts.append(replace(file, details={**file.details, **timed}))
    return parts


def _times(stage: Any, samples: int) -> dict[str, object]:
    """Return what a stage says of its time."""
    seconds = (stage.GetEndTimeCode() - stage.GetStartTimeCode()) / stage.GetTimeCodesPerSecond()
    left_out = f"{samples - 1} of {samples} time samples"
    return {"time samples": samples, "seconds": round(seconds, 3), "left out": left_out}


def _read_prim(prim: Any, time: Any) -> SplatFile:
    """Return the Gaussians of a prim in its own axes. Raises FormatError when its arrays do not fit together."""

    def column(name: str, width: int, default: np.ndarray | None = None) -> Float32[np.ndarray, "N C"]:
        # In half precision, the name ends with h.
        values = [prim.GetAttribute(attribute).Get(time) for attribute in (name, f"{name}h")]
        value = next((value for value in values if value is not None and len(value)), None)
        if value is not None:
            return np.array(value, np.float32).reshape(-1, width)
        if default is None:
            raise FormatError(f"the splats of the USD file have no {name}", hint=HINT)
        return default

    means = column("positions", 3)
    count = len(means)
    # The real part comes last.
    quats = column("orientations", 4, np.tile(np.array([0, 0, 0, 1], np.float32), (count, 1)))[:, [3, 0, 1, 2]]
    scales = column("scales", 3, np.ones((count, 3), np.float32))
    opacities = column("opacities", 1, np.ones((count, 1), np.float32))
    degree = int(prim.GetAttribute(f"{SH}Degree").Get(time) or 0)
    harmonics = column(f"{SH}Coefficients", 3)
    bases = (degree + 1) ** 2
    if not 0 <= degree <= 3 or len(harmonics) != count * bases or {len(quats), len(scales), len(opacities)} != {count}:
        raise FormatError(f"the splats of the USD file have arrays of different lengths, degree {degree}", hint=HINT)
    return assemble(
        means,
        quats,
        np.log(scales),
        logit_from_floats(opacities[:, 0]),
        harmonics.reshape(count, bases, 3),
        prim=str(prim.GetPath()),
    )


if __name__ == "__main__":
    answer(read_stage)
