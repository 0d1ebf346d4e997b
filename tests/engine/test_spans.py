from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from transformers import CLIPImageProcessorPil

from flowtui.engine.results import GROUPS, Tokens
from flowtui.engine.spans import find_groups, find_spans, resized
from flowtui.errors import UnsupportedModelError

CLIP = CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
SQUASH = CLIPImageProcessorPil(size={"height": 384, "width": 384}, do_center_crop=False)
PADDED = SimpleNamespace(do_pad=True, pad_to_square=None, do_resize=True, size={"shortest_edge": 336})
AS_IS = SimpleNamespace(do_resize=False)
LARGE_CROP = SimpleNamespace(do_resize=True, size={"shortest_edge": 100})

# Each worked by hand: (processor, image (w, h), seen (w, h), box of the whole seen rectangle in original pixels).
BOXES = [
    # 672x336 stays: the short edge is 336 already. The crop takes the middle 336 columns, from 168 on.
    (CLIP, (672, 336), (336, 336), (168, 0, 504, 336)),
    # 640x480 shrinks by 0.7 to 448x336; the crop leaves 56 columns a side: 56 / 0.7 = 80.
    (CLIP, (640, 480), (336, 336), (80, 0, 560, 480)),
    # Upright: 480x640 to 336x448, 56 rows from the top and the bottom.
    (CLIP, (480, 640), (336, 336), (0, 80, 480, 560)),
    # A square small image grows: nothing is lost.
    (CLIP, (96, 96), (336, 336), (0, 0, 96, 96)),
    # Squashed to a square: the whole image, each axis by its own factor.
    (SQUASH, (200, 100), (384, 384), (0, 0, 200, 100)),
    # 672x336 on a square canvas of 672: 168 rows of padding above and below, outside of the image.
    (PADDED, (672, 336), (336, 336), (0, -168, 672, 504)),
    (PADDED, (336, 672), (336, 336), (-168, 0, 504, 672)),
    (AS_IS, (64, 48), (64, 48), (0, 0, 64, 48)),
    # 200x100 stays 200x100; a crop of 140x140 loses 30 columns a side and pads 20 rows above and below.
    (LARGE_CROP, (200, 100), (140, 140), (30, -20, 170, 120)),
]


@pytest.mark.parametrize(("processor", "image", "seen", "box"), BOXES)
def test_box_in_original_pixels(
    processor: object, image: tuple[int, int], seen: tuple[int, int], box: tuple[float, ...]
) -> None:
    found = resized(processor, image, seen).to_original((0, 0, *map(float, seen)))
    # Resizing rounds to whole pixels, the cases are exact.
    assert found == pytest.approx(box, abs=1e-9)


@pytest.mark.parametrize("image", [(640, 480), (480, 640), (333, 500), (500, 333), (97, 1000), (336, 336), (20, 30)])
def test_box_against_the_processor_itself(image: tuple[int, int]) -> None:
    """The processor shows a ramp of x and of y: what it kept of them tells the box."""
    width, height = image
    ramp = np.zeros((height, width, 3), dtype=np.float32)
    ramp[..., 0] = np.arange(width) + 0.5
    ramp[..., 1] = (np.arange(height) + 0.5)[:, None]
    scale = max(width, height)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 112}, crop_size={"height": 112, "width": 112}, resample=2)
    seen = processor((ramp / scale * 255).astype(np.uint8), do_normalize=False, return_tensors="np")["pixel_values"][0]
    box = resized(processor, image, (112, 112)).to_original((0, 0, 112, 112))
    middle = (seen[0, :, 56].mean() * scale, seen[1, 56].mean() * scale)
    cell_x, cell_y = (box[2] - box[0]) / 112, (box[3] - box[1]) / 112
    # Column 56's centre lies half a cell behind the middle. The ramp has 256 levels over `scale` pixels, the crop is
    # placed on whole pixels of the resized image, and enlarging repeats the outermost half pixel.
    assert middle[0] == pytest.approx((box[0] + box[2]) / 2 + cell_x / 2, abs=scale / 255 + cell_x)
    assert middle[1] == pytest.approx((box[1] + box[3]) / 2 + cell_y / 2, abs=scale / 255 + cell_y)
    for channel, low, high in ((0, box[0], box[2]), (1, box[1], box[3])):
        assert seen[channel].min() * scale == pytest.approx(low, abs=0.5 + scale / 255 + 2 * max(cell_x, cell_y))
        assert seen[channel].max() * scale == pytest.approx(high, abs=0.5 + scale / 255 + 2 * max(cell_x, cell_y))


