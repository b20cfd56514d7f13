"""The official client 4.x against the server whose ports the Rust harness names."""

import os
import random
import uuid

import pytest
import weaviate
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.init import AdditionalConfig, Timeout

HTTP_PORT = int(os.environ["AZIMUTH_HTTP_PORT"])
GRPC_PORT = int(os.environ["AZIMUTH_GRPC_PORT"])
DIMENSIONS = 16


@pytest.fixture(scope="session")
def client():
    patience = AdditionalConfig(timeout=Timeout(init=30, query=60, insert=120))
    with weaviate.connect_to_local(port=HTTP_PORT, grpc_port=GRPC_PORT, additional_config=patience) as connected:
        yield connected


@pytest.fixture
def name():
    return "C" + uuid.uuid4().hex


@pytest.fixture
def passages(client, name):
    """An empty collection with vectors of its caller's own, gone after the test."""
    yield client.collections.create(
        name,
        properties=[
            Property(name="text", data_type=DataType.TEXT),
            Property(name="number", data_type=DataType.INT),
            Property(name="even", data_type=DataType.BOOL),
        ],
        vector_config=Configure.Vectors.self_provided(),
    )
    client.collections.delete(name)


def vector(seed, dimensions=DIMENSIONS):
    """A unit vector that follows from its seed."""
    values = [random.Random(f"{seed}/{i}").gauss(0, 1) for i in range(dimensions)]
    length = sum(v * v for v in values) ** 0.5
    return [v / length for v in values]


def identity(number):
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


def cosine_distance(a, b):
    return 1 - sum(x * y for x, y in zip(a, b))
