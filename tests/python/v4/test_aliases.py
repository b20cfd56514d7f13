"""Aliases as the official client manages and uses them."""

import uuid

import pytest
import weaviate
from weaviate.classes.aggregate import GroupByAggregate
from weaviate.classes.config import Configure, DataType, Property, ReferenceProperty
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter, MetadataQuery, QueryReference
from weaviate.classes.tenants import Tenant, TenantActivityStatus


@pytest.fixture
def alias(client, name):
    """A name of its own for an alias, which is gone after the test."""
    yield "A" + name
    client.alias.delete(alias_name="A" + name)


@pytest.fixture(params=[1, 4])
def books(client, name, request):
    """A collection of one shard and of four."""
    yield client.collections.create(
        name,
        properties=[Property(name="title", data_type=DataType.TEXT)],
        vector_config=Configure.Vectors.self_provided(),
        sharding_config=Configure.sharding(desired_count=request.param),
    )
    client.collections.delete(name)


def test_aliases_are_managed(client, books, name, alias):
    assert not client.alias.exists(alias_name=alias)
    client.alias.create(alias_name=alias, target_collection=name)
    found = client.alias.get(alias_name=alias)
    assert (found.alias, found.collection) == (alias, name)
    assert client.alias.exists(alias_name=alias)
    assert client.alias.list_all(collection=name)[alias].collection == name
    assert alias in client.alias.list_all()
    other = name + "b"
    client.collections.create(other)
    try:
        assert client.alias.update(alias_name=alias, new_target_collection=other)
        assert client.alias.get(alias_name=alias).collection == other
        assert not client.alias.update(alias_name=alias + "x", new_target_collection=other)
    finally:
        client.collections.delete(other)
    # The alias outlives its collection, and leads to the next one of that name.
    assert client.alias.get(alias_name=alias).collection == other
    assert client.alias.delete(alias_name=alias)
    assert not client.alias.delete(alias_name=alias)
    assert client.alias.get(alias_name=alias) is None


def test_names_are_collections_or_aliases(client, books, name, alias):
    client.alias.create(alias_name=alias, target_collection=name)
    for taken in (alias, alias.upper()):
        with pytest.raises(weaviate.exceptions.UnexpectedStatusCodeError, match="alias"):
            client.collections.create(taken)
    for refused in (alias, name, name.upper(), "not a name"):
        with pytest.raises(weaviate.exceptions.UnexpectedStatusCodeError):
            client.alias.create(alias_name=refused, target_collection=name)
    for missing in (name + "x", alias):
        with pytest.raises(weaviate.exceptions.UnexpectedStatusCodeError, match="does not exist"):
            client.alias.create(alias_name=alias + "y", target_collection=missing)
    # Auto-schema makes no collection beside the alias: objects go to the collection that it leads to.
    client.collections.use(alias).data.insert({"title": "through the alias"})
    assert len(books) == 1
    client.alias.delete(alias_name=alias)


def test_data_through_an_alias(client, books, name, alias):
    client.alias.create(alias_name=alias, target_collection=name)
    used = client.collections.use(alias)
    first, second = uuid.UUID(int=1), uuid.UUID(int=2)
    used.data.insert({"title": "a quiet harbour"}, uuid=first, vector=[1, 0])
    assert not used.data.insert_many([DataObject({"title": "two harbours"}, uuid=second, vector=[0, 1])]).has_errors
    with used.batch.fixed_size(10) as batch:
        batch.add_object({"title": "a town"}, uuid=uuid.UUID(int=3), vector=[1, 1])
    assert not used.batch.failed_objects
    assert len(books) == len(used) == 3
    used.data.update(first, properties={"title": "a loud harbour"})
    used.data.replace(second, {"title": "three harbours"}, vector=[0, 1])
    assert used.data.exists(first)
    stored = books.query.fetch_object_by_id(first)
    assert stored.properties["title"] == "a loud harbour" and stored.collection == name
    hits = used.query.bm25("harbours", return_metadata=MetadataQuery(score=True)).objects
    assert [(hit.uuid, hit.collection) for hit in hits] == [(second, name)]
    assert used.query.near_vector([1, 0], limit=1).objects[0].uuid == first
    assert used.query.hybrid("harbour", vector=[1, 0], limit=1).objects[0].uuid == first
    assert {hit.uuid.int for hit in used.iterator()} == {1, 2, 3}
    assert used.aggregate.over_all(total_count=True).total_count == 3
    groups = used.aggregate.over_all(group_by=GroupByAggregate(prop="title")).groups
    assert len(groups) == 3
    assert used.data.delete_many(where=Filter.by_property("title").equal("harbours")).successful == 1
    assert used.data.delete_by_id(first)
    assert len(books) == 1


def test_graphql_answers_under_the_name_of_the_alias(client, books, name, alias):
    client.alias.create(alias_name=alias, target_collection=name)
    books.data.insert({"title": "one"})
    answer = client.graphql_raw_query(f"{{ Get {{ {alias} {{ title }} }} }}")
    assert answer.errors is None and answer.get[alias] == [{"title": "one"}]
    answer = client.graphql_raw_query(f"{{ Aggregate {{ {alias} {{ meta {{ count }} }} }} }}")
    assert answer.aggregate[alias] == [{"meta": {"count": 1}}]
    client.alias.delete(alias_name=alias)
    answer = client.graphql_raw_query(f"{{ Get {{ {alias} {{ title }} }} }}")
    assert "Cannot query field" in answer.errors[0]["message"]


def test_references_from_an_alias(client, books, name, alias):
    other = client.collections.create(
        name + "r",
        properties=[Property(name="title", data_type=DataType.TEXT)],
        references=[ReferenceProperty(name="book", target_collection=name)],
    )
    try:
        client.alias.create(alias_name=alias, target_collection=name + "r")
        book = books.data.insert({"title": "a book"})
        used = client.collections.use(alias)
        page = used.data.insert({"title": "a page"})
        used.data.reference_add(page, "book", to=book)
        used.data.reference_replace(page, "book", to=book)
        for found in (used, other):
            hit = found.query.fetch_objects(return_references=QueryReference(link_on="book")).objects[0]
            assert [target.properties["title"] for target in hit.references["book"].objects] == ["a book"]
        used.data.reference_delete(page, "book", to=book)
        hit = other.query.fetch_objects(return_references=QueryReference(link_on="book")).objects[0]
        assert not hit.references or not hit.references["book"].objects
    finally:
        client.collections.delete(name + "r")


def test_tenants_through_an_alias(client, name, alias):
    client.collections.create(
        name,
        properties=[Property(name="title", data_type=DataType.TEXT)],
        multi_tenancy_config=Configure.multi_tenancy(enabled=True),
    )
    try:
        client.alias.create(alias_name=alias, target_collection=name)
        used = client.collections.use(alias)
        used.tenants.create([Tenant(name="ann"), Tenant(name="bob")])
        used.with_tenant("ann").data.insert({"title": "hers"})
        used.tenants.update(Tenant(name="bob", activity_status=TenantActivityStatus.INACTIVE))
        tenants = client.collections.use(name).tenants.get()
        assert {tenant.name: tenant.activity_status.name for tenant in tenants.values()} == {"ann": "ACTIVE", "bob": "INACTIVE"}
        assert set(used.tenants.get()) == {"ann", "bob"} and used.tenants.exists("ann")
        used.tenants.remove("bob")
        assert set(used.tenants.get_by_names(["ann", "bob"])) == {"ann"}
        assert len(client.collections.use(name).with_tenant("ann")) == 1
    finally:
        client.collections.delete(name)
