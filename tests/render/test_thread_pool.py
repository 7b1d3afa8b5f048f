"""Test native/parallel.hpp through a function that uses it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from img2world.core.cameras import Cameras, intrinsics_from_fov
from img2world.render.triangles import rasterize_triangles

CAMERA = Cameras(
    world_from_cam=np.eye(4, dtype=np.float32)[None],
    intrinsics=intrinsics_from_fov(1.0, 60, 300)[None],
    width=60,
    height=300,
)
"""Tall enough for ten bands of rows, that is ten pieces of work."""


def draw(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(60, 3)).astype(np.float32) + np.array([0, 0, 3], np.float32)
    faces = rng.integers(0, 60, (40, 3)).astype(np.int32)
    return rasterize_triangles(vertices, faces, np.ones(60, np.float32), CAMERA).depth.tobytes()


@pytest.fixture
def busy_neighbour():
    """Keep every core busy with processes that never wait."""
    count = len(os.sched_getaffinity(0))
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    yield
    for process in processes:
        process.kill()
        process.wait()


def test_a_busy_machine_does_not_change_a_bit(busy_neighbour, monkeypatch):
    monkeypatch.setenv("IMG2WORLD_THREADS", "1")
    expected = [draw(seed) for seed in range(8)]
    for threads in (2, 3, 16):
        monkeypatch.setenv("IMG2WORLD_THREADS", str(threads))
        for i in range(400):
            assert draw(i % 8) == expected[i % 8], f"{threads} threads, picture {i}"


@pytest.mark.skipif(sys.platform != "linux", reason="stops threads as Linux does")
def test_a_helper_that_never_runs_is_not_awaited(monkeypatch):
    # A signal whose handler is pause() keeps each helper from ever taking a piece of work.
    program = """
import ctypes, os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_thread_pool import draw
expected = draw()
os.environ["IMG2WORLD_THREADS"] = "3"
before = set(os.listdir("/proc/self/task"))
assert draw() == expected
helpers = set(os.listdir("/proc/self/task")) - before
libc = ctypes.CDLL(None)
libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.signal(signal.SIGUSR1, ctypes.cast(libc.pause, ctypes.c_void_p))
for helper in helpers:
    assert libc.tgkill(os.getpid(), int(helper), signal.SIGUSR1) == 0
for _ in range(20):
    assert draw() == expected
print(len(helpers), flush=True)
os._exit(0)
"""
    monkeypatch.setenv("IMG2WORLD_THREADS", "1")
    command = [sys.executable, "-c", program, os.path.dirname(__file__)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (out.stdout, out.stderr) == ("2\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_draws_with_threads_of_its_own(monkeypatch):
    monkeypatch.setenv("IMG2WORLD_THREADS", "3")
    expected = draw()
    child = os.fork()
    if child == 0:
        os._exit(0 if draw() == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert draw() == expected
