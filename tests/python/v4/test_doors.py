"""One object through three doors: REST, a REST batch and a gRPC batch take it or refuse it alike, and store the same."""

import json
import random
import urllib.request


import grpc
import pytest
from google.protobuf import json_format
from weaviate.proto.v1.v6300.v1 import batch_pb2, search_get_pb2, weaviate_pb2_grpc
from weaviate.classes.config import Configure, ReferenceProperty

from conftest import GRPC_PORT, HTTP_PORT, identity

TYPES = [
    "text", "int", "number", "boolean", "date", "uuid", "blob", "geoCoordinates", "phoneNumber",
    "text[]", "int[]", "number[]", "boolean[]", "date[]", "uuid[]",
]
NESTED = [kind for kind in TYPES if kind not in ("geoCoordinates", "phoneNumber")]
SCALARS = [
    "", "x", "Tall fern \u00e9\u6f22", "2020-01-02T03:04:05.123456789Z", "2020-01-02", "00000000-0000-4000-8000-00000000000a",
    "AAECAw==", "not base64!", True, False, 0, 1, -1, 2.5, 1e300, 2**31, 2**53, None, [], {},
]


@pytest.fixture(scope="module")
def stub():
    with grpc.insecure_channel(f"127.0.0.1:{GRPC_PORT}") as channel:
        yield weaviate_pb2_grpc.WeaviateStub(channel)


def rest(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{HTTP_PORT}/v1{path}", data, {"Content-Type": "application/json"})
    request.method = method
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read() or "null")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def value(draw, depth=0):
    """Any value: what a property takes, and what it does not."""
    kind = draw.randrange(12)
    if kind < 7 or depth > 2:
        return draw.choice(SCALARS)
    if kind == 7:
        return [draw.choice(SCALARS) for _ in range(draw.randrange(4))]
    if kind == 8:
        member = draw.choice(SCALARS)
        return [member] * draw.randrange(1, 4)
    if kind == 9:
        return {"latitude": draw.choice([1.5, 91, "x"]), "longitude": draw.choice([2, -200.5, None])}
    if kind == 10:
        return {"input": draw.choice(["+49 30 901820", "1", 5]), "defaultCountry": draw.choice(["DE", "nowhere"])}
    names = [kind for kind in NESTED if draw.random() < 0.1] + (["unknown"] if draw.random() < 0.1 else [])
    inner = {column(name): value(draw, depth + 1) for name in names}
    return draw.choice([inner, [inner]])


def column(kind):
    return "p_" + kind.replace("[]", "_list")


def fitting(draw, kind):
    """A value that the type takes."""
    one = {
        "text": "Tall fern", "int": draw.choice([0, -3, 2**53]), "number": draw.choice([0.5, -2, 1e-300]), "boolean": True,
        "date": "2020-01-02T03:04:05.5+02:00", "uuid": str(identity(1)), "blob": "AAECAw==",
        "geoCoordinates": {"latitude": 1.5, "longitude": -2}, "phoneNumber": {"input": "+49 30 901820"},
    }[kind.removesuffix("[]")]
    return [one] * draw.randrange(1, 3) if kind.endswith("[]") else one


def drawn(draw, kinds):
    properties = {}
    for kind in kinds:
        if draw.random() < 0.15:
            properties[column(kind)] = fitting(draw, kind)
    if draw.random() < 0.3:
        properties["p_object"] = {column(kind): fitting(draw, kind) for kind in NESTED if draw.random() < 0.3}
    if draw.random() < 0.6:
        properties[draw.choice([column(kind) for kind in kinds] + ["p_object", "p_objects"])] = value(draw)
    return properties


def three_doors(stub, name, identities, properties, vector=None):
    """Whether each of the doors takes an object, and what is stored then."""
    objects = [{"class": name, "id": str(one), "properties": properties} for one in identities]
    if vector is not None:
        for one in objects:
            one["vector"] = vector
    status, answer = rest("POST", "/objects", objects[0])
    taken = [status == 200]
    errors = [answer]
    _, answer = rest("POST", "/batch/objects", {"objects": [objects[1]]})
    taken.append(answer[0]["result"]["status"] == "SUCCESS")
    errors.append(answer[0]["result"])
    message = batch_pb2.BatchObject(collection=name, uuid=str(identities[2]))
    json_format.ParseDict(properties, message.properties.non_ref_properties)
    if vector is not None:
        message.vector.extend(vector)
    reply = stub.BatchObjects(batch_pb2.BatchObjectsRequest(objects=[message]))
    taken.append(not reply.errors)
    errors.append(reply.errors)
    stored = []
    for one in identities:
        status, answer = rest("GET", f"/objects/{name}/{one}")
        stored.append(answer["properties"] if status == 200 else None)
    return taken, stored, errors


def collection(name):
    nested = [{"name": column(kind), "dataType": [kind]} for kind in NESTED]
    properties = [{"name": column(kind), "dataType": [kind]} for kind in TYPES]
    properties += [
        {"name": "p_object", "dataType": ["object"], "nestedProperties": nested},
        {"name": "p_objects", "dataType": ["object[]"], "nestedProperties": nested},
    ]
    status, answer = rest("POST", "/schema", {"class": name, "properties": properties})
    assert status == 200, answer


