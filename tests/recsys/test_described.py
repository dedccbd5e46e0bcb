from dataclasses import dataclass

from pydantic import TypeAdapter

from recsys.described import FORM, field_texts
from recsys.settings import Config


class Told(Config):
    """A table."""

    first: int = 1
    """What comes
    first."""
    second: int = 2
    third: int = 3
    """Last."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request.

    Attributes:
        one: A thing: with a colon,
            on two lines.
        told: A table of it.

    More is said here.
    """

    __pydantic_config__ = FORM

    one: int
    told: Told


def test_texts_below_fields_and_places_are_in_the_schema() -> None:
    fields = Told.model_json_schema()["properties"]

    assert {name: each.get("description") for name, each in fields.items()} == {
        "first": "What comes first.",
        "second": None,
        "third": "Last.",
    }
    assert [each["position"] for each in fields.values()] == [0, 1, 2]


def test_texts_under_attributes_are_in_the_schema_of_a_dataclass() -> None:
    schema = TypeAdapter(Asked).json_schema()

    assert schema["description"] == "A request."
    assert schema["properties"]["one"]["description"] == "A thing: with a colon, on two lines."
    assert schema["properties"]["told"]["position"] == 1


def test_a_class_without_a_source_has_no_texts() -> None:
    made = type("Made", (), {})

    assert field_texts(made) == {}
