from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from flowtui.engine import place
from flowtui.engine.place import fingerprint, resolve_model
from flowtui.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "tokenizer.json").write_text('{"a": 1}')
    save_file({"w": np.arange(5000, dtype=np.float32)}, model / "model.safetensors")
    return model


def test_a_directory_resolves_to_its_absolute_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert resolve_model("model") == str(folder)
    assert resolve_model(str(folder)) == str(folder)


def test_an_id_stays_as_it_is() -> None:
    assert resolve_model("llava-hf/llava-1.5-7b-hf") == "llava-hf/llava-1.5-7b-hf"


@pytest.mark.parametrize("name", ["/no/such/place", "./gone", "~/gone-too", "a/b/c", "with space/x", "../x", "ä/b"])
def test_what_is_neither_directory_nor_id_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="no model directory"):
        resolve_model(name)


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        resolve_model(str(tmp_path))


def test_demo_is_the_packaged_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "demo_directory", lambda: folder)
    assert resolve_model("demo") == str(folder)
    monkeypatch.setattr(place, "demo_directory", lambda: folder / "gone")
    with pytest.raises(ModelError, match="demo model's files are missing"):
        resolve_model("demo")


def test_the_fingerprint_follows_content_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    first = fingerprint(folder)
    assert len(first) == 32
    (folder / "README.md").write_text("words")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert fingerprint(copy) == first


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_one_changed_byte_changes_the_fingerprint(folder: Path, name: str) -> None:
    first = fingerprint(folder)
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    assert fingerprint(folder) != first


def test_the_same_bytes_under_another_name_are_another_model(folder: Path) -> None:
    first = fingerprint(folder)
    (folder / "tokenizer.json").rename(folder / "special_tokens_map.json")
    assert fingerprint(folder) != first


def test_a_hub_cache_lends_its_blob_names(folder: Path, tmp_path: Path) -> None:
    first = fingerprint(folder)
    weights = folder / "model.safetensors"
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    blob = blobs / hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.rename(blob)
    weights.symlink_to(blob)
    # The name is the content's SHA-256, so a cache and a copy of it have one fingerprint.
    assert fingerprint(folder) == first
    blob.write_bytes(b"changed, but the name is what counts")
    assert fingerprint(folder) == first
    weights.unlink()
    other = blobs / ("0" * 64)
    other.write_bytes(b"")
    weights.symlink_to(other)
    assert fingerprint(folder) != first


def test_large_weights_are_sampled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fingerprint(folder)
    monkeypatch.setattr(place, "FULL_HASH_LIMIT_BYTES", 100)
    monkeypatch.setattr(place, "SAMPLE_BYTES", 64)
    sampled = fingerprint(folder)
    assert sampled != whole
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1  # the last block is one of the samples
    (folder / "model.safetensors").write_bytes(data)
    assert fingerprint(folder) != sampled
    data.append(0)  # and so is the size
    (folder / "model.safetensors").write_bytes(data)
    assert fingerprint(folder) != sampled


def test_no_weights_no_fingerprint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no weights"):
        fingerprint(tmp_path)
