"""Benchmark whole runs, each in its own process: seconds per stage, peak memory and quality.

    python benchmarks/end_to_end.py [PICTURE…] [--recipe NAME] [--set section.option=value]… [--write]

Without pictures: those in assets/samples and a photo from scikit-image. `--write` puts the table into
benchmarks/README.md.
"""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from report import machine, write_section

from img2world.core.resources import resource_folder

STAGES = ("video", "poses", "splat", "export")


def main() -> None:
    """Measure, print the table, and write it on request."""
    parser = argparse.ArgumentParser(description="Seconds, memory and quality of whole runs.")
    parser.add_argument("pictures", nargs="*", type=Path)
    parser.add_argument("--recipe", default="auto")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pictures = options.pictures or default_pictures(Path(scratch))
        rows = [measure(picture, Path(scratch), options.recipe, options.changes) for picture in pictures]
    table = "\n".join([*heading(options.recipe, options.changes), *rows])
    print(table)
    if options.write:
        write_section("end_to_end", table)


def default_pictures(scratch: Path) -> list[Path]:
    """Return the sample pictures and a photo of a person."""
    import skimage
    from PIL import Image

    photo = scratch / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(photo)
    folder = resource_folder("assets") / "samples"
    return [*sorted(path for path in folder.glob("*") if path.suffix in (".png", ".jpg")), photo]


def measure(picture: Path, scratch: Path, recipe: str, changes: list[str]) -> str:
    """Run one picture from scratch and return its row of the table."""
    out = scratch / f"run-{picture.stem}"
    words = [sys.executable, "-m", "img2world.cli", "run", str(picture), "--out", str(out), "--recipe", recipe]
    subprocess.run([*words, *(word for change in changes for word in ("--set", change))], check=True)
    metrics = json.loads((out / "report.json").read_text())["metrics"]
    seconds = [f"{metrics[f'seconds_{stage}']:.1f}" for stage in STAGES]
    quality = [f"{metrics[name]:.2f}" for name in ("train_psnr", "heldout_psnr")] + [f"{metrics['heldout_ssim']:.3f}"]
    cells = [picture.name, *seconds, f"{metrics['seconds']:.1f}", f"{metrics['peak_rss_gb']:.2f}", *quality]
    return f"| {' | '.join(cells)} | {metrics['num_gaussians']:.0f} |"


def heading(recipe: str, changes: list[str]) -> list[str]:
    """Return the conditions of the measurement and the head of the table."""
    names = ["picture", *STAGES, "all", "peak GB", "train dB", "held-out dB", "held-out SSIM", "Gaussians"]
    settings = " ".join([f"recipe {recipe}", *changes])
    return [
        f"{datetime.date.today()}, {machine()}, {settings}; seconds per stage.",
        "",
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
    ]


if __name__ == "__main__":
    main()
