"""Read damaged splat files: each must be read, or refused by one line, in little time and memory.

    python benchmarks/fuzz_splats.py --count 10000
    python benchmarks/fuzz_splats.py --readers sog gltf --keep failures

Small files of all formats are damaged at random, also inside what is compressed, and read by processes of their own,
which may use 2 GB and 10 seconds a file. What fails is printed and kept. A file depends only on its number.
"""

import argparse
import gzip
import io
import json
import os
import random
import resource
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from img2world.core.errors import Img2WorldError
from img2world.core.gaussians import Gaussians
from img2world.formats import usd, usd_process
from img2world.formats.files import read_splats, write_splats
from img2world.formats.inspection import inspect_splats
from img2world.formats.ply import columns_from_gaussians

SEEDS: dict[str, list[tuple[str, dict[str, int]]]] = {
    "ply": [(".ply", {}), ("text.ply", {})],
    "compressed_ply": [(".compressed.ply", {})],
    "splat": [(".splat", {})],
    "ksplat": [(".ksplat", {"level": 0}), (".ksplat", {"level": 1})],
    "spz": [(".spz", {"version": 3}), (".spz", {"version": 4})],
    "sog": [(".sog", {}), ("deflated.sog", {})],
    "gltf": [(".glb", {})],
    "usd": [(".usdc", {}), (".usda", {}), (".usdz", {})],
}
"""Files of each reader."""

MEMORY = 2 << 30
SECONDS = 10.0

NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 32767, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
WORDS = (b"-1", b"0", b"1e999", b"NaN", b"99999999999999999999", b"null", b"[]", b"{}", b'"a"', b"[[0]]", b"true")


def main() -> None:
    """Fuzz the readers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="files for each reader")
    parser.add_argument("--start", type=int, default=0, help="number of the first file")
    parser.add_argument("--readers", nargs="+", choices=SEEDS, default=list(SEEDS))
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for files that fail")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        reader, start, stop = arguments.worker
        work(reader, int(start), int(stop))
        return
    failed = False
    print("| reader | files | read | refused | failed | slowest s | MB |\n|---|---|---|---|---|---|---|")
    for reader in arguments.readers:
        outcomes, slowest, memory = fuzz(reader, arguments.start, arguments.start + arguments.count, arguments.keep)
        failures = outcomes.total() - outcomes["read"] - outcomes["refused"]
        failed |= failures > 0
        row = [reader, arguments.count, outcomes["read"], outcomes["refused"], failures]
        print("| " + " | ".join(map(str, row)) + f" | {slowest:.2f} | {memory:.0f} |", flush=True)
    sys.exit(failed)


def fuzz(reader: str, start: int, stop: int, keep: Path) -> tuple[Counter[str], float, float]:
    """Return the outcomes of some files, the seconds that the slowest took, and the most memory in MB."""
    outcomes: Counter[str] = Counter()
    slowest = memory = 0.0
    index = start
    while index < stop:
        command = [sys.executable, __file__, "--worker", reader, str(index), str(stop)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
            assert worker.stdout is not None  # It is a pipe.
            selector = selectors.DefaultSelector()
            selector.register(worker.stdout, selectors.EVENT_READ)
            patience = 60.0  # for importing everything
            outcome = ""
            while index < stop:
                if not selector.select(patience):
                    worker.kill()
                    outcome = f"hangs for {patience:.0f} s"
                    break
                line = worker.stdout.readline()
                if not line:
                    outcome = f"the process ends with {worker.wait()}"
                    break
                patience = SECONDS
                found = json.loads(line)
                if "outcome" not in found:
                    continue
                outcome = found["outcome"]
                slowest, memory = max(slowest, found["seconds"]), max(memory, found["memory"])
                if outcome not in ("read", "refused"):
                    break
                outcomes[outcome] += 1
                index += 1
        if index < stop:
            path = kept(reader, index, keep)
            if reader == "usd" and attempt(path) == "refused":
                outcomes["refused"] += 1
                path.unlink()
            else:
                outcomes["failed"] += 1
                print(f"{path}: {outcome}", file=sys.stderr, flush=True)
            index += 1
    return outcomes, slowest, memory


def kept(reader: str, index: int, keep: Path) -> Path:
    """Write a file to the folder for files that fail."""
    keep.mkdir(parents=True, exist_ok=True)
    suffix, data = damaged(reader, index)
    path = keep / f"{reader}-{index}{suffix if suffix.startswith('.') else '.' + suffix}"
    path.write_bytes(data)
    return path


def work(reader: str, start: int, stop: int) -> None:
    """Read files, and print a line of JSON for each."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")
    # A process of its own reads each USD file, because OpenUSD crashes; that takes a second, and is done where it does.
    usd.read = usd_process.load
    print(json.dumps({"started": start}), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for index in range(start, stop):
            suffix, data = damaged(reader, index)
            path = Path(folder) / f"a{suffix}"
            path.write_bytes(data)
            began = time.perf_counter()
            # In case that the parent is no more.
            signal.alarm(int(SECONDS) + 5)
            outcome = attempt(path)
            seconds = time.perf_counter() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"outcome": outcome, "seconds": seconds, "memory": memory}), flush=True)


