"""The machine on which a benchmark runs, and its section of benchmarks/README.md."""

import os
import platform
from pathlib import Path

from img2world.doctor.environment import memory_gb

README = Path(__file__).parent / "README.md"


def processor() -> str:
    """Return the name of the processor, as far as the system knows it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> str:
    """Return processor, cores, memory and GPU in a few words."""
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ", no GPU"
    return f"{processor()}, {len(os.sched_getaffinity(0))} cores, {memory_gb():.0f} GB{gpu}"


def write_section(name: str, text: str) -> None:
    """Replace the text between the markers of a section of benchmarks/README.md."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = README.read_text().partition(begin)
    README.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
