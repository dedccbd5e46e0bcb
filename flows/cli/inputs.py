"""Options that say what is searched on what, and the configuration that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from flows.model_config import AUTO, check_model, model_config
from recsys.config import ExperimentConfig, changed, load_config
from recsys.errors import InputError
from recsys.models import MODELS, Device
from recsys.search.config import KeepFactors, Prefer
from recsys.settings import hint, parse_value
from recsys.sources.layout import Decimal, Format, ItemKey
from recsys.splitting.config import GivenSplit
from tasks.workspace.layout import Workspace

CONFIGS = Path(__file__).parents[1] / "configs"
OF_MODEL = ("study.sampler", "study.first", "study.default_first")
"""Settings that the file of a model has, too: those that are typed replace them."""

DATA = Group("Data", sort_key=1)
SEARCH = Group("Search", sort_key=2)
File = Annotated[Path | None, Parameter(metavar="FILE")]
Adopt = Annotated[
    bool,
    Parameter(
        name="--adopt",
        group=SEARCH,
        help="Use studies and prepared data of other code; each trial records its code.",
    ),
]
Number = Annotated[int | None, Parameter(metavar="N")]
COLUMNS = (
    "user=uid,item=track,plays=n,time=ts by name, or user=0,item=1 by position, for a file without "
    "a header."
)
PROFILE_COLUMNS = "user=uid,gender=sex,age=age,country=land,signup=day, those that the file has."
MODEL = (
    f"The model that is searched: {', '.join(MODELS)}; or auto, with `experiment`: several models "
    "within one budget. Without it: that of the configuration."
)


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How plays are read."""

    format: Format | None = None
    """Without it: found from the first lines."""
    columns: Annotated[str | None, Parameter(metavar="WHICH", help=COLUMNS)] = None
    item_key: ItemKey | None = None
    """What an item is known by, in files that have both MusicBrainz ids and names."""
    decimal: Decimal | None = None
    """The mark of fractions in plays: with --decimal , 1.204 is 1204."""
    profile_columns: Annotated[str | None, Parameter(metavar="WHICH", help=PROFILE_COLUMNS)] = None
    strict: bool = False
    """Stop at the first bad row."""

    def settings(self) -> dict[str, tuple[Any, str]]:
        """Dotted name to value and what was typed."""
        columns = profile_columns = None
        if self.columns or self.profile_columns:
            # pandas, which is slow to load
            from recsys.sources.named import PROFILES, parse_columns

            columns = parse_columns(self.columns) if self.columns else None
            if self.profile_columns:
                option = "--profile-columns"
                profile_columns = parse_columns(self.profile_columns, PROFILES, option)
        return _given(
            ("data.format", self.format, "--format"),
            ("data.columns", columns, "--columns"),
            ("data.item_key", self.item_key, "--item-key"),
            ("data.decimal", self.decimal, "--decimal"),
            ("data.profile_columns", profile_columns, "--profile-columns"),
            ("data.strict", self.strict or None, "--strict"),
        )

    def arguments(self) -> dict[str, Any]:
        """What was given, as `flows.inspecting.inspect` takes it."""
        return {name.removeprefix("data."): value for name, (value, _) in self.settings().items()}


