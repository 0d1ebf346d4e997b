import pytest

from flowtui.engine.datasets.opening import open_dataset, read_name
from flowtui.errors import UsageError
from tests.engine.datasets.official import rosetta, scienceqa, textvqa, write_json


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("pope", "pope", {}),
        ("textvqa+ocr", "textvqa", {"ocr": True}),
        ("scienceqa+minitest+all", "scienceqa", {"split": "minitest", "which": "all"}),
        ("demo+presence+caption", "demo", {"kinds": ["presence", "caption"]}),
    ],
)
def test_names_with_variants(text, name, options):
    assert read_name(text) == (name, options)


@pytest.mark.parametrize("text", ["vqa", "", "+ocr", "pope+ocr", "textvqa+val", "demo+smell", "demo+", "scienceqa+"])
def test_names_that_are_none(text):
    with pytest.raises(UsageError, match=r"There is no data set|has no variant") as refused:
        read_name(text)
    assert refused.value.hint


def test_variants_are_options_and_recorded(tmp_path):
    files = [write_json(tmp_path / "val.json", textvqa()), write_json(tmp_path / "ocr.json", rosetta())]
    dataset = open_dataset("textvqa+ocr", questions=files)
    assert (dataset.name, dataset.options["ocr"]) == ("textvqa", True)
    assert "Reference OCR token: DAKOTA" in dataset.items[0].prompt
    assert dataset.prompt.dataset == "textvqa+ocr"
    assert {item.kind for item in open_dataset("demo+letter", limit=5).items} == {"letter"}
    problems, splits = scienceqa()
    sheets = [write_json(tmp_path / "problems.json", problems), write_json(tmp_path / "pid_splits.json", splits)]
    assert [item.id for item in open_dataset("scienceqa+test+text", questions=sheets).items] == ["9"]


def test_options_of_other_data_sets_are_refused(tmp_path):
    with pytest.raises(UsageError, match="pope has no option 'ocr'"):
        open_dataset("pope", questions=[tmp_path], ocr=True)
    with pytest.raises(UsageError, match="makes its own questions"):
        open_dataset("demo", questions=[tmp_path])
