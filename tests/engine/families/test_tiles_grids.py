"""Grids of the tile families against the pixels that each token sees, see `pixel_oracle`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from transformers.utils import is_torchvision_available

from flowtui.engine.grids import LAYOUTS, Seen
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.processors import images_only
from flowtui.engine.spec import RunSpec
from flowtui.errors import UnsupportedModelError
from tests.engine.families import tiles
from tests.engine.families.pixel_oracle import check_prompt, embeddings, encoded, picture
from tests.engine.families.tokenizers import build_tokenizer
from tests.engine.tiny import ANSWER, QUESTION

SIZES = [(96, 96), (150, 60), (50, 140), (20, 30), (97, 61), (33, 34), (200, 20)]
PAIRS = [((96, 64), (40, 97)), ((60, 60), (61, 130))]

Load = Callable[..., Loaded]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Builds and loads a family once; nearest-pixel resizing, so that a pixel's place is exact."""
    made: dict[tuple[str, int], Loaded] = {}

    def load(name: str, tile_px: int = tiles.TILE_PX) -> Loaded:
        if (name, tile_px) not in made:
            folder = tmp_path_factory.mktemp(name)
            build = tiles.FAMILIES[name]
            (build if tile_px == tiles.TILE_PX else partial(build, tile_px=tile_px))(folder)
            loaded = load_model(str(folder), dtype="float32", device="cpu")
            loaded.processor.image_processor.resample = 0
            made[name, tile_px] = loaded
        return made[name, tile_px]

    return load


def _ask(loaded: Loaded, *sizes: tuple[int, int]) -> Inputs:
    images = tuple(encoded(picture(size)) for size in sizes)
    return prepare(loaded, RunSpec(model="tiny", images=images, question=QUESTION, answer=ANSWER))


MERGED = ["internvl", "idefics3", "smolvlm", "aya_vision", "cohere2_vision", "llama4", "perception_lm"]
"""A cell is two by two patches."""


@pytest.mark.parametrize("sizes", [*((size,) for size in SIZES), *PAIRS], ids=str)
@pytest.mark.parametrize("name", ["llava_next", *MERGED])
def test_cells_lie_on_the_pixels_they_see(name: str, sizes: tuple[tuple[int, int], ...], load: Load) -> None:
    loaded = load(name)
    if name == "perception_lm" and len(sizes) > 1:
        sizes = (sizes[0], sizes[0])  # its processor cannot stack images of different numbers of tiles
    patch = tiles.PATCH_PX * (1 if name == "llava_next" else 2)
    spans = check_prompt(loaded, sizes, seen_px=patch)
    positions = np.concatenate([span.positions().ravel() for span in spans])
    assert len(np.unique(positions)) == len(positions)
    if name != "llava_next":
        # Every image token is a cell.
        np.testing.assert_array_equal(np.sort(positions), _ask(loaded, *sizes).prepared.tokens.image_positions)
    for image, size in enumerate(sizes):
        boxes = [span.box_px for span in spans if span.image == image]
        assert (0, 0, *size) in boxes or len(boxes) == 1, "no view of the whole image"


@pytest.mark.parametrize("sizes", [*((size,) for size in SIZES), *PAIRS], ids=str)
def test_shrunk_map(sizes: tuple[tuple[int, int], ...], load: Load) -> None:
    """OneVision interpolates a map that is too large: a cell mixes its neighbours' patches. Not of several images."""
    loaded = load("llava_onevision")
    spans = check_prompt(loaded, sizes, seen_px=tiles.PATCH_PX, blur_cells=len(sizes) == 1)
    if sizes == ((96, 96),):
        # 12 x 12 cells of nine tiles become those of four.
        assert [(s.rows, s.cols, s.row_stride) for s in spans] == [(4, 4, 4), (8, 8, 9)]


@pytest.mark.parametrize("name", ["llava_next", "llava_onevision"])
def test_what_is_no_cell_is_a_newline(name: str, load: Load) -> None:
    loaded = load(name)
    inputs = _ask(loaded, (150, 60), (50, 140))
    tokens = inputs.prepared.tokens
    cells = np.concatenate([span.positions().ravel() for span in tokens.spans])
    others = np.setdiff1d(tokens.image_positions, cells)
    assert len(others) == (2 if name == "llava_onevision" else sum(span.rows for span in tokens.spans[1::2])) > 0
    entered = embeddings(loaded, inputs.model_inputs)
    newline = loaded.model.model.image_newline
    assert all(torch.equal(entered[i], newline) for i in others)
    assert not any(torch.equal(entered[i], newline) for i in cells)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["llava_next", "internvl"])
