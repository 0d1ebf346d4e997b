from __future__ import annotations

import re
from typing import get_args

import pytest

from flowtui.engine.spec import ANALYSES
from flowtui.errors import UsageError
from flowtui.tui.cli.options import Analyses, read_analyses, read_box, read_layers, read_settings, read_size, show_size


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("all", ANALYSES),
        ("cam", ("cam",)),
        ("truncation, attention", ("attention", "truncation")),
        ("cam,all", ANALYSES),
    ],
)
def test_analyses(text: str, names: tuple[str, ...]) -> None:
    assert read_analyses(text) == names


def test_the_help_names_every_analysis() -> None:
    (option,) = get_args(Analyses)[1:]
    assert set(ANALYSES) <= set(re.findall(r"\w+", option.help))


@pytest.mark.parametrize("text", ["", ",", "cams", "cam,nope", "all,ALL"])
def test_unknown_analyses_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="analysis"):
        read_analyses(text)


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        (None, None),
        ("3", (3,)),
        ("0-3", (0, 1, 2, 3)),
        ("7,0-2, 1 - 3", (0, 1, 2, 3, 7)),
        ("5-5", (5,)),
    ],
)
def test_layers(text: str | None, layers: tuple[int, ...] | None) -> None:
    assert read_layers(text) == layers


@pytest.mark.parametrize("text", ["", "-1", "3-1", "a", "1-", "1..3", "0-99999", "1;2", "٣"])
def test_what_is_no_list_of_layers_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a list of layers"):
        read_layers(text)


def test_settings_have_their_parameters_types() -> None:
    items = ["cam.variant=smooth", "cam.copies=4", "cam.noise=0.25", "cam.per_token=no", "truncation.strategy=top-r"]
    assert read_settings(items) == {
        "cam": {"variant": "smooth", "copies": 4, "noise": 0.25, "per_token": False},
        "truncation": {"strategy": "top-r"},
    }


@pytest.mark.parametrize(
    "item",
    ["cam", "cam.variant", "cam.variant=loud", "cam.copies=many", "cam.nope=1", "heads.x=1", "cam.per_token=maybe"],
)
def test_settings_that_cannot_be_meant_are_refused(item: str) -> None:
    with pytest.raises(UsageError):
        read_settings([item])


@pytest.mark.parametrize("text", ["8,16,40,48", " 8, 16 ,40,48 "])
def test_boxes(text: str) -> None:
    assert read_box(text) == (8, 16, 40, 48)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "-1,2,3,4", "1.5,2,3,4", "1 2 3 4", "٣,2,3,4"])
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a box"):
        read_box(text)


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("512", 512), ("1k", 1024), ("1.5 MiB", 3 << 19), ("20G", 20 << 30), ("2tb", 2 << 40)]
)
def test_sizes(text: str, count: int) -> None:
    assert read_size(text) == count


@pytest.mark.parametrize("text", ["", "G", "-1", "1x", "1e9", "1,5G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        read_size(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (20 << 30, "20.0 GiB"), (3 << 40, "3.0 TiB")],
)
def test_sizes_are_shown_in_the_largest_unit(count: int, text: str) -> None:
    assert show_size(count) == text
