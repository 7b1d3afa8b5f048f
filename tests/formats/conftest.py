import pytest

from img2world.formats import usd, usd_process


@pytest.fixture(autouse=True)
def openusd_in_this_process(monkeypatch):
    """Read USD files without a process of its own for each, which takes a second; test_usd.py tests that, too."""
    monkeypatch.setattr(usd, "read", usd_process.load)
