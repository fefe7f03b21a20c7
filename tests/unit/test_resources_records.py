"""Values survive being stored, also by another build."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_manager import records
from clipper_manager.resources import KINDS, Application, Entity, InputType, Model, ModelVersion, kind_of

ENTITIES = st.one_of(*(st.builds(kind) for kind in KINDS.values())).filter(
    lambda entity: all(value == value for value in _floats(entity))
)


def _floats(entity: Entity) -> list[float]:
    if not isinstance(entity, Application):
        return []
    return [entity.confidence_threshold, *(link.weight for link in entity.links)]


@given(ENTITIES)
def test_every_entity_comes_back_as_it_was(entity: Entity) -> None:
    assert records.decode(entity.key, records.encode(entity)) == entity


@given(st.lists(ENTITIES, unique_by=lambda entity: entity.key), st.lists(ENTITIES))
def test_a_change_comes_back_as_it_was(puts: list[Entity], gone: list[Entity]) -> None:
    deletes = tuple(entity.key for entity in gone)
    assert records.decode_changes(records.encode_changes(puts, deletes)) == (tuple(puts), deletes)


def test_the_deletes_that_a_script_writes_are_read() -> None:
    assert records.decode_changes('{"deletes":["replica/m/1/0"]}') == ((), ("replica/m/1/0",))


def test_a_field_of_a_newer_build_is_left_out() -> None:
    text = json.dumps({**json.loads(records.encode(Model("m", InputType.BYTES))), "colour": "red"})
    assert records.decode("model/m", text) == Model("m", InputType.BYTES)


def test_a_field_that_an_older_build_did_not_write_takes_its_default() -> None:
    record = json.loads(records.encode(ModelVersion("m", "1", InputType.BYTES)))
    del record["data_path"]
    assert records.decode("version/m/1", json.dumps(record)) == ModelVersion("m", "1", InputType.BYTES)


def test_an_entity_of_a_newer_build_is_left_out() -> None:
    assert records.decode("quota/a", "{}") is None
    assert records.decode_changes('{"puts": {"quota/a": "{}"}, "deletes": ["quota/b", "model/m"]}') == (
        (),
        ("model/m",),
    )


@given(ENTITIES)
def test_keys_tell_the_kind(entity: Entity) -> None:
    assert kind_of(entity.key) is type(entity)


def test_what_has_no_place_in_a_record_is_refused() -> None:
    with pytest.raises(TypeError):
        records.encode(Model("m", InputType.BYTES, current_version=object()))  # type: ignore[arg-type]