def test_tiles_that_patches_do_not_fill(name: str, size: tuple[int, int], load: Load) -> None:
    """A tile of 36 pixels has patches on the first 32 of them, as SigLIP's of 384 has on 378."""
    loaded = load(name, 36)
    joined = name == "llava_next"
    # Cells of a joined map are spread over its tiles' margins: up to a margin of half a patch off.
    check_prompt(loaded, [size], seen_px=tiles.PATCH_PX * (1 if joined else 2), blur_cells=0.5 * joined)
    spans = _ask(loaded, size).prepared.tokens.spans
    whole = spans[0 if joined else -1]
    assert whole.box_px == pytest.approx((0, 0, size[0] * 32 / 36, size[1] * 32 / 36))


def test_joined_map_ends_with_its_last_patch(load: Load) -> None:
    """Two tiles of 36 pixels: the last of the eight patches ends at 36 + 32."""
    _, joined = _ask(load("llava_next", 36), (72, 36)).prepared.tokens.spans
    assert (joined.rows, joined.cols) == (4, 8)
    assert joined.box_px == pytest.approx((0, 0, 68, 32))


def test_several_images_of_one_sample_come_as_padded_views(load: Load) -> None:
    """OneVision with several images: no tiles, each image padded to a square, a newline token; as it was trained."""
    loaded = load("llava_onevision")
    inputs = _ask(loaded, (96, 64), (40, 97))
    assert inputs.model_inputs["pixel_values"].shape[:2] == (2, 1)
    spans = inputs.prepared.tokens.spans
    assert [s.box_px for s in spans] == [(0, -16, 96, 80), (-28, 0, 69, 97)]
    assert [(s.rows, s.cols, s.end - s.start) for s in spans] == [(4, 4, 17)] * 2


def test_views_without_a_grid(load: Load) -> None:
    """Idefics2: a block of latent tokens changes with the pixels of its own view only."""
    loaded = load("idefics2")
    sizes = ((96, 64), (41, 97))
    spans = _ask(loaded, *sizes).prepared.tokens.spans
    assert all(span.rows == span.cols == 0 for span in spans)
    assert [s.box_px for s in spans[5:]] == [
        (0, 0, 20, 48),
        (20, 0, 41, 48),
        (0, 48, 20, 97),
        (20, 48, 41, 97),
        (0, 0, 41, 97),
    ]
    plain = [picture(size) for size in sizes]

    def entered(images: list[object]) -> torch.Tensor:
        spec = RunSpec(model="tiny", images=tuple(map(encoded, images)), question=QUESTION, answer=ANSWER)
        seen: list[torch.Tensor] = []
        hook = loaded.decoder.register_forward_pre_hook(
            lambda _m, _a, kwargs: seen.append(kwargs["inputs_embeds"][0].clone()), with_kwargs=True
        )
        with torch.no_grad():
            loaded.model(**prepare(loaded, spec).model_inputs, use_cache=False)
        hook.remove()
        return seen[0]

    before = entered([*plain])
    for quarter, black in enumerate([(2, 3, 12, 20), (30, 5, 38, 30), (3, 60, 15, 80), (25, 55, 40, 90)]):
        after = entered([plain[0], picture(sizes[1], black)])
        blocks = [bool((after[s.start : s.end] != before[s.start : s.end]).any()) for s in spans]
        assert blocks == [*[False] * 5, *(i in (quarter, 4) for i in range(5))]


def test_a_prompt_that_does_not_fit_its_images_is_refused(load: Load) -> None:
    loaded = load("internvl")
    inputs = _ask(loaded, (96, 64))
    prompt, tokens = inputs.model_inputs, inputs.prepared.tokens
    for positions in (tokens.image_positions[:-1], np.append(tokens.image_positions, tokens.image_positions[-1] + 1)):
        seen = Seen("internvl", loaded.model.config, loaded.processor, prompt, tokens.ids, positions, ((96, 64),))
        with pytest.raises(UnsupportedModelError, match="96 x 64"):
            LAYOUTS["internvl"](seen)


