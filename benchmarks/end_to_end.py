"""Seconds per stage, peak memory and quality of whole runs, each in a process of its own.

    python benchmarks/end_to_end.py [PICTURE…] [--recipe NAME] [--set section.field=value]… [--write]

Without pictures: those in assets/samples and a photo that comes with scikit-image. `--write` puts the table
into benchmarks/README.md.
"""

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from img2world.core.resources import resource_folder
from img2world.doctor.environment import memory_gb

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- end_to_end: begin -->", "<!-- end_to_end: end -->"
STAGES = ("video", "poses", "splat", "export")


def main() -> None:
    """Measure, print the table, and write it where asked."""
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
        write(table)


def default_pictures(scratch: Path) -> list[Path]:
    """The sample pictures, and a photo of a person."""
    import skimage
    from PIL import Image

    photo = scratch / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(photo)
    folder = resource_folder("assets") / "samples"
    return [*sorted(path for path in folder.glob("*") if path.suffix in (".png", ".jpg")), photo]


def measure(picture: Path, scratch: Path, recipe: str, changes: list[str]) -> str:
    """Run one picture from nothing and give its row of the table."""
    out = scratch / f"run-{picture.stem}"
    words = [sys.executable, "-m", "img2world.cli", "run", str(picture), "--out", str(out), "--recipe", recipe]
    subprocess.run([*words, *(word for change in changes for word in ("--set", change))], check=True)
    metrics = json.loads((out / "report.json").read_text())["metrics"]
    seconds = [f"{metrics[f'seconds_{stage}']:.1f}" for stage in STAGES]
    quality = [f"{metrics[name]:.2f}" for name in ("train_psnr", "heldout_psnr")] + [f"{metrics['heldout_ssim']:.3f}"]
    cells = [picture.name, *seconds, f"{metrics['seconds']:.1f}", f"{metrics['peak_rss_gb']:.2f}", *quality]
    return f"| {' | '.join(cells)} | {metrics['num_gaussians']:.0f} |"


def heading(recipe: str, changes: list[str]) -> list[str]:
    """On what it was measured, and the first two lines of the table."""
    names = ["picture", *STAGES, "all", "peak GB", "train dB", "held-out dB", "held-out SSIM", "Gaussians"]
    what = " ".join([f"recipe {recipe}", *changes])
    return [
        f"{datetime.date.today()}, {machine()}, {what}; seconds per stage.",
        "",
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
    ]


def machine() -> str:
    """The processor, cores, memory and GPU in a few words."""
    import os

    import torch

    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    name = models[0].partition(":")[2].strip() if models else platform.machine()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory_gb():.0f} GB{gpu}"


def write(table: str) -> None:
    """Replace the table in benchmarks/README.md."""
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
