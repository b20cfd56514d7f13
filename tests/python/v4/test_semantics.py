"""Answers over gRPC that were once wrong; the GraphQL side is in tests/blackbox/semantics.rs."""

import math
import struct
import uuid

import grpc
import pytest
from weaviate.classes.config import Configure, DataType, Property, ReferenceProperty, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, GroupBy, HybridFusion, HybridVector, MetadataQuery
from weaviate.proto.v1.v6300.v1 import base_pb2, base_search_pb2, search_get_pb2, weaviate_pb2_grpc

from conftest import GRPC_PORT


def identity(number):
    return uuid.UUID(int=number + 1)


@pytest.fixture(scope="module")
def stub():
    with grpc.insecure_channel(f"127.0.0.1:{GRPC_PORT}") as channel:
        yield weaviate_pb2_grpc.WeaviateStub(channel)


def request(name, **more):
    metadata = search_get_pb2.MetadataRequest(uuid=True, distance=True)
    return search_get_pb2.SearchRequest(
        **{"collection": name, "limit": 50, "uses_123_api": True, "uses_125_api": True, "uses_127_api": True, "metadata": metadata} | more
    )


def near(*values, **more):
    vector = base_pb2.Vectors(vector_bytes=struct.pack(f"<{len(values)}f", *values), type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32)
    return base_search_pb2.NearVector(vectors=[vector], **more)


def found(reply):
    return [uuid.UUID(bytes=hit.metadata.id_as_bytes).int - 1 for hit in reply.results]


@pytest.fixture
def notes(client, name):
    """Objects 0 to 5 with a number, tags, references among them, and vectors in a row."""
    made = client.collections.create(
        name,
        properties=[
            Property(name="n", data_type=DataType.INT),
            Property(name="price", data_type=DataType.NUMBER),
            Property(name="tags", data_type=DataType.TEXT_ARRAY),
            Property(name="place", data_type=DataType.GEO_COORDINATES),
        ],
        vector_config=Configure.Vectors.self_provided(vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.L2_SQUARED)),
    )
    made.config.add_reference(ReferenceProperty(name="of", target_collection=name))
    tags = [["a", "b"], ["c", "a"], ["b"], ["d", "b", "a"], ["a", "a"], []]
    objects = [DataObject({"n": n, "price": n / 2, "tags": tags[n]}, uuid=identity(n), vector=[float(n), 0.0]) for n in range(6)]
    assert not made.data.insert_many(objects).has_errors
    made.data.reference_add(identity(4), "of", identity(1))
    yield made
    client.collections.delete(name)


def test_names_of_references_count_without_regard_to_the_first_letters_case(stub, notes, name):
    greater = base_pb2.Filters.OPERATOR_GREATER_THAN
    count = base_pb2.FilterTarget(count=base_pb2.FilterReferenceCount(on="Of"))
    assert found(stub.Search(request(name, filters=base_pb2.Filters(operator=greater, target=count, value_int=0)))) == [4]
    inner = base_pb2.FilterTarget(property="n")
    for target in (
        base_pb2.FilterTarget(single_target=base_pb2.FilterReferenceSingleTarget(on="Of", target=inner)),
        base_pb2.FilterTarget(multi_target=base_pb2.FilterReferenceMultiTarget(on="Of", target_collection=name, target=inner)),
    ):
        filters = base_pb2.Filters(operator=base_pb2.Filters.OPERATOR_EQUAL, target=target, value_int=1)
        assert found(stub.Search(request(name, filters=filters))) == [4]


def test_groups_of_a_list_are_complete(notes):
    groups = GroupBy(prop="tags", number_of_groups=2, objects_per_group=9)
    answer = notes.query.near_vector([0.0, 0.0], group_by=groups)
    members = {name: [hit.uuid.int - 1 for hit in group.objects] for name, group in answer.groups.items()}
    assert members == {"a": [0, 1, 3, 4], "b": [0, 2, 3]}


