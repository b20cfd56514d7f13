"""Keyword and hybrid searches as the official client sends them."""

import math
import uuid

import pytest
from weaviate.classes.config import Configure, DataType, Property, Tokenization
from weaviate.classes.data import DataObject
from weaviate.classes.query import BM25Operator, Filter, GroupBy, HybridFusion, HybridVector, MetadataQuery

SCORED = MetadataQuery(score=True, explain_score=True, distance=True)
CARDS = [
    ("red boat", "blue sea", ["red", "sea"]),
    ("red sea", "red boat", ["boat", "blue"]),
    ("blue boat", "green sea", []),
    ("the sea", "red sea boat", ["sea"]),
    ("a kettle", "red red", []),
    ("red lamp", "sea", ["lamp"]),
]


def identity(number):
    return uuid.UUID(int=number + 1)


@pytest.fixture(params=[1, 8])
def cards(client, name, request):
    """Six cards in one shard and in eight."""
    made = client.collections.create(
        name,
        properties=[
            Property(name="head", data_type=DataType.TEXT),
            Property(name="foot", data_type=DataType.TEXT),
            Property(name="list", data_type=DataType.TEXT_ARRAY),
            Property(name="code", data_type=DataType.TEXT, tokenization=Tokenization.FIELD),
            Property(name="mute", data_type=DataType.TEXT, index_searchable=False),
        ],
        vector_config=Configure.Vectors.self_provided(),
        sharding_config=Configure.sharding(desired_count=request.param),
    )
    objects = [
        DataObject({"head": head, "foot": foot, "list": words, "code": f"C {n % 2}", "mute": "red"}, uuid=identity(n), vector=[math.cos(n), math.sin(n)])
        for n, (head, foot, words) in enumerate(CARDS)
    ]
    assert not made.data.insert_many(objects).has_errors
    return made


def numbers(objects):
    return [hit.uuid.int - 1 for hit in objects]


def expected(query, column, k1=1.2, b=0.75):
    """The scores of the formula for one property of CARDS."""
    texts = [card[column].split() for card in CARDS]
    mean = sum(map(len, texts)) / len(texts)
    scores = {}
    for word in query.split():
        having = sum(word in text for text in texts)
        idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        for n, text in enumerate(texts):
            if word in text:
                frequency = text.count(word)
                scores[n] = scores.get(n, 0) + idf * frequency / (frequency + k1 * (1 - b + b * len(text) / mean))
    return scores


def test_scores_follow_the_formula(cards):
    for query in ("red", "red sea", "boat kettle sea"):
        hits = cards.query.bm25(query, query_properties=["foot"], return_metadata=SCORED, limit=10).objects
        wanted = expected(query, 1)
        assert numbers(hits) == sorted(wanted, key=lambda n: (-round(wanted[n], 6), n))
        for hit in hits:
            assert abs(hit.metadata.score - wanted[hit.uuid.int - 1]) < 1e-6
            assert hit.metadata.explain_score.startswith(", BM25F_") and hit.metadata.distance is None


def test_operators_boosts_and_stop_words(cards):
    def found(query, **more):
        return set(numbers(cards.query.bm25(query, **more).objects))

    assert found("red sea", query_properties=["head", "foot"], operator=BM25Operator.and_()) == {1, 3}
    assert found("red sea boat", query_properties=["foot"], operator=BM25Operator.or_(minimum_match=2)) == {1, 3}
    assert found("the", query_properties=["head"]) == set(), "a stop word finds nothing"
    assert found("the kettle") == {4}
    assert found("C 1", query_properties=["code"]) == {1, 3, 5}
    double = cards.query.bm25("lamp", query_properties=["head^2"], return_metadata=SCORED).objects[0].metadata.score
    single = cards.query.bm25("lamp", query_properties=["head"], return_metadata=SCORED).objects[0].metadata.score
    assert abs(double - 2 * single) < 1e-6
    with pytest.raises(Exception, match="Searching by property 'mute' requires inverted index"):
        found("red", query_properties=["mute"])
    with pytest.raises(Exception, match=r"keyword search \(bm25\) must have query set"):
        found("")


def test_pages_filters_and_groups(cards):
    whole = numbers(cards.query.bm25("red sea boat", limit=10).objects)
    assert len(whole) == 6
    assert [n for start in range(6) for n in numbers(cards.query.bm25("red sea boat", limit=1, offset=start).objects)] == whole
    even = cards.query.bm25("red sea boat", filters=Filter.by_property("code").equal("C 0"), limit=10).objects
    assert numbers(even) == [n for n in whole if n % 2 == 0]
    groups = cards.query.bm25("red sea boat", group_by=GroupBy(prop="code", number_of_groups=2, objects_per_group=2)).groups
    assert {name: numbers(group.objects) for name, group in groups.items()} == {f"C {k}": [n for n in whole if n % 2 == k][:2] for k in (0, 1)}
    assert len(cards.query.bm25("kettle sea", auto_limit=1).objects) < len(cards.query.bm25("kettle sea").objects)


def test_hybrid_joins_both_searches(cards):
    vector = [1.0, 0.0]
    keywords = cards.query.hybrid("red sea", alpha=0, vector=vector, return_metadata=SCORED).objects
    bm25 = cards.query.bm25("red sea", return_metadata=SCORED).objects
    assert numbers(keywords) == numbers(bm25)
    assert keywords[0].metadata.score == 1.0 and keywords[-1].metadata.score == 0.0
    near = cards.query.hybrid("red sea", alpha=1, vector=vector, return_metadata=SCORED).objects
    assert numbers(near) == numbers(cards.query.near_vector(vector).objects)

    shares = {"keyword": {hit.uuid: hit.metadata.score for hit in keywords}, "vector": {hit.uuid: hit.metadata.score for hit in near}}
    for alpha in (0.25, 0.75):
        both = cards.query.hybrid("red sea", alpha=alpha, vector=HybridVector.near_vector(vector), return_metadata=SCORED).objects
        for hit in both:
            wanted = alpha * shares["vector"].get(hit.uuid, 0) + (1 - alpha) * shares["keyword"].get(hit.uuid, 0)
            assert abs(hit.metadata.score - wanted) < 1e-5
        scores = [hit.metadata.score for hit in both]
        assert scores == sorted(scores, reverse=True)
        assert "Result Set keyword,bm25" in both[0].metadata.explain_score
    ranked = cards.query.hybrid("kettle", alpha=0.5, vector=vector, fusion_type=HybridFusion.RANKED, return_metadata=SCORED).objects
    place = numbers(near).index(4)
    score = next(hit.metadata.score for hit in ranked if hit.uuid == identity(4))
    assert abs(score - (0.5 / 60 + 0.5 / (60 + place))) < 1e-6


def test_hybrid_limits_and_refusals(cards):
    vector = [1.0, 0.0]
    near = numbers(cards.query.near_vector(vector, distance=0.5).objects)
    close = cards.query.hybrid("red sea", alpha=0.5, vector=vector, max_vector_distance=0.5, limit=10).objects
    assert sorted(numbers(close)) == sorted(near)
    strict = cards.query.hybrid("red kettle", alpha=0.01, vector=vector, bm25_operator=BM25Operator.and_(), query_properties=["head"], limit=1).objects
    assert numbers(strict) == numbers(cards.query.near_vector(vector, limit=1).objects)
    with pytest.raises(Exception, match="VectorFromInput was called without vectorizer"):
        cards.query.hybrid("red", alpha=0.5)