def attempt(path: Path) -> str:
    """Read a file as `img2world inspect` does, and return what happens."""
    try:
        inspect_splats(read_splats(path), path).lines()
    except Img2WorldError as error:
        if "\n" in str(error) or len(str(error)) > 1000:
            return f"a message of several lines or {len(str(error))} letters: {str(error)[:200]!r}"
        return "memory" if isinstance(error.__cause__, MemoryError) else "refused"
    except Exception as error:
        frames = []
        trace = error.__traceback__
        while trace:
            frames.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        return f"{type(error).__name__}: {str(error)[:200]} at {' '.join(frames[-4:])}"
    return "read"


# ---- files ----


def some_gaussians(count: int, degree: int) -> Gaussians:
    """Return random Gaussians."""
    rng = np.random.default_rng(0)
    shapes = {"means": (3,), "quats": (4,), "log_scales": (3,), "logit_opacities": (), "sh": ((degree + 1) ** 2, 3)}
    return Gaussians(**{name: rng.normal(size=(count, *rest)).astype(np.float32) for name, rest in shapes.items()})


_FILES: dict[str, list[tuple[str, bytes]]] = {}


def seed_files(reader: str) -> list[tuple[str, bytes]]:
    """Return small files of a reader and their suffixes."""
    if reader not in _FILES:
        _FILES[reader] = []
        with tempfile.TemporaryDirectory() as folder:
            for suffix, options in SEEDS[reader]:
                for count, degree in ((3, 0), (20, 1), (7, 2 if reader == "ksplat" else 3)):
                    gaussians = some_gaussians(count, degree)
                    path = Path(folder) / f"a{suffix[suffix.index('.') :]}"
                    write_splats(gaussians, path, options)
                    data = path.read_bytes()
                    if suffix == "text.ply":
                        data = text_ply(gaussians)
                    if suffix == "deflated.sog":
                        data = zipped(unzipped(data), zipfile.ZIP_DEFLATED)
                    _FILES[reader].append((path.name[1:], data))
                    if suffix == ".glb":
                        _FILES[reader].append((".gltf", gltf_of(data)))
    return _FILES[reader]


def text_ply(gaussians: Gaussians) -> bytes:
    """Return an ASCII PLY."""
    columns = columns_from_gaussians(gaussians)
    lines = ["ply", "format ascii 1.0", f"element vertex {len(gaussians)}", *(f"property float {n}" for n in columns)]
    rows = [" ".join(map(str, row)) for row in zip(*(column.tolist() for column in columns.values()), strict=True)]
    return "\n".join([*lines, "end_header", *rows, ""]).encode()


def gltf_of(glb: bytes) -> bytes:
    """Return the document of a GLB whose buffer is missing: only the document is damaged."""
    import base64

    (size,) = struct.unpack_from("<I", glb, 12)
    document = json.loads(glb[20 : 20 + size])
    document["buffers"][0]["uri"] = "data:;base64," + base64.b64encode(glb[28 + size :]).decode()
    return json.dumps(document).encode()


