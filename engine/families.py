"""The model families that are known: what their grids are, and which are refused and why. Torch-free.

Nothing in the engine asks this table how to run a model: the decoder is found by its structure. It is what
`flowtui models` and docs/models.md print, and where a refusal finds its words.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One model family.

    Attributes:
        model_type: As transformers names it in a configuration.
        title: As people name it.
        grid: How its image tokens lie on the image, one sentence.
        note: What else a user should know, or "".
        refused: Why it cannot be taken apart, or "".
    """

    model_type: str
    title: str
    grid: str
    note: str = ""
    refused: str = ""


FIXED: tuple[Family, ...] = (
    Family("llava", "LLaVA-1.5 and the demo model", "One fixed grid per image (24 x 24 in LLaVA-1.5)."),
    Family("vipllava", "ViP-LLaVA", "One fixed grid per image, of what the centre crop shows (24 x 24)."),
    Family(
        "paligemma",
        "PaliGemma 1 and 2",
        "One fixed grid per stretched image (16 x 16 at 224 pixels).",
        "The whole prompt is read in both directions. Put the task's prefix (answer en, caption en) into the question.",
    ),
    Family(
        "gemma3",
        "Gemma 3",
        "One fixed grid per stretched image (16 x 16 cells of 4 x 4 patches).",
        "An image's tokens see each other in both directions. Pan and scan stays off, as its processor leaves it.",
    ),
    Family("deepseek_vl", "DeepSeek-VL", "One fixed grid per image padded to a square (24 x 24)."),
    Family("janus", "Janus and Janus-Pro", "One fixed grid per image padded to a square (24 x 24)."),
    Family(
        "fast_vlm",
        "FastVLM",
        "One fixed grid per image (16 x 16 at 1024 pixels); a cell's feature sees beyond it.",
        "Its vision tower needs the packages timm and torchvision.",
    ),
    Family(
        "fuyu",
        "Fuyu",
        "One grid as large as the image; a newline token, no image token, ends each row.",
        "One image per prompt. Queries, keys and values come from one projection: CAM has no value site.",
    ),
)
"""One grid of one size per image."""

TILES: tuple[Family, ...] = (
    Family(
        "llava_next",
        "LLaVA-1.6 (LLaVA-NeXT)",
        "A base view of the whole image, then one large grid put together from tiles, without its padding; a newline"
        " token ends each row of it.",
    ),
    Family(
        "llava_onevision",
        "LLaVA-OneVision",
        "As LLaVA-NeXT; a large grid is shrunk to what the checkpoint allows. Of several images in one prompt each has"
        " one grid, on the image padded to a square.",
    ),
    Family("internvl", "InternVL 2.5 to 3.5", "One grid per tile of the stretched image, then one of a thumbnail."),
    Family(
        "idefics2",
        "Idefics2",
        "None: a resampler's latent tokens, one block per view (the four quarters of a split image, and the whole).",
    ),
    Family("idefics3", "Idefics3", "One grid per tile of the stretched image, then one of the whole image."),
    Family(
        "smolvlm",
        "SmolVLM",
        "One grid per tile of the stretched image, then one of the whole image.",
        "Needs the package num2words.",
    ),
    Family(
        "aya_vision",
        "Aya Vision",
        "One grid per tile of the stretched image, then one of a thumbnail.",
        "Attention and MLP of a layer read the same norm, and CAM's usual site is that norm.",
    ),
    Family(
        "cohere2_vision",
        "Command A Vision",
        "One grid per tile of the stretched image, then one of a thumbnail.",
        "Attention and MLP of a layer read the same norm, and CAM's usual site is that norm. Needs the"
        " package torchvision.",
    ),
    Family(
        "llama4",
        "Llama 4",
        "One grid per tile of the image on its padded canvas, then one of the whole image.",
        "Needs the package torchvision.",
    ),
    Family(
        "perception_lm",
        "PerceptionLM",
        "One grid of a thumbnail, then one per tile of the stretched image.",
        "Needs the packages torchvision and timm. Several images in one prompt need the same number of tiles.",
    ),
)
"""Images cut into tiles, each with its grid."""

