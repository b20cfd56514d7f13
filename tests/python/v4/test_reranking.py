"""Boosts, diversity and query profiles as the official client asks for them, against the formulas in plain Python."""

import math
import random
import re
import uuid
from datetime import datetime, timedelta, timezone

import pytest
import weaviate
from weaviate.classes.config import Configure, DataType, Property, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.query import Boost, Diversity, Filter, GroupBy, MetadataQuery

SCORED = MetadataQuery(score=True, distance=True)
START = datetime(2024, 3, 1, tzinfo=timezone.utc)
KINDS = ["fruit", "drink", "jar"]
QUERY = [1.0, 0.3, 0.0]
COUNT = 40


def card(number):
    source = random.Random(number)
    card = {
        "text": " ".join(source.choice(["red", "green", "boat", "sea"]) for _ in range(4)),
        "kind": source.choice(KINDS),
        "price": source.randrange(40) / 4,
        "made": START + timedelta(hours=source.randrange(500)),
        "vector": [source.uniform(-1, 1) for _ in range(3)],
    }
    if number % 5:
        card["stock"] = source.randrange(-3, 100)
    return card


CARDS = {uuid.UUID(int=number + 1): card(number) for number in range(COUNT)}


@pytest.fixture(params=[1, 6])
def cards(client, name, request):
    """The cards in one shard and in six."""
    made = client.collections.create(
        name,
        properties=[
            Property(name="text", data_type=DataType.TEXT),
            Property(name="kind", data_type=DataType.TEXT),
            Property(name="price", data_type=DataType.NUMBER),
            Property(name="stock", data_type=DataType.INT),
            Property(name="made", data_type=DataType.DATE),
        ],
        vector_config=Configure.Vectors.self_provided(),
        sharding_config=Configure.sharding(desired_count=request.param),
    )
    objects = [
        DataObject({key: value for key, value in card.items() if key != "vector"}, uuid=identity, vector=card["vector"])
        for identity, card in CARDS.items()
    ]
    assert not made.data.insert_many(objects).has_errors
    yield made
    client.collections.delete(name)


def cosine(a, b):
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return 1 - sum(x * y for x, y in zip(a, b)) / length


def unit(values):
    least, greatest = min(values.values()), max(values.values())
    return {key: (value - least) / (greatest - least) if greatest > least else 1.0 for key, value in values.items()}


def boosted(ranks, conditions, weight):
    """Ids and scores, best first: `conditions` are pairs of a weight and a function of a card."""
    total = sum(abs(of) for of, _ in conditions)
    scores = [({identity: condition(CARDS[identity]) for identity in ranks}, of) for of, condition in conditions]
    ranks = unit(ranks)
    combined = {
        identity: (1 - weight) * rank + weight * sum(of * score[identity] for score, of in scores) / total
        for identity, rank in ranks.items()
    }
    combined = unit(combined)
    return sorted(combined.items(), key=lambda pair: (-pair[1], pair[0].int))


def check(hits, expected):
    assert [hit.uuid for hit in hits] == [identity for identity, _ in expected]
    assert [hit.metadata.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-4)


def by_distance(depth=COUNT):
    near = sorted(CARDS, key=lambda identity: (cosine(QUERY, CARDS[identity]["vector"]), identity.int))[:depth]
    return {identity: -cosine(QUERY, CARDS[identity]["vector"]) for identity in near}


def stock(ranks):
    present = {identity: CARDS[identity]["stock"] for identity in ranks if "stock" in CARDS[identity]}
    values = unit(present)
    by_card = {id(CARDS[identity]): value for identity, value in values.items()}
    return lambda card: by_card.get(id(card), 0.0)


def test_a_filter_boosts_a_vector_search(cards):
    boost = Boost.filter(Filter.by_property("kind").equal("fruit"))
    hits = cards.query.near_vector(QUERY, limit=12, boost=boost, return_metadata=SCORED).objects
    expected = boosted(by_distance(), [(1.0, lambda card: float(card["kind"] == "fruit"))], 0.5)
    check(hits, expected[:12])
    # Vector hits keep their distance.
    for hit in hits:
        assert hit.metadata.distance == pytest.approx(cosine(QUERY, CARDS[hit.uuid]["vector"]), abs=1e-4)


def test_pages_are_parts_of_one_order(cards):
    boost = Boost.numeric_property("stock", weight=0.7, depth=30)
    expected = boosted(by_distance(30), [(1.0, stock(by_distance(30)))], 0.7)
    for offset in (0, 7, 25):
        hits = cards.query.near_vector(QUERY, limit=7, offset=offset, boost=boost, return_metadata=SCORED).objects
        # The depth reaches at least to the end of the page.
        page = expected if offset + 7 <= 30 else boosted(by_distance(32), [(1.0, stock(by_distance(32)))], 0.7)
        check(hits, page[offset : offset + 7])


