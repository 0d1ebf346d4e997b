import pytest

from flowtui.engine.datasets.opening import open_dataset
from flowtui.errors import UsageError
from tests.engine.datasets.official import scienceqa, write_images, write_json

LETTER = "\nAnswer with the option's letter from the given choices directly."


@pytest.fixture
def folder(tmp_path):
    problems, splits = scienceqa()
    write_json(tmp_path / "problems.json", problems)
    write_json(tmp_path / "pid_splits.json", splits)
    return tmp_path


def test_the_official_files(folder):
    dataset = open_dataset("scienceqa", questions=[folder])
    pictured, text = dataset.items
    assert (pictured.id, pictured.image, pictured.kind) == ("3", "test/3/image.png", "natural science")
    assert pictured.prompt == (f"Context: Look at the picture.\nWhich is a liquid?\nA. ice\nB. milk\nC. wood{LETTER}")
    assert pictured.truth == {"choices": ["ice", "milk", "wood"], "answer": 1, "question": "Which is a liquid?"}
    assert (text.id, text.image) == ("9", None)
    assert text.prompt == f"Which word is a verb?\nA. run\nB. cat{LETTER}"
    assert dataset.notes == ("The split 'test' has 2 questions; the official one has 4,241.",)


def test_image_and_text_questions_are_apart(folder, tmp_path):
    def ids(**options):
        return [item.id for item in open_dataset("scienceqa", questions=[folder], **options).items]

    images = write_images(tmp_path / "data", ["test/3/image.png"])
    assert ids() == ["3", "9"]
    assert ids(which="image") == ["3"]
    assert ids(which="text") == ["9"]
    # With images, to be truncated: only the questions that have one.
    assert ids(images=images) == ["3"]
    assert ids(images=images, which="all") == ["3", "9"]


def test_images_are_found_from_the_folder_above_or_that_of_the_split(folder, tmp_path):
    write_images(tmp_path / "data", ["test/3/image.png", "val/4/image.png"])
    for images in (tmp_path / "data", tmp_path / "data" / "test"):
        dataset = open_dataset("scienceqa", questions=[folder], images=images, which="all")
        assert dataset.image_bytes(dataset.items[0]).startswith(b"\x89PNG")
        assert dataset.image_bytes(dataset.items[1]) is None
    # Small splits are drawn from the large ones, and so are their images.
    assert [i.image for i in open_dataset("scienceqa", questions=[folder], split="minitest").items] == [
        "test/3/image.png"
    ]


def test_families_have_their_own_prompts(folder):
    def prompt(family):
        return open_dataset("scienceqa", questions=[folder], family=family).items[0].prompt

    assert prompt("internvl") == f"Look at the picture.\nWhich is a liquid?\nA. ice\nB. milk\nC. wood{LETTER}"
    assert prompt("qwen2_vl").startswith("Hint: Look at the picture.\nQuestion: Which is a liquid?\nOptions:\nA. ice\n")


def test_files_of_two_versions(folder):
    _, splits = scienceqa()
    write_json(folder / "pid_splits.json", splits | {"test": ["3", "9", "100", "101"], "val": ["3"]})
    (_, note) = open_dataset("scienceqa", questions=[folder]).notes
    assert note == "2 of 4 questions are not in problems.json and are left out: 100, 101."
    assert (
        "1 of 1 questions are of another split" in open_dataset("scienceqa", questions=[folder], split="val").notes[-1]
    )
    with pytest.raises(UsageError, match="has 4 questions"):
        open_dataset("scienceqa", questions=[folder], strict=True)
    with pytest.raises(UsageError, match="There is no split 'dev'"):
        open_dataset("scienceqa", questions=[folder], split="dev")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"choices": ["a"]}, "no two to five choices"),
        ({"choices": list("abcdef")}, "no two to five choices"),
        ({"answer": 3}, "no answer among its choices"),
        ({"answer": "B"}, "no answer among its choices"),
        ({"question": None}, "strange 'question'"),
        ({"image": "../../secret.png"}, "no name of an image"),
    ],
)
def test_damaged_problems(change, message, folder, tmp_path):
    problems, _ = scienceqa()
    problems["3"] |= change
    write_json(folder / "problems.json", problems)
    images = write_images(tmp_path / "data", ["test/3/image.png"])
    with pytest.raises(UsageError, match=message):
        open_dataset("scienceqa", questions=[folder], images=images)


def test_one_file_is_not_enough(folder):
    with pytest.raises(UsageError, match=r"pid_splits\.json is not given"):
        open_dataset("scienceqa", questions=[folder / "problems.json"])
    with pytest.raises(UsageError, match=r"problems\.json is not given"):
        open_dataset("scienceqa", questions=[folder / "pid_splits.json"])
    write_json(folder / "problems.json", {"data": "other"})
    with pytest.raises(UsageError, match="no file of ScienceQA's"):
        open_dataset("scienceqa", questions=[folder])
