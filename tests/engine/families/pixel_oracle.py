"""Which image tokens see which pixels, found out by changing pixels: what every grid is checked against.

The attention of the vision tower is silenced, so a token depends on the pixels of its own patches alone, through the
real processor and the model's own merging and packing. Paint a rectangle of the original black, and the tokens whose
embedding changes are the ones whose cells it touches.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

from flowtui.engine.inputs import prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.results import Span
from flowtui.engine.spec import RunSpec
from tests.engine.tiny import ANSWER, QUESTION

Size = tuple[int, int]
Box = tuple[float, float, float, float]


def picture(size: Size, black: Box | None = None) -> Image.Image:
    """A gray image with a black rectangle (left, top, right, bottom), right and bottom excluded."""
    image = Image.new("RGB", size, (120, 120, 120))
    if black is not None:
        left, top, right, bottom = (int(v) for v in black)
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=(0, 0, 0))
    return image


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@contextmanager
def without_attention(loaded: Loaded) -> Iterator[None]:
    """Every attention outside of the decoder gives zeros."""

    def silence(_module: nn.Module, _args: Any, output: Any) -> Any:
        return (torch.zeros_like(output[0]), *output[1:]) if isinstance(output, tuple) else torch.zeros_like(output)

    inside = set(loaded.decoder.modules())
    towers = [m for m in loaded.model.modules() if type(m).__name__.endswith("Attention") and m not in inside]
    assert towers, "no attention found outside of the decoder"
    hooks = [m.register_forward_hook(silence) for m in towers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def embeddings(loaded: Loaded, model_inputs: dict[str, Tensor]) -> Tensor:
    """What enters the decoder: [N d_model]."""
    seen: list[Tensor] = []
    hook = loaded.decoder.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["inputs_embeds"][0].clone()), with_kwargs=True
    )
    try:
        with without_attention(loaded):
            loaded.model(**model_inputs, use_cache=False)
    finally:
        hook.remove()
    return seen[0]


def rectangles(size: Size, count: int, seed: int) -> list[Box]:
    """Random rectangles on whole pixels; the first ones at the upper left and the lower right corner."""
    width, height = size
    rng = np.random.default_rng(seed)
    found: list[Box] = []
    for i in range(count):
        w, h = (int(rng.integers(max(2, n // 6), max(3, n // 2) + 1)) for n in size)
        x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
        x, y = ((0, 0), (width - w, height - h))[i] if i < 2 else (x, y)
        found.append((x, y, x + w, y + h))
    return found


def cell_boxes(span: Span) -> NDArray[np.float64]:
    """Each cell's rectangle in pixels of the original: [rows cols 4]."""
    left, top, right, bottom = span.box_px
    xs, ys = np.linspace(left, right, span.cols + 1), np.linspace(top, bottom, span.rows + 1)
    boxes = np.empty((span.rows, span.cols, 4))
    boxes[..., 0], boxes[..., 2] = xs[:-1], xs[1:]
    boxes[..., 1], boxes[..., 3] = ys[:-1, None], ys[1:, None]
    return boxes


def _overlap(boxes: NDArray[np.float64], black: Box, by: NDArray[np.float64] | Sequence[float]) -> NDArray[np.bool_]:
    """Whether the rectangle, grown by (x, y) pixels on each side (shrunk where negative), reaches into a cell."""
    x, y = by
    across = np.minimum(boxes[..., 2], black[2] + x) > np.maximum(boxes[..., 0], black[0] - x)
    down = np.minimum(boxes[..., 3], black[3] + y) > np.maximum(boxes[..., 1], black[1] - y)
    return across & down


def check(
    spans: Sequence[Span], image: int, black: Box, changed: NDArray[np.bool_], *, seen_px: float, blur_cells: float = 0
) -> int:
    """Compares one rectangle's changed tokens with the spans of its image.

    Args:
        spans: Of the whole prompt.
        image: Which image was painted on.
        black: Where, in pixels of the original.
        changed: [N], whether a token's embedding changed.
        seen_px: Pixels of the processed image along a cell's side. The processor takes the nearest pixel, so an edge is
            off by one and a half of its pixels at most.
        blur_cells: How many cells further a cell may look.

    Returns:
        How many cells had to change.
    """
    needed = 0
    for span in spans:
        at = changed[span.positions()]
        if span.image != image:
            assert not at.any(), f"image {image} was painted on, tokens of image {span.image} changed"
            continue
        boxes = cell_boxes(span)
        cell = np.array([boxes[0, 0, 2] - boxes[0, 0, 0], boxes[0, 0, 3] - boxes[0, 0, 1]])
        slack = np.maximum(1.0, cell / seen_px) * 1.5
        may = _overlap(boxes, black, slack + blur_cells * cell)
        # Of a blurred cell only the middle is sure to count.
        middle = np.concatenate([boxes[..., :2] + boxes[..., 2:]] * 2, -1) / 2 + [-1e-6, -1e-6, 1e-6, 1e-6]
        must = _overlap(middle if blur_cells else boxes, black, -slack)
        assert not (at & ~may).any(), f"{span} {black}: cells changed that it does not touch\n{at}\n{may}"
        assert not (must & ~at).any(), f"{span} {black}: cells did not change that it covers\n{at}\n{must}"
        needed += int(must.sum())
    return needed


def check_prompt(loaded: Loaded, sizes: Sequence[Size], *, seen_px: float, blur_cells: float = 0) -> tuple[Span, ...]:
    """Paints on every image of a prompt in turn. Returns the spans of the prompt."""

    def run(images: Sequence[Image.Image]) -> tuple[tuple[Span, ...], Tensor]:
        spec = RunSpec(model="tiny", images=tuple(map(encoded, images)), question=QUESTION, answer=ANSWER)
        inputs = prepare(loaded, spec)
        return inputs.prepared.tokens.spans, embeddings(loaded, inputs.model_inputs)

    plain = [picture(size) for size in sizes]
    spans, before = run(plain)
    needed = 0
    for image, size in enumerate(sizes):
        for black in rectangles(size, 4, seed=image):
            painted = [*plain[:image], picture(size, black), *plain[image + 1 :]]
            again, after = run(painted)
            assert again == spans
            changed = (after != before).any(-1).numpy()
            needed += check(spans, image, black, changed, seen_px=seen_px, blur_cells=blur_cells)
            cells = np.concatenate([span.positions().ravel() for span in spans])
            changed[cells] = False
            assert not changed.any(), f"tokens outside of every grid changed: {np.flatnonzero(changed)}"
    assert needed >= 2 * len(sizes)
    return spans
