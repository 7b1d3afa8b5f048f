"""Findings as text and as JSON."""

import pytest

from img2world.doctor.findings import (
    VideoFinding,
    findings_from_json,
    findings_to_json,
    format_ranges,
    select_rejections,
)


def finding(severity="warning", frames=(3, 4)) -> VideoFinding:
    return VideoFinding(kind="cut", severity=severity, frames=frames, sure=0.875, found="another shot", advice="cut")


@pytest.mark.parametrize(
    ("numbers", "text"), [((), ""), ((7,), "7"), ((3, 4, 5, 9, 11, 12), "3-5, 9, 11-12"), ((0, 2), "0, 2")]
)
def test_numbers_as_ranges(numbers, text):
    assert format_ranges(numbers) == text


def test_a_finding_in_one_line():
    assert finding().line() == "cut at frame 3-4: another shot (88% sure)"
    assert finding(frames=()).line() == "cut: another shot (88% sure)"


def test_json_gives_back_the_findings():
    findings = [finding(), finding("reject", ())]
    assert findings_from_json(findings_to_json(findings)) == findings
    assert findings_from_json(findings_to_json([])) == []


def test_rejections():
    findings = [finding("note"), finding("reject"), finding()]
    assert select_rejections(findings) == [findings[1]]
