import codecs
import os
from pathlib import Path

import pytest

from img2world.core.text_file import expanded, read_text

TEXT = "input;näme\r\nphoto one.png;a\n日本.jpg\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
    ],
)
def test_encodings(tmp_path: Path, data):
    (tmp_path / "a.txt").write_bytes(data)
    assert read_text(tmp_path / "a.txt") == TEXT


def test_utf_16_without_a_mark(tmp_path: Path):
    for encoding in ("utf-16-le", "utf-16-be"):
        (tmp_path / "a.txt").write_bytes("input,name\nphoto.png,a\n".encode(encoding))
        assert read_text(tmp_path / "a.txt") == "input,name\nphoto.png,a\n"


def test_other_bytes_are_kept_as_in_file_names(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9.png\n")
    assert os.fsencode(read_text(tmp_path / "a.txt")) == b"caf\xe9.png\n"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(ValueError, match="device or a pipe"):
            read_text(path)
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path)


def test_an_unknown_home_is_a_name():
    assert expanded(Path("~nobody_at_all/x.png")) == Path("~nobody_at_all/x.png")
    assert expanded(Path("~/x.png")) == Path.home() / "x.png"
