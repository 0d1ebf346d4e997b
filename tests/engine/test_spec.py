"""Specs and parameters: defaults, and the refusal of what cannot be meant."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any, get_args

import pytest

from flowtui.engine.spec import (
    ANALYSES,
    PARAMETERS,
    AttentionParameters,
    CamParameters,
    Grouping,
    RunSpec,
    TruncationParameters,
    parameters_from_plain,
    parameters_to_plain,
)
from flowtui.errors import UsageError

SPEC = RunSpec("demo", (b"image",), "What is it?")


def test_a_spec_never_asks_for_remote_code_by_itself() -> None:
    assert SPEC.trust_remote_code is False
    with pytest.raises(FrozenInstanceError):
        SPEC.trust_remote_code = True  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"images": ()},
        {"question": ""},
        {"question": " \n\t"},
        {"max_new_tokens": 0},
        {"max_new_tokens": -1},
        {"grouping": "other"},
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(SPEC, **change)


@pytest.mark.parametrize("grouping", get_args(Grouping))
def test_every_grouping_is_accepted(grouping: Any) -> None:
    assert replace(SPEC, grouping=grouping).grouping == grouping


def test_every_analysis_has_its_parameters() -> None:
    assert set(PARAMETERS) == set(ANALYSES)


@pytest.mark.parametrize(
    "parameters",
    [
        AttentionParameters(),
        AttentionParameters("own", True),
        CamParameters(),
        CamParameters("smooth", "value", False, 3, 0.25, 7),
        TruncationParameters(),
        TruncationParameters("random-r", 16, 3),
    ],
)
def test_parameters_round_trip(parameters: Any) -> None:
    (name,) = [name for name, cls in PARAMETERS.items() if type(parameters) is cls]
    plain = parameters_to_plain(parameters)
    assert set(plain) == {field.name for field in fields(parameters)}
    assert all(type(value) in (bool, int, float, str) for value in plain.values())
    assert parameters_from_plain(name, plain) == parameters
    # What is left out has its default.
    assert parameters_from_plain(name, {}) == PARAMETERS[name]()


@pytest.mark.parametrize(
    ("analysis", "values", "words"),
    [
        ("other", {}, "Unknown analysis"),
        ("cam", {"nope": 1}, "no parameter 'nope'"),
        ("attention", {"site": "input"}, "no parameter 'site'"),
        ("cam", {"site": "nowhere"}, "cannot be 'nowhere'"),
        ("cam", {"site": ["input"]}, "cannot be"),
        ("cam", {"site": None}, "cannot be None"),
        ("cam", {"variant": 1}, "cannot be 1"),
        ("cam", {"copies": "8"}, "must be a int"),
        ("cam", {"copies": 8.0}, "must be a int"),
        ("cam", {"copies": True}, "must be a int"),
        ("cam", {"noise": "0.1"}, "must be a float"),
        ("cam", {"noise": True}, "must be a float"),
        ("cam", {"per_token": 1}, "must be a bool"),
        ("cam", {"seed": None}, "must be a int"),
        ("truncation", {"strategy": "some"}, "cannot be 'some'"),
        ("truncation", {"r": 1.5}, "must be a int"),
        ("attention", {"weights": "yes"}, "must be a bool"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(analysis: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parameters_from_plain(analysis, values)


def test_a_whole_number_is_a_fine_noise() -> None:
    parameters = parameters_from_plain("cam", {"noise": 1})
    assert isinstance(parameters, CamParameters)
    assert parameters.noise == 1.0


@pytest.mark.parametrize(
    ("analysis", "name", "value"),
    [
        ("cam", "copies", 0),
        ("cam", "noise", -1.0),
        ("cam", "noise", float("nan")),
        ("cam", "seed", -1),
        ("truncation", "r", -1),
        ("truncation", "seed", 1 << 64),
    ],
)
def test_a_parameter_out_of_its_range_is_refused(analysis: str, name: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"{analysis}\.{name} cannot be"):
        parameters_from_plain(analysis, {name: value})
