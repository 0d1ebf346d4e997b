import json

import pytest

from flowtui.engine.datasets.opening import open_dataset
from flowtui.errors import UsageError
from tests.engine.datasets.official import pope_rows, write_images, write_lines

IMAGES = [f"COCO_val2014_{i:012}.jpg" for i in range(500)]


@pytest.fixture
def random_file(tmp_path):
    return write_lines(tmp_path / "coco_pope_random.json", pope_rows(500))


def test_an_official_file(random_file, tmp_path):
    dataset = open_dataset("pope", questions=[random_file], strict=True)
    assert len(dataset.items) == 3000
    first = dataset.items[0]
    assert (first.id, first.kind, first.image) == ("random/0", "random", IMAGES[0])
    assert first.prompt == "Is there a person in the image?"
    assert first.truth == {"label": "yes", "question": "Is there a person in the image?"}
    assert len({item.cluster for item in dataset.items}) == 500
    assert dataset.notes == ()


def test_the_older_random_split_has_2910_rows_and_other_numbers_are_noted(tmp_path):
    older = write_lines(tmp_path / "coco_pope_random.json", pope_rows(485))
    assert len(open_dataset("pope", questions=[older], strict=True).items) == 2910
    short = write_lines(tmp_path / "coco_pope_popular.json", pope_rows(485))
    (note,) = open_dataset("pope", questions=[short]).notes
    assert note == "coco_pope_popular.json has 2,910 rows; the official file has 3,000."
    with pytest.raises(UsageError, match="has 2,910 rows") as refused:
        open_dataset("pope", questions=[short], strict=True)
    assert "--strict" in refused.value.hint


def test_a_folder_of_splits_keeps_them_apart_and_clusters_by_image(tmp_path):
    for split in ("random", "popular", "adversarial"):
        write_lines(tmp_path / f"coco_pope_{split}.json", pope_rows(500))
    dataset = open_dataset("pope", questions=[tmp_path], strict=True)
    assert len(dataset.items) == 9000
    assert {item.kind for item in dataset.items} == {"random", "popular", "adversarial"}
    assert len({item.cluster for item in dataset.items}) == 500


def test_two_versions_of_a_split_are_refused(random_file, tmp_path):
    older = write_lines(tmp_path / "coco_pope_random_2910.json", pope_rows(485))
    with pytest.raises(UsageError, match=r"random/0 is there twice.*coco_pope_random\.json.*2910"):
        open_dataset("pope", questions=[random_file, older])


def test_llavas_prompt_is_a_family_and_its_file_gives_the_numbers(tmp_path):
    rows = pope_rows(2)
    files = [write_lines(tmp_path / f"coco_pope_{split}.json", rows) for split in ("random", "popular")]
    asked = [
        {
            "question_id": i,
            "image": row["image"],
            "text": f"{row['text']}\nAnswer the question using a single word or phrase.",
            "category": split,
        }
        for i, (split, row) in enumerate((split, row) for split in ("popular", "random") for row in rows)
    ]
    asked.append(asked[0] | {"question_id": 99, "category": "adversarial"})
    llava = write_lines(tmp_path / "llava_pope_test.jsonl", asked)
    dataset = open_dataset("pope", questions=[*files, llava], family="llava")
    assert [item.id for item in dataset.items[:2]] == ["popular/0", "popular/1"]
    assert [item.id for item in dataset.items[-1:]] == ["random/23"]
    assert dataset.items[0].prompt == asked[0]["text"]
    assert "1 of 25 questions of llava_pope_test.jsonl have no label" in dataset.notes[-1]
    with pytest.raises(UsageError, match="has no labels"):
        open_dataset("pope", questions=[llava])


