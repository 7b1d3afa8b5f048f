import shlex

from img2world.runs.report import summary_lines

REPORT = {"subject": None, "metrics": {}, "cameras": None, "findings": [], "licence": None}


def test_printed_command_can_be_pasted(tmp_path):
    for name in ("photo", "my photo #1", "a'b\"c", "R&D", "two\nlines"):
        page = tmp_path / name / "exports" / "world.html"
        page.parent.mkdir(parents=True)
        page.touch()
        shown = "\n".join(summary_lines(tmp_path / name, REPORT))
        command = shown.partition("look")[2].partition("    or open")[0]
        assert shlex.split(command) == ["img2world", "view", str(tmp_path / name)]
