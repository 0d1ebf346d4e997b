from __future__ import annotations

import pytest

from flowtui.engine.token_texts import check_texts, read_texts, write_texts


def test_any_text_survives() -> None:
    texts = {7: "red", 0: "", 12: 'a "quote"\\', 3: "\x1b[2J\x00\n", 5: "é 中 \U0001f600 \ufffd", 9: "\ud800"}
    written = write_texts(texts)
    assert written.isascii()
    assert read_texts(written) == texts
    check_texts(written, [7, 12])


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "null", '{"1": 2}', '{"one": "a"}', '{"1": ["a"]}', "[" * 100_000, '{"1":' * 100_000]
)
def test_what_is_no_such_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind: the caller says where it stands
        read_texts(text)


def test_a_token_without_a_text_is_named() -> None:
    with pytest.raises(ValueError, match="token 4 has no text"):
        check_texts(write_texts({1: "a"}), [1, 4])