def test_decays_and_blends(cards):
    origin = START + timedelta(hours=200)
    boost = Boost.blend(
        [
            Boost.time_decay("made", origin=origin, scale=timedelta(days=2), offset=timedelta(hours=3), curve=Boost.Curve.GAUSSIAN, decay=0.4, weight=2.0),
            Boost.numeric_decay("price", origin=4, scale=2, curve=Boost.Curve.LINEAR),
            Boost.numeric_decay("price", origin=4, scale=2, offset=0.5, weight=-0.5),
        ],
        weight=0.8,
    )

    def recent(card):
        hours = max(0, abs((card["made"] - origin).total_seconds() / 3600) - 3)
        return math.exp(math.log(0.4) * (hours / 48) ** 2)

    def cheap(card):
        return max(0, 1 - 0.5 * abs(card["price"] - 4) / 2)

    def near(card):
        return 0.5 ** (max(0, abs(card["price"] - 4) - 0.5) / 2)

    conditions = [(2.0, recent), (1.0, cheap), (-0.5, near)]
    hits = cards.query.near_vector(QUERY, limit=COUNT, boost=boost, return_metadata=SCORED).objects
    check(hits, boosted(by_distance(), conditions, 0.8))
    # Other properties than the conditions read are returned all the same, and those that are not asked for are not.
    hits = cards.query.near_vector(QUERY, limit=2, boost=boost, return_properties=["kind"]).objects
    assert [set(hit.properties) for hit in hits] == [{"kind"}, {"kind"}]


def test_keyword_hybrid_and_listing(cards):
    boost = Boost.numeric_property("stock", modifier=Boost.Modifier.LOG1P, weight=0.6)
    plain = {hit.uuid: hit.metadata.score for hit in cards.query.bm25("red boat", limit=COUNT, return_metadata=SCORED).objects}

    def log_stock(ranks):
        present = {identity: math.log1p(max(0, CARDS[identity]["stock"])) for identity in ranks if "stock" in CARDS[identity]}
        values = unit(present)
        by_card = {id(CARDS[identity]): value for identity, value in values.items()}
        return lambda card: by_card.get(id(card), 0.0)

    hits = cards.query.bm25("red boat", limit=COUNT, boost=boost, return_metadata=SCORED).objects
    check(hits, boosted(plain, [(1.0, log_stock(plain))], 0.6))
    plain = {hit.uuid: hit.metadata.score for hit in cards.query.hybrid("red", vector=QUERY, limit=COUNT, return_metadata=SCORED).objects}
    hits = cards.query.hybrid("red", vector=QUERY, limit=9, boost=boost, return_metadata=SCORED).objects
    check(hits, boosted(plain, [(1.0, log_stock(plain))], 0.6)[:9])


def test_boosted_groups_follow_their_first_hits(cards):
    boost = Boost.numeric_property("stock", weight=1)
    found = cards.query.near_vector(QUERY, limit=COUNT, group_by=GroupBy(prop="kind", objects_per_group=2, number_of_groups=3), boost=boost)
    first = {kind: next(identity for identity in by_distance() if CARDS[identity]["kind"] == kind) for kind in KINDS}
    ranks = {identity: by_distance()[identity] for identity in first.values()}
    expected = [CARDS[identity]["kind"] for identity, _ in boosted(ranks, [(1.0, stock(ranks))], 1)]
    assert list(found.groups) == expected


def chosen(pool, limit, balance):
    """`pool` are pairs of an id and a distance to the query."""
    left, picked = list(pool), []
    while left and len(picked) < limit:
        def score(pair):
            if not picked:
                return -pair[1]
            nearest = min(cosine(CARDS[pair[0]]["vector"], CARDS[other]["vector"]) for other in picked)
            return (1 - balance) * nearest - balance * pair[1]
        best = max(left, key=score)
        left.remove(best)
        picked.append(best[0])
    return picked


@pytest.mark.parametrize("balance", [0, 0.4, 0.8, 1])
def test_diversity(cards, balance):
    near = [(identity, -rank) for identity, rank in by_distance().items()]
    for offset in (0, 15):
        hits = cards.query.near_vector(
            QUERY, limit=15, offset=offset, diversity_selection=Diversity.mmr(limit=6, balance=balance), return_metadata=SCORED
        ).objects
        assert [hit.uuid for hit in hits] == chosen(near[offset : offset + 15], 6, balance)
        assert not hits[0].vector
    fused = cards.query.hybrid("red boat", vector=QUERY, limit=15, return_metadata=SCORED).objects
    scores = unit({hit.uuid: hit.metadata.score for hit in fused})
    pool = [(identity, 1 - score) for identity, score in scores.items()]
    hits = cards.query.hybrid("red boat", vector=QUERY, limit=15, diversity_selection=Diversity.mmr(limit=5, balance=balance)).objects
    assert [hit.uuid for hit in hits] == chosen(pool, 5, balance)


def test_diversity_of_boosted_hits(cards):
    boost = Boost.numeric_property("stock", weight=0.5)
    order = boosted(by_distance(), [(1.0, stock(by_distance()))], 0.5)[:12]
    scores = unit(dict(order))
    pool = [(identity, 1 - scores[identity]) for identity, _ in order]
    hits = cards.query.near_vector(QUERY, limit=12, boost=boost, diversity_selection=Diversity.mmr(limit=5, balance=0.5)).objects
    assert [hit.uuid for hit in hits] == chosen(pool, 5, 0.5)


