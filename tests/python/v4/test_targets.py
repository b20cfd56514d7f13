"""Several target vectors at once, and multi-vectors (late interaction)."""

import math
import random

import pytest
from weaviate.classes.config import Configure, DataType, Property, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, MetadataQuery, NearVector, TargetVectors

from conftest import identity, vector

COUNT = 60
DISTANCE = MetadataQuery(distance=True)


def rows(seed, count):
    """Rows that are not of length 1: queries are normalised, what is stored is not."""
    return [[2 * v for v in vector(f"{seed}/{n}", 8)] for n in range(count)]


def stored_rows(n):
    return rows(f"d{n}", 1 + n % 5)


def lacks_image(n):
    return n % 7 == 3


def sharing(n, what, dimensions):
    return [v + random.Random(f"{what}{n}").gauss(0, 0.2) for v in vector(f"{what}{n % 9}", dimensions)]


@pytest.fixture(scope="module")
def pages(client):
    name = "PagesOfTargets"
    client.collections.delete(name)
    hnsw = Configure.VectorIndex.hnsw
    multi = Configure.MultiVectors.self_provided
    collection = client.collections.create(
        name,
        properties=[Property(name="number", data_type=DataType.INT)],
        vector_config=[
            Configure.Vectors.self_provided(name="title"),
            Configure.Vectors.self_provided(name="image", vector_index_config=hnsw(distance_metric=VectorDistances.L2_SQUARED)),
            multi(name="tokens"),
            multi(name="encoded", encoding=Configure.VectorIndex.MultiVector.Encoding.muvera()),
        ],
    )
    objects = []
    for n in range(COUNT):
        vectors = {"title": sharing(n, "title", 16), "tokens": stored_rows(n), "encoded": stored_rows(n)}
        if not lacks_image(n):
            vectors["image"] = sharing(n, "image", 12)
        objects.append(DataObject({"number": n}, uuid=identity(n), vector=vectors))
    assert not collection.data.insert_many(objects).has_errors
    yield collection
    client.collections.delete(name)


def cosine(a, b):
    return 1 - sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def l2(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b))


def max_sim(query, document):
    length = lambda row: math.sqrt(sum(v * v for v in row))
    return -sum(max(sum(x * y for x, y in zip(q, d)) / length(q) for d in document) for q in query)


def check(found, wanted):
    """wanted: {number: distance}, all that may be found; the nearest come first."""
    found = [(o.properties["number"], o.metadata.distance) for o in found.objects]
    order = sorted(wanted, key=wanted.get)[: len(found)]
    assert [n for n, _ in found] == order
    assert [d for _, d in found] == pytest.approx([wanted[n] for n in order], abs=1e-4)
    assert found


TITLE, OTHER_TITLE, IMAGE = vector("title3", 16), vector("title5", 16), vector("image3", 12)
QUERY = rows("query", 4)


def title(n, query=TITLE):
    return cosine(query, sharing(n, "title", 16))


def image(n):
    return l2(IMAGE, sharing(n, "image", 12))


def everything():
    return [n for n in range(COUNT) if not lacks_image(n)]


def near(pages, join, limit=COUNT, **more):
    given = {"title": TITLE, "image": IMAGE}
    return pages.query.near_vector(given, target_vector=join, limit=limit, return_metadata=DISTANCE, **more)


def test_minimum_keeps_objects_that_lack_a_target(pages):
    wanted = {n: title(n) if lacks_image(n) else min(title(n), image(n)) for n in range(COUNT)}
    check(near(pages, TargetVectors.minimum(["title", "image"])), wanted)
    check(near(pages, ["title", "image"], limit=5), wanted)


def test_sums_and_averages(pages):
    check(near(pages, TargetVectors.sum(["title", "image"])), {n: title(n) + image(n) for n in everything()})
    check(near(pages, TargetVectors.average(["title", "image"])), {n: (title(n) + image(n)) / 2 for n in everything()})
    weights = TargetVectors.manual_weights({"title": 3, "image": 0.25})
    check(near(pages, weights), {n: 3 * title(n) + image(n) / 4 for n in everything()})


def test_relative_score(pages):
    def normal(of):
        values = {n: of(n) for n in everything()}
        least, greatest = min(values.values()), max(values.values())
        return {n: (v - least) / (greatest - least) for n, v in values.items()}

    titles, images = normal(title), normal(image)
    join = TargetVectors.relative_score({"title": 0.6, "image": 0.9})
    check(near(pages, join), {n: 0.6 * titles[n] + 0.9 * images[n] for n in everything()})


