import pytest
import torch

from img2world.core.threads import container_cores, one_torch_thread, usable_cores


@pytest.mark.parametrize(("text", "cores"), [("250000 100000\n", 3), ("50000 100000\n", 1), ("max 100000\n", 1 << 16)])
def test_a_containers_share_counts_in_whole_cores(tmp_path, text, cores):
    (tmp_path / "cpu.max").write_text(text)
    assert container_cores(tmp_path / "cpu.max") == cores
    assert container_cores(tmp_path / "none") == 1 << 16


def test_no_more_cores_than_the_container_has(tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text("100000 100000")
    monkeypatch.setattr("img2world.core.threads.CONTAINER_LIMIT", tmp_path / "cpu.max")
    assert usable_cores() == 1


def test_torch_gets_its_threads_back():
    before = torch.get_num_threads()
    with one_torch_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
