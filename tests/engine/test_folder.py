"""Model folders that lead elsewhere or bring pickles, and templates that never end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from flowtui.engine.bounded import bounded, check_template
from flowtui.engine.folder import check_folder
from flowtui.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as it should be."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"x")
    (tmp_path / "secret").write_text("secret")
    check_folder(made)
    return made


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json", "extra.txt", "sub"])
def test_a_link_that_leads_out_is_refused(folder: Path, name: str) -> None:
    (folder / name).symlink_to(folder.parent / "secret")
    with pytest.raises(ModelError, match="leads out"):
        check_folder(folder)


def test_links_within_to_weights_and_of_the_folder_itself_are_fine(folder: Path) -> None:
    (folder / "again.json").symlink_to("config.json")
    (folder / "model-2.safetensors").symlink_to(folder.parent / "secret")
    (folder.parent / "link").symlink_to(folder)
    check_folder(folder.parent / "link")


def test_a_hugging_face_caches_snapshot_is_fine_and_no_other_link_is(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "abc"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "1").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/1")
    check_folder(snapshot)
    (snapshot / "chat_template.jinja").symlink_to("../../../secret")
    with pytest.raises(ModelError, match="leads out"):
        check_folder(snapshot)


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "a/b.safetensors", "..", "", 1])
def test_an_index_names_files_of_its_own_folder(folder: Path, target: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": target}}))
    with pytest.raises(ModelError, match="another folder"):
        check_folder(folder)


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "x.pth", "adapter_model.bin"]
)
def test_pickled_weights_need_the_flag_for_code(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    if not name.startswith("adapter"):
        check_folder(folder)  # Beside safetensors nobody reads them.
        (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled") as caught:
        check_folder(folder)
    assert "--trust-remote-code" in caught.value.hint
    check_folder(folder, trust_remote_code=True)


def _loop(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_what_takes_too_long_or_too_much_is_stopped() -> None:
    with pytest.raises(ModelError, match=r"more than 0\.05 s"), bounded("It", 0.05, 1 << 30):
        _loop(60)
    with pytest.raises(ModelError, match="too much memory"), bounded("It", 60, 1 << 26):
        bytearray(1 << 33)
    with bounded("It", 60, 1 << 30):
        bytearray(1 << 20)


@pytest.mark.parametrize(
    "template", ["{{ 9 ** 999999999 }}", "{{ 2**x }}", {"a": "x", "b": "{{ 2 ** 3 }}"}, [1], "{{ '"]
)
def test_a_template_with_powers_or_that_is_none_is_refused(template: object) -> None:
    with pytest.raises(ModelError, match="template"):
        check_template(template)


def test_other_templates_are_fine() -> None:
    check_template(
        "{% for m in messages %}{{ '**bold**' ~ m['content'] * 2 }}{% generation %}x{% endgeneration %}{% endfor %}"
    )
