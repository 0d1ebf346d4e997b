"""Files from anywhere: whatever is in them, what comes out is a data set or one sentence."""

import copy
import json

import numpy as np
import pytest

from flowtui.engine.datasets.answers import read_answers
from flowtui.engine.datasets.opening import open_dataset
from flowtui.engine.metrics.score import score
from flowtui.engine.metrics.table import METRICS
from flowtui.errors import UsageError
from tests.engine.datasets.official import coco, pope_rows, rosetta, scienceqa, textvqa, write_images

STRANGE = (
    None,
    True,
    -1,
    10**30,
    1e400,
    float("nan"),
    "",
    "x",
    "\ud800",
    "a/b",
    "../..",
    "n" * 5000,
    [],
    {},
    [[]],
    {"a": 1},
)
ROUNDS = 60


def sheets():
    """The official files of each data set, and answers to its questions."""
    problems, splits = scienceqa()
    instances, captions = coco()
    said = [{"question_id": i, "text": "no", "prompt": "?", "category": "random"} for i in range(6)]
    return {
        "pope": ({"coco_pope_random.json": pope_rows(1)}, said),
        "textvqa+ocr": ({"val.json": textvqa(), "ocr.json": rosetta()}, [{"question_id": 34602, "answer": "red"}]),
        "scienceqa": ({"problems.json": problems, "pid_splits.json": splits}, {"results": {"3": 1, "9": 0}}),
        "chair": (
            {"instances_v.json": instances, "captions_v.json": captions},
            {"imgToEval": {"42": {"image_id": 42, "caption": "A dog."}}},
        ),
    }


def places(content, path=()):
    """Every place in plain data."""
    yield path
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        yield from places(value, (*path, key))


def changed(content, rng):
    """The same data with one place replaced or removed."""
    found = list(places(content))
    path = found[rng.integers(len(found))]
    if not path:
        return STRANGE[rng.integers(len(STRANGE))]
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    if rng.random() < 0.2:
        del inner[path[-1]]
    else:
        inner[path[-1]] = STRANGE[rng.integers(len(STRANGE))]
    return content


@pytest.mark.parametrize("name", sheets())
def test_one_strange_value_anywhere(name, tmp_path):
    files, said = sheets()[name]
    images = write_images(tmp_path / "images", ["test/3/image.png", "003a8ae2ef43b900.jpg"])
    write_images(images, [f"COCO_val2014_{i:012}.jpg" for i in (0, 42, 73)])
    rng, opened, said_so = np.random.default_rng(6), 0, list[str]()
    for _ in range(ROUNDS):
        which = rng.choice([*files, "answers.json"])
        contents = {**files, "answers.json": said}
        contents[which] = changed(contents[which], rng)
        for file, content in contents.items():
            (tmp_path / file).write_text(json.dumps(content))
        try:
            for folder in (images, None):
                dataset = open_dataset(name, questions=[tmp_path / file for file in files], images=folder)
                for item in dataset.items:
                    if folder is not None:
                        dataset.image_bytes(item)
                assert dataset.digest
            answers = read_answers(dataset, [tmp_path / "answers.json"])
            score(METRICS[dataset.name], dataset.items, answers.texts, silent_is_wrong=True)
            opened += 1
        except UsageError as error:
            said_so.append(error.message)
    assert all(message and "\n" not in message for message in said_so)
    assert opened > ROUNDS / 20
    assert len(said_so) > ROUNDS / 20


@pytest.mark.parametrize(
    "data", [b"\x00\xff\xfe", b"\xef\xbb\xbf{}", b"{" * 5000, b"1" * 5000, b'"' + b"\\ud800" * 9 + b'"']
)
def test_bytes_that_are_no_data(data, tmp_path):
    path = tmp_path / "coco_pope_random.json"
    path.write_bytes(data)
    for name in ("pope", "textvqa", "scienceqa", "chair"):
        with pytest.raises(UsageError):
            open_dataset(name, questions=[path])
