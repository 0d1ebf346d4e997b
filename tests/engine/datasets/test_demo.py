import io
import pickle

import numpy as np
import pytest
from PIL import Image

from flowtui.engine.datasets.demo import open_demo
from flowtui.engine.datasets.items import groups
from flowtui.engine.datasets.opening import open_dataset
from flowtui.engine.demo.questions import KINDS
from flowtui.engine.demo.world import render
from flowtui.engine.metrics.table import METRICS
from flowtui.errors import UsageError


def right_answer(item):
    """What a model that knows everything would say, by the truth alone."""
    truth = item.truth
    if "label" in truth:
        return truth["label"]
    if "choices" in truth:
        return "ABCD"[truth["answer"]]
    return truth["answers"][0] if "answers" in truth else " and ".join(f"a {thing}" for thing in truth["objects"])


def test_a_seed_makes_the_same_data_set_and_another_seed_another():
    assert open_demo(60, 1) == open_demo(60, 1)
    assert open_demo(60, 1).digest == open_demo(60, 1).digest != open_demo(60, 2).digest


def test_more_items_begin_with_the_same_ones_and_other_kinds_change_no_question():
    few, many = open_demo(20, 3).items, open_demo(90, 3).items
    assert many[:20] == few
    presence = [item for item in open_demo(400, 3).items if item.kind == "presence"]
    alone = open_demo(len(presence), 3, ["presence"]).items
    assert list(alone) == presence


def test_all_kinds_are_there_and_questions_on_one_scene_share_its_image():
    dataset = open_demo(200, 0)
    assert {item.kind for item in dataset.items} == set(KINDS)
    assert len({item.id for item in dataset.items}) == len(dataset.items) == 200
    sizes = [len(group) for group in groups(dataset.items)]
    assert sum(sizes) == 200
    assert max(sizes) > 4
    assert all(item.cluster == item.image for item in dataset.items)


def test_images_are_the_scenes_that_the_questions_are_about():
    dataset = open_demo(10, 0)
    again = pickle.loads(pickle.dumps(dataset))
    for item in dataset.items:
        data = dataset.image_bytes(item)
        assert data == again.image_bytes(item)
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        scene = dataset.images.scenes[item.image]
        assert scene.split == "evaluation"
        np.testing.assert_array_equal(pixels, render(scene)[0])


def test_true_answers_score_full_marks_and_empty_ones_do_not():
    metric = METRICS["demo"]
    for item in open_demo(150, 5).items:
        counted = metric.counts(item, right_answer(item))
        assert set(counted) == set(metric.names)
        assert counted["accuracy"] == (1.0, 1.0)
        if item.kind not in ("presence",):
            assert metric.counts(item, "")["accuracy"] == (0.0, 1.0)


def test_unknown_names_and_kinds_are_refused():
    with pytest.raises(UsageError, match="no kind"):
        open_demo(10, 0, ["smell"])
    with pytest.raises(UsageError, match="no data set 'vqa'"):
        open_dataset("vqa")