def unzipped(data: bytes) -> dict[str, bytes]:
    """Return the files of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive of files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def damaged(reader: str, index: int) -> tuple[str, bytes]:
    """Return the suffix and the bytes of damaged file number `index`."""
    rng = random.Random(f"{reader} {index}")
    files = seed_files(reader)
    suffix, data = rng.choice(files)
    other = rng.choice(files)[1]
    if rng.random() < 0.5:
        data = damage_inside(data, other, rng)
    else:
        for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
            data = damage(data, other, rng)
    return suffix, data


def damage_inside(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return a file whose content is damaged, and packed again."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.compress(damage(gzip.decompress(data), other, rng))
    if data.startswith(b"PK") and b"meta.json" in data:
        files = unzipped(data)
        name = "meta.json" if rng.random() < 0.6 else rng.choice(list(files))
        files[name] = damage_text(files[name], rng) if name == "meta.json" else damage(files[name], other, rng)
        return zipped(files)
    if data.startswith(b"glTF"):
        (size,) = struct.unpack_from("<I", data, 12)
        text = damage_text(data[20 : 20 + size].rstrip(), rng)
        text += b" " * (-len(text) % 4)
        return (
            data[:8]
            + struct.pack("<II", len(data) - size + len(text), len(text))
            + data[16:20]
            + text
            + data[20 + size :]
        )
    head = data[: data.find(b"end_header") + 10 if data.startswith(b"ply") else min(len(data), 2000)]
    is_text = data.startswith((b"ply", b"{", b"#usda"))
    return (damage_text(head, rng) if is_text else damage(head, other, rng)) + data[len(head) :]


def damage(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """Return bytes with one change."""
    start = rng.randrange(len(data) + 1)
    stop = min(len(data), start + rng.choice((1, 1, 2, 4, 8, 100, 5000)))
    if rng.random() < 0.5:
        # Headers are short, and matter most.
        start = min(start, rng.randrange(128))
        stop = min(len(data), start + rng.choice((1, 2, 4)))
    number = rng.choice(NUMBERS)
    kinds: list[Callable[[], bytes]] = [
        lambda: data[:start],
        lambda: data[:start] + data[stop:],
        lambda: data[:start] + rng.randbytes(stop - start) + data[stop:],
        lambda: data[:start] + rng.randbytes(stop - start) + data[start:],
        lambda: data[:start] + data[start:stop] * rng.choice((2, 3, 50)) + data[stop:],
        lambda: data[:start] + struct.pack("<I", number) + data[start + 4 :],
        lambda: data[:start] + struct.pack("<H", number & 65535) + data[start + 2 :],
        lambda: data[:start] + bytes([number & 255]) + data[start + 1 :],
        lambda: (
            data[:start] + bytes([data[start] ^ 1 << rng.randrange(8)] if start < len(data) else []) + data[start + 1 :]
        ),
        lambda: (
            data[:start] + struct.pack("<f", rng.choice((float("nan"), float("inf"), -1e38, 0.0))) + data[start + 4 :]
        ),
        lambda: data[:start] + other[start:],
        lambda: data[: rng.choice((0, 1, 2, 3, 16, 32))],
    ]
    return rng.choice(kinds)()


def damage_text(text: bytes, rng: random.Random) -> bytes:
    """Return text in which some words, mostly numbers, are others."""
    import re

    for _ in range(rng.choice((1, 1, 2, 4))):
        pattern = rb"-?\d+(\.\d+)?" if rng.random() < 0.7 else rb'\[[^\[\]]*\]|\{[^{}]*\}|"[^"]*"|\w+'
        words = list(re.finditer(pattern, text))
        if not words:
            break
        word = rng.choice(words)
        new = rng.choice((*WORDS, b"", word[0] + word[0], str(rng.choice(NUMBERS)).encode(), rng.choice(words)[0]))
        text = text[: word.start()] + new + text[word.end() :]
    return text


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
