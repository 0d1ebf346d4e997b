"""Which pixels an image token sees, found by changing pixels, against the spans."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from flowtui.engine.families import FAMILIES as KNOWN
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.results import Span
from flowtui.engine.spec import RunSpec
from flowtui.errors import FlowtuiError, UsageError
from tests.engine.families.fixed import FAMILIES, QUERIES
from tests.engine.tiny import ANSWER, QUESTION

WITHOUT_GRID = ("instructblip", "blip-2")
WITH_GRID = [name for name in FAMILIES if name not in WITHOUT_GRID]
SEVERAL_IMAGES = [name for name in WITH_GRID if name != "fuyu"]
SIZES = [(96, 96), (150, 70), (70, 150), (333, 129)]
# Fractions of width and height: (left, top, right, bottom).
PLACES = [(0.1, 0.1, 0.25, 0.3), (0.4, 0.4, 0.6, 0.6), (0.7, 0.15, 0.85, 0.35), (0.2, 0.75, 0.45, 0.95)]
# A resampling filter mixes at most three of the pixels that it makes (Lanczos), a normalised cell has eight.
MARGIN_SEEN_PX = 3

Box = tuple[float, float, float, float]


@cache
def load(name: str) -> Loaded:
    """A family's tiny model, made once."""
    with TemporaryDirectory() as folder:
        FAMILIES[name](Path(folder))
        return load_model(folder, dtype="float32", device="cpu")


