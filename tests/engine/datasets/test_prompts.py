from pathlib import Path

import pytest

from flowtui.engine.datasets.opening import NAMES
from flowtui.engine.datasets.prompts import FIELDS, PROMPTS, prompt_for
from flowtui.errors import UsageError

DOCUMENT = Path(__file__).parents[3] / "docs" / "datasets.md"


def test_every_data_set_has_a_prompt_for_any_family_and_one_row_each():
    assert set(NAMES) <= FIELDS.keys()
    for name in FIELDS:
        assert prompt_for(name, "nobody knows").family == ""
    assert len({(row.dataset, row.family) for row in PROMPTS}) == len(PROMPTS)
    assert all(row.source and row.form for row in PROMPTS)


@pytest.mark.parametrize("row", PROMPTS, ids=lambda row: f"{row.dataset}-{row.family}")
def test_forms_use_the_data_sets_fields_and_stand_in_the_document(row):
    assert row.form.format(**dict.fromkeys(FIELDS[row.dataset], "x"))
    assert prompt_for(row.dataset, row.family) == row
    lines = [line.split(" | ") for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `")]
    shown = row.form.replace("\n", "⏎")
    assert [
        line
        for line in lines
        if line[0] == f"| `{row.dataset}`"
        and (row.family or "any") in line[1].split(", ")
        and line[2] == f"`{shown}`"
        and line[3] == f"{row.source} |"
    ]


def test_a_form_of_ones_own():
    assert prompt_for("pope", "llava", "{question} Yes or no?").source == "given by the user"
    with pytest.raises(UsageError, match=r"has no field \{answer\}") as refused:
        prompt_for("pope", "", "{answer}")
    assert "{question}" in refused.value.hint
    with pytest.raises(UsageError, match="no form of a prompt"):
        prompt_for("pope", "", "{question")
    with pytest.raises(UsageError, match="has no field"):
        prompt_for("pope", "", "{question.__class__}")
    with pytest.raises(UsageError, match="has no field"):
        prompt_for("pope", "", "{}")
    for form in ("{question:d}", "{question:{width}}", "{question!r}"):
        with pytest.raises(UsageError, match="can only be names"):
            prompt_for("pope", "", form)
