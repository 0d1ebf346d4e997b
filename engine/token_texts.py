"""The texts of tokens that a layer's result names by id: a JSON object, id -> text. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping


def write_texts(texts: Mapping[int, str]) -> str:
    """The object, ASCII only: it travels in a header."""
    return json.dumps({str(i): text for i, text in texts.items()}, separators=(",", ":"))


def read_texts(text: str) -> dict[int, str]:
    """Inverse of `write_texts`.

    Raises:
        ValueError: It is not such an object.
    """
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("the tokens' texts are nested") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("the tokens' texts are not an object of texts")
    return {int(i): value for i, value in found.items()}


def check_texts(text: str, ids: Iterable[int]) -> None:
    """Checks that every one of these tokens has a text.

    Raises:
        ValueError: One has none, or the object is malformed.
    """
    if missing := set(ids) - read_texts(text).keys():
        raise ValueError(f"the token {min(missing)} has no text")
