"""The documents as a site: every one is in it, and its pages load nothing from elsewhere."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
MKDOCS = ROOT / ".venv-docs" / "bin" / "mkdocs"
LOADED = re.compile(
    r"""<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=["']?((?:\w+:)?//[^"' >]+)"""
)


def navigation() -> list[str]:
    def pages(entries: object) -> list[str]:
        if isinstance(entries, str):
            return [entries]
        if isinstance(entries, dict):
            return [page for each in entries.values() for page in pages(each)]
        assert isinstance(entries, list)
        return [page for each in entries for page in pages(each)]

    return pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])


def test_every_document_is_in_the_navigation() -> None:
    documents = {path.name for path in (ROOT / "docs").glob("*.md")}

    assert documents <= set(navigation())


def test_fonts_and_services_of_others_are_off() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    assert config["theme"]["font"] is False
    assert config["strict"] is True
    assert not {"extra_javascript", "extra_css", "repo_url"} & set(config)


@pytest.mark.slow
@pytest.mark.skipif(not MKDOCS.exists(), reason="mkdocs is not installed: `make docs` does it")
def test_the_site_is_built_without_a_warning_and_loads_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [MKDOCS, "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.html")}
    wanted = {page.replace(".md", ".html").replace("README", "index") for page in navigation()}
    assert wanted <= pages
    for page in pages:
        assert LOADED.findall((tmp_path / page).read_text(encoding="utf-8")) == [], page
    assert "text-decoration: underline" in (tmp_path / "tutorial.html").read_text(encoding="utf-8")
    assert "recsys.fit" in (tmp_path / "code/library.html").read_text(encoding="utf-8")
    assert (tmp_path / "examples" / "quickstart.ipynb").exists()
