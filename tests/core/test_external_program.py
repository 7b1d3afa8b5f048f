"""Programs that talk, fail, hang, start others and are deserted."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from img2world.core.errors import SplatError
from img2world.core.external_program import run_program, scratch_folder


def run(script: str, folder: Path, *, time_limit: float = 30.0, on_line=lambda line: None) -> None:
    run_program(["sh", "-c", script], folder=folder, time_limit=time_limit, error=SplatError, on_line=on_line)


def is_gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process ends within the time; one that nobody has waited for counts as ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):  # Gone before the file is opened, or before it is read.
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_each_line_is_heard(tmp_path):
    lines = []
    run("echo one; echo 'two é' >&2; echo $GREETING", tmp_path, on_line=lines.append)
    assert lines == ["one\n", "two é\n", "\n"]
    run_program(
        ["sh", "-c", "echo $GREETING"],
        folder=tmp_path,
        time_limit=30.0,
        error=SplatError,
        on_line=lines.append,
        environment={"GREETING": "hello"},
    )
    assert lines[-1] == "hello\n"
    assert tmp_path.exists()


def test_a_failure_tells_the_last_words(tmp_path):
    with pytest.raises(SplatError, match=r"^sh failed \(exit code 3\): first \| second$") as error:
        run("echo first; echo; echo second; exit 3", tmp_path)
    assert "sh --help" in error.value.hint
    with pytest.raises(SplatError, match=r"exit code 139\): it printed nothing"):
        run("kill -SEGV $$", tmp_path)


@pytest.mark.parametrize("end", ["limit", "interrupt"])
def test_what_it_has_started_ends_with_it(end, tmp_path):
    pids = []

    def on_line(line):
        pids.append(int(line))
        if end == "interrupt" and len(pids) == 2:
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(SplatError if end == "limit" else KeyboardInterrupt):
        run("echo $$; sleep 60 & echo $!; sleep 60", tmp_path, time_limit=2.0, on_line=on_line)
    assert time.monotonic() - start < 15
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


def test_a_worker_that_outlives_the_program_is_ended(tmp_path):
    pids = []
    run("sleep 60 & echo $!", tmp_path, on_line=lambda line: pids.append(int(line)))
    assert is_gone(pids[0])


def test_when_we_are_killed_nothing_is_left(tmp_path):
    script = """
        from img2world.core.errors import SplatError
        from img2world.core.external_program import run_program, scratch_folder
        with scratch_folder() as folder:
            (folder / "big").write_text("x")
            print(folder, flush=True)
            command = ["sh", "-c", "echo $$; sleep 60 & echo $!; sleep 60"]
            say = lambda line: print(line.strip(), flush=True)
            run_program(command, folder=folder, time_limit=60.0, error=SplatError, on_line=say)
    """
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        folder = Path(process.stdout.readline().strip())
        pids = [int(process.stdout.readline()) for _ in range(2)]
        assert (folder / "big").exists()
        os.kill(process.pid, signal.SIGKILL)
    assert all(is_gone(pid) for pid in pids)
    end = time.monotonic() + 10
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()


def test_a_scratch_folder_may_be_gone_already():
    with scratch_folder() as folder:
        folder.rmdir()
    assert not folder.exists()
