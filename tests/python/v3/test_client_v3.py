"""The last client of the 3.x line, with API keys: REST and GraphQL over one port."""

import os
import random
import uuid

import pytest
import weaviate

URL = f"http://127.0.0.1:{os.environ['AZIMUTH_HTTP_PORT']}"
KEY, READ_KEY = os.environ["AZIMUTH_KEY"], os.environ["AZIMUTH_READ_KEY"]


def connect(key):
    return weaviate.Client(URL, auth_client_secret=weaviate.AuthApiKey(key), startup_period=None)


@pytest.fixture(scope="module")
def client():
    return connect(KEY)


@pytest.fixture
def name(client):
    name = "C" + uuid.uuid4().hex
    yield name
    client.schema.delete_class(name)


def definition(name):
    return {
        "class": name,
        "vectorizer": "none",
        "properties": [
            {"name": "text", "dataType": ["text"]},
            {"name": "number", "dataType": ["int"]},
            {"name": "even", "dataType": ["boolean"]},
        ],
    }


def vector(seed):
    return [random.Random(f"{seed}/{i}").gauss(0, 1) for i in range(24)]


def identity(number):
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))


def fill(client, name, count):
    client.batch.configure(batch_size=100, dynamic=True)
    with client.batch as batch:
        for n in range(count):
            batch.add_data_object(
                {"text": f"passage {n}", "number": n, "even": n % 2 == 0}, name, uuid=identity(n), vector=vector(n)
            )


def count(client, name, where=None):
    query = client.query.aggregate(name).with_meta_count()
    answer = (query.with_where(where) if where else query).do()
    return answer["data"]["Aggregate"][name][0]["meta"]["count"]


def test_is_ready_and_says_what_it_is(client):
    assert client.is_ready() and client.is_live()
    assert client.get_meta()["version"].startswith("1.")


def test_keys_are_needed_and_told_apart(client):
    with pytest.raises((weaviate.UnexpectedStatusCodeException, weaviate.exceptions.AuthenticationFailedException)) as refused:
        connect("wrong").schema.get()
    assert "401" in str(refused.value)
    reader = connect(READ_KEY)
    assert "classes" in reader.schema.get()
    with pytest.raises(weaviate.UnexpectedStatusCodeException) as refused:
        reader.schema.create_class({"class": "NotAllowed", "vectorizer": "none"})
    assert refused.value.status_code == 403


def test_create_class_twice_is_422(client, name):
    client.schema.create_class(definition(name))
    assert client.schema.exists(name)
    with pytest.raises(weaviate.UnexpectedStatusCodeException) as refused:
        client.schema.create_class(definition(name))
    assert refused.value.status_code == 422
    stored = client.schema.get(name)
    assert stored["class"] == name and stored["vectorizer"] == "none"
    assert {p["name"] for p in stored["properties"]} == {"text", "number", "even"}


def test_batch_then_near_vector_and_count(client, name):
    client.schema.create_class(definition(name))
    fill(client, name, 1050)
    assert count(client, name) == 1050
    answer = (
        client.query.get(name, ["text", "number"])
        .with_near_vector({"vector": vector(777)})
        .with_additional(["id", "distance", "certainty"])
        .with_limit(3)
        .do()
    )
    found = answer["data"]["Get"][name]
    assert len(found) == 3
    assert found[0]["number"] == 777 and found[0]["_additional"]["id"] == identity(777)
    assert found[0]["_additional"]["distance"] == pytest.approx(0, abs=1e-5)
    assert found[0]["_additional"]["certainty"] == pytest.approx(1, abs=1e-5)
    distances = [o["_additional"]["distance"] for o in found]
    assert distances == sorted(distances)


def test_where_filters(client, name):
    client.schema.create_class(definition(name))
    fill(client, name, 60)
    even = {"path": ["even"], "operator": "Equal", "valueBoolean": True}
    one = {"path": ["number"], "operator": "Equal", "valueInt": 8}
    assert count(client, name, even) == 30
    both = {"operator": "And", "operands": [even, one]}
    answer = client.query.get(name, ["number"]).with_where(both).do()
    assert answer["data"]["Get"][name] == [{"number": 8}]
    near = client.query.get(name, ["number"]).with_near_vector({"vector": vector(9)}).with_where(even).with_limit(5).do()
    assert all(o["number"] % 2 == 0 for o in near["data"]["Get"][name])


def test_objects_one_at_a_time(client, name):
    client.schema.create_class(definition(name))
    key = client.data_object.create({"text": "a", "number": 1}, name, uuid=identity(1), vector=vector(1))
    assert key == identity(1) and client.data_object.exists(key, class_name=name)
    with pytest.raises(weaviate.ObjectAlreadyExistsException):
        client.data_object.create({"text": "b"}, name, uuid=identity(1))
    client.data_object.update({"number": 2}, name, key)
    found = client.data_object.get_by_id(key, class_name=name, with_vector=True)
    assert found["properties"] == {"text": "a", "number": 2}
    assert found["vector"] == pytest.approx(vector(1), rel=1e-6)
    client.data_object.replace({"text": "c"}, name, key, vector=vector(2))
    assert client.data_object.get_by_id(key, class_name=name)["properties"] == {"text": "c"}
    client.data_object.delete(key, class_name=name)
    assert client.data_object.get_by_id(key, class_name=name) is None


def test_delete_by_filter(client, name):
    client.schema.create_class(definition(name))
    fill(client, name, 40)
    outcome = client.batch.delete_objects(
        name, where={"path": ["even"], "operator": "Equal", "valueBoolean": True}, output="verbose"
    )
    assert outcome["results"]["matches"] == outcome["results"]["successful"] == 20
    assert count(client, name) == 20
