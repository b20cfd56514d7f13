"""Objects: one at a time and in batches."""

import datetime
import uuid

import pytest
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.data import DataObject
from weaviate.exceptions import UnexpectedStatusCodeError

from conftest import identity, vector


def assert_close(got, want):
    assert got == pytest.approx(want, rel=1e-6, abs=1e-7)


def test_insert_fetch_update_replace_delete(passages):
    key = passages.data.insert({"text": "first", "number": 1}, uuid=identity(1), vector=vector(1))
    assert key == identity(1) and passages.data.exists(key)
    found = passages.query.fetch_object_by_id(key, include_vector=True)
    assert (found.properties["text"], found.properties["number"]) == ("first", 1)
    assert_close(found.vector["default"], vector(1))
    passages.data.update(key, properties={"number": 2})
    found = passages.query.fetch_object_by_id(key, include_vector=True)
    assert (found.properties["text"], found.properties["number"]) == ("first", 2)
    assert_close(found.vector["default"], vector(1))
    passages.data.replace(key, properties={"text": "other"}, vector=vector(2))
    found = passages.query.fetch_object_by_id(key, include_vector=True)
    assert (found.properties["text"], found.properties.get("number")) == ("other", None)
    assert_close(found.vector["default"], vector(2))
    assert passages.data.delete_by_id(key)
    assert not passages.data.exists(key)
    assert passages.query.fetch_object_by_id(key) is None
    assert passages.data.delete_by_id(key), "a repeated deletion is answered like the first, as Weaviate does"


def test_an_id_is_inserted_once(passages):
    passages.data.insert({"text": "a"}, uuid=identity(1))
    with pytest.raises(UnexpectedStatusCodeError) as refused:
        passages.data.insert({"text": "b"}, uuid=identity(1))
    assert refused.value.status_code == 422
    assert passages.query.fetch_object_by_id(identity(1)).properties["text"] == "a"


def test_insert_many_reports_each_object(passages):
    objects = [
        DataObject({"text": "good", "number": 1}, uuid=identity(1), vector=vector(1)),
        DataObject({"text": "bad", "number": "not a number"}, uuid=identity(2), vector=vector(2)),
        DataObject({"text": "good too", "number": 3}, uuid=identity(3), vector=vector(3)),
    ]
    outcome = passages.data.insert_many(objects)
    assert outcome.has_errors and list(outcome.errors) == [1]
    assert set(outcome.uuids) == {0, 2}
    assert len(passages) == 2
    assert not passages.data.exists(identity(2))


def test_insert_many_replaces_what_exists(passages):
    for text in ("old", "new"):
        objects = [DataObject({"text": f"{text} {n}"}, uuid=identity(n), vector=vector(n)) for n in range(50)]
        assert not passages.data.insert_many(objects).has_errors
    assert len(passages) == 50
    assert passages.query.fetch_object_by_id(identity(7)).properties["text"] == "new 7"


def test_dynamic_batch(passages):
    with passages.batch.dynamic() as batch:
        for n in range(1500):
            batch.add_object({"text": f"passage {n}", "number": n}, uuid=identity(n), vector=vector(n))
    assert passages.batch.failed_objects == []
    assert len(passages) == 1500
    assert passages.query.fetch_object_by_id(identity(1499)).properties["number"] == 1499


def test_fixed_size_batch_lists_failures(passages):
    with passages.batch.fixed_size(batch_size=20) as batch:
        for n in range(45):
            batch.add_object({"number": n}, uuid=identity(n), vector=vector(n, 16 if n != 30 else 15))
    failed = passages.batch.failed_objects
    assert [f.object_.uuid for f in failed] == [str(identity(30))]
    assert len(passages) == 44


def test_client_wide_batch(client, passages):
    with client.batch.dynamic() as batch:
        for n in range(120):
            batch.add_object(collection=passages.name, properties={"number": n}, uuid=identity(n), vector=vector(n))
    assert client.batch.failed_objects == []
    assert passages.aggregate.over_all(total_count=True).total_count == 120


def test_iterator_visits_every_object_once(passages):
    objects = [DataObject({"number": n}, uuid=identity(n), vector=vector(n)) for n in range(350)]
    assert not passages.data.insert_many(objects).has_errors
    seen = list(passages.iterator(include_vector=True, cache_size=64))
    assert sorted(o.properties["number"] for o in seen) == list(range(350))
    for found in seen[::50]:
        assert_close(found.vector["default"], vector(found.properties["number"]))


def test_every_kind_of_value_comes_back(client, name):
    collection = client.collections.create(
        name,
        properties=[
            Property(name="text", data_type=DataType.TEXT),
            Property(name="texts", data_type=DataType.TEXT_ARRAY),
            Property(name="int", data_type=DataType.INT),
            Property(name="ints", data_type=DataType.INT_ARRAY),
            Property(name="number", data_type=DataType.NUMBER),
            Property(name="numbers", data_type=DataType.NUMBER_ARRAY),
            Property(name="flag", data_type=DataType.BOOL),
            Property(name="flags", data_type=DataType.BOOL_ARRAY),
            Property(name="date", data_type=DataType.DATE),
            Property(name="key", data_type=DataType.UUID),
            Property(name="nested", data_type=DataType.OBJECT, nested_properties=[Property(name="deep", data_type=DataType.TEXT)]),
        ],
        vector_config=Configure.Vectors.self_provided(),
    )
    values = {
        "text": "Grüße, 世界\u0000\n\"quoted\"",
        "texts": ["a", "", "ß"],
        "int": -(2**53) + 1,
        "ints": [0, 1, -1],
        "number": 0.1,
        "numbers": [1.5, -2.25e-10],
        "flag": False,
        "flags": [True, False],
        "date": datetime.datetime(2024, 2, 29, 12, 30, 1, 250000, tzinfo=datetime.timezone.utc),
        "key": uuid.UUID("6f1c8f5e-0b1c-4bde-9d6c-3a4b5c6d7e8f"),
        "nested": {"deep": "down"},
    }
    one = collection.data.insert(values, uuid=identity(1))
    assert not collection.data.insert_many([DataObject(values, uuid=identity(2))]).has_errors
    for key in (one, identity(2)):
        assert collection.query.fetch_object_by_id(key).properties == values
    client.collections.delete(name)


def test_auto_schema_makes_collection_and_properties(client, name):
    collection = client.collections.get(name)
    assert not collection.data.insert_many([DataObject({"title": "a", "pages": 3, "ratio": 0.5, "known": True})]).has_errors
    types = {p.name: p.data_type for p in collection.config.get().properties}
    assert types["title"] == DataType.TEXT and types["known"] == DataType.BOOL and types["ratio"] == DataType.NUMBER
    client.collections.delete(name)
