import pytest

from flowtui.engine.datasets.opening import open_dataset
from flowtui.engine.datasets.textvqa import question_of
from flowtui.errors import UsageError
from tests.engine.datasets.official import rosetta, textvqa, write_images, write_json, write_lines

SHORT = "\nAnswer the question using a single word or phrase."
LLAVA = {
    "question_id": "003a8ae2ef43b900",
    "image": "003a8ae2ef43b900.jpg",
    "text": f"What is the brand of this camera?\nReference OCR token: NOKIA, 6500{SHORT}",
    "category": "default",
}


@pytest.fixture
def main_file(tmp_path):
    return write_json(tmp_path / "TextVQA_0.5.1_val.json", textvqa())


def test_an_official_file(main_file):
    dataset = open_dataset("textvqa", questions=[main_file], strict=True)
    (item,) = dataset.items
    assert (item.id, item.image, item.cluster, item.kind) == (
        "34602", "003a8ae2ef43b900.jpg", "003a8ae2ef43b900", "val"
    )  # fmt: skip
    assert item.prompt == f"What is the brand of this camera?{SHORT}"
    assert item.truth["answers"] == ["dakota"] * 10
    assert dataset.options == {"ocr": False, "limit": None, "seed": None}


def test_ocr_tokens_come_from_either_file_and_only_when_asked_for(main_file, tmp_path):
    tokens = write_json(tmp_path / "TextVQA_Rosetta_OCR_v0.2_val.json", rosetta())
    llava = write_lines(tmp_path / "llava_textvqa_val_v051_ocr.jsonl", [LLAVA, LLAVA | {"question_id": "other"}])
    asked = "What is the brand of this camera?\nReference OCR token: {}" + SHORT
    for file, shown in ((tokens, "DAKOTA, DIGITAL"), (llava, "NOKIA, 6500")):
        (item,) = open_dataset("textvqa", questions=[main_file, file], ocr=True, strict=True).items
        assert item.prompt == asked.format(shown)
        (item,) = open_dataset("textvqa", questions=[main_file, file]).items
        assert "OCR" not in item.prompt
    (item,) = open_dataset("textvqa", questions=[main_file, tokens], ocr=True, family="instructblip").items
    assert item.prompt == "OCR tokens: DAKOTA, DIGITAL. Question: what is the brand of this camera? Short answer:"
    with pytest.raises(UsageError, match="No file with OCR tokens"):
        open_dataset("textvqa", questions=[main_file], ocr=True)
    with pytest.raises(UsageError, match="only OCR tokens"):
        open_dataset("textvqa", questions=[tokens])


def test_images_without_tokens_are_noted(tmp_path):
    main = write_json(tmp_path / "val.json", textvqa(questions=("a?", "b?", "c?")))
    tokens = write_json(tmp_path / "ocr.json", rosetta())
    dataset = open_dataset("textvqa", questions=[main, tokens], ocr=True)
    assert dataset.notes == ("1 of 3 questions have no OCR tokens in the file given: 34604.",)
    assert "Reference OCR token: \n" in dataset.items[2].prompt


def test_another_version_is_noted_and_another_data_set_refused(tmp_path):
    old = write_json(tmp_path / "TextVQA_0.5_val.json", textvqa(version="0.5"))
    assert open_dataset("textvqa", questions=[old]).notes == (
        "TextVQA_0.5_val.json is version 0.5; scores are of 0.5.1.",
    )
    with pytest.raises(UsageError, match=r"version 0\.5"):
        open_dataset("textvqa", questions=[old], strict=True)
    other = write_json(tmp_path / "vqa.json", textvqa() | {"dataset_name": "st-vqa"})
    with pytest.raises(UsageError, match="is of the data set 'st-vqa'"):
        open_dataset("textvqa", questions=[other])


@pytest.mark.parametrize("answers", [None, []])
def test_the_test_split_has_no_answers(answers, tmp_path):
    content = textvqa()
    row = {key: value for key, value in content["data"][0].items() if key != "answers"}
    content["data"] = [row if answers is None else row | {"answers": answers}]
    path = write_json(tmp_path / "TextVQA_0.5_test.json", content)
    with pytest.raises(UsageError, match="row 1 has no answers") as refused:
        open_dataset("textvqa", questions=[path])
    assert "test split" in refused.value.hint


def test_fewer_answers_are_noted(tmp_path):
    path = write_json(tmp_path / "val.json", textvqa(answers=("red",) * 9))
    assert open_dataset("textvqa", questions=[path]).notes == ("1 of 1 questions do not have 10 answers: 34602.",)


@pytest.mark.parametrize("content", [{}, {"data": []}, {"data": [1]}, [], ["a"], {"data": [{"image": "a"}]}, 3])
def test_other_json_is_refused(content, tmp_path):
    path = write_json(tmp_path / "val.json", content)
    with pytest.raises(UsageError, match="no file of TextVQA's"):
        open_dataset("textvqa", questions=[path])


def test_two_splits_with_the_same_questions_are_refused(main_file, tmp_path):
    again = write_json(tmp_path / "again.json", textvqa())
    with pytest.raises(UsageError, match="there twice"):
        open_dataset("textvqa", questions=[main_file, again])


def test_images_lie_in_train_images(main_file, tmp_path):
    folder = write_images(tmp_path / "images", ["train_images/003a8ae2ef43b900.jpg"])
    dataset = open_dataset("textvqa", questions=[main_file], images=folder, strict=True)
    assert dataset.image_bytes(dataset.items[0])


@pytest.mark.parametrize(
    "prompt",
    [
        "What is the brand?",
        f"What is the brand?{SHORT}",
        f"What is the brand?\nReference OCR token: A, B{SHORT}",
        f"Reference OCR token: A, B\nWhat is the brand?{SHORT}",
        "OCR tokens: A, B. Question: What is the brand? Short answer:",
        "OCR tokens: A, B. Question: What is the brand? Short answer: ",
    ],
)
def test_the_question_in_a_prompt(prompt):
    assert question_of(prompt) == "what is the brand?"
