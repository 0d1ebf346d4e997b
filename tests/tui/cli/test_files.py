from __future__ import annotations

from pathlib import Path

import pytest

from flowtui.errors import RunFileError, UsageError
from flowtui.tui.cli.files import check_place, free_name, full_name, read_image, read_mask, read_run
from flowtui.tui.cli.run import split_inputs
from tests.factories import png


def test_images_come_first_and_the_question_last(tmp_path: Path) -> None:
    assert split_inputs(["a.png", "b.png", "What?"]) == ([Path("a.png"), Path("b.png")], "What?")
    image = tmp_path / "a.png"
    image.write_bytes(png())
    with pytest.raises(UsageError, match="question is missing"):
        split_inputs([str(image)])
    with pytest.raises(UsageError, match="image is missing"):
        split_inputs(["What?"])
    with pytest.raises(UsageError, match="is a file"):
        split_inputs(["What?", str(image)])


def test_an_image_is_decoded_before_anything_else(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(png())
    assert read_image(image) == png()
    with pytest.raises(UsageError, match=r"no image .*nope"):
        read_image(tmp_path / "nope.png")
    with pytest.raises(UsageError, match="cannot be read"):
        read_image(tmp_path)
    image.write_bytes(b"not an image")
    with pytest.raises(UsageError, match=r"a\.png"):
        read_image(image)
    image.write_bytes(png()[:60])
    with pytest.raises(UsageError, match=r"a\.png"):
        read_image(image)


def test_a_mask_is_read_with_its_name_in_every_error(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(png(6, 6))
    assert read_mask(path).shape == (6, 6)
    with pytest.raises(UsageError, match=r"no mask .*nope"):
        read_mask(tmp_path / "nope")
    with pytest.raises(UsageError, match=r"mask .* cannot be read"):
        read_mask(tmp_path)
    path.write_bytes(b"not a mask")
    with pytest.raises(UsageError, match=r"mask\.png"):
        read_mask(path)


def test_a_default_name_never_replaces_a_file(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = free_name(Path("/pictures/scene-1.png"), tmp_path)
        path.touch()
        names.append(path.name)
    assert names == ["scene-1.pkl", "scene-1-2.pkl", "scene-1-3.pkl"]


def test_the_place_is_looked_at_before_the_work(tmp_path: Path) -> None:
    check_place(tmp_path / "run.pkl")
    with pytest.raises(UsageError, match="is a folder"):
        check_place(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        check_place(tmp_path / "nope" / "run.pkl")


def test_model_directories_get_their_full_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert full_name("mine") == str(tmp_path / "mine")
    assert full_name("demo") == "demo"
    assert full_name("llava-hf/llava-1.5-7b-hf") == "llava-hf/llava-1.5-7b-hf"


def test_what_is_no_run_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    for content in (b"", b"hello", b"\x80\x04}."):
        path.write_bytes(content)
        with pytest.raises(RunFileError):
            read_run(path)
