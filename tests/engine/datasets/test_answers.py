import json

import pytest

from flowtui.engine.datasets.answers import read_answers
from flowtui.engine.datasets.opening import open_dataset
from flowtui.errors import UsageError
from tests.engine.datasets.official import coco, pope_rows, scienceqa, textvqa, write_json, write_lines


@pytest.fixture
def pope(tmp_path):
    path = write_lines(tmp_path / "coco_pope_random.json", pope_rows(2, start=1))
    return open_dataset("pope", questions=[path])


def texts_of(dataset, path):
    return read_answers(dataset, [path]).texts


def test_popes_own_form_goes_by_order(pope, tmp_path):
    rows = [{"question": item.truth["question"].lower(), "answer": f"a{i}"} for i, item in enumerate(pope.items)]
    assert texts_of(pope, write_lines(tmp_path / "a.json", rows)) == tuple(f"a{i}" for i in range(12))
    with pytest.raises(UsageError, match="11 answers without question ids to 12 questions"):
        texts_of(pope, write_lines(tmp_path / "short.json", rows[:-1]))
    turned = write_lines(tmp_path / "turned.json", rows[::-1])
    with pytest.raises(UsageError, match=r"turned\.json, row 1 answers 'is there a tv in the image\?', where"):
        texts_of(pope, turned)


def test_llavas_form_goes_by_number_in_any_order(pope, tmp_path):
    rows = [{"question_id": i, "prompt": "?", "text": f"a{i}", "model_id": "x"} for i in range(12, 0, -1)]
    assert texts_of(pope, write_lines(tmp_path / "a.jsonl", rows)) == tuple(f"a{i}" for i in range(1, 13))
    assert texts_of(pope, write_json(tmp_path / "a.json", rows)) == tuple(f"a{i}" for i in range(1, 13))


def test_missing_and_strange_answers_are_noted_and_double_ones_refused(pope, tmp_path):
    rows = [{"question_id": i, "text": "yes"} for i in (1, 2, 3, 77)]
    read = read_answers(pope, [write_lines(tmp_path / "a.jsonl", rows)])
    assert read.texts == ("yes",) * 3 + (None,) * 9
    assert read.notes == (
        "9 of 12 questions have no answer: random/4, random/5, random/6, ...",
        "1 of 4 answers belong to no question and are left out: 77.",
    )
    with pytest.raises(UsageError, match="question 1 is answered twice"):
        texts_of(pope, write_lines(tmp_path / "b.jsonl", [*rows, rows[0]]))
    with pytest.raises(UsageError, match="answers none of the questions: it has '100'"):
        texts_of(pope, write_lines(tmp_path / "c.jsonl", [{"question_id": 100, "text": "yes"}]))


def test_numbers_that_several_splits_have_need_the_split(tmp_path):
    for split in ("random", "popular"):
        write_lines(tmp_path / f"coco_pope_{split}.json", pope_rows(1))
    both = open_dataset("pope", questions=[tmp_path])
    rows = [{"question_id": 0, "text": "no"}]
    with pytest.raises(UsageError, match="question 0 is in 2 splits"):
        texts_of(both, write_lines(tmp_path / "a.jsonl", rows))
    named = [rows[0] | {"category": "random"}, {"question_id": "popular/1", "text": "yes"}]
    texts = texts_of(both, write_lines(tmp_path / "a.jsonl", named))
    assert {item.id: text for item, text in zip(both.items, texts, strict=True) if text} == {
        "random/0": "no",
        "popular/1": "yes",
    }


def test_textvqas_submission_and_llavas_answers_by_image_and_prompt(tmp_path):
    main = write_json(tmp_path / "val.json", textvqa(questions=("what brand?", "what year?", "what time?")))
    dataset = open_dataset("textvqa", questions=[main])
    submission = [{"question_id": 34604, "answer": "noon"}, {"question_id": 34602, "answer": "dakota"}]
    assert texts_of(dataset, write_json(tmp_path / "s.json", submission)) == ("dakota", None, "noon")
    short = "Answer the question using a single word or phrase."
    llava = [
        {"question_id": "003a8ae2ef43b900", "prompt": f"What year?\n{short}", "text": "1999"},
        {"question_id": "003a8ae2ef43b900", "prompt": f"What brand?\nReference OCR token: A\n{short}", "text": "kodak"},
        {"question_id": "003a8ae2ef43b901", "prompt": f"What time?\n{short}", "text": "1 pm"},
    ]
    assert texts_of(dataset, write_lines(tmp_path / "l.jsonl", llava)) == ("kodak", "1999", "1 pm")


def test_scienceqas_result_file_and_llavas_answers(tmp_path):
    problems, splits = scienceqa()
    files = [write_json(tmp_path / "problems.json", problems), write_json(tmp_path / "pid_splits.json", splits)]
    dataset = open_dataset("scienceqa", questions=files)
    result = {"acc": 50.0, "results": {"3": 1, "9": -1}, "outputs": {"3": "milk", "9": "?"}}
    assert texts_of(dataset, write_json(tmp_path / "r.json", result)) == ("B", "")
    llava = [{"question_id": "9", "text": "A", "prompt": "?"}]
    assert texts_of(dataset, write_lines(tmp_path / "l.jsonl", llava)) == (None, "A")


@pytest.mark.parametrize(
    "content",
    [
        [{"image_id": 73, "caption": "A pizza."}],
        {"overall": {}, "imgToEval": {"73": {"image_id": 73, "caption": "A pizza.", "CIDEr": 1.0}}},
        {"sentences": [{"image_id": 73, "caption": "A pizza.", "words": []}]},
        {"question_id": 73, "text": "A pizza.", "prompt": "Please describe this image in detail."},
    ],
)
def test_the_forms_of_captions(content, tmp_path):
    instances, captions = coco()
    files = [
        write_json(tmp_path / "instances_val.json", instances),
        write_json(tmp_path / "captions_val.json", captions),
    ]
    dataset = open_dataset("chair", questions=files)
    assert texts_of(dataset, write_json(tmp_path / "a.json", content)) == (None, "A pizza.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "no list of answers"),
        ('"yes"', "no list of answers"),
        ('{"question_id": 1, "label": "yes"}\n', "row 1: there is no answer in it"),
        ("", "is empty"),
        ('{"question_id": 1, "text": "yes"}\nnonsense', "line 2 is not JSON"),
        ('{"answers": 7}', "no list of answers"),
    ],
)
def test_files_that_hold_no_answers(content, message, pope, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_answers(pope, [path])
    with pytest.raises(UsageError, match="No answers are given"):
        read_answers(pope, [])


def test_answers_in_several_files_are_put_together(pope, tmp_path):
    rows = [json.dumps({"question_id": i, "text": "no"}) for i in range(1, 13)]
    for name, part in (("a", rows[:5]), ("b", rows[5:])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(part))
    assert read_answers(pope, [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]).texts == ("no",) * 12
