import re
from base64 import standard_b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from flowtui.tui.draw import kitty
from flowtui.tui.draw.fields import blend, faded

SEQUENCE = re.compile(r"\x1b_G([^;\x1b]*)(?:;([A-Za-z0-9+/=]*))?\x1b\\")


def test_a_picture_is_sent_in_pieces_that_a_terminal_takes() -> None:
    png = kitty.photo_png(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    text = kitty.send(77, png)
    parts = SEQUENCE.findall(text)
    assert SEQUENCE.sub("", text) == ""
    assert len(parts) > 3
    assert standard_b64decode("".join(data for _, data in parts)) == png
    assert all(len(data) <= 4096 and len(data) % 4 == 0 for _, data in parts)
    keys = [dict(pair.split("=") for pair in control.split(",")) for control, _ in parts]
    assert keys[0]["a"] == "t"
    assert keys[0]["i"] == "77"
    assert [k["m"] for k in keys] == ["1"] * (len(keys) - 1) + ["0"]
    # Answers would be typed into the explorer.
    assert all(k["q"] == "2" for k in keys)


def test_where_a_picture_is_shown_and_how_it_goes() -> None:
    text = kitty.show(5, 2, (10, 3), (40, 20), 1)
    assert text.startswith("\x1b7\x1b[4;11H")
    assert text.endswith("\x1b8")
    (control, _), = SEQUENCE.findall(text)  # fmt: skip
    assert dict(pair.split("=") for pair in control.split(",")) == {
        "a": "p", "i": "5", "p": "2", "c": "40", "r": "20", "z": "1", "C": "1", "q": "2",
    }  # fmt: skip
    assert ",X=3,Y=7," in kitty.show(5, 2, (0, 0), None, 2, (3, 7))
    assert kitty.hide(5, 2) == "\x1b_Ga=d,d=i,i=5,p=2,q=2\x1b\\"
    assert kitty.remove(5) == "\x1b_Ga=d,d=I,i=5,q=2\x1b\\"


@pytest.mark.parametrize("opacity", [0.5, 0.75, 1.0])
@pytest.mark.parametrize("palette", ["inferno", "viridis"])
def test_an_overlay_over_the_faded_photo_is_the_blend(opacity: float, palette: str) -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (24, 31, 3), dtype=np.uint8)
    field = rng.random((24, 31)).astype(np.float32)
    field[:3, :5] = np.nan
    with Image.open(BytesIO(kitty.overlay_png(field, opacity, palette))) as image:
        image.verify()
    with Image.open(BytesIO(kitty.overlay_png(field, opacity, palette))) as image:
        over = np.asarray(image.convert("RGBA")).astype(float)
    alpha = over[..., 3:] / 255
    seen = faded(rgb, opacity) * (1 - alpha) + over[..., :3] * alpha
    apart = np.abs(seen - blend(rgb, field, opacity, palette))
    # 64 steps of heat: half a step where the map's colours change fastest.
    assert apart.max() < 12
    assert apart.mean() < 1.5
    assert (over[:3, :5, 3] == 0).all()


def test_a_ring_is_empty_inside() -> None:
    with Image.open(BytesIO(kitty.ring_png((12, 9)))) as image:
        rgba = np.asarray(image.convert("RGBA"))
    assert rgba.shape == (9, 12, 4)
    assert (rgba[2:-2, 2:-2, 3] == 0).all()
    assert (rgba[0, :, :3] == 0).all()
    assert (rgba[1, 1:-1, :3] == 255).all()
