import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.cli import main
from flows.cli.options import parser
from flows.result import Result
from tests.flows.conftest import Lab

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
COMMANDS = (
    *("sample", "experiment", "inspect", "recommend", "similar", "explain", "fetch", "ui"),
    "study",
)
ACTIONS = ("list", "show", "resume", "work", "export", "delete")

Recsys = Callable[..., int]


@pytest.fixture
def recsys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recsys]:
    """The command, in this process; its environment and signals are given back."""
    known, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str | Path) -> int:
        return main.main([*map(str, arguments)])

    yield run
    signal.signal(signal.SIGTERM, handler)
    os.environ.clear()
    os.environ.update(known)


@pytest.fixture
def served(lab: Lab, recsys: Recsys, starting: object, monkeypatch: pytest.MonkeyPatch) -> Recsys:
    """The command where the user has a Prefect server."""
    monkeypatch.setenv("PREFECT_API_URL", "the server of the fixture; it is set already")
    return recsys


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one line that the user is told."""
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    told = [line for line in err.splitlines() if line.startswith("recsys: ")]
    assert len(told) == 1
    assert err.endswith(told[0] + "\n")
    return told[0]


@pytest.mark.parametrize(
    "command",
    [*([name] for name in COMMANDS if name != "study"), *(["study", name] for name in ACTIONS)],
    ids=" ".join,
)
def test_every_command_explains_itself(
    recsys: Recsys, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        recsys(*command, "--help")

    out, err = capsys.readouterr()
    assert end.value.code == 0
    assert out.startswith(f"usage: recsys {' '.join(command)} ")
    assert "--workspace DIR" in out
    assert err == ""


def test_the_help_names_every_command(recsys: Recsys, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        recsys("--help")

    out = capsys.readouterr().out
    assert end.value.code == 0
    assert set(COMMANDS) <= set(out.split())


@pytest.mark.parametrize("arguments", [(), ("train",), ("inspect",), ("sample", "--users", "x")])
def test_a_wrong_command_line_is_refused_with_its_usage(
    recsys: Recsys, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as end:
        recsys(*arguments)

    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert out == ""
    assert err.startswith("usage: recsys")


def test_a_sample_is_written_where_asked(
    recsys: Recsys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = recsys("sample", tmp_path / "s", "--users", "30", "--artists", "20", "--seed", "3")

    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("30 listeners, 20 artists, seed 3\n")
    for name in ("plays.tsv", "profiles.tsv"):
        assert str(tmp_path / "s" / name) in out
        assert (tmp_path / "s" / name).stat().st_size > 0


def test_a_sample_goes_into_the_workspace_by_default_and_is_the_same_again(
    recsys: Recsys, tmp_path: Path
) -> None:
    written = []
    for name in ("one", "other"):
        place = tmp_path / name
        assert recsys("sample", "--users", "30", "--artists", "20", "--workspace", place) == 0
        written.append((place / "sample" / "plays.tsv").read_bytes())

    assert written[0] == written[1]


def test_a_sample_that_cannot_be_is_refused(
    recsys: Recsys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, recsys("sample", tmp_path, "--users", "0"))

    assert "users = 0" in told


def test_a_sample_into_a_place_that_is_no_folder_is_refused(
    recsys: Recsys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("x")

    told = refused(capsys, recsys("sample", tmp_path / "taken", "--users", "9", "--artists", "10"))

    assert "taken" in told
    assert "give a folder" in told


def test_an_inspection_prints_the_numbers_and_saves_the_plots(
    recsys: Recsys, sample: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = recsys("inspect", sample[0], "--profiles", sample[1], "--workspace", tmp_path / "w")

    out = capsys.readouterr().out
    assert code == 0
    lines = {line[:22].strip(): line[22:] for line in out.splitlines()}
    assert lines["users"] == "300"
    assert lines["artists per user"].startswith("mean ")
    assert "rows used" in lines
    assert len(list((tmp_path / "w" / "inspect").rglob("*.png"))) == 3


def test_an_inspection_can_be_one_json_object(
    recsys: Recsys, sample: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = recsys("inspect", sample[0], "--json", "--workspace", tmp_path / "w")

    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert found["users"] == 300
    assert found["format"] == "lastfm-360k"


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (None, [], "plays.tsv"),
        (b"", [], "plays.tsv"),
        (PNG, [], "plays.tsv"),
        (b"uid,track\na,x\n", ["--columns", "user=nobody,item=track"], "nobody"),
        (b"uid,track\na,x\n", ["--columns", "user"], "user"),
        (b"uid,track\na,x\n", ["--columns", "user=0,item=9"], "9"),
        (b"uid,track\na,x\n", ["--format", "lastfm"], "lastfm"),
    ],
    ids=["missing", "empty", "png", "wrong column", "no column", "wrong position", "wrong format"],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    recsys: Recsys,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    options: list[str],
    expected: str,
) -> None:
    plays = tmp_path / "plays.tsv"
    if content is not None:
        plays.write_bytes(content)

    told = refused(capsys, recsys("inspect", plays, *options))

    assert expected in told


@pytest.mark.flow
@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (None, [], "plays.tsv"),
        (PNG, [], "plays.tsv"),
        (b"0" * 40 + b"\t\tartist\t3\n", [], "nothing is left after the filter"),
        (b"0" * 40 + b"\t\tartist\tmany\n", ["--strict"], "plays.tsv"),
    ],
    ids=["missing", "png", "nothing left", "strict"],
)
def test_an_experiment_on_a_bad_file_is_refused_in_one_line(
    served: Recsys,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    options: list[str],
    expected: str,
) -> None:
    plays = tmp_path / "plays.tsv"
    if content is not None:
        plays.write_bytes(content)

    told = refused(capsys, served("experiment", "--plays", plays, "--json", *options))

    assert expected in told


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--config", "papr"], r"config papr: no such file; pass one, or one of default, paper"),
        (["--set", "search.factros=4"], "search.factros is no parameter of als"),
        (["--set", "serch.factors=4"], "serch"),
        (["--set", "factors"], "write NAME=VALUE"),
        (["--set", "=4"], "write NAME=VALUE"),
        (["--set", "seed.x=4"], "seed"),
        (["--set", "study.metric=ndcg@7"], "ndcg@7"),
        (["--set", "search.factors=0"], "factors"),
        (["--trials", "0"], "study.trials"),
        (["--timeout", "-1"], "study.timeout"),
        (["--seed", "-1"], "seed"),
        (["--keep-factors", "some"], "study.keep_factors"),
        (["--item-key", "id"], "data.item_key"),
        (["--columns", "user=a,colour=b"], "colour"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_before_anything_starts(
    recsys: Recsys,
    sample: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    expected: str,
) -> None:
    told = refused(capsys, recsys("experiment", "--plays", sample[0], *options))

    assert expected in told
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


def test_without_plays_and_without_a_sample_one_is_told_to_make_it(
    recsys: Recsys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "run `recsys sample` first" in refused(capsys, recsys("experiment"))


def test_a_workspace_that_cannot_be_is_refused(
    recsys: Recsys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    told = refused(capsys, recsys("sample", "--workspace", tmp_path / "file"))

    assert "--workspace" in told


def test_an_unknown_data_set_cannot_be_fetched(
    recsys: Recsys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "spotify" in refused(capsys, recsys("fetch", "spotify", tmp_path))


def test_options_become_settings_and_set_wins(recsys: Recsys) -> None:
    given = [
        *("experiment", "--trials", "7", "--seed", "3", "--config", "paper", "--strict"),
        *("--set", "study.trials=9", "--set", "search.factors=16,32", "--keep-factors", "best"),
        *("--columns", "user=0,item=2", "--timeout", "5", "--item-key", "name"),
    ]
    config = main._config(parser().parse_args(given))

    assert (config.name, config.seed, config.study.trials) == ("paper", 3, 9)
    assert (config.study.keep_factors, config.study.timeout) == ("best", 5)
    assert config.search["factors"] == (16, 32)
    assert config.data.columns == {"user": 0, "item": 2}
    assert config.data.item_key == "name"
    assert config.data.strict


def test_a_config_file_of_ones_own_can_be_named(recsys: Recsys, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nseed = 5\n', encoding="utf-8")

    config = main._config(parser().parse_args(["experiment", "--config", "mine.toml"]))

    assert (config.name, config.seed) == ("mine", 5)


def test_a_given_test_side_turns_the_filters_off_unless_asked_for(recsys: Recsys) -> None:
    given = ["experiment", "--config", "paper", "--test", "test.tsv"]
    plain = main._config(parser().parse_args(given))
    asked = main._config(parser().parse_args([*given, "--set", "filter.min_items=3"]))

    assert plain.split.kind == "given"
    assert (plain.filter.min_items, plain.filter.min_users) == (0, 0)
    assert plain.filter.top_users is None
    assert asked.filter.min_items == 3


QUICK = (
    *("--trials", "2", "--set", "search.factors=4,8", "--set", "search.iterations=2,3"),
    *("--set", "judge.resamples=50"),
)


@pytest.mark.flow
def test_an_experiment_shows_its_tables_and_where_to_look_next(
    first: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    main._show(first, False, {"start": 1.25})

    out, err = capsys.readouterr()
    for part in ("Data", "Leaderboard: top 3 of 3", "On test:", "One listener:"):
        assert part in out
    assert "seconds: start 1.2" in out
    told = "study first: `recsys ui` opens MLflow; its trials side by side: "
    assert f"{told}{first.compare_url}\n" in out
    assert err == ""


@pytest.mark.flow
def test_an_interrupt_ends_with_130_and_no_traceback(
    served: Recsys, lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recsys.models.als import Als

    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal comes first")

    monkeypatch.setattr(Als, "fit", interrupted)

    code = served("experiment", "--plays", lab.plays, *QUICK, "--workspace", lab.workspace.root)

    out, err = capsys.readouterr()
    assert code == 130
    assert out == ""
    assert "Traceback" not in err
    assert "recsys: interrupted" in err
