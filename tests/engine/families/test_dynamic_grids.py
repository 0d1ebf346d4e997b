"""Grids that follow the image's size, against the pixels that each token's part of the vision tower is given.

One half of an image is painted over, at an edge between two cells as their boxes have it. Which of the processor's
numbers change, and which token they go to, is worked out here from the shape of its tensors alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from flowtui.engine.grids import LAYOUTS, Seen, as_told
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.results import Span
from flowtui.engine.spec import RunSpec
from flowtui.errors import UnsupportedModelError
from tests.engine.families.dynamic import FAMILIES
from tests.engine.tiny import ANSWER, QUESTION

Size = tuple[int, int]
Prompt = dict[str, Tensor]

SIZES: tuple[tuple[Size, ...], ...] = (((48, 48),), ((96, 96),), ((170, 64),), ((50, 120),), ((100, 60), (64, 110)))
GRAY, BLACK = (200, 200, 200), (0, 0, 0)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def loaded(family: str, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Its model."""
    folder = tmp_path_factory.mktemp(family)
    FAMILIES[family](folder)
    return load_model(str(folder), dtype="float32", device="cpu")


def prepared(loaded: Loaded, images: list[Image.Image]) -> Inputs:
    """One question about these images."""
    files = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        files.append(buffer.getvalue())
    return prepare(loaded, RunSpec(model="tiny", images=tuple(files), question=QUESTION, answer=ANSWER))


def merged_patches(before: Prompt, after: Prompt) -> Tensor:
    """The Qwen line: four rows of pixels after each other make one token."""
    return (before["pixel_values"] - after["pixel_values"]).abs().mean(1).reshape(-1, 4).mean(1)


def ovis2(before: Prompt, after: Prompt) -> Tensor:
    """Views of 52 pixels: three by three cells of 16, and a margin of 4."""
    difference = (before["pixel_values"] - after["pixel_values"]).abs().mean(1)
    return torch.cat([cells_of(view[:48, :48], 16) for view in difference])


def rows_of(side_px: int) -> Callable[[Prompt, Prompt], Tensor]:
    """Pixtral: images lie at the top left of one batch, in cells of `side_px`."""

    def change(before: Prompt, after: Prompt) -> Tensor:
        difference = (before["pixel_values"] - after["pixel_values"]).abs().mean(1)
        sizes = before["image_sizes"].tolist()
        return torch.cat([cells_of(d[:h, :w], side_px) for d, (h, w) in zip(difference, sizes, strict=True)])

    return change


def single_patches(before: Prompt, after: Prompt) -> Tensor:
    """VideoLLaMA3: each patch is a token."""
    return (before["pixel_values"] - after["pixel_values"]).abs().mean(1)


def paddleocr_vl(before: Prompt, after: Prompt) -> Tensor:
    """Patches row by row, unlike the Qwen line's; the model itself merges two by two of them."""
    difference = (before["pixel_values"] - after["pixel_values"]).abs().mean((1, 2, 3))
    shapes = [(h, w) for _, h, w in before["image_grid_thw"].tolist()]
    images = difference.split([h * w for h, w in shapes])
    return torch.cat([cells_of(d.reshape(shape), 2) for d, shape in zip(images, shapes, strict=True)])


def lfm2_vl(before: Prompt, after: Prompt) -> Tensor:
    """Patches of each view row by row, padded behind; two by two make one token."""
    difference = (before["pixel_values"] - after["pixel_values"]).abs().mean(2)
    shapes = before["spatial_shapes"].tolist()
    return torch.cat([cells_of(d[: h * w].reshape(h, w), 2) for d, (h, w) in zip(difference, shapes, strict=True)])


def molmo2(before: Prompt, after: Prompt) -> Tensor:
    """Patches of all crops after each other; the processor lists which of them each token pools, -1 for none."""
    difference = (before["pixel_values"] - after["pixel_values"]).abs().mean(-1).reshape(-1)
    pooled = before["image_token_pooling"]
    real = pooled >= 0
    return (difference[pooled.clamp_min(0)] * real).sum(1) / real.sum(1)


