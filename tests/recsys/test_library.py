"""`import recsys` as a library: its names, and the session in its docstring."""

import subprocess
import sys
from pathlib import Path

import recsys
from recsys.sources.sample import make_sample, write_sample


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
