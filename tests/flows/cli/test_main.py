import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from flows.cli import main
from flows.cli.experiment import Ending, show_result
from flows.cli.inputs import NO_READING, NO_REQUEST
from flows.cli.session import HERE
from flows.result import Result
from recsys.config import ExperimentConfig
from tasks.orchestration.server import Server
from tests.flows.conftest import Lab

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
EVERY = [
    *((each,) for each in main.COMMANDS),
    *((each, "study") for each in main.ACTIONS),
    *((each, "split") for each in main.CUTS),
]
LINES = [" ".join([*above, each.name]) for each, *above in EVERY]

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
def served(lab: Lab, recsys: Recsys, prefect: Server, monkeypatch: pytest.MonkeyPatch) -> Recsys:
    """The command where the user has a Prefect server."""
    monkeypatch.setenv("PREFECT_API_URL", prefect.api)
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


@pytest.mark.parametrize("words", LINES)
def test_every_command_explains_itself_with_an_example(
    recsys: Recsys, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    assert recsys(*words.split(), "--help") == 0

    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: recsys {words} ")
    assert words == "completion" or "--workspace DIR" in out
    assert f"Example:\n    recsys {words}" in out
    assert err == ""


@pytest.mark.parametrize("command", [each for each, *_ in EVERY], ids=LINES)
def test_a_command_is_listed_by_the_first_line_of_its_docstring(command: main.CommandSpec) -> None:
    assert main.described(command.load())[0].splitlines()[0] == command.line


@pytest.mark.parametrize("words", [(), ("--help",)])
def test_the_help_names_every_command(
    recsys: Recsys, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert recsys(*words) == 0

    assert {each.name for each in main.COMMANDS} | {"study"} <= set(capsys.readouterr().out.split())


def imported(code: str, names: str) -> str:
    """Which of the libraries a process has imported after running `code`."""
    found = f"print(set({names.split()}) & sys.modules.keys())"
    lines = ("import sys", "from flows.cli import main", code, found)
    command = [sys.executable, "-c", "\n".join(lines)]
    process = subprocess.run(command, capture_output=True, check=True)
    return process.stdout.decode().splitlines()[-1]


def test_the_help_imports_nothing_heavy() -> None:
    code = "main.main(['--help']); main.main(['--version'])"

    assert imported(code, "numpy pandas pydantic prefect mlflow optuna") == "set()"


def test_no_command_imports_what_reads_the_environment_before_it_is_set() -> None:
    code = "for each in [*main.COMMANDS, *main.ACTIONS, *main.CUTS]: each.load()"

    assert imported(code, "prefect mlflow matplotlib") == "set()"


def test_the_version_is_that_of_the_stack(
    recsys: Recsys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recsys("--version") == 0

    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert lines.keys() == {"recsys", "python", *main.STACK}
    assert lines["numpy"] == np.__version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_options_and_choices(
    recsys: Recsys,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shell: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert recsys("completion", shell) == 0
    script = capsys.readouterr().out
    assert {"experiment", "keep-factors", "cheapest", "rollback"} <= set(
        re.split(r"[^\w-]+", script.replace("--", ""))
    )
    assert recsys("completion", shell, "--install") == 0
    installed = Path(capsys.readouterr().out.partition(": ")[0])
    assert installed.is_relative_to(tmp_path)
    assert installed.read_text(encoding="utf-8").strip() == script.strip()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("exprimnt", "no command exprimnt (did you mean experiment?)"),
        ("study lst", "no command lst (did you mean list?)"),
        ("experiment --trails 3", "--trails: no such option (did you mean --trials?)"),
        ("experiment --trials many", "--trials many: use a whole number"),
        ("experiment --trials", "--trials: give a value"),
        ("experiment --seed 1 --seed 2", "--seed: give it once"),
        ("experiment --keep-factors bst", "use one of all, best, none (did you mean best?)"),
        ("retrain --gate bettr", "--gate bettr: use one of always, better, not-worse, never"),
        ("retrain --margin 2", "--margin 2: use a share, 0 to 1"),
        ("retrain --drift shrnk=2", "shrink, grow, rejects, shift (did you mean shrink?)"),
        ("compare --seeds 0", "--seeds 0: use at least 1"),
        ("compare --models als,eas", "--models eas: no such model (did you mean ease?)"),
        ("recommend --k 0", "--k 0: use at least 1"),
        ("similar", "ITEM is missing; `recsys similar --help`"),
        ("similar a b", "b: one too many"),
        ("publish --run a --version 1", "--run and --version: give one of them"),
        ("lookup", "give either the id of a user or --item"),
        ("lookup a --item b", "give either the id of a user or --item"),
        ("ui --prefect --optuna", "--prefect and --optuna: give one of them"),
        ("clean --days -1", "--days -1: use at least 0"),
        ("sample --users x", "--users x: use a whole number"),
        ("experiment --plays {plays} --model als-x", "als-x: no such model (did you mean als?)"),
        ("experiment --plays {plays} --trials 0", "--trials 0: use a number above 0"),
        ("experiment --plays {plays} --set search.factor=2", "(did you mean factors?)"),
        ("experiment --plays {plays} --config papr", "--config papr: no such file (did you mean"),
        ("retrain --plays {plays} --trials -1", "--trials -1: use a number above 0"),
        ("experiment --plays {plays} --set search.factros=4", "=4: no parameter of als (did you"),
        ("experiment --plays {plays} --set serch.factors=4", "=4: no such setting (did you mean"),
        ("experiment --plays {plays} --set factors", "--set factors: write NAME=VALUE"),
        ("experiment --plays {plays} --set =4", "write NAME=VALUE"),
        ("experiment --plays {plays} --set seed.x=4", "--set seed.x=4: use a whole number"),
        ("experiment --plays {plays} --set study.metric=ndcg@7", "=ndcg@7: use one of"),
        ("experiment --plays {plays} --set search.factors=0", "factors=0: use a number above 0"),
        ("experiment --plays {plays} --timeout -1", "--timeout -1: use a number above 0"),
        ("experiment --plays {plays} --seed -1", "--seed -1: use a number of at least 0"),
        ("experiment --plays {plays} --columns user=a,colour=b", "colour"),
        ("experiment --plays {plays} --config own.toml", "own.toml, line 2: study.trails = 3: no"),
        ("experiment --plays {plays} --config top.toml", "(did you mean study.trials?)"),
        ("experiment --plays {plays} --device tpu", "--device tpu: use one of cpu, gpu"),
        ("experiment --plays {plays} --device gpu", "implicit finds no GPU here"),
        ("experiment", "run `recsys sample` first"),
        ("sample --workspace own.toml", "--workspace"),
        ("sample own.toml --users 9 --items 10", "own.toml: File exists; give a folder"),
        ("sample --users 0", "users = 0"),
        ("fetch spotify .", "spotify"),
    ],
)
def test_a_wrong_word_is_refused_in_one_line_with_what_is_right(
    recsys: Recsys,
    sample: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    expected: str,
) -> None:
    (tmp_path / "own.toml").write_text("[study]\ntrails = 3\n", encoding="utf-8")
    (tmp_path / "top.toml").write_text("trials = 3\n", encoding="utf-8")

    told = refused(capsys, recsys(*arguments.format(plays=sample[0]).split()))

    assert expected in told
    assert not {"prefect", "mlflow.db"} & {path.name for path in tmp_path.glob("mlruns/*")}


@pytest.mark.parametrize(
    "arguments",
    [
        *(f"{command} --plays nowhere.tsv" for command in ("experiment", "compare", "retrain")),
        *("experiment --plays {plays} --profiles nowhere.tsv", "inspect nowhere.tsv"),
        *("experiment --plays {plays} --test nowhere.tsv", "study work new --plays nowhere.tsv"),
        "serve-flows --file nowhere.tsv",
    ],
)
def test_a_missing_file_is_refused_before_anything_starts(
    recsys: Recsys,
    sample: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
) -> None:
    monkeypatch.setattr("tasks.orchestration.server.serving", None)
    monkeypatch.setenv("PREFECT_API_URL", "there" * arguments.startswith("serve-flows"))

    assert "nowhere.tsv" in refused(capsys, recsys(*arguments.format(plays=sample[0]).split()))
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


def test_a_sample_is_written_and_is_the_same_again(
    recsys: Recsys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--users", "30", "--items", "20", "--seed", "3", "--workspace", tmp_path / "w")

    assert recsys("sample", tmp_path / "s", *small) == recsys("sample", *small) == 0

    out = capsys.readouterr().out
    assert out.startswith("30 listeners, 20 artists, seed 3\n")
    for name in ("plays.tsv", "profiles.tsv"):
        there, here = tmp_path / "s" / name, tmp_path / "w" / "sample" / name
        assert str(there) in out
        assert there.read_bytes() == here.read_bytes() != b""


def test_an_inspection_prints_the_numbers_and_saves_the_plots(
    recsys: Recsys, sample: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = recsys("inspect", sample[0], "--profiles", sample[1], "--workspace", tmp_path / "w")

    out = capsys.readouterr().out
    assert code == 0
    lines = {line[:22].strip(): line[22:] for line in out.splitlines()}
    assert lines["listeners"] == "300"
    assert lines["artists per listener"].startswith("mean ")
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
        (PNG, [], "plays.tsv"),
        (b"0" * 40 + b"\t\tartist\t3\n", [], "nothing is left after the filter"),
        (b"0" * 40 + b"\t\tartist\tmany\n", ["--strict"], "plays.tsv"),
    ],
    ids=["png", "nothing left", "strict"],
)
def test_an_experiment_on_a_bad_file_is_refused_in_one_line(
    served: Recsys,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    options: list[str],
    expected: str,
) -> None:
    plays = tmp_path / "plays.tsv"
    plays.write_bytes(content)

    told = refused(capsys, served("experiment", "--plays", plays, "--json", *options))

    assert expected in told


def configured(*words: str) -> ExperimentConfig:
    """The configuration that `recsys experiment` makes of its options."""
    app = main.build(["experiment"])
    _, bound, _ = app.parse_args(["experiment", *words])
    request = bound.arguments.get("request", NO_REQUEST)
    return request.experiment(bound.arguments.get("reading", NO_READING))


def test_options_become_settings_and_set_wins(recsys: Recsys) -> None:
    config = configured(
        *("--trials", "7", "--seed", "3", "--config", "paper", "--strict"),
        *("--set", "study.trials=9", "--set", "search.factors=16,32", "--keep-factors", "best"),
        *("--columns", "user=0,item=2", "--timeout", "5", "--item-key", "name"),
    )

    assert (config.name, config.seed, config.study.trials) == ("paper", 3, 9)
    assert (config.study.keep_factors, config.study.timeout) == ("best", 5)
    assert config.search["factors"] == (16, 32)
    assert config.data.columns == {"user": 0, "item": 2}
    assert config.data.item_key == "name"
    assert config.data.strict


def test_a_gpu_is_that_of_implicit_with_one_lambda(
    recsys: Recsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("implicit.gpu.HAS_CUDA", True)

    search = configured("--device", "gpu").search

    given = {name: search[name] for name in ("device", "engine", "nu")}
    assert given == {"device": "gpu", "engine": "implicit", "nu": 0}


def test_a_config_file_of_ones_own_can_be_named(recsys: Recsys, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\nseed = 5\n', encoding="utf-8")

    config = configured("--config", "mine.toml")

    assert (config.name, config.seed) == ("mine", 5)


def test_a_given_test_side_turns_the_filters_off_unless_they_are_given(recsys: Recsys) -> None:
    given = ("--config", "paper", "--test", "test.tsv")
    plain, filtered = configured(*given), configured(*given, "--set", "filter.min_items=3")

    assert plain.split.kind == "given"
    assert (plain.filter.min_items, plain.filter.min_users) == (0, 0)
    assert plain.filter.top_users is None
    assert filtered.filter.min_items == 3


QUICK = (
    *("--trials", "2", "--set", "search.factors=4,8", "--set", "search.iterations=2,3"),
    *("--set", "judge.resamples=50"),
)


@pytest.mark.flow
def test_an_experiment_shows_one_screen_or_everything(
    first: Result, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    show_result(first, lab.workspace, Ending(HERE, False, False, every=False), 1.25)
    screen = capsys.readouterr().out
    show_result(first, lab.workspace, Ending(HERE, False, False, every=True), 1.25)
    everything = capsys.readouterr().out

    assert "seconds: start" not in screen
    assert "seconds: start 1.2" in everything
    assert first.compare_url in everything


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


def test_an_old_option_works_and_a_line_says_its_new_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", "--users", "60", "--artists=50", "--workspace", str(tmp_path)]

    assert main.main(words) == 0

    shown = capsys.readouterr()
    assert "50 artists" in shown.out
    assert shown.err == "recsys: --artists is now called --items; the old name still works\n"