def png_of(size: tuple[int, int], black: Box | None = None) -> bytes:
    """A gray picture with a black rectangle."""
    image = Image.new("RGB", size, (128, 128, 128))
    if black is not None:
        left, top, right, bottom = black
        ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill=(0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def prepare_with(loaded: Loaded, *images: bytes) -> Inputs:
    """The usual question and answer about some images."""
    return prepare(loaded, RunSpec(model="tiny", images=images, question=QUESTION, answer=ANSWER))


@contextmanager
def patches_alone(loaded: Loaded, within: torch.nn.Module | None = None) -> Iterator[None]:
    """Inside, vision attention gives nothing, so that a patch's features are its own pixels' alone."""

    def nothing(_: object, __: object, output: Any) -> Any:
        return torch.zeros_like(output) if isinstance(output, torch.Tensor) else (torch.zeros_like(output[0]), None)

    inside = set(loaded.decoder.modules())
    outside = [m for m in (within or loaded.model).modules() if m not in inside]
    hooks = [m.register_forward_hook(nothing) for m in outside if type(m).__name__.endswith("Attention")]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _entering(loaded: Loaded, inputs: Inputs) -> NDArray[np.float32]:
    """What enters the decoder: [N d]."""
    seen: list[torch.Tensor] = []

    def look(_: object, __: object, kwargs: dict[str, Any]) -> None:
        seen.append(kwargs["inputs_embeds"])

    hook = loaded.decoder.register_forward_pre_hook(look, with_kwargs=True)
    try:
        with torch.no_grad(), patches_alone(loaded):
            loaded.model(**inputs.model_inputs, use_cache=False)
    finally:
        hook.remove()
    return np.asarray(seen[0][0])


def _changes(loaded: Loaded, before: tuple[bytes, ...], after: tuple[bytes, ...]) -> NDArray[np.float32]:
    """How much each token's embedding changes: [N]."""
    one, two = (_entering(loaded, prepare_with(loaded, *images)) for images in (before, after))
    return np.asarray(np.abs(one - two).max(-1))


def _rectangle(size: tuple[int, int], place: Box) -> Box:
    left, top, right, bottom = (round(f * size[i % 2]) for i, f in enumerate(place))
    return left, top, right, bottom


def _cells(span: Span) -> Iterator[tuple[int, Box]]:
    """Position and rectangle of each cell, in pixels of the original."""
    left, top, right, bottom = span.box_px
    width, height = (right - left) / span.cols, (bottom - top) / span.rows
    for (row, col), position in np.ndenumerate(span.positions()):
        yield position, (left + col * width, top + row * height, left + (col + 1) * width, top + (row + 1) * height)


def _meet(one: Box, two: Box, grown_x: float, grown_y: float) -> bool:
    return (
        one[0] < two[2] + grown_x
        and two[0] - grown_x < one[2]
        and one[1] < two[3] + grown_y
        and two[1] - grown_y < one[3]
    )


def _one_span(loaded: Loaded, size: tuple[int, int]) -> tuple[Span, float, float]:
    """The span of one image, and the width and height of its cells in pixels of the original."""
    inputs = prepare_with(loaded, png_of(size))
    (span,) = inputs.prepared.tokens.spans
    # Every image token is a cell.
    assert span.positions().ravel().tolist() == inputs.image_positions.tolist()
    left, top, right, bottom = span.box_px
    return span, (right - left) / span.cols, (bottom - top) / span.rows


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", [name for name in WITH_GRID if name != "fast_vlm"])
def test_a_cell_sees_its_box_and_nothing_else(name: str, size: tuple[int, int]) -> None:
    loaded = load(name)
    span, width, height = _one_span(loaded, size)
    margin_x, margin_y = (MARGIN_SEEN_PX / 8 * side for side in (width, height))
    touched = 0
    for place in PLACES:
        black = _rectangle(size, place)
        change = _changes(loaded, (png_of(size),), (png_of(size, black),))
        cells = dict(_cells(span))
        assert set(change.nonzero()[0]) <= cells.keys()
        for position, box in cells.items():
            if _meet(box, black, -margin_x, -margin_y):
                assert change[position] > 0, (place, position)
                touched += 1
            elif not _meet(box, black, margin_x, margin_y):
                assert change[position] == 0, (place, position)
    assert touched


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_feature_of_a_convolution_lies_in_the_middle_of_what_it_sees(size: tuple[int, int]) -> None:
    """FastVLM's tower: a feature sees more than its cell, most of all its cell."""
    loaded = load("fast_vlm")
    span, _, _ = _one_span(loaded, size)
    for row, col in ((1, 1), (3, 5), (6, 2)):
        (box,) = [box for position, box in _cells(span) if position == span.positions()[row, col]]
        black = (round(box[0]), round(box[1]), round(box[2]), round(box[3]))
        change = _changes(loaded, (png_of(size),), (png_of(size, black),))[span.positions()]
        centre = [(change.sum(axis) * np.arange(8)).sum() / change.sum() for axis in (1, 0)]
        # Within a cell: padding at the borders and rounding to whole pixels pull a little.
        assert centre == pytest.approx([row, col], abs=1)


@pytest.mark.parametrize("name", SEVERAL_IMAGES)
def test_each_image_has_its_span(name: str) -> None:
    loaded = load(name)
    sizes = ((150, 70), (96, 96))
    plain = tuple(png_of(size) for size in sizes)
    one, two = prepare_with(loaded, *plain).prepared.tokens.spans
    assert (one.image, two.image) == (0, 1)
    alone = tuple(_one_span(loaded, size)[0] for size in sizes)
    assert (one.box_px, two.box_px) == (alone[0].box_px, alone[1].box_px)
    for changed, span in enumerate((one, two)):
        black = tuple(png_of(s, (0, 0, *s)) if i == changed else png_of(s) for i, s in enumerate(sizes))
        change = _changes(loaded, plain, black)
        assert set(change.nonzero()[0]) <= set(span.positions().ravel())
        assert change.any()


# Each worked by hand: 64 seen pixels a side, or Fuyu's 72 x 48.
BOXES = [
    # The longer side becomes 64, the other round(70 * 64 / 150) = 30 with 17 rows of padding above and below.
    ("deepseek_vl", (150, 70), (0, -17 * 70 / 30, 150, 47 * 70 / 30)),
    ("janus", (70, 150), (-17 * 70 / 30, 0, 47 * 70 / 30, 150)),
    # The short edge 70 becomes 64, so 150 becomes 137; the crop starts at (137 - 64) // 2 = 36.
    ("llava", (150, 70), (36 * 150 / 137, 0, 100 * 150 / 137, 70)),
    ("vipllava", (70, 150), (0, 36 * 150 / 137, 70, 100 * 150 / 137)),
    # Squashed to a square; of 68 pixels a side the patches cover 64.
    ("llava-siglip", (150, 70), (0, 0, 150 * 64 / 68, 70 * 64 / 68)),
    ("paligemma", (150, 70), (0, 0, 150, 70)),
    ("gemma3", (70, 150), (0, 0, 70, 150)),
    # Small enough as it is: 40 x 30 in patches of 8 is 5 x 4, the last row reaches two pixels below the image.
    ("fuyu", (40, 30), (0, 0, 40, 32)),
    # 150 x 70 shrinks by 0.48 to 72 x 33: nine columns, five rows of 8.
    ("fuyu", (150, 70), (0, 0, 150, 40 * 70 / 33)),
]


@pytest.mark.parametrize(("name", "size", "box"), BOXES)
def test_boxes_worked_by_hand(name: str, size: tuple[int, int], box: Box) -> None:
    assert _one_span(load(name), size)[0].box_px == pytest.approx(box, abs=1e-9)


def test_rows_of_fuyu_end_in_a_newline_token() -> None:
    inputs = prepare_with(load("fuyu"), png_of((40, 30)))
    (span,) = inputs.prepared.tokens.spans
    assert (span.rows, span.cols, span.row_stride) == (4, 5, 6)
    assert [inputs.prepared.tokens.text[p] for p in span.positions()[:, -1] + 1] == ["|NEWLINE|"] * 4


def test_pan_and_scan_stays_off() -> None:
    """Gemma 3's processor switches it off in every call that does not ask for it, whatever its image part says."""
    loaded = load("gemma3")
    inputs = prepare_with(loaded, png_of((333, 129)))
    settings = {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 16}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setattr(loaded.processor.image_processor, name, value)
        assert len(prepare_with(loaded, png_of((333, 129))).image_positions) == len(inputs.image_positions) == 16


@pytest.mark.parametrize("name", WITHOUT_GRID)
def test_query_tokens_have_no_grid(name: str) -> None:
    loaded = load(name)
    inputs = prepare_with(loaded, png_of((150, 70)))
    (span,) = inputs.prepared.tokens.spans
    assert (span.start, span.end, span.rows, span.cols) == (0, QUERIES, 0, 0)
    assert span.box_px == (0, 0, 150, 70)
    assert inputs.image_positions.tolist() == list(range(QUERIES))
    with pytest.raises(UsageError, match="one image per prompt"):
        prepare_with(loaded, png_of((96, 96)), png_of((96, 96)))


def test_fuyu_takes_one_image() -> None:
    with pytest.raises(FlowtuiError, match="images"):
        prepare_with(load("fuyu"), png_of((40, 30)), png_of((40, 30)))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_in_the_table(name: str) -> None:
    family = KNOWN[load(name).info.family]
    assert not family.refused
