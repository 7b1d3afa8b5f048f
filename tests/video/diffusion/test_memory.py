import pytest

from img2world.core.errors import MissingPackageError, VideoError
from img2world.video.diffusion.memory import (
    OFFLOADS,
    check_quantizer,
    device_and_free_gb,
    dtype_of,
    explain_memory_errors,
    plan_memory,
)

BIG = {"transformer": 28_000_000_000, "text_encoder": 11_000_000_000, "vae": 500_000_000}


@pytest.mark.parametrize(
    ("free_gb", "chosen"), [(80, "none"), (48, "model"), (24, "group"), (13, "sequential"), (4, "sequential")]
)
def test_the_fastest_offload_that_fits_is_chosen(free_gb, chosen):
    plan = plan_memory(BIG, working_gb=11.0, offload="auto", device="cuda", free_gb=float(free_gb))
    assert plan.offload == chosen
    assert plan.tiled == (chosen != "none")
    assert plan.weights_gb == pytest.approx(39.5)
    assert f"takes about {plan.needed_gb:.1f} GB" in plan.summary


def test_a_given_offload_is_used():
    for offload in OFFLOADS:
        assert plan_memory(BIG, working_gb=1.0, offload=offload, device="cuda", free_gb=900.0).offload == offload
    needs = [plan_memory(BIG, working_gb=1.0, offload=way, device="cuda", free_gb=9.0).needed_gb for way in OFFLOADS]
    assert needs == sorted(needs, reverse=True)
    with pytest.raises(VideoError, match="there is none"):
        plan_memory(BIG, working_gb=1.0, offload="group", device="cpu", free_gb=900.0)


def test_running_out_of_memory_names_the_next_setting():
    torch = pytest.importorskip("torch")
    hints = []
    for offload in OFFLOADS:
        plan = plan_memory(BIG, working_gb=1.0, offload=offload, device="cuda", free_gb=9.0)
        with pytest.raises(VideoError, match="ran out of GPU memory: 9") as caught, explain_memory_errors(plan, "wan"):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        hints.append(caught.value.hint)
    assert ["model" in hints[0], "group" in hints[1], "sequential" in hints[2], "int8" in hints[3]] == [True] * 4
    plan = plan_memory(BIG, working_gb=1.0, offload="auto", device="cpu", free_gb=9.0)
    # More than any machine has: the allocator itself refuses.
    with pytest.raises(VideoError, match="ran out of memory") as caught, explain_memory_errors(plan, "wan"):
        torch.empty(1 << 60, dtype=torch.uint8)
    assert "bfloat16" in caught.value.hint
    with pytest.raises(RuntimeError, match="something else"), explain_memory_errors(plan, "wan"):
        raise RuntimeError("something else")


def test_precision_and_device_fit_this_machine():
    torch = pytest.importorskip("torch")
    device, free_gb = device_and_free_gb()
    assert device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert 0 < free_gb < 10_000
    assert dtype_of("auto", "cpu") == torch.float32
    assert dtype_of("bfloat16", "cpu") == torch.bfloat16


def test_a_missing_quantizer_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_quantizer("none")
    with pytest.raises(MissingPackageError, match="needs torchao") as caught:
        check_quantizer("int8")
    assert caught.value.hint == "pip install torchao"
