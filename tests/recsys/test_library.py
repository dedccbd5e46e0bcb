"""`import recsys` as a library: its names, and the session in its docstring."""

import subprocess
import sys
from pathlib import Path

import pytest

import recsys
from recsys.sources.sample import make_sample, write_sample

ROOT = Path(__file__).parents[2]


def test_the_ten_lines_of_the_readme_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## In a notebook")[2]
    block = text.partition("\n## ")[0]
    lines = [line[4:] for line in block.splitlines() if line.startswith("    ")]
    recsys.sample(60, 50).to_pandas().to_csv(tmp_path / "plays.csv", index=False)
    monkeypatch.chdir(tmp_path)

    exec("\n".join(lines), {})

    said = capsys.readouterr().out
    assert len([line for line in lines if line]) <= 10
    assert all(word in said for word in ("ndcg@10", "popularity", "similarity"))


def test_every_name_of_the_library_is_where_it_says() -> None:
    assert {name for name in recsys._HOME if getattr(recsys, name).__name__ != name} == set()
    assert set(recsys._HOME) <= set(dir(recsys))


def test_the_session_of_the_docstring_runs_without_the_platform(tmp_path: Path) -> None:
    write_sample(make_sample(60, 50, 0), tmp_path / "plays.tsv", tmp_path / "profiles.tsv")
    doc = str(recsys.__doc__)
    code = "\n".join(line[4:] for line in doc.splitlines() if line.startswith("    "))
    check = "import sys; print({'prefect', 'mlflow', 'optuna'} & set(sys.modules))"

    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert "ndcg@10" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"