def _spans(positions: list[int], images: int, seen: tuple[int, int] | None, patch: int | None) -> tuple:
    sizes = tuple((seen or (60, 40)) for _ in range(images))
    return find_spans(np.array(positions), sizes, image_processor=AS_IS, seen_px=seen, patch_px=patch)


def test_two_adjacent_images_are_two_grids() -> None:
    one, two = _spans([*range(3, 3 + 12)], 2, (30, 20), 10)
    assert (one.start, one.end, one.rows, one.cols, one.row_stride) == (3, 9, 2, 3, 3)
    assert (two.image, two.start, two.end, two.rows, two.cols) == (1, 9, 15, 2, 3)
    assert two.positions().tolist() == [[9, 10, 11], [12, 13, 14]]
    assert one.box_px == (0, 0, 30, 20)


def test_text_between_images() -> None:
    one, two = _spans([*range(2, 8), *range(11, 17)], 2, (30, 20), 10)
    assert (one.start, one.end, two.start, two.end) == (2, 8, 11, 17)


def test_a_class_token_is_no_cell() -> None:
    (span,) = _spans([*range(4, 11)], 1, (30, 20), 10)
    assert (span.start, span.end, span.rows, span.cols) == (5, 11, 2, 3)


def test_patches_that_do_not_fill_the_image_leave_a_margin() -> None:
    """SigLIP: 384 is 27 patches of 14 and 6 pixels that no patch covers."""
    (span,) = _spans([*range(729)], 1, (384, 384), 14)
    assert (span.rows, span.cols) == (27, 27)
    assert span.box_px == (0, 0, 378, 378)


def test_a_square_number_of_merged_patches_is_a_square_grid() -> None:
    """Pixel shuffle: fewer tokens than patches."""
    (span,) = _spans([*range(256)], 1, (448, 448), 14)
    assert (span.rows, span.cols) == (16, 16)
    assert span.box_px == (0, 0, 448, 448)


def test_what_forms_no_grid_says_so() -> None:
    (span,) = _spans([*range(5, 12)], 1, None, None)
    assert (span.start, span.end, span.rows, span.cols) == (5, 12, 0, 0)
    assert span.box_px == (0, 0, 60, 40)


def test_tokens_that_do_not_divide_come_as_runs() -> None:
    spans = _spans([1, 2, 3, 6, 7], 2, None, None)
    assert [(s.image, s.start, s.end, s.rows) for s in spans] == [(0, 1, 4, 0), (1, 6, 8, 0)]


def test_no_image_tokens_is_an_error() -> None:
    with pytest.raises(UnsupportedModelError, match="No image token"):
        _spans([], 1, None, None)


def _names(group: np.ndarray) -> str:
    return "".join(GROUPS[g][0] for g in group)


def test_groups() -> None:
    image = np.array([3, 4])
    assert _names(find_groups(9, image, 7, "paper", 0)) == "sssiiuuaa"
    assert _names(find_groups(9, image, 7, "roles", 1)) == "suuiiuuaa"


def test_spans_fit_the_tokens_they_belong_to() -> None:
    spans = _spans([*range(3, 15)], 2, (30, 20), 10)
    group = find_groups(20, np.arange(3, 15), 18, "paper", 0)
    tokens = Tokens(np.arange(20), ("x",) * 20, group, spans, 18)
    assert tokens.on_grid(np.arange(12), spans[1]).tolist() == [[6, 7, 8], [9, 10, 11]]
