"""Digests of all that the sample pictures give with the default recipe: a change of structure must not change them.

    python benchmarks/sample_bytes.py digests.json              write the digests of this tree
    python benchmarks/sample_bytes.py --compare digests.json    run again, and exit with 1 where a file differs

Left out are run.json, report.json and report.html, which hold times, and recipe.toml, which holds the names of options.
Digests are those of one machine: another instruction set rounds differently.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ("coffee.png", "blocks.png")
LEFT_OUT = ("run.json", "report.json", "report.html", "recipe.toml", ".lock")


def main() -> None:
    """Run the samples, then write or compare."""
    parser = argparse.ArgumentParser(description="Digests of what the sample pictures give.")
    parser.add_argument("digests", type=Path)
    parser.add_argument("--compare", action="store_true", help="compare with the file instead of writing it")
    options = parser.parse_args()
    found = {name: digest for sample in SAMPLES for name, digest in digests_of(sample).items()}
    if not options.compare:
        options.digests.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{len(found)} files in {options.digests}")
        return
    wanted = json.loads(options.digests.read_text())
    changed = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    for name in changed:
        print(name, "is missing" if name not in found else "is new" if name not in wanted else "has other bytes")
    print(f"{len(changed)} of {len(wanted)} files differ")
    sys.exit(bool(changed))


def digests_of(sample: str) -> dict[str, str]:
    """Return the SHA-256 of each file of a run of one sample picture."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "img2world.cli", "run", str(ROOT / "assets" / "samples" / sample)]
        subprocess.run([*command, "--out", str(run)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        files = sorted(path for path in run.rglob("*") if path.is_file() and path.name not in LEFT_OUT)
        return {
            f"{sample}/{path.relative_to(run).as_posix()}": hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
        }


if __name__ == "__main__":
    main()
