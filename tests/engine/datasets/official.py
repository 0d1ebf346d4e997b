"""Small files in the official forms, for tests: what they hold is made up, how they hold it is not."""

import json
from pathlib import Path

from tests.factories import png

QUESTION = "Is there a {} in the image?"


def pope_rows(images=2, start=0, absent=("dog", "cat", "tv")):
    rows = []
    for image in range(images):
        for thing, label in [*((t, "yes") for t in ("person", "chair", "car")), *((t, "no") for t in absent)]:
            rows.append(
                {
                    "question_id": start + len(rows),
                    "image": f"COCO_val2014_{image:012}.jpg",
                    "text": QUESTION.format(thing),
                    "label": label,
                }
            )
    return rows


def write_lines(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write_json(path: Path, content) -> Path:
    path.write_text(json.dumps(content), "utf-8")
    return path


def write_images(folder: Path, names) -> Path:
    data = png(24, 24)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def textvqa(answers=("dakota",) * 10, version="0.5.1", questions=("what is the brand of this camera?",)):
    rows = [
        {
            "question_id": 34602 + i,
            "question": question,
            "image_id": f"003a8ae2ef43b90{i // 2}",
            "answers": list(answers),
            "set_name": "val",
        }
        for i, question in enumerate(questions)
    ]
    return {"dataset_name": "textvqa", "dataset_type": "val", "dataset_version": version, "data": rows}


def rosetta(tokens=("DAKOTA", "DIGITAL")):
    return {"dataset_version": "0.2", "data": [{"image_id": "003a8ae2ef43b900", "ocr_tokens": list(tokens)}]}


def scienceqa():
    """Four problems: 3 and 9 are the test split, of which 3 has an image."""

    def problem(question, choices, answer, hint, image, split):
        return {
            "question": question,
            "choices": choices,
            "answer": answer,
            "hint": hint,
            "image": image,
            "subject": "natural science",
            "split": split,
            "task": "closed choice",
            "lecture": "",
            "solution": "",
        }

    problems = {
        "1": problem("Which is alive?", ["a rock", "a tree"], 1, "", None, "train"),
        "3": problem("Which is a liquid?", ["ice", "milk", "wood"], 1, "Look at the picture.", "image.png", "test"),
        "4": problem("Which is solid?", ["ice", "milk"], 0, "", "image.png", "val"),
        "9": problem("Which word is a verb?", ["run", "cat"], 0, "", None, "test"),
    }
    return problems, {"train": ["1"], "val": ["4"], "test": ["3", "9"], "minitest": ["3"]}


def coco(captions=None):
    """Two images: 42 has a person and a dog by its instances, 73 a pizza."""
    images = [
        {"id": 42, "file_name": "COCO_val2014_000000000042.jpg"},
        {"id": 73, "file_name": "COCO_val2014_000000000073.jpg"},
    ]
    instances = {
        "images": images,
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 59, "name": "pizza"}],
        "annotations": [
            {"image_id": 42, "category_id": 1},
            {"image_id": 42, "category_id": 18},
            {"image_id": 42, "category_id": 18},
            {"image_id": 73, "category_id": 59},
        ],
    }
    captions = captions or {
        42: ["A man walks his dog past a bench."],
        73: ["Two pizzas on plates.", "Lunch with a knife."],
    }
    annotations = [{"image_id": image, "caption": text} for image, texts in captions.items() for text in texts]
    return instances, {"images": images, "annotations": annotations}