def test_the_same_object_gets_the_same_verdict(stub, name):
    collection(name)
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    accepted = 0
    for round in range(300):
        properties = drawn(draw, TYPES)
        taken, stored, errors = three_doors(stub, name, [identity(f"{round}/{door}") for door in range(3)], properties)
        assert taken[0] == taken[1] == taken[2], (seed, round, properties, errors)
        assert stored[0] == stored[1] == stored[2], (seed, round, properties, stored)
        assert (stored[0] is not None) == taken[0], (seed, round, properties)
        accepted += taken[0]
    assert 50 < accepted < 290, accepted
    rest("DELETE", f"/schema/{name}")


def test_numbers_that_are_none_are_refused_by_object(stub, name):
    collection(name)
    for number in ("1e999", "-1e999"):
        body = '{"class": "%s", "properties": {"p_number": %s}}' % (name, number)
        for path, body in (("/objects", body), ("/batch/objects", '{"objects": [%s]}' % body)):
            request = urllib.request.Request(
                f"http://127.0.0.1:{HTTP_PORT}/v1{path}", body.encode(), {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request) as answer:
                    text = answer.read().decode()
            except urllib.error.HTTPError as error:
                text = error.read().decode()
            assert "could not be converted to a float" in text, text
    for field in ("p_int", "p_number", "p_number_list", "p_int_list", "vector", "vector_bytes"):
        message = batch_pb2.BatchObject(collection=name, uuid=str(identity(field)))
        bad = float("nan") if field != "p_int" else float("inf")
        if field == "vector":
            message.vector.extend([1.0, bad])
        elif field == "vector_bytes":
            import struct

            message.vector_bytes = struct.pack("<2f", 1.0, bad)
        elif field.endswith("_list"):
            message.properties.number_array_properties.add(prop_name=field, values=[bad])
        else:
            message.properties.non_ref_properties.fields[field].number_value = bad
        good = batch_pb2.BatchObject(collection=name, uuid=str(identity("good")))
        reply = stub.BatchObjects(batch_pb2.BatchObjectsRequest(objects=[message, good]))
        assert [error.index for error in reply.errors] == [0], (field, reply)
        assert rest("GET", f"/objects/{name}/{identity(field)}")[0] == 404, field
    rest("DELETE", f"/schema/{name}")


def test_an_emptied_reference_list_is_an_empty_list(client, name):
    books = client.collections.create(name, vector_config=Configure.Vectors.self_provided())
    books.config.add_reference(ReferenceProperty(name="to", target_collection=name))
    books.config.add_reference(ReferenceProperty(name="gone", target_collection=name))
    for number in range(3):
        books.data.insert({}, uuid=identity(number))
    books.data.reference_add(identity(0), "to", to=identity(1))
    books.data.reference_add(identity(0), "gone", to=identity(2))
    books.data.reference_delete(identity(0), "to", to=identity(1))
    books.data.delete_by_id(identity(2))
    from weaviate.classes.query import QueryReference

    follow = [QueryReference(link_on="to"), QueryReference(link_on="gone")]
    found = books.query.fetch_object_by_id(identity(0), return_references=follow)
    assert found.references["to"].objects == []
    assert "gone" not in found.references
    client.collections.delete(name)


def test_a_property_asked_for_twice_is_answered_once_with_all_of_it(stub, name):
    collection(name)
    rest("POST", f"/schema/{name}/properties", {"name": "to", "dataType": [name]})
    one = str(identity(1))
    properties = {"p_text": "x", "p_int": 1, "p_object": {"p_text": "a", "p_int": 2, "p_number": 2.5}}
    assert rest("POST", "/objects", {"class": name, "id": one, "properties": properties})[0] == 200
    beacon = {"beacon": f"weaviate://localhost/{name}/{one}"}
    assert rest("POST", f"/objects/{name}/{one}/references/to", beacon)[0] == 200
    request = search_get_pb2.SearchRequest(collection=name, limit=1, uses_123_api=True, uses_125_api=True, uses_127_api=True)
    wanted = request.properties
    wanted.non_ref_properties.extend(["p_text", "p_text", "P_text"])
    wanted.object_properties.add(prop_name="p_object", primitive_properties=["p_text"])
    wanted.object_properties.add(prop_name="p_object", primitive_properties=["p_int", "p_int"])
    for inner in (["p_text"], ["p_int"]):
        follow = wanted.ref_properties.add(reference_property="to")
        follow.properties.non_ref_properties.extend(inner)
    wanted.ref_properties[0].metadata.uuid = True
    found = stub.Search(request).results[0].properties
    fields = found.non_ref_props.fields
    assert fields["p_text"].text_value == "x"
    assert sorted(fields["p_object"].object_value.fields) == ["p_int", "p_text"]
    assert [reference.prop_name for reference in found.ref_props] == ["to"]
    target = found.ref_props[0].properties[0]
    assert target.metadata.id == one
    assert target.non_ref_props.fields["p_text"].text_value == "x"
    assert target.non_ref_props.fields["p_int"].int_value == 1
    rest("DELETE", f"/schema/{name}")


def test_an_import_that_makes_properties_loses_no_object(client, name):
    books = client.collections.create(name, vector_config=Configure.Vectors.self_provided())
    with books.batch.fixed_size(batch_size=20, concurrent_requests=8) as batch:
        for number in range(600):
            batch.add_object({"text": f"t{number}", f"meta{number // 4}": "x"}, uuid=identity(number))
    assert books.batch.failed_objects == []
    assert books.aggregate.over_all(total_count=True).total_count == 600
    client.collections.delete(name)
