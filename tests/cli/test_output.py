"""Exceptions at the edge of the program become one line and a hint, or keep their traceback."""

import errno

import pytest
import typer

from img2world.cli.output import exit_codes


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 37748736 bytes"),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
        ImportError("libtorch.so: failed to map segment from shared object"),
    ],
)
def test_memory_that_runs_out_is_one_line_with_a_hint(capsys, error):
    with pytest.raises(typer.Exit) as caught, exit_codes():
        raise error
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.exit_code == 1
    assert len(lines) == 2
    assert lines[0].startswith("img2world: memory ran out")
    assert lines[1].startswith("  hint:")


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), OSError(errno.EIO, "Input/output error"), KeyError("x")]
)
def test_other_exceptions_are_bugs_and_keep_their_traceback(error):
    with pytest.raises(type(error)), exit_codes():
        raise error
