"""Server-side batching: `batch.stream()`, `batch.experimental()` and `data.ingest()`, synchronous and asynchronous."""

import uuid

import pytest
import weaviate
from weaviate.classes.config import Configure, DataType, Property, ReferenceProperty
from weaviate.classes.data import DataObject
from weaviate.classes.query import QueryReference
from weaviate.classes.tenants import Tenant

from conftest import GRPC_PORT, HTTP_PORT, identity, vector


def test_objects_and_errors(client, passages):
    with client.batch.stream() as batch:
        for n in range(2_500):
            number = "none" if n % 500 == 7 else n
            batch.add_object(passages.name, {"text": f"passage {n}", "number": number}, uuid=identity(n), vector=vector(n))
    failed = client.batch.failed_objects
    assert sorted(error.object_.uuid for error in failed) == sorted(str(identity(n)) for n in range(7, 2_500, 500))
    assert all("number" in error.message for error in failed)
    assert len(passages) == 2_495
    assert len(client.batch.results.objs.uuids) == 2_495
    found = passages.query.fetch_object_by_id(identity(1_234), include_vector=True)
    assert found.properties["text"] == "passage 1234"
    assert found.vector["default"] == pytest.approx(vector(1_234), abs=1e-6)


def test_later_objects_replace_earlier_ones(client, passages):
    with passages.batch.experimental() as batch:
        for n in range(600):
            batch.add_object({"number": n}, uuid=identity(n % 3), vector=vector(n))
    assert not passages.batch.failed_objects
    assert [passages.query.fetch_object_by_id(identity(n)).properties["number"] for n in range(3)] == [597, 598, 599]


def test_ingest(passages):
    objects = [DataObject({"text": f"passage {n}"}, uuid=identity(n), vector=vector(n)) for n in range(1_200)]
    outcome = passages.data.ingest(objects)
    assert not outcome.has_errors and len(outcome.uuids) == 1_200
    assert len(passages) == 1_200


def test_references(client, name):
    collection = client.collections.create(
        name,
        properties=[Property(name="text", data_type=DataType.TEXT)],
        references=[ReferenceProperty(name="next", target_collection=name)],
        vector_config=Configure.Vectors.self_provided(),
    )
    with client.batch.stream() as batch:
        for n in range(150):
            batch.add_object(name, {"text": f"passage {n}"}, uuid=identity(n), vector=vector(n))
        for n in range(149):
            batch.add_reference(identity(n), name, "next", identity(n + 1))
        batch.add_reference(identity(0), name, "nothing", identity(1))
    assert [error.reference.from_property_name for error in client.batch.failed_references] == ["nothing"]
    found = collection.query.fetch_object_by_id(identity(17), return_references=QueryReference(link_on="next"))
    assert [target.uuid for target in found.references["next"].objects] == [identity(18)]
    client.collections.delete(name)


def test_tenants(client, name):
    collection = client.collections.create(
        name,
        properties=[Property(name="text", data_type=DataType.TEXT)],
        multi_tenancy_config=Configure.multi_tenancy(enabled=True),
        vector_config=Configure.Vectors.self_provided(),
    )
    collection.tenants.create([Tenant(name="a"), Tenant(name="b")])
    with client.batch.stream() as batch:
        for n in range(300):
            batch.add_object(name, {"text": f"{n}"}, uuid=identity(n), tenant="ab"[n % 2], vector=vector(n))
        batch.add_object(name, {"text": "lost"}, uuid=identity(300), tenant="c")
        batch.add_object(name, {"text": "lost"}, uuid=identity(301))
    assert len(client.batch.failed_objects) == 2
    assert [len(collection.with_tenant(tenant)) for tenant in "ab"] == [150, 150]
    client.collections.delete(name)


def test_a_collection_that_comes_into_being(client, name):
    with client.batch.stream() as batch:
        batch.add_object(name, {"title": "first", "size": 3}, uuid=identity(1))
    assert not client.batch.failed_objects
    assert client.collections.get(name).query.fetch_object_by_id(identity(1)).properties["title"] == "first"
    client.collections.delete(name)


def test_asynchronous_client(passages):
    import asyncio

    async def run():
        client = weaviate.use_async_with_local(port=HTTP_PORT, grpc_port=GRPC_PORT)
        async with client:
            async with client.batch.stream() as batch:
                for n in range(1_500):
                    await batch.add_object(
                        collection=passages.name, properties={"number": n}, uuid=identity(n), vector=vector(n)
                    )
                await batch.add_object(collection=passages.name, properties={"number": "none"}, uuid=uuid.uuid4())
            assert len(client.batch.failed_objects) == 1
            collection = client.collections.get(passages.name)
            outcome = await collection.data.ingest({"number": n} for n in range(700))
            assert not outcome.has_errors

    asyncio.run(run())
    assert len(passages) == 2_200
