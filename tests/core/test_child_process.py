"""Child processes that work, report an error, crash, hang and talk too much."""

import os
import textwrap
import time
from pathlib import Path

import pytest

from img2world.core.child_process import run_child
from img2world.core.errors import Img2WorldError, VideoError


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Makes a module out of the body of a function work(options, progress)."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(body: str) -> str:
        source = "import os, signal, sys, time\nfrom pathlib import Path\n"
        source += "from img2world.core.child_process import answer\nfrom img2world.core.errors import VideoError\n"
        source += f"def work(options, progress):\n{textwrap.indent(textwrap.dedent(body), '    ')}\nanswer(work)\n"
        (tmp_path / "child_work.py").write_text(source)
        return "child_work"

    return write


def test_options_go_in_and_progress_comes_out(module, tmp_path: Path):
    name = module("""
        print("a library that talks")
        progress(1, 2, psnr=20.5)
        Path(options["path"]).write_text("done")
        progress(2, 2)
    """)
    steps = []
    run_child(
        name,
        {"path": str(tmp_path / "out")},
        time_limit=30.0,
        error=VideoError,
        progress=lambda done, total, **quality: steps.append((done, total, quality)),
    )
    assert (tmp_path / "out").read_text() == "done"
    assert steps == [(1, 2, {"psnr": 20.5}), (2, 2, {})]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise VideoError('2 frames, needs 3', hint='add one')", "^2 frames, needs 3$"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashed \(SIGSEGV\): it printed nothing"),
        ("print('corrupted size', file=sys.stderr, flush=True); os.abort()", r"crashed \(SIGABRT\): corrupted size"),
        ("sys.exit(5)", r"failed \(exit code 5\)"),
        ("1 / 0", r"failed \(exit code 1\): ZeroDivisionError: division by zero"),
        ("bytearray(1 << 40)", r"failed \(exit code 1\): MemoryError"),
    ],
)
def test_failures_become_one_error(module, body, message):
    with pytest.raises(VideoError, match=message) as caught:
        run_child(module(body), {}, time_limit=30.0, error=VideoError)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_hanging_child_is_stopped(module):
    start = time.monotonic()
    with pytest.raises(VideoError, match="longer than 1 seconds and was stopped"):
        run_child(module("time.sleep(60)"), {}, time_limit=1.0, error=VideoError)
    assert time.monotonic() - start < 20


def test_child_ends_when_progress_interrupts(module, tmp_path: Path):
    name = module("""
        Path(options["path"]).write_text(str(os.getpid()))
        progress(1, 2)
        time.sleep(60)
    """)

    def interrupt(done: int, total: int, **quality: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child(name, {"path": str(tmp_path / "pid")}, time_limit=50.0, error=Img2WorldError, progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
