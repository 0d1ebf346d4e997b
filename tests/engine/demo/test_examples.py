import json

import numpy as np
from PIL import Image

from flowtui.engine.demo import ship
from flowtui.engine.demo.examples import SCENES, examples, first_of
from flowtui.engine.demo.questions import KINDS


def test_eight_scenes_are_shipped_with_images_masks_questions():
    found = examples()
    assert {e.scene for e in found} == set(range(1, 9))
    for example in found:
        with Image.open(example.image) as image, Image.open(example.mask) as mask:
            assert image.size == mask.size == (96, 96)
            labels = np.asarray(mask)
        for left, top, right, bottom in example.boxes_px:
            assert labels[top:bottom, left:right].any()


def test_each_kind_has_a_scene_of_its_own():
    assert [first_of(kind).scene for kind in KINDS] == [1, 2, 3, 4, 5, 6, 7]


def test_the_shipped_files_are_what_the_recipe_writes(tmp_path):
    ship.write_scenes(tmp_path)
    assert json.loads((tmp_path / "scenes.json").read_text()) == json.loads((SCENES / "scenes.json").read_text())
    for path in sorted(SCENES.glob("*.png")):
        with Image.open(path) as shipped, Image.open(tmp_path / path.name) as fresh:
            assert np.array_equal(np.asarray(shipped), np.asarray(fresh)), path.name


def test_shipped_scenes_belong_to_the_evaluation_split():
    assert all(scene.split == "evaluation" for scene, _ in ship.choose(ship.SEED))