def test_numbers_that_are_none_are_refused_and_others_compared(stub, notes, name):
    def ask(operator, target="price", **value):
        filters = base_pb2.Filters(operator=operator, target=base_pb2.FilterTarget(property=target), **value)
        return sorted(found(stub.Search(request(name, filters=filters))))

    less, equal = base_pb2.Filters.OPERATOR_LESS_THAN, base_pb2.Filters.OPERATOR_EQUAL
    assert ask(less, value_number=math.inf) == [0, 1, 2, 3, 4, 5]
    assert ask(less, value_number=-math.inf) == []
    for value in ({"value_number": math.nan}, {"value_text": "NaN"}, {"value_number_array": base_pb2.NumberArray(values=[1, math.nan])}):
        operator = base_pb2.Filters.OPERATOR_CONTAINS_ANY if "value_number_array" in value else equal
        with pytest.raises(grpc.RpcError, match="NaN"):
            ask(operator, **value)
    within = base_pb2.Filters.OPERATOR_WITHIN_GEO_RANGE
    for place in ((math.nan, 1, 1), (1, math.inf, 1), (1, 1, math.nan), (1, 1, -1)):
        geo = base_pb2.GeoCoordinatesFilter(latitude=place[0], longitude=place[1], distance=place[2])
        with pytest.raises(grpc.RpcError, match="geo range"):
            ask(within, "place", value_geo=geo)


def test_thresholds_that_are_no_numbers_are_refused(stub, notes, name):
    for threshold in ({"distance": math.nan}, {"distance": math.inf}, {"certainty": math.nan}, {"certainty": -math.inf}):
        with pytest.raises(grpc.RpcError, match="must be a finite number"):
            stub.Search(request(name, near_vector=near(0, 0, **threshold)))
    assert found(stub.Search(request(name, near_vector=near(0, 0, distance=1e300)))) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(grpc.RpcError, match="NaN or infinities|not a finite number"):
        stub.Search(request(name, near_vector=near(math.nan, 0)))


def test_distances_are_finite(client, stub, name):
    made = client.collections.create(
        name,
        vector_config=Configure.Vectors.self_provided(vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.DOT)),
    )
    for n, vector in enumerate(([3e38, 3e38], [-3e38, -3e38], [3e38, -3e38])):
        made.data.insert({}, uuid=identity(n), vector=vector)
    hits = stub.Search(request(name, near_vector=near(3e38, 3e38))).results
    assert len(hits) == 3 and all(math.isfinite(hit.metadata.distance) for hit in hits)
    client.collections.delete(name)


def test_hybrid_by_vector_alone(notes):
    scored = MetadataQuery(score=True, explain_score=True, distance=True)
    for vector in ([0.0, 0.0], HybridVector.near_vector([0.0, 0.0])):
        answer = notes.query.hybrid("anything", alpha=1, vector=vector, return_metadata=scored, limit=4).objects
        assert [hit.uuid.int - 1 for hit in answer] == [0, 1, 2, 3]
        # Scores are relative to all six.
        assert [round(hit.metadata.score, 4) for hit in answer] == [1.0, 0.96, 0.84, 0.64]
        assert all("original score" in hit.metadata.explain_score and hit.metadata.distance is None for hit in answer)
    ranked = notes.query.hybrid("x", alpha=1, vector=[0.0, 0.0], fusion_type=HybridFusion.RANKED, return_metadata=scored, offset=1, limit=2).objects
    assert [hit.uuid.int - 1 for hit in ranked] == [1, 2]
    assert abs(ranked[0].metadata.score - 1 / 61) < 1e-6
    one = notes.query.hybrid("x", alpha=1, vector=[0.0, 0.0], filters=Filter.by_property("n").greater_than(4)).objects
    assert [hit.uuid.int - 1 for hit in one] == [5]
    near_only = notes.query.hybrid("x", alpha=1, vector=[0.0, 0.0], max_vector_distance=1.0).objects
    assert [hit.uuid.int - 1 for hit in near_only] == [0, 1]
    groups = notes.query.hybrid("x", alpha=1, vector=[0.0, 0.0], group_by=GroupBy(prop="tags", number_of_groups=1, objects_per_group=2)).groups
    assert [hit.uuid.int - 1 for hit in groups["a"].objects] == [0, 1]
    with pytest.raises(Exception, match="VectorFromInput was called without vectorizer"):
        notes.query.hybrid("x", alpha=1)
