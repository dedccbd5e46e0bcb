import json
import re
from dataclasses import replace

import pytest

from recsys.plots import COLOURS
from recsys.report.page import Figure, Page, Section, Table, Text, embedded, render, section
from recsys.report.toml import as_toml

HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028\"'"
FIGURE = Figure("bars", "one bar", [{"type": "bar", "x": [HOSTILE], "y": [1.0]}], {})


def page(*blocks: Text | Table | Figure) -> Page:
    return Page("a study", "about it", [Section("one", "One", blocks)])


def test_a_page_without_pictures_holds_no_plotly() -> None:
    html = render(page(Text("words")))

    assert "<p>words</p>" in html
    assert len(html) < 20_000


def test_plotly_is_inlined_once_however_many_pictures_there_are() -> None:
    html = render(page(FIGURE, FIGURE, replace(FIGURE, title="again")))

    assert html.count("Plotly, Inc.") == 1
    assert 4_000_000 < len(html) < 6_000_000


@pytest.mark.parametrize(
    "block",
    [
        Text(HOSTILE),
        Text(HOSTILE, "code"),
        Table((HOSTILE, "n"), [(HOSTILE, HOSTILE)], HOSTILE),
    ],
)
def test_foreign_text_is_shown_and_never_obeyed(block: Text | Table) -> None:
    html = render(page(block))

    assert "<img" not in html
    assert "&lt;img src=x" in html


def test_text_in_a_figure_ends_no_script_and_is_no_markup_to_plotly() -> None:
    assert "<" not in FIGURE.script
    assert json.loads(FIGURE.script)["traces"][0]["x"] == [
        "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&amp;\u2028\"'"
    ]


def test_the_markup_of_our_own_templates_stays() -> None:
    figure = replace(FIGURE, traces=[{"hovertemplate": "%{x}<br>%{y}", "name": "<br>"}])

    trace = json.loads(figure.script)["traces"][0]
    assert trace == {"hovertemplate": "%{x}<br>%{y}", "name": "&lt;br&gt;"}


def test_numbers_that_are_none_are_null() -> None:
    assert embedded([float("nan"), float("inf"), 0.123456789]) == "[null,null,0.123457]"


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = render(page(FIGURE, Text("https://example.org is only text")))
    markup = re.sub(r"<script[^>]*>.*?</script>", "", html, flags=re.DOTALL)

    assert re.findall(r"""(?:src|href)\s*=\s*(?!["']?#)[^\s>]+""", markup) == []
    assert "url(" not in markup
    assert "@import" not in markup
    assert "default-src 'none'" in markup


def test_a_section_without_blocks_is_no_section() -> None:
    assert section("one", "One", None, None) is None
    assert section("one", "One", None, Text("a")) == Section("one", "One", (Text("a"),))


def test_settings_are_written_as_toml() -> None:
    text = as_toml({"seed": 1, "search": {"factors": [8, 16], "alpha": {"low": 0.5, "log": True}}})

    assert text == ("seed = 1\n\n[search]\nfactors = [8, 16]\nalpha = { low = 0.5, log = true }")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Of WCAG 2.2: 1 to 21."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_the_page_and_pictures_do(scheme: int) -> None:
    css = re.findall(r"--(\w+): (#\w{6})", render(page(Text("a"))))
    tokens = dict(css[7 * scheme : 7 * scheme + 7])

    assert len(tokens) == 7
    for ground in ("paper", "card"):
        for ink in ("ink", "soft", "accent", "good"):
            assert contrast(tokens[ink], tokens[ground]) >= 4.5
    for n in range(len(COLOURS) - 1):  # the last, black, is the ink of the page
        assert contrast(COLOURS[n], tokens["paper"]) >= 2.1
