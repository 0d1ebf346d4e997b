"""`flowtui score`: files as they are made elsewhere in, the official scorers' numbers out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowtui.engine.datasets.demo import open_demo
from flowtui.tui.cli import entry
from tests.engine.datasets.official import coco, pope_rows, scienceqa, textvqa, write_json, write_lines

Capture = pytest.CaptureFixture[str]


def scored(capsys: Capture, *arguments: object) -> dict:
    assert entry.run(["score", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: Capture, *arguments: object) -> str:
    assert entry.run(["score", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) <= 2
    return said.err


def test_pope_by_hand(tmp_path: Path, capsys: Capture) -> None:
    """Six rows, the first three are yes, and yes, no, yes is said of them; no of the others: TP 2, FN 1, TN 3."""
    questions = write_lines(tmp_path / "coco_pope_random.json", pope_rows(1))
    said = ["yes", "no", "Yes, there is. No doubt", "No.", "no", "Well, not really"]
    answers = write_lines(tmp_path / "a.jsonl", [{"answer": text} for text in said])
    report = scored(capsys, "pope", "--questions", questions, "--answers", answers)
    assert report["scores"] == pytest.approx(
        {"accuracy": 5 / 6, "f1": 4 / 5, "precision": 1.0, "recall": 2 / 3, "yes_ratio": 2 / 6}
    )
    assert (report["dataset"], report["questions"], report["answered"], report["images"]) == ("pope", 6, 6, 1)
    assert report["sums"]["accuracy"] == [5, 6]
    assert list(report["kinds"]) == ["random"]
    assert report["notes"] == ["coco_pope_random.json has 6 rows; the official file has 3,000 or 2,910."]


def test_llavas_pope_answers_by_split(tmp_path: Path, capsys: Capture) -> None:
    rows, asked, said = pope_rows(1), [], []
    for split in ("adversarial", "random"):
        write_lines(tmp_path / f"coco_pope_{split}.json", rows)
        for row in rows:
            number = len(asked)
            asked.append({**row, "question_id": number, "category": split})
            said.append({"question_id": number, "prompt": "?", "text": "Yes" if split == "random" else row["label"]})
    unlabelled = [{key: value for key, value in row.items() if key != "label"} for row in asked]
    write_lines(tmp_path / "llava_pope_test.jsonl", unlabelled)
    answers = write_lines(tmp_path / "answers.jsonl", said)
    report = scored(capsys, "pope", "--questions", tmp_path, "--answers", answers)
    assert report["kinds"]["adversarial"]["scores"]["accuracy"] == 1.0
    assert report["kinds"]["random"]["scores"]["accuracy"] == 0.5
    assert report["scores"]["accuracy"] == 0.75


def test_textvqa_by_hand(tmp_path: Path, capsys: Capture) -> None:
    """Three people of ten say two: 0.9; all ten say it: 1; one question without an answer is left out, not wrong."""
    content = textvqa(answers=["two", "2", "a two", *["red"] * 7], questions=("how many?", "how many cars?", "why?"))
    content["data"][1]["answers"] = ["2"] * 10
    questions = write_json(tmp_path / "TextVQA_0.5.1_val.json", content)
    answers = write_json(
        tmp_path / "s.json", [{"question_id": 34602, "answer": "2."}, {"question_id": 34603, "answer": "Two"}]
    )
    report = scored(capsys, "textvqa", "--questions", questions, "--answers", answers)
    assert report["scores"] == {"accuracy": pytest.approx(0.95)}
    assert report["items"] == 2
    assert report["notes"] == ["1 of 3 questions have no answer: 34604."]


def test_scienceqa_by_hand_silence_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    problems, splits = scienceqa()
    write_json(tmp_path / "problems.json", problems)
    write_json(tmp_path / "pid_splits.json", splits)
    answers = write_lines(tmp_path / "a.jsonl", [{"question_id": "3", "text": "B. milk"}])
    report = scored(capsys, "scienceqa", "--questions", tmp_path, "--answers", answers)
    assert report["scores"] == {"image_accuracy": 1.0, "text_accuracy": 0.0, "accuracy": 0.5}
    report = scored(capsys, "scienceqa", "--questions", tmp_path, "--answers", answers, "--split", "minitest")
    assert report["scores"] == {"image_accuracy": 1.0, "text_accuracy": None, "accuracy": 1.0}


def test_chair_by_hand_over_the_captioned_images_alone(tmp_path: Path, capsys: Capture) -> None:
    """Image 42 has bench, dog, person. Named: person, dog, cat, dogs -> 1 wrong of 4; recall 2 of 3; 9 words."""
    instances, captions = coco()
    write_json(tmp_path / "instances_val2014.json", instances)
    write_json(tmp_path / "captions_val2014.json", captions)
    answers = write_json(tmp_path / "c.json", [{"image_id": 42, "caption": "A man, his dog and a cat see dogs."}])
    report = scored(capsys, "chair", "--questions", tmp_path, "--answers", answers, "--strict")
    expected = {"chair_i": 1 / 4, "chair_s": 1.0, "recall": 2 / 3, "length": 9.0}
    assert report["scores"] == pytest.approx(expected)
    assert report["notes"] == []


def test_the_demo_world(tmp_path: Path, capsys: Capture) -> None:
    items = open_demo(30, 2).items
    rows = [{"question_id": item.id, "text": "yes"} for item in items]
    answers = write_lines(tmp_path / "a.jsonl", rows)
    report = scored(capsys, "demo", "--answers", answers, "--limit", 30, "--seed", 2, "--strict")
    presence = [item for item in items if item.kind == "presence"]
    right = sum(item.truth["label"] == "yes" for item in presence)
    assert report["kinds"]["presence"]["sums"]["pope.accuracy"] == [right, len(presence)]
    assert report["scores"]["accuracy"] == right / 30


def test_the_table(tmp_path: Path, capsys: Capture) -> None:
    files = [write_lines(tmp_path / f"coco_pope_{split}.json", pope_rows(1)) for split in ("random", "popular")]
    rows = [{"question_id": f"{split}/{i}", "text": "yes"} for split in ("random", "popular") for i in range(6)]
    answers = write_lines(tmp_path / "a.jsonl", rows[:-1])
    arguments = ["score", "pope", "--questions", *map(str, files[:1]), "--questions", str(files[1]), "--answers"]
    assert entry.run([*arguments, str(answers)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("all: 11 questions on 1 images\n  accuracy")
    assert "54.55 %   6 / 11" in said.out
    assert "\nrandom: 6 questions" in said.out
    assert "\npopular: 5 questions" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert "1 of 12 questions have no answer: popular/5." in said.err


def test_errors_are_one_line_with_a_hint(tmp_path: Path, capsys: Capture) -> None:
    answers = write_lines(tmp_path / "a.jsonl", [{"question_id": 1, "text": "yes"}])
    assert "There is no data set 'vqa'" in refused(capsys, "vqa", "--answers", answers)
    assert "No question files of POPE are given" in refused(capsys, "pope", "--answers", answers)
    gone = tmp_path / "gone"
    assert f"There is no file {gone}" in refused(capsys, "pope", "--questions", gone, "--answers", answers)
    assert "--split does not go with pope" in refused(capsys, "pope", "--answers", answers, "--split", "test")
    assert "makes its own questions" in refused(capsys, "demo", "--answers", answers, "--questions", answers)
    questions = write_lines(tmp_path / "coco_pope_random.json", pope_rows(500))
    arguments = ("pope", "--questions", questions, "--answers", answers)
    assert "2,999 of 3,000 questions have no answer" in refused(capsys, *arguments, "--strict")
    assert entry.run(["score", "pope", "--questions", str(questions)]) == 2
    assert "--answers" in capsys.readouterr().err


def test_names_from_files_cannot_steer_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    row = pope_rows(1)[0] | {"question_id": "\x1b]52;c;aGk=\x07"}
    questions = write_lines(tmp_path / "coco_pope_\x1b[31m.json", [row, pope_rows(1)[1]])
    answers = write_lines(tmp_path / "a.jsonl", [{"question_id": 1, "text": "yes"}])
    assert entry.run(["score", "pope", "--questions", str(questions), "--answers", str(answers)]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err
    assert "␛]52" in said.err
