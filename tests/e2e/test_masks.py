"""The shipped runs against the shipped scenes' truth: what `show --box` and `show --mask` say of the trained model."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowtui.engine.demo.examples import first_of
from tests.e2e.terminal import Call

EXAMPLES = Path(__file__).parents[2] / "examples"
KINDS = sorted(path.stem for path in EXAMPLES.glob("*.pkl"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_cam_of_some_layer_points_at_a_thing(flowtui: Call, kind: str) -> None:
    shown = flowtui("show", EXAMPLES / f"{kind}.pkl", "--mask", first_of(kind).mask, "--json")
    content = json.loads(shown.stdout)
    assert 0 < content["mask"]["share"] < 0.2
    assert True in content["cam"]["pointing"]
    # The map of the last layer is exactly zero: it points nowhere.
    assert content["cam"]["pointing"][11] is content["cam"]["mass_in_box"][11] is None
    for hit, mass in zip(content["cam"]["pointing"], content["cam"]["mass_in_box"], strict=True):
        assert (hit is None) == (mass is None)
        assert mass is None or 0 <= mass <= 1


def test_the_readmes_finding_holds_against_the_truth(flowtui: Call, home: Path) -> None:
    example = first_of("shape")
    (box,) = example.boxes_px
    path = EXAMPLES / "shape.pkl"
    content = json.loads(flowtui("show", path, "--box", ",".join(map(str, box)), "--json").stdout)
    # Layer 8 looks at the red circle and at nothing else, and layer 7's CAM peaks on it.
    assert content["attention"]["pointing"][8] is True
    assert content["attention"]["mass_in_box"][8] > 0.95
    assert content["cam"]["pointing"][7] is True
    assert content["cam"]["mass_in_box"][7] > 5 * content["mask"]["share"]
    # The circle's own pixels, as a mask and in the other forms.
    labels = np.asarray(Image.open(example.mask))
    left, top, right, bottom = box
    label = labels[(top + bottom) // 2, (left + right) // 2]
    Image.fromarray((labels == label).astype(np.uint8)).save(home / "circle.png")
    masked = json.loads(flowtui("show", path, "--mask", home / "circle.png", "--image", 1, "--json").stdout)
    assert masked["mask"]["share"] < content["mask"]["share"]
    assert masked["attention"]["mass_in_box"][8] < content["attention"]["mass_in_box"][8]
    assert masked["cam"]["pointing"][7] is True
    rows = list(csv.DictReader(flowtui("show", path, "--mask", home / "circle.png", "--csv").stdout.splitlines()))
    assert float(rows[8]["attention_mass_in_box"]) == masked["attention"]["mass_in_box"][8]
    assert "mask: " in flowtui("show", path, "--mask", home / "circle.png").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--box", "1,2,3"), "not a box"),
        (("--box", "0,0,97,96"), "96 x 96"),
        (("--mask", "nope.png"), "nope.png"),
        (("--mask", EXAMPLES / "shape.pkl"), "not an image"),
        (("--mask", "wide.png"), "97 x 96"),
        (("--mask", "black.png"), "no object"),
        (("--box", "0,0,9,9", "--mask", "black.png"), "exclude"),
        (("--box", "0,0,9,9", "--image", 2), "no image 2"),
        (("--image", 2), "--box or --mask"),
    ],
)
def test_what_cannot_be_meant_is_said(flowtui: Call, home: Path, arguments: tuple[object, ...], message: str) -> None:
    Image.new("L", (97, 96), 255).save(home / "wide.png")
    Image.new("L", (96, 96), 0).save(home / "black.png")
    done = flowtui("show", EXAMPLES / "shape.pkl", *arguments, code=2)
    assert done.stdout == ""
    assert message in done.stderr
