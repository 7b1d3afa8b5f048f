"""Cards of the big open video models: weights, inputs, clips, memory and licence.

The licence verdicts are our reading of the published licences, not legal advice; each names its source. They are about
worlds made with a model: "commercial use: yes" means that such a world may be sold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from img2world.depth.hub_models import DEFAULT_CHECKPOINT

Verdict = Literal["yes", "conditional", "no"]
STRICTNESS: tuple[Verdict, ...] = ("yes", "conditional", "no")
CameraControl = Literal["exact", "shown", "prompt", "none"]


@dataclass(frozen=True, kw_only=True)
class Licence:
    """The licence of a model's weights, and its verdict on worlds made with the model."""

    name: str
    commercial_use: Verdict
    conditions: str
    """Empty where there are none."""
    territory: str = "worldwide"
    source: str
    """Address at which the licence is published."""

    @property
    def verdict(self) -> str:
        """The verdict in one line."""
        conditions = f" ({self.conditions})" if self.conditions else ""
        return f"commercial use: {self.commercial_use}{conditions}; territory: {self.territory}"


@dataclass(frozen=True, kw_only=True)
class Card:
    """One model. Figures without a source are our estimates, in units of 10^9 bytes."""

    repository: str
    """Hub name of the weights in the format of diffusers."""
    pipeline: str
    """Class in diffusers that runs them."""
    since: str = "0.36"
    """First version of diffusers that has the class."""
    accepts: tuple[str, ...] = ()
    """Other classes whose checkpoints the pipeline loads."""
    parts: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Components that are kept in other repositories: name to (repository, subfolder, "library:Class")."""
    camera: CameraControl
    """"exact" takes cameras, "shown" completes the picture warped to the cameras, "prompt" follows the prompt alone."""
    num_frames: int
    step: int
    """The number of frames is a multiple of this plus 1; 1 allows any number."""
    width: int
    height: int
    multiple: int
    """Width and height are multiples of this."""
    fixed_size: bool = False
    """The model was trained for this one frame size; others are given the picture's shape and this area."""
    fps: float
    download_gb: float
    """Download of `img2world models get`."""
    working_gb: float
    """Memory that a clip of the size above needs beside the weights."""
    vram: str
    """Published measurement of the GPU memory, with its source."""
    licence: Licence


APACHE = "Apache-2.0"

CARDS = {
    "sana-wm": Card(
        repository="Efficient-Large-Model/SANA-WM_bidirectional-diffusers",
        pipeline="SanaWMPipeline",
        since="0.42",
        camera="exact",
        num_frames=161,
        step=8,
        width=1280,
        height=704,
        multiple=32,
        fixed_size=True,
        fps=16.0,
        download_gb=17.0,
        working_gb=10.0,
        vram="one GPU; no figure is published for this form (SANA-WM model card)",
        licence=Licence(
            name="Apache-2.0 (transformer), LTX-2 Community (VAE), Gemma Terms (text encoder)",
            commercial_use="conditional",
            conditions="companies with a yearly revenue of 10 million dollars need a licence from Lightricks; "
            "the use policies of LTX-2 and Gemma apply",
            source="huggingface.co/Efficient-Large-Model/SANA-WM_bidirectional, github.com/Lightricks/LTX-2",
        ),
    ),
    "wan-vace": Card(
        repository="Wan-AI/Wan2.1-VACE-14B-diffusers",
        pipeline="WanVACEPipeline",
        camera="shown",
        num_frames=81,
        step=4,
        width=832,
        height=480,
        multiple=16,
        fps=16.0,
        download_gb=75.0,
        working_gb=10.0,
        vram="about 13 GB with group offloading (diffusers documentation, Wan)",
        licence=Licence(name=APACHE, commercial_use="yes", conditions="", source="huggingface.co/Wan-AI"),
    ),
    "wan": Card(
        repository="Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
        pipeline="WanImageToVideoPipeline",
        camera="prompt",
        num_frames=81,
        step=4,
        width=832,
        height=480,
        multiple=16,
        fps=16.0,
        download_gb=82.0,
        working_gb=10.0,
        vram="about 13 GB with group offloading (diffusers documentation, Wan)",
        licence=Licence(name=APACHE, commercial_use="yes", conditions="", source="huggingface.co/Wan-AI"),
    ),
    "svd": Card(
        repository="stabilityai/stable-video-diffusion-img2vid-xt",
        pipeline="StableVideoDiffusionPipeline",
        camera="none",
        num_frames=25,
        step=1,
        width=1024,
        height=576,
        multiple=64,
        fixed_size=True,
        fps=7.0,
        download_gb=9.0,
        working_gb=6.0,
        vram="under 8 GB with offloading and chunked decoding (diffusers documentation, SVD)",
        licence=Licence(
            name="Stability AI Community",
            commercial_use="conditional",
            conditions="register with Stability AI; an enterprise licence from 1 million dollars of yearly revenue",
            source="huggingface.co/stabilityai/stable-video-diffusion-img2vid-xt, stability.ai/license",
        ),
    ),
    "cogvideox": Card(
        repository="zai-org/CogVideoX-5b-I2V",
        pipeline="CogVideoXImageToVideoPipeline",
        camera="prompt",
        num_frames=49,
        step=8,
        width=720,
        height=480,
        multiple=16,
        fixed_size=True,
        fps=8.0,
        download_gb=22.0,
        working_gb=6.0,
        vram="from 5 GB with all offloading (CogVideoX-5b-I2V model card)",
        licence=Licence(
            name="CogVideoX",
            commercial_use="conditional",
            conditions="free registration; a contract above 1 million visits a month",
            source="huggingface.co/zai-org/CogVideoX-5b-I2V/blob/main/LICENSE",
        ),
    ),
    "ltx": Card(
        repository="Lightricks/LTX-Video-0.9.7-distilled",
        pipeline="LTXConditionPipeline",
        accepts=("LTXPipeline", "LTXImageToVideoPipeline"),
        camera="prompt",
        num_frames=121,
        step=8,
        width=704,
        height=512,
        multiple=32,
        fps=24.0,
        download_gb=47.0,
        working_gb=4.0,
        vram="about 10 GB with offloading (diffusers documentation, LTX-Video)",
        licence=Licence(
            name="LTXV Open Weights",
            commercial_use="conditional",
            conditions="companies with a yearly revenue of 10 million dollars need a licence from Lightricks; "
            "its use restrictions apply",
            source="huggingface.co/Lightricks/LTX-Video",
        ),
    ),
    "hunyuan": Card(
        repository="hunyuanvideo-community/HunyuanVideo",
        pipeline="HunyuanVideoFramepackPipeline",
        accepts=("HunyuanVideoPipeline",),
        parts={
            "transformer": (
                "lllyasviel/FramePackI2V_HY",
                "",
                "diffusers:HunyuanVideoFramepackTransformer3DModel",
            ),
            "feature_extractor": (
                "lllyasviel/flux_redux_bfl",
                "feature_extractor",
                "transformers:SiglipImageProcessor",
            ),
            "image_encoder": ("lllyasviel/flux_redux_bfl", "image_encoder", "transformers:SiglipVisionModel"),
        },
        camera="prompt",
        num_frames=97,
        step=4,
        width=832,
        height=480,
        multiple=16,
        fps=30.0,
        download_gb=68.0,
        working_gb=6.0,
        vram="about 14 GB quantized (diffusers documentation, HunyuanVideo)",
        licence=Licence(
            name="Tencent Hunyuan Community",
            commercial_use="conditional",
            conditions="more than 100 million monthly users require a licence from Tencent; its use policy applies",
            territory="not in the European Union, the United Kingdom and South Korea",
            source="huggingface.co/tencent/HunyuanVideo/blob/main/LICENSE",
        ),
    ),
}
"""By the name of the backend; those that follow a camera best come first."""

