"""Lists of inputs as people, shells and spreadsheets write them."""

import os
from pathlib import Path

import pytest

from img2world.core.errors import Img2WorldError
from img2world.runs.batch import run_batch
from img2world.runs.batch_list import Entry, read_inputs


@pytest.fixture
def folder(tmp_path):
    """A folder with some files, to which a list may refer."""
    for name in ("a.png", "b c.png", "#1.png", "d;e.png"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def entries_of(folder: Path, text: str | bytes) -> list[tuple[str, str, str]]:
    (folder / "list.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return [(os.path.relpath(e.input, folder), e.name, e.recipe) for e in read_inputs(folder / "list.csv")]


NAMED = [("a.png", "one", ""), ("b c.png", "two", "")]
PLAIN = [("a.png", "", ""), ("b c.png", "", "")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input,name\na.png,one\nb c.png,two\n", NAMED),
        ("input;name\na.png;one\nb c.png;two\n", NAMED),
        ("input\tname\na.png\tone\nb c.png\ttwo\n", NAMED),
        ("input|name\na.png|one\nb c.png|two\n", NAMED),
        ("sep=;\ninput;name\na.png;one\nb c.png;two\n", NAMED),
        ("input,name\r\na.png,one\r\nb c.png,two\r\n", NAMED),
        ("input,name\ra.png,one\rb c.png,two\r", NAMED),
        ("\ufeffinput,name\na.png,one\nb c.png,two\n", NAMED),
        ("input;name\na.png;one\nb c.png;two\n".encode("utf-16"), NAMED),
        ('"input","name"\n"a.png","one"\n"b c.png","two"\n', NAMED),
        ('"input" ; "name"\n"a.png" ; "one"\n"b c.png" ; "two"\n', NAMED),
        (" Input , NAME \n a.png , one \n b c.png , two \n", NAMED),
        ("name;image\none;a.png\ntwo;b c.png\n", NAMED),
        ("photo,title\na.png,one\nb c.png,two\n", NAMED),
        ("Bild;name\na.png;one\nb c.png;two\n", NAMED),
        ("# my list\n\n# of pictures\ninput,name\na.png,one\n# no more\nb c.png,two\n", NAMED),
        ("file,input,name\nx,a.png,one\ny,b c.png,two\n", NAMED),
        ("image,recipe\na.png,fast\n", [("a.png", "", "fast")]),
        ("a.png\nb c.png\n", PLAIN),
        ("a.png;x\nb c.png;y\n", PLAIN),
        ("a.png,x\n\nb c.png,y\n", PLAIN),
        ("#1.png\na.png\n", [("#1.png", "", ""), ("a.png", "", "")]),
        ('input,name\n"d;e.png",one\n', [("d;e.png", "one", "")]),
        ("input,name,note\na.png,one,2,5\nb c.png,two\n", NAMED),
        ("input\nmissing.png\n", [("missing.png", "", "")]),
        ("name\n", [("name", "", "")]),
    ],
)
def test_dialects(folder, text, expected):
    assert entries_of(folder, text) == expected


def test_names_that_are_not_utf_8(folder):
    latin = os.fsdecode(b"caf\xe9.png")
    assert entries_of(folder, "input\ncafé.png\n".encode("cp1252")) == [("café.png", "", "")]
    (folder / latin).write_bytes(b"")
    assert entries_of(folder, b"input\ncaf\xe9.png\n") == [(latin, "", "")]


def test_a_bad_row_fails_alone(folder):
    text = 'input,name\n"c\0.png",nul\n~nobody_at_all/x.png,home\n,none\na.png,good\n'
    (folder / "list.csv").write_text(text)
    entries = read_inputs(folder / "list.csv")
    assert [bool(entry.error) for entry in entries] == [True, False, True, False]
    assert "null character" in entries[0].error
    assert entries[1].input == folder / "~nobody_at_all/x.png"
    assert "no input" in entries[2].error


def test_a_bad_row_is_a_failed_run(tmp_path):
    entries = [Entry(input=tmp_path / "x.png", name="bad", error="a row of the list has no input")]
    (result,) = run_batch(entries, tmp_path / "out")
    assert (result.state, result.error) == ("failed", "a row of the list has no input")
    assert "has no input" in (tmp_path / "out" / "summary.csv").read_text()


def test_what_is_no_list_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "long.csv").write_text('input\n"' + "x" * 200_000 + "\n")
    for name in ("pipe.csv", "long.csv", "missing.csv"):
        with pytest.raises(Img2WorldError, match=r"the list cannot be read") as caught:
            read_inputs(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_folder_named_like_the_heading_and_paths_of_windows(folder):
    (folder / "input").mkdir()
    (folder / "input" / "c.png").write_bytes(b"")
    assert entries_of(folder, "input;name\ninput\\c.png;one\n.\\a.png;two\n") == [
        ("input/c.png", "one", ""),
        ("a.png", "two", ""),
    ]
    assert entries_of(folder, "input\na.png\n") == [("input", "", ""), ("a.png", "", "")]