def test_several_queries_for_one_target(pages):
    given = {"title": [TITLE, OTHER_TITLE], "image": IMAGE}
    one_query = {"title": NearVector.list_of_vectors(TITLE, OTHER_TITLE), "image": IMAGE}
    for queries in (given, one_query):
        found = pages.query.near_vector(
            queries, target_vector=TargetVectors.sum(["title", "image"]), limit=COUNT, return_metadata=DISTANCE
        )
        check(found, {n: title(n) + title(n, OTHER_TITLE) + image(n) for n in everything()})
    weights = TargetVectors.manual_weights({"title": [1, 2], "image": 0.5})
    found = pages.query.near_vector(given, target_vector=weights, limit=COUNT, return_metadata=DISTANCE)
    check(found, {n: title(n) + 2 * title(n, OTHER_TITLE) + image(n) / 2 for n in everything()})


def test_filters_distances_and_pages(pages):
    join = TargetVectors.sum(["title", "image"])
    wanted = {n: title(n) + image(n) for n in everything() if n < 30}
    check(near(pages, join, filters=Filter.by_property("number").less_than(30)), wanted)
    order = sorted(wanted, key=wanted.get)
    cut = (wanted[order[6]] + wanted[order[7]]) / 2
    within = near(pages, join, distance=cut, filters=Filter.by_property("number").less_than(30))
    assert [o.properties["number"] for o in within.objects] == order[:7]


def test_near_object_by_several_targets(pages):
    found = pages.query.near_object(
        identity(8), target_vector=TargetVectors.sum(["title", "image"]), limit=COUNT, return_metadata=DISTANCE
    )
    of = lambda n: cosine(sharing(8, "title", 16), sharing(n, "title", 16)) + l2(sharing(8, "image", 12), sharing(n, "image", 12))
    check(found, {n: of(n) for n in everything()})


@pytest.mark.parametrize("name", ["tokens", "encoded"])
def test_multi_vectors(pages, name):
    wanted = {n: max_sim(QUERY, stored_rows(n)) for n in range(COUNT)}
    ask = lambda **more: pages.query.near_vector(QUERY, target_vector=name, return_metadata=DISTANCE, **more)
    check(ask(limit=COUNT), wanted)
    check(ask(limit=3), wanted)
    even = Filter.by_property("number").contains_any(list(range(0, COUNT, 2)))
    check(ask(limit=10, filters=even), {n: d for n, d in wanted.items() if n % 2 == 0})
    order = sorted(wanted, key=wanted.get)
    cut = (wanted[order[9]] + wanted[order[10]]) / 2
    assert [o.properties["number"] for o in ask(limit=COUNT, distance=cut).objects] == order[:10]
    found = pages.query.near_object(identity(4), target_vector=name, limit=COUNT, return_metadata=DISTANCE)
    check(found, {n: max_sim(stored_rows(4), stored_rows(n)) for n in range(COUNT)})


def test_multi_vectors_beside_others(pages):
    found = pages.query.near_vector(
        {"title": TITLE, "tokens": QUERY},
        target_vector=TargetVectors.manual_weights({"title": 2, "tokens": 0.5}),
        limit=COUNT,
        return_metadata=DISTANCE,
    )
    check(found, {n: 2 * title(n) + max_sim(QUERY, stored_rows(n)) / 2 for n in range(COUNT)})


def test_multi_vectors_come_back_as_they_were_given(pages):
    found = pages.query.fetch_object_by_id(identity(9), include_vector=True).vector
    for row, want in zip(found["tokens"], stored_rows(9), strict=True):
        assert row == pytest.approx(want, abs=1e-6)
    assert found["encoded"] == found["tokens"]


def test_replaced_and_deleted_multi_vectors(client, name):
    collection = client.collections.create(name, vector_config=[Configure.MultiVectors.self_provided(name="late")])
    try:
        for n in range(20):
            collection.data.insert({}, uuid=identity(n), vector={"late": stored_rows(n)})
        collection.data.replace(identity(3), {}, vector={"late": QUERY})
        collection.data.delete_by_id(identity(5))
        found = collection.query.near_vector(QUERY, target_vector="late", limit=100, return_metadata=DISTANCE).objects
        wanted = {identity(n): max_sim(QUERY, QUERY if n == 3 else stored_rows(n)) for n in range(20) if n != 5}
        order = sorted(wanted, key=wanted.get)
        assert [o.uuid for o in found] == order and order[0] == identity(3)
    finally:
        client.collections.delete(name)