NON_COMMERCIAL = Licence(
    name="CC-BY-NC-4.0", commercial_use="no", conditions="non-commercial use only", source="huggingface.co"
)

DEPTH_LICENCES = {
    DEFAULT_CHECKPOINT: Licence(
        name=APACHE, commercial_use="yes", conditions="", source=f"huggingface.co/{DEFAULT_CHECKPOINT}"
    ),
    "depth-anything/Depth-Anything-V2-Base-hf": NON_COMMERCIAL,
    "depth-anything/Depth-Anything-V2-Large-hf": NON_COMMERCIAL,
    "Intel/dpt-large": Licence(
        name=APACHE, commercial_use="yes", conditions="", source="huggingface.co/Intel/dpt-large"
    ),
    "apple/DepthPro-hf": Licence(
        name="Apple AMLR", commercial_use="no", conditions="research only", source="huggingface.co/apple/DepthPro-hf"
    ),
}
"""Licences of depth models, by their hub name."""

UNKNOWN_LICENCE = Licence(
    name="unknown",
    commercial_use="conditional",
    conditions="those of the weights, which you have to read",
    source="their author",
)


def licence_note(name: str, options: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the licence note of a world made by a video backend; None when no weights but our own were used.

    The strictest licence decides; models with other licences are listed under `others`.
    """
    notes = []
    if name in CARDS:
        notes.append((name, options["checkpoint"] or CARDS[name].repository, CARDS[name].licence))
    if options.get("depth") == "transformers":
        weights = options["depth_model"] or DEFAULT_CHECKPOINT
        notes.append(("depth", weights, DEPTH_LICENCES.get(weights, UNKNOWN_LICENCE)))
    if not notes:
        return None
    model, weights, licence = max(notes, key=lambda note: STRICTNESS.index(note[2].commercial_use))
    note = {"model": model, "weights": weights, "licence": licence.name}
    rest = {key: getattr(licence, key) for key in ("commercial_use", "conditions", "territory", "source")}
    others = "; ".join(f"{other[0]} {other[1]}: {other[2].name}" for other in notes if other[0] != model)
    return {**note, **rest, "verdict": licence.verdict, "others": others}


def licence_text(note: Mapping[str, str]) -> str:
    """Return a licence note as the text of LICENCE.txt."""
    others = f"Also used: {note['others']}\n" if note["others"] else ""
    return (
        f"The video of this world was made with {note['model']} ({note['weights']}).\n"
        f"Licence of the usual weights of this model: {note['licence']}\n"
        f"{note['verdict'][0].upper()}{note['verdict'][1:]}\n"
        f"Published at: {note['source']}\n{others}"
        "This is img2world's reading of the licence, not legal advice; other weights may have another licence.\n"
    )
