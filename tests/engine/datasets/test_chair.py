import pytest

from flowtui.engine.datasets.opening import open_dataset
from flowtui.errors import UsageError
from tests.engine.datasets.official import coco, write_images, write_json

NAMES = ["COCO_val2014_000000000042.jpg", "COCO_val2014_000000000073.jpg"]


@pytest.fixture
def folder(tmp_path):
    instances, captions = coco()
    write_json(tmp_path / "instances_val2014.json", instances)
    write_json(tmp_path / "captions_val2014.json", captions)
    return tmp_path


def test_truth_is_what_instances_and_people_name(folder):
    dataset = open_dataset("chair", questions=[folder], strict=True)
    assert [(item.id, item.image) for item in dataset.items] == [("42", NAMES[0]), ("73", NAMES[1])]
    assert dataset.items[0].truth == {"objects": ["bench", "dog", "person"]}
    assert dataset.items[1].truth == {"objects": ["knife", "pizza"]}
    assert {item.prompt for item in dataset.items} == {"Please describe this image in detail."}


def test_a_limit_draws_images_and_missing_ones_are_noted(folder, tmp_path):
    images = write_images(tmp_path / "coco", [f"val2014/{NAMES[1]}"])
    dataset = open_dataset("chair", questions=[folder], images=images)
    assert [item.id for item in dataset.items] == ["73"]
    assert dataset.notes[0].startswith("1 of 2 images are missing")
    assert [item.id for item in open_dataset("chair", questions=[folder], limit=1).items] == ["42"]


def test_both_kinds_of_file_are_needed_and_of_one_version(folder):
    for kind, other in (("instances", "captions"), ("captions", "instances")):
        with pytest.raises(UsageError, match=f"No file like {other}"):
            open_dataset("chair", questions=[folder / f"{kind}_val2014.json"])
    _, captions = coco()
    more = captions | {"images": [*captions["images"][:1], {"id": 7, "file_name": "COCO_train2014_000000000007.jpg"}]}
    write_json(folder / "captions_val2014.json", more)
    dataset = open_dataset("chair", questions=[folder])
    assert [item.id for item in dataset.items] == ["42"]
    (note,) = dataset.notes
    assert note.startswith("2 of 3 images are in the instances or the captions alone")
    assert "COCO_train2014_000000000007.jpg" in note


def test_other_annotations_are_refused(folder):
    instances, _ = coco()
    stuff = instances | {"categories": [{"id": 1, "name": "sky"}]}
    for content, message in (
        (stuff, "'sky' is none of COCO's 80"),
        ({"data": []}, "no annotation file of COCO's"),
        ({"images": [{"id": 1}]}, "no file of instances or captions"),
        ([], "no annotation file"),
    ):
        write_json(folder / "instances_val2014.json", content)
        with pytest.raises(UsageError, match=message):
            open_dataset("chair", questions=[folder])