@Parameter(name="*", group=SEARCH)
@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """What is searched, on what."""

    plays: Annotated[File, Parameter(group=DATA)] = None
    """Without it: what `recsys sample` wrote."""
    profiles: Annotated[File, Parameter(group=DATA)] = None
    """Profiles of the users."""
    test: Annotated[File, Parameter(group=DATA)] = None
    """A published test side."""
    validation: Annotated[File, Parameter(group=DATA)] = None
    """A published validation side, with --test."""
    config: Annotated[str, Parameter(metavar="NAME")] = "default"
    """default, paper, or a TOML file."""
    model: Annotated[
        str | None, Parameter(metavar="NAME", completer=lambda _: [*MODELS, AUTO], help=MODEL)
    ] = None
    top_items: Number = None
    """ease, pair-ease and turbo-cf learn and show only so many items."""
    trials: Number = None
    """How many the study is to have."""
    timeout: Annotated[float | None, Parameter(metavar="SECONDS")] = None
    """No trial starts later."""
    seed: Number = None
    """Root of all random numbers."""
    keep_factors: KeepFactors | None = None
    """Whose factors are kept."""
    validation_users: Number = None
    """Judge trials on a sample of N users, the best few again on all."""
    device: Device | None = None
    """Where als trains: gpu is that of implicit, with one lambda for all rows."""
    prefer: Prefer | None = None
    """The best trial, or the cheapest of those tied with it. With --model auto, cheapest also
    leaves out ensembles that may be no better than the best model."""
    cross_check: Annotated[bool | None, Parameter(negative="--no-cross-check")] = None
    """After a search of als, judge cheap models on validation too."""
    fresh: bool = False
    """Train also what was measured before, by any study."""
    sources: Annotated[tuple[str, ...], Parameter(name="--from", metavar="STUDY")] = ()
    """Begin a new study with the best points of this one; may be repeated."""
    set: Annotated[tuple[str, ...], Parameter(metavar="NAME=VALUE")] = ()
    """Replace a setting, as in --set search.factors=16,32; may be repeated."""

    def settings(self) -> dict[str, tuple[Any, str]]:
        """Dotted name to value and what was typed; --set wins over other options."""
        given = _given(
            *((f"search.{name}", value, "--device") for name, value in self._on_device()),
            ("study.trials", self.trials, "--trials"),
            ("study.timeout", self.timeout, "--timeout"),
            ("study.keep_factors", self.keep_factors, "--keep-factors"),
            ("study.prefer", self.prefer, "--prefer"),
            ("study.cross_check", self.cross_check, "--cross-check"),
            ("study.fresh", self.fresh or None, "--fresh"),
            ("judge.validation_users", self.validation_users, "--validation-users"),
            ("seed", self.seed, "--seed"),
        )
        if self.test is not None:
            # A published split is used as it is, unless filters are given.
            typed = f"--test {self.test}"
            split = {"kind": "given", "test": str(self.test)}
            if self.validation is not None:
                split["validation"] = str(self.validation)
            given["split"] = split, typed
            given["filter"] = {"min_items": 0, "min_users": 0}, typed
        return given

    def _on_device(self) -> list[tuple[str, Any]]:
        """The parameters that --device gives."""
        if self.device != "gpu":
            return [("device", self.device)]
        return [("device", "gpu"), ("engine", "implicit"), ("nu", 0)]

    def check_paths(self) -> None:
        """Refuse a path that is not there, before anything is loaded.

        Raises:
            InputError: it is not there.
        """
        if self.validation is not None and self.test is None:
            raise InputError(
                f"--validation {self.validation}: pass the test side, too: --test FILE"
            )
        for path in filter(None, (self.plays, self.profiles, self.test, self.validation)):
            if not path.exists():
                raise InputError(f"{path} does not exist; give the path of an existing file")

    def files(self, workspace: Workspace) -> tuple[Path, Path | None]:
        """Plays and profiles: those given, or the sample.

        Raises:
            InputError: no plays are given and there is no sample.
        """
        if self.plays is not None:
            return self.plays, self.profiles
        if not workspace.sample_plays.is_file():
            raise InputError(
                f"no plays: {workspace.sample_plays} is not there; run `recsys sample` first, "
                "or pass --plays FILE"
            )
        return workspace.sample_plays, self.profiles or workspace.sample_profiles

    def experiment(self, reading: ReadingOptions) -> ExperimentConfig:
        """The configuration: a TOML file, the options, then --set.

        Raises:
            InputError: a setting cannot be used, the message names the option; or there is no GPU.
        """
        if self.searches_models:
            raise InputError(
                f"--model {AUTO}: only `recsys experiment` searches several models; name one of "
                f"{', '.join(MODELS)}"
            )
        if self.device == "gpu":
            from recsys.models.als_implicit import require_gpu

            require_gpu()
        given = {**self.settings(), **reading.settings(), **_set(self.set)}
        values = {name: value for name, (value, _) in given.items()}
        typed = {name: text for name, (_, text) in given.items()}
        file = _config_file(self.config)
        if self.model is None:
            return load_config(file, values, typed)
        model = check_model(self.model, "--model")
        searched = {n: v for n, v in values.items() if n.startswith("search.") or n in OF_MODEL}
        base = load_config(file, {n: v for n, v in values.items() if n not in searched}, typed)
        has_profiles = self.profiles is not None
        config = model_config(base, model, base.seed, has_profiles, self.top_items)
        return changed(config, searched, typed)

    @property
    def searches_models(self) -> bool:
        """Whether several models are searched within one budget."""
        return self.model == AUTO

    def several(self, reading: ReadingOptions) -> ExperimentConfig:
        """The configuration of a search over several models, as `experiment`.

        Raises:
            InputError: also where an option is about one model, or about one study.
        """
        of_one = [text for text in self.set if text.startswith(("search.", *OF_MODEL))]
        options = [
            *(f"--set {text}" for text in of_one),
            *(f"--device {self.device}" for _ in filter(None, [self.device])),
            *(f"--from {name}" for name in self.sources),
        ]
        if options:
            raise InputError(
                f"{options[0]}: --model {AUTO} searches each model in its own space; name one "
                "model to change that"
            )
        return replace(self, model=None).experiment(reading)

    def with_trials(self, trials: int) -> "RequestOptions":
        """The same with another number of trials."""
        return replace(self, trials=trials)

    @property
    def names_nothing(self) -> bool:
        """Whether no option but the number of trials is given."""
        return replace(self, trials=None) == RequestOptions()


NO_READING = ReadingOptions()
NO_REQUEST = RequestOptions()


def check_files(plays: Path, profiles: Path | None, config: ExperimentConfig) -> None:
    """Refuse a file that cannot be what it is given as, before anything slow starts.

    Raises:
        InputError: a file is missing, is empty, or has another format.
    """
    from recsys.sources.detect import check_log
    from recsys.sources.stream import check_file

    given = config.split if isinstance(config.split, GivenSplit) else None
    sides = [] if given is None else [given.test, given.validation]
    for path in filter(None, [plays, profiles, *sides]):
        check_file(path)
    check_log(plays, config.data.format, config.data.columns)


def _given(*options: tuple[str, Any, str]) -> dict[str, tuple[Any, str]]:
    return {
        name: (value, option if value is True else f"{option} {_typed(value)}")
        for name, value, option in options
        if value is not None
    }


def _typed(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _config_file(name: str) -> Path:
    built_in = CONFIGS / f"{name}.toml"
    path = built_in if built_in.is_file() else Path(name)
    if not path.is_file():
        names = sorted(each.stem for each in CONFIGS.glob("*.toml"))
        raise InputError(
            f"--config {name}: no such file{hint(name, names)}; pass a TOML file, or one of "
            f"{', '.join(names)}"
        )
    return path


def _set(texts: Sequence[str]) -> Mapping[str, tuple[Any, str]]:
    settings: dict[str, tuple[Any, str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--set {text}: write NAME=VALUE, such as search.factors=16,32")
        settings[name] = parse_value(value), f"--set {text}"
    return settings