def test_missing_images_are_counted_and_named_and_strict_stops(random_file, tmp_path):
    folder = write_images(tmp_path / "coco", [f"val2014/{name}" for name in IMAGES[:-4]])
    dataset = open_dataset("pope", questions=[random_file], images=folder)
    assert len(dataset.items) == 3000 - 4 * 6
    (note,) = dataset.notes
    assert note.startswith("4 of 500 images are missing")
    assert "their 24 questions" in note
    assert f"{IMAGES[496]}, {IMAGES[497]}, {IMAGES[498]}, ..." in note
    assert dataset.image_bytes(dataset.items[0]).startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="4 of 500 images are missing"):
        open_dataset("pope", questions=[random_file], images=folder, strict=True)
    with pytest.raises(UsageError, match="none of the 500 images"):
        open_dataset("pope", questions=[random_file], images=write_images(tmp_path / "other", ["a.jpg"]))


def test_images_are_never_opened(random_file, tmp_path, monkeypatch):
    """Broken images cost nothing until they are asked for, and only their own question then."""
    folder = write_images(tmp_path / "val2014", IMAGES)
    (folder / IMAGES[0]).write_bytes(b"no image")

    def refuse(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.Image.open", refuse)
    dataset = open_dataset("pope", questions=[random_file], images=folder, strict=True)
    assert dataset.image_bytes(dataset.items[0]) == b"no image"


@pytest.mark.parametrize("name", ["../secret.jpg", "/etc/passwd", "a/../../b.jpg", "a\\b.jpg", "", "a\0.jpg"])
def test_names_that_lead_out_of_the_folder_are_refused(name, tmp_path):
    rows = [row | {"image": name} for row in pope_rows(1)]
    path = write_lines(tmp_path / "coco_pope_random.json", rows)
    with pytest.raises(UsageError, match="no name of an image"):
        open_dataset("pope", questions=[path], images=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("not json at all", "neither JSON nor JSON Lines"),
        ('{"question_id": 1, "image": "a", "text": "?", "label": "yes"}\n{"question', "line 2 is not JSON"),
        ('{"question_id": 1, "image": "a", "text": "?", "label": "maybe"}\n', "row 1 has the label 'maybe'"),
        ('{"question_id": 1, "image": 7, "text": "?", "label": "yes"}\n', "row 1 has a strange 'image'"),
        ('{"question_id": 1, "text": "?", "label": "yes"}\n', "row 1 has no 'image'"),
        ('["a", "b"]', "no list of objects"),
        ("[" * 100_000, "nested too deeply|neither JSON"),
        ('{"question_id": 1, "question": "what?", "answers": []}\n', "has no labels"),
    ],
)
def test_wrong_files_are_refused_in_one_sentence(content, message, tmp_path):
    path = tmp_path / "coco_pope_random.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as refused:
        open_dataset("pope", questions=[path])
    assert "\n" not in refused.value.message
    assert str(path) in refused.value.message


def test_no_file_and_an_empty_folder(tmp_path):
    with pytest.raises(UsageError, match="There is no file"):
        open_dataset("pope", questions=[tmp_path / "gone.json"])
    with pytest.raises(UsageError, match="holds no question files of POPE"):
        open_dataset("pope", questions=[tmp_path])
    with pytest.raises(UsageError, match="No question files of POPE are given"):
        open_dataset("pope")


def test_a_limit_takes_the_first_or_whole_images_at_random(random_file):
    first = open_dataset("pope", questions=[random_file], limit=60)
    assert [item.id for item in first.items] == [f"random/{i}" for i in range(60)]
    drawn = open_dataset("pope", questions=[random_file], limit=60, seed=1)
    assert len(drawn.items) == 60
    assert len({item.cluster for item in drawn.items}) == 10
    assert drawn.items == open_dataset("pope", questions=[random_file], limit=60, seed=1).items
    assert drawn.items != open_dataset("pope", questions=[random_file], limit=60, seed=2).items


def test_the_digest_changes_with_questions_truth_and_prompt(random_file):
    def digest(**options):
        return open_dataset("pope", questions=[random_file], **options).digest

    before = digest()
    assert before == digest()
    assert len({before, digest(family="llava"), digest(limit=5), digest(form="{question} Yes or no?")}) == 4
    rows = [json.loads(line) for line in random_file.read_text().splitlines()]
    write_lines(random_file, [rows[0] | {"label": "no"}, *rows[1:]])
    assert digest() != before