def _checkpoint(name: str) -> tuple[Any, Any]:
    """A family's configuration and processor with the settings of its checkpoints, no weights."""
    if name in ("cohere2_vision", "llama4", "perception_lm") and not is_torchvision_available():
        pytest.skip(f"{name}'s image processor exists for torchvision alone")
    siglip = hf.SiglipVisionConfig(image_size=384, patch_size=14)
    marks = ["<image>", "<fake_token_around_image>", "<global-img>", "<|IMG_PATCH|>", "<|patch|>", "<|image|>"]
    names = [f"<row_{row}_col_{col}>" for row in range(1, 9) for col in range(1, 9)]
    separators = ["<|tile_x_separator|>", "<|tile_y_separator|>"]
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    named |= {"boi_token": "<b>", "eoi_token": "<e>", "img_line_break_token": "<br>", "image_token": "<image>"}
    named |= {"video_token": "<video>"}
    tokenizer = build_tokenizer([*marks, *names, *separators], named=named)
    match name:
        case "llava_next":
            images = hf.LlavaNextImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
            processor = hf.LlavaNextProcessor(
                images,
                tokenizer,
                patch_size=14,
                vision_feature_select_strategy="default",
                num_additional_image_tokens=1,
            )
            return hf.LlavaNextConfig(), processor
        case "llava_onevision":
            kind = images_only(hf.LlavaOnevisionProcessor)
            images = hf.LlavaOnevisionImageProcessorPil()
            processor = kind(images, tokenizer, None, num_image_tokens=729, vision_feature_select_strategy="full")
            return hf.LlavaOnevisionConfig(vision_config=siglip), processor
        case "internvl":
            images = hf.GotOcr2ImageProcessorPil(size={"height": 448, "width": 448})
            return hf.InternVLConfig(), images_only(hf.InternVLProcessor)(images, tokenizer, None)
        case "idefics3":
            config = hf.Idefics3Config(vision_config={"image_size": 364, "patch_size": 14})
            return config, hf.Idefics3Processor(hf.Idefics3ImageProcessorPil(), tokenizer)
        case "aya_vision":
            images = hf.GotOcr2ImageProcessorPil(size={"height": 364, "width": 364})
            processor = hf.AyaVisionProcessor(images, tokenizer, patch_size=14, img_size=364, downsample_factor=2)
            return hf.AyaVisionConfig(vision_config=hf.SiglipVisionConfig(image_size=364, patch_size=14)), processor
        case "cohere2_vision":
            config = hf.Cohere2VisionConfig(vision_config=hf.SiglipVisionConfig(image_size=512, patch_size=16))
            return config, hf.Cohere2VisionProcessor(hf.Cohere2VisionImageProcessor(), tokenizer)
        case "llama4":
            return hf.Llama4Config(), hf.Llama4Processor(hf.Llama4ImageProcessor(), tokenizer)
        case _:
            processor = hf.PerceptionLMProcessor(
                image_processor=hf.PerceptionLMImageProcessor(),
                tokenizer=tokenizer,
                video_processor=hf.PerceptionLMVideoProcessor(),
                patch_size=14,
            )
            return hf.PerceptionLMConfig(), processor


@pytest.mark.parametrize(
    ("name", "placeholder", "token"),
    [
        ("llava_next", "<image>", "<image>"),
        ("llava_onevision", "<image>", "<image>"),
        ("internvl", "<IMG_CONTEXT>", "<IMG_CONTEXT>"),
        ("idefics3", "<image>", "<image>"),
        ("aya_vision", "<image>", "<|IMG_PATCH|>"),
        ("cohere2_vision", "<image>", "<image>"),
        ("llama4", "<|image|>", "<|patch|>"),
        ("perception_lm", "<image>", "<image>"),
    ],
)
def test_counts_at_the_sizes_of_checkpoints(name: str, placeholder: str, token: str) -> None:
    """The processor writes as many image tokens as the layout takes, whatever the image's size."""
    config, processor = _checkpoint(name)
    tokenizer = processor.tokenizer
    for size in [(640, 480), (1000, 300), (333, 1201), (336, 336), (100, 90), (2000, 1999)]:
        text = f"{placeholder} {QUESTION}"
        prompt = dict(processor(images=[picture(size)], text=text, return_tensors="pt"))
        ids = prompt["input_ids"][0].numpy()
        placeholders = np.flatnonzero(ids == tokenizer.convert_tokens_to_ids(token))
        spans = LAYOUTS[name](Seen(name, config, processor, prompt, ids, placeholders, (size,)))
        assert sum(s.end - s.start for s in spans) == len(placeholders)
        largest = max(spans, key=lambda s: (s.box_px[2] - s.box_px[0]) * (s.box_px[3] - s.box_px[1]))
        # Nearly all of the image lies in one span: the view of the whole.
        assert largest.box_px[2] >= 0.98 * size[0]
        assert largest.box_px[3] >= 0.98 * size[1]