_TORCHVISION = "Needs torchvision."
_MERGED = "A grid as large as the image, one cell per 2 x 2 patches."

DYNAMIC: tuple[Family, ...] = (
    Family("qwen2_vl", "Qwen2-VL", _MERGED),
    Family("qwen2_5_vl", "Qwen2.5-VL", _MERGED),
    Family(
        "qwen3_vl",
        "Qwen3-VL",
        _MERGED,
        "Image features enter again after each of the first layers (DeepStack); a cut image gets none.",
    ),
    Family("glm4v", "GLM-4.1V", _MERGED),
    Family(
        "qwen3_5",
        "Qwen3.5",
        _MERGED,
        "Layers of linear attention have no weights to read; truncation takes a pass for every K and token.",
    ),
    Family("paddleocr_vl", "PaddleOCR-VL", _MERGED),
    Family("video_llama_3", "VideoLLaMA 3", "A grid as large as the image, one cell per patch."),
    Family("mistral3", "Mistral Small 3.1", "A grid as large as the image, rows parted by break tokens.", _TORCHVISION),
    Family(
        "llava-pixtral",
        "Pixtral in LLaVA's form",
        "A grid as large as the image, rows parted by break tokens.",
        _TORCHVISION,
    ),
    Family(
        "lfm2_vl",
        "LFM2-VL",
        "A grid per tile and one of the whole image; small images have that one alone.",
        "Layers that are convolutions have no attention; truncation takes a pass for every K and token. "
        + _TORCHVISION,
    ),
    Family(
        "molmo2",
        "Molmo2",
        "Two grids of the whole image, a coarse and a fine one; outer cells may reach beyond it.",
        "Image tokens see each other in both directions. " + _TORCHVISION,
    ),
    Family("ovis2", "Ovis2", "A grid of the whole image, then one per tile where there are several."),
)
"""Grids that follow the image's size."""

_QFORMER = "None: query tokens, shown on the image through the Q-Former's cross-attention."

QUERIES: tuple[Family, ...] = (
    Family(
        "instructblip",
        "InstructBLIP (Vicuna)",
        _QFORMER,
        "One image per prompt. Checkpoints with Flan-T5 are refused: the image stands in its encoder.",
    ),
    Family(
        "blip-2",
        "BLIP-2 (OPT)",
        _QFORMER,
        "One image per prompt. Checkpoints with Flan-T5 are refused: the image stands in its encoder.",
    ),
)
"""Query tokens: no grid of their own."""

REFUSED: tuple[Family, ...] = (
    Family(
        "mllama",
        "Llama 3.2 Vision",
        "None.",
        refused="it feeds images through cross-attention layers, so no image token stands in the sequence",
    ),
    Family(
        "idefics",
        "IDEFICS (the first)",
        "None.",
        refused="it feeds images through cross-attention layers, so no image token stands in the sequence",
    ),
    Family(
        "gemma3n",
        "Gemma 3n",
        "None.",
        refused="its decoder carries several streams at once (AltUp), embeds every token again at every layer and"
        " shares keys and values between layers, so there is no one residual stream to read or to cut",
    ),
)
"""Known not to work, and why."""

FAMILIES: dict[str, Family] = {f.model_type: f for f in (*FIXED, *TILES, *DYNAMIC, *QUERIES, *REFUSED)}

OTHERS = Family(
    "any other",
    "Decoder-only models of transformers' AutoModelForImageTextToText, by structure",
    "A grid where the processor tells one as Qwen2-VL's or Pixtral's does, or each image is one block of tokens that"
    " fits its patches or a square; else none: shares and truncation, but no map.",
    "What its self-test does not pass is refused, with what was found.",
)
"""What is done with a family that is not in the table."""