def test_refusals(cards):
    def refused(text, **arguments):
        with pytest.raises(weaviate.exceptions.WeaviateQueryError, match=re.escape(text)):
            cards.query.near_vector(QUERY, limit=5, **arguments)

    refused("must be of type int or number, got text", boost=Boost.numeric_property("kind"))
    refused("no such prop with name 'colour'", boost=Boost.filter(Filter.by_property("colour").equal("x")))
    refused("operator Like is not supported in boost conditions", boost=Boost.filter(Filter.by_property("kind").like("f*")))
    refused("scale must be > 0", boost=Boost.numeric_decay("price", origin=1, scale=0))
    refused("weight must be between 0 and 1", boost=Boost.numeric_property("stock", weight=1.5))
    refused("MMR limit must be at least 1", diversity_selection=Diversity.mmr(balance=0.5))
    refused("MMR limit (6) cannot be larger than the query limit (5)", diversity_selection=Diversity.mmr(limit=6))
    refused("MMR balance must be between 0 and 1", diversity_selection=Diversity.mmr(limit=2, balance=1.5))


def test_diversity_needs_one_single_vector(client, name):
    made = client.collections.create(
        name,
        vector_config=[
            Configure.Vectors.self_provided(name="one", vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.L2_SQUARED)),
            Configure.MultiVectors.self_provided(name="many"),
        ],
    )
    try:
        made.data.insert({}, vector={"one": [1, 0], "many": [[1, 0]]})
        made.data.insert({}, vector={"one": [0, 1], "many": [[0, 1]]})
        selection = Diversity.mmr(limit=2, balance=0.5)
        assert len(made.query.near_vector([1, 0], target_vector="one", limit=5, diversity_selection=selection).objects) == 2
        with pytest.raises(weaviate.exceptions.WeaviateQueryError, match="not supported with multi-vector indexes"):
            made.query.near_vector([[1, 0]], target_vector="many", limit=5, diversity_selection=selection)
    finally:
        client.collections.delete(name)


DURATION = re.compile(r"[\d.]+(ns|µs|ms|s|m|h)")


@pytest.fixture
def profiled(cards, monkeypatch):
    """The client asks for profiles from version 1.36.9 on."""
    monkeypatch.setattr(cards.query._connection, "_weaviate_version", type(cards.query._connection._weaviate_version)(1, 39, 0))
    return cards


def test_profiles(profiled):
    asked = MetadataQuery(query_profile=True)
    shards = len(profiled.shards())

    def check_profile(found, kinds):
        assert found.objects
        assert len(found.query_profile.shards) == shards == len({shard.name for shard in found.query_profile.shards})
        for shard in found.query_profile.shards:
            assert shard.name and shard.node and set(shard.searches) == set(kinds)
            for kind, names in kinds.items():
                details = shard.searches[kind].details
                for name in ("total_took", *names):
                    assert DURATION.fullmatch(details[name]), (kind, name, details)

    vector = ("vector_search_took", "objects_took", "knn_search_layer_0_took")
    keyword = ("kwd_time", "kwd_1_tok_time")
    check_profile(profiled.query.fetch_objects(return_metadata=asked), {"object": ()})
    near = profiled.query.near_vector(QUERY, limit=3, return_metadata=asked)
    check_profile(near, {"vector": vector})
    assert near.query_profile.shards[0].searches["vector"].details["hnsw_flat_search"] == "false"
    found = profiled.query.bm25("red", return_metadata=asked)
    check_profile(found, {"keyword": keyword})
    counts = [int(shard.searches["keyword"].details["kwd_6_res_count"]) for shard in found.query_profile.shards]
    assert sum(counts) >= len(found.objects)
    check_profile(profiled.query.hybrid("red", vector=QUERY, return_metadata=asked), {"vector": vector, "keyword": keyword})
    grouped = profiled.query.near_vector(
        QUERY, return_metadata=asked, group_by=GroupBy(prop="kind", objects_per_group=1, number_of_groups=3)
    )
    assert {kind for shard in grouped.query_profile.shards for kind in shard.searches} == {"vector"}
    # The answer is the same as without a profile.
    plain = profiled.query.near_vector(QUERY, limit=3, return_metadata=MetadataQuery(distance=True))
    assert plain.query_profile is None and [hit.uuid for hit in plain.objects] == [hit.uuid for hit in near.objects]
    assert profiled.query.bm25("zeppelin", return_metadata=asked).query_profile is None


def test_profiles_over_graphql(client, cards, name):
    answer = client.graphql_raw_query(
        f"{{ Get {{ {name}(nearVector: {{vector: [1, 0, 0]}}, limit: 3) {{ _additional {{ id queryProfile }} }} }} }}"
    )
    assert answer.errors is None
    first, *others = [hit["_additional"]["queryProfile"] for hit in answer.get[name]]
    assert "total_took" in first and others == [None, None]