def cells_of(plane: Tensor, side: int) -> Tensor:
    """Means over square cells, row by row: [height width] -> [cells]."""
    height, width = plane.shape
    return plane.reshape(height // side, side, width // side, side).mean((1, 3)).reshape(-1)


CHANGE: dict[str, Callable[[Prompt, Prompt], Tensor]] = {
    "glm4v": merged_patches,
    "lfm2_vl": lfm2_vl,
    "llava-pixtral": rows_of(8),
    "mistral3": rows_of(16),
    "molmo2": molmo2,
    "ovis2": ovis2,
    "paddleocr_vl": paddleocr_vl,
    "qwen2_5_vl": merged_patches,
    "qwen2_vl": merged_patches,
    "qwen3_5": merged_patches,
    "qwen3_vl": merged_patches,
    "video_llama_3": single_patches,
}
"""How much each image token's own pixels differ between two prompts: [n], in the order of the tokens."""


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: "+".join(f"{w}x{h}" for w, h in sizes))
def test_boxes_are_the_pixels_that_the_tokens_see(family: str, loaded: Loaded, sizes: tuple[Size, ...]) -> None:
    images = [Image.new("RGB", size, GRAY) for size in sizes]
    inputs = prepared(loaded, images)
    spans = inputs.prepared.tokens.spans
    place = {int(p): i for i, p in enumerate(inputs.image_positions)}
    cells = [int(p) for span in spans for p in span.positions().reshape(-1)]
    assert sorted(cells) == sorted(place), "each image token is one grid's cell, once"
    assert {s.image for s in spans} == set(range(len(sizes)))
    assert max(s.rows for s in spans) > 1 < max(s.cols for s in spans)
    for span in spans:
        for axis, count in enumerate((span.cols, span.rows)):
            for edge in sorted({1, count - 1} - {0, count}):
                painted = list(images)
                painted[span.image] = half_painted(images[span.image], span, axis, edge)
                other = prepared(loaded, painted)
                change = CHANGE[family](inputs.model_inputs, other.model_inputs)
                assert len(change) == len(place)
                index = np.array([place[int(p)] for p in span.positions().reshape(-1)])
                grid = change.numpy()[index].reshape(span.rows, span.cols)
                check_half(grid if axis == 0 else grid.T, edge)
                others = [place[int(p)] for s in spans if s.image != span.image for p in s.positions().reshape(-1)]
                assert not change[others].any()


def generic(seen: Seen) -> tuple[Span, ...]:
    """Families that no table of the engine names; what does not fit has no grid then, instead of being refused."""
    spans = as_told(seen)
    if spans is None:
        raise UnsupportedModelError("They do not fit its images.")
    return spans


def half_painted(image: Image.Image, span: Span, axis: int, edge: int) -> Image.Image:
    """The image, black before the edge between two of the span's columns (axis 0) or rows (axis 1)."""
    low, high, count = span.box_px[axis], span.box_px[axis + 2], (span.cols, span.rows)[axis]
    at = round(low + (high - low) * edge / count)
    painted = image.copy()
    painted.paste(BLACK, (0, 0, at, image.height) if axis == 0 else (0, 0, image.width, at))
    return painted


def check_half(grid: NDArray[np.float32], edge: int) -> None:
    """Cells before the edge see black, those behind do not. A fifth: the resampling's blur and the edge's rounding."""
    whole = float(np.median(grid[:, :edge]))
    assert whole > 0.5, "black and gray differ by more than this on every processor's scale"
    assert grid[:, :edge].min() > 0.8 * whole
    assert grid[:, edge:].max() < 0.2 * whole


def test_tokens_that_do_not_fit_the_images_are_refused(family: str, loaded: Loaded) -> None:
    inputs = prepared(loaded, [Image.new("RGB", (96, 64), GRAY)])
    ids, positions = inputs.prepared.tokens.ids[: inputs.prompt_length], inputs.image_positions.numpy()
    layout, parts = LAYOUTS.get(family, generic), (loaded.model.config, loaded.processor, inputs.model_inputs)
    seen = Seen(loaded.info.family, *parts, ids, positions, ((96, 64),))
    assert sum(span.rows * span.cols for span in layout(seen)) == len(positions)
    gap = np.concatenate([positions[:1] - 1, positions[1:]])
    for wrong in (positions[:-1], np.append(positions, len(ids)), gap):
        with pytest.raises(UnsupportedModelError, match="do not fit its images"):
            layout(replace(seen, image_positions=wrong))
