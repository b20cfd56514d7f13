"""Search: by vector, by filter, with metadata; counts and deletions by filter."""

import pytest
import weaviate
from weaviate.classes.config import Configure, DataType, Property, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, MetadataQuery

from conftest import cosine_distance, identity, vector

COUNT = 300


@pytest.fixture
def filled(passages):
    objects = [
        DataObject({"text": f"passage number {n}", "number": n, "even": n % 2 == 0}, uuid=identity(n), vector=vector(n))
        for n in range(COUNT)
    ]
    assert not passages.data.insert_many(objects).has_errors
    return passages


def nearest(query, numbers):
    return sorted(numbers, key=lambda n: cosine_distance(vector(query), vector(n)))


def test_near_vector_finds_the_nearest_in_order(filled):
    found = filled.query.near_vector(vector("query"), limit=10, return_metadata=MetadataQuery.full()).objects
    assert [o.properties["number"] for o in found] == nearest("query", range(COUNT))[:10]
    for o in found:
        want = cosine_distance(vector("query"), vector(o.properties["number"]))
        assert o.metadata.distance == pytest.approx(want, abs=1e-5)
        assert o.metadata.certainty == pytest.approx(1 - want / 2, abs=1e-5)
        assert o.metadata.creation_time is not None and o.metadata.last_update_time is not None


def test_near_vector_with_filters(filled):
    for chosen, numbers in [
        (Filter.by_property("even").equal(True), range(0, COUNT, 2)),
        (Filter.by_property("even").equal(True) & Filter.by_property("number").equal(8), [8]),
        (Filter.by_property("number").equal(3) | Filter.by_property("number").equal(4), [3, 4]),
        (Filter.by_id().equal(identity(17)), [17]),
        (Filter.by_property("number").equal(-1), []),
    ]:
        found = filled.query.near_vector(vector("q2"), limit=5, filters=chosen).objects
        assert [o.properties["number"] for o in found] == nearest("q2", numbers)[:5]


def test_near_vector_by_distance_and_offset(filled):
    order = nearest("q3", range(COUNT))
    cut = (cosine_distance(vector("q3"), vector(order[4])) + cosine_distance(vector("q3"), vector(order[5]))) / 2
    within = filled.query.near_vector(vector("q3"), distance=cut).objects
    assert [o.properties["number"] for o in within] == order[:5]
    page = filled.query.near_vector(vector("q3"), limit=4, offset=3).objects
    assert [o.properties["number"] for o in page] == order[3:7]


def test_near_object(filled):
    found = filled.query.near_object(identity(5), limit=3, return_metadata=MetadataQuery(distance=True)).objects
    assert [o.properties["number"] for o in found] == nearest(5, range(COUNT))[:3]
    assert found[0].uuid == identity(5) and found[0].metadata.distance == pytest.approx(0, abs=1e-5)


def test_fetch_objects(filled):
    assert len(filled.query.fetch_objects(limit=7).objects) == 7
    found = filled.query.fetch_objects(filters=Filter.by_property("number").equal(42), return_properties=["text"]).objects
    assert [(o.uuid, o.properties) for o in found] == [(identity(42), {"text": "passage number 42"})]
    by_ids = filled.query.fetch_objects_by_ids([identity(1), identity(2)]).objects
    assert {o.uuid for o in by_ids} == {identity(1), identity(2)}


def test_counts(filled):
    assert filled.aggregate.over_all(total_count=True).total_count == COUNT
    even = Filter.by_property("even").equal(True)
    assert filled.aggregate.over_all(total_count=True, filters=even).total_count == COUNT // 2


def test_delete_many(filled):
    even = Filter.by_property("even").equal(True)
    trial = filled.data.delete_many(where=even, dry_run=True)
    assert trial.matches == COUNT // 2 and len(filled) == COUNT
    outcome = filled.data.delete_many(where=even, verbose=True)
    assert (outcome.matches, outcome.successful, outcome.failed) == (COUNT // 2, COUNT // 2, 0)
    assert {o.uuid for o in outcome.objects} == {identity(n) for n in range(0, COUNT, 2)}
    assert len(filled) == COUNT // 2
    found = filled.query.near_vector(vector("q"), limit=20).objects
    assert [o.properties["number"] for o in found] == nearest("q", range(1, COUNT, 2))[:20]


def test_updated_vectors_are_found_where_they_are_now(filled):
    filled.data.update(identity(1), properties={}, vector=vector("far away"))
    found = filled.query.near_vector(vector("far away"), limit=1, return_metadata=MetadataQuery(distance=True)).objects[0]
    assert found.uuid == identity(1) and found.metadata.distance == pytest.approx(0, abs=1e-5)
    assert filled.query.near_vector(vector(1), limit=1).objects[0].uuid != identity(1)


def test_wrong_dimension_is_refused(filled):
    with pytest.raises(weaviate.exceptions.WeaviateQueryError):
        filled.query.near_vector([1.0, 2.0], limit=1)


def test_named_vectors(client, name):
    collection = client.collections.create(
        name,
        properties=[Property(name="number", data_type=DataType.INT)],
        vector_config=[
            Configure.Vectors.self_provided(name="title"),
            Configure.Vectors.self_provided(
                name="body", vector_index_config=Configure.VectorIndex.flat(distance_metric=VectorDistances.L2_SQUARED)
            ),
        ],
    )
    objects = [
        DataObject({"number": n}, uuid=identity(n), vector={"title": vector(n, 8), "body": vector(-n, 12)}) for n in range(40)
    ]
    assert not collection.data.insert_many(objects).has_errors
    by_title = collection.query.near_vector(vector(7, 8), target_vector="title", limit=1, include_vector=True).objects[0]
    assert by_title.uuid == identity(7)
    assert by_title.vector["body"] == pytest.approx(vector(-7, 12), abs=1e-6)
    by_body = collection.query.near_vector(
        vector(-9, 12), target_vector="body", limit=1, return_metadata=MetadataQuery(distance=True)
    ).objects[0]
    assert by_body.uuid == identity(9) and by_body.metadata.distance == pytest.approx(0, abs=1e-5)
    with pytest.raises(weaviate.exceptions.WeaviateQueryError):
        collection.query.near_vector(vector(1, 8), limit=1)  # two vectors, none named
    client.collections.delete(name)


@pytest.mark.parametrize("kind", ["unnamed", "named default"])
def test_the_unnamed_vector_and_default_are_one(client, name, kind):
    config = Configure.Vectors.self_provided() if kind == "named default" else None
    arguments = {"vector_config": config} if config else {"vectorizer_config": Configure.Vectorizer.none()}
    collection = client.collections.create(name, properties=[Property(name="number", data_type=DataType.INT)], **arguments)
    objects = [DataObject({"number": n}, uuid=identity(n), vector=vector(n)) for n in range(20)]
    objects += [DataObject({"number": n}, uuid=identity(n), vector={"default": vector(n)}) for n in range(20, 40)]
    assert not collection.data.insert_many(objects).has_errors
    for number in (3, 33):
        assert collection.query.near_vector(vector(number), limit=1).objects[0].uuid == identity(number)
        named = collection.query.near_vector(vector(number), target_vector="default", limit=1, include_vector=True).objects[0]
        assert named.uuid == identity(number)
        assert named.vector["default"] == pytest.approx(vector(number), abs=1e-6)
    client.collections.delete(name)
