"""The tutorial: its commands do what it says, in order, in an empty folder."""

import re
from pathlib import Path

import pytest

from tests.documents import BLOCK, ROOT, alike, differences, session, steps

TUTORIAL = ROOT / "docs" / "tutorial.md"


@pytest.mark.parametrize(
    ("old", "new", "equal"),
    [
        ("│ als   │ 0.3112 │", "│  als │ 0.3110 │", True),
        ("ndcg@10 0.3112, +54.3%", "ndcg@10 0.3312, +56.0%", True),
        ("ndcg@10 0.3112", "ndcg@10 0.3712", False),
        ("coverage@10 +1089.7%", "coverage@10 +1289.7%", False),
        ("1,484 users", "1,485 users", False),
        ("als of study first", "ease of study first", False),
        ("run 22de8da0160d464887a3709ae8b4e764", "run 696e884b799641f883095468103fd408", True),
        ("published 2026-11-29 16:01:13 UTC", "published 2027-01-02 03:04:05 UTC", True),
        ("┏━━━┳━━━━━┓", "┏━━━┳━━━━━━━┓", True),
    ],
)
def test_outputs_are_compared_by_the_rule(old: str, new: str, equal: bool) -> None:
    assert alike(old, new) is equal


def test_a_line_more_or_less_is_a_difference() -> None:
    assert differences(["a", "b"], ["a"]) != []
    assert differences(["a 1"], ["a 2"]) == ["'a 1' is now 'a 2'"]


def test_every_command_of_the_tutorial_is_one_that_runs() -> None:
    text = TUTORIAL.read_text(encoding="utf-8")

    commands = [step.command for step in steps(text)]
    assert len(commands) > 20
    indented = re.findall(r"^    (.*)$", BLOCK.sub("", text), flags=re.MULTILINE)
    assert indented == ["cd /home/ann/music", "cp CHECKOUT/prefect.yaml ."]


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    wrong = {}
    with session(tmp_path / "music") as terminal:
        for step in steps(TUTORIAL.read_text(encoding="utf-8")):
            found = differences(step.output, step.shortened(terminal.run(step)))
            if found:
                wrong[step.command] = found

    assert wrong == {}, "python -m tests.documents docs/tutorial.md writes the outputs again"
