from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from flowtui.errors import UsageError
from flowtui.tui.config import SETTINGS, Config, load_config, template


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_without_a_file_everything_is_at_its_default(tmp_path: Path) -> None:
    found = load_config(tmp_path / "none.toml", {})
    assert (found.graphics, found.theme, found.palette, found.engine, dict(found.keys)) == (
        "auto", "textual-dark", "inferno", "local", {}
    )  # fmt: skip
    assert set(found.sources.values()) == {"default"}


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'graphics = "sixel"\npalette = "cividis"\n[keys]\n"layer.next" = "z"\n')
    found = load_config(path, {"FLOWTUI_GRAPHICS": "ascii", "FLOWTUI_THEME": ""})
    assert (found.graphics, found.palette, dict(found.keys)) == ("ascii", "cividis", {"layer.next": "z"})
    assert found.sources["graphics"] == "FLOWTUI_GRAPHICS"
    assert found.sources["palette"] == str(path)
    assert found.sources["theme"] == "default"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("graphics = ", "no TOML"),
        ('graphics = "crayon"', "crayon"),
        ("graphics = 3", "3"),
        ('colour = "red"', "colour"),
        ('keys = "q"', "keys"),
        ('[keys]\n"layer.next" = 3', "layer.next"),
    ],
)
def test_what_makes_no_sense_is_told(tmp_path: Path, text: str, word: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=word) as caught:
        load_config(path, {})
    assert str(path) in str(caught.value)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="FLOWTUI_PALETTE"):
        load_config(tmp_path / "none.toml", {"FLOWTUI_PALETTE": "rainbow"})


def test_the_template_is_all_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, template())
    assert load_config(path, {}).graphics == Config().graphics
    plain = template().replace("# graphics", "graphics").replace("# theme", "theme")
    assert tomllib.loads(plain)["graphics"] == Config().graphics
    assert all(f"# {setting.name} = " in template() for setting in SETTINGS)
