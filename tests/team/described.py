"""What the Dockerfile and the Compose file say, read as Docker reads them."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE = ROOT / "docker" / "compose.yaml"

_PART = re.compile(r"\$\$|\$\{(\w+)|\}|\$(\w+)")


class Unset(Exception):
    """A variable that has to be set is not."""


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """The text with its $NAME, ${NAME}, ${NAME:-word}, ${NAME:+word} and ${NAME:?word} replaced.

    Raises:
        Unset: one with :? is unset or empty.
    """
    done, at = _until_brace(text, 0, variables)
    assert at == len(text), text
    return done


def _until_brace(text: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """What stands before the next brace that closes, and where that is."""
    done = ""
    while found := _PART.search(text, at):
        done += text[at : found.start()]
        at = found.end()
        match found[0]:
            case "$$":
                done += "$"
            case "}":
                return done, found.start()
            case part if part.startswith("${"):
                value, at = _braced(text, found[1], at, variables)
                done += value
            case _:
                done += variables.get(found[2], "")
    return done + text[at:], len(text)


def _braced(text: str, name: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    value, how = variables.get(name, ""), text[at : at + 2]
    if how.startswith("}"):
        return value, at + 1
    assert how in (":-", ":+", ":?"), text
    asked = not value if how != ":+" else bool(value)
    # A word that is not asked for may hold :? of its own.
    word, at = _until_brace(text, at + 2, variables if asked else _Anything())
    if how == ":?" and asked:
        raise Unset(f"{name} {word}")
    return (word if asked else value if how != ":+" else ""), at + 1


class _Anything(dict[str, str]):
    """Every variable is set."""

    def get(self, key: str, default: Any = None) -> Any:
        return "set"


@dataclass(frozen=True)
class Service:
    """A service of the Compose file, its variables replaced.

    Attributes:
        name: Of the service, and the name of its host.
        said: Everything that is said of it.
        command: What is run.
        environment: What it finds there; without those that have no value and get none.
        ports: Port of 127.0.0.1 by the port in the container.
    """

    name: str
    said: Mapping[str, Any]
    command: Sequence[str]
    environment: Mapping[str, str]
    ports: Mapping[str, str]


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """The services by name, with `variables` as docker/.env has them.

    Raises:
        Unset: a variable without which nothing runs.
    """
    said = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    return {name: _service(name, _replaced(of, variables), variables) for name, of in said.items()}


def _service(name: str, said: Mapping[str, Any], variables: Mapping[str, str]) -> Service:
    command = said.get("command", [])
    environment = {
        key: variables.get(key) if value is None else value
        for key, value in said.get("environment", {}).items()
    }
    ports = (port.rsplit(":", maxsplit=1) for port in said.get("ports", []))
    return Service(
        name,
        said,
        shlex.split(command) if isinstance(command, str) else command,
        {key: value for key, value in environment.items() if value is not None},
        {inside: outside.removeprefix("127.0.0.1:") for outside, inside in ports},
    )


def _replaced(said: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(said, str):
        return interpolated(said, variables)
    if isinstance(said, list):
        return [_replaced(each, variables) for each in said]
    if isinstance(said, dict):
        return {name: _replaced(each, variables) for name, each in said.items()}
    return said


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile and what it is given, on one line."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    whole = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in whole.splitlines()]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage; those of the image come last."""
    found: list[list[tuple[str, str]]] = []
    for word, given in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, given))
    return found


def of_image(word: str) -> Iterator[str]:
    """What the image's stage gives to each instruction of that name."""
    return (given for instruction, given in stages()[-1] if instruction == word)


def image_environment() -> dict[str, str]:
    """What ENV sets in the image."""
    pairs = (pair for given in of_image("ENV") for pair in shlex.split(given))
    return dict(pair.split("=", maxsplit=1) for pair in pairs)


def health_command() -> list[str]:
    """What the image is asked with."""
    [given] = of_image("HEALTHCHECK")
    command: list[str] = json.loads(given[given.index("[") :])
    return command
