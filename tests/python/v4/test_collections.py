"""Collections: created, described, listed, changed, deleted."""

import pytest
from weaviate.classes.config import Configure, DataType, Property, Tokenization, VectorDistances
from weaviate.exceptions import UnexpectedStatusCodeError


def test_server_says_what_it_is(client):
    assert client.is_ready() and client.is_live()
    assert client.get_meta()["version"].startswith("1.")


def test_create_exists_delete(client, name):
    assert not client.collections.exists(name)
    client.collections.create(name, vector_config=Configure.Vectors.self_provided())
    assert client.collections.exists(name)
    assert name in client.collections.list_all()
    with pytest.raises(UnexpectedStatusCodeError) as refused:
        client.collections.create(name)
    assert refused.value.status_code == 422
    client.collections.delete(name)
    client.collections.delete(name)  # deleting what is gone is no error
    assert not client.collections.exists(name)


def test_config_comes_back(client, name):
    collection = client.collections.create(
        name,
        description="some passages",
        properties=[
            Property(name="text", data_type=DataType.TEXT, tokenization=Tokenization.LOWERCASE, description="the text"),
            Property(name="tags", data_type=DataType.TEXT_ARRAY, index_searchable=False),
            Property(name="when", data_type=DataType.DATE),
            Property(
                name="origin",
                data_type=DataType.OBJECT,
                nested_properties=[Property(name="page", data_type=DataType.INT)],
            ),
        ],
        vector_config=Configure.Vectors.self_provided(
            vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.DOT, ef=77)
        ),
    )
    config = collection.config.get()
    assert config.name == name and config.description == "some passages"
    properties = {p.name: p for p in config.properties}
    assert properties["text"].tokenization == Tokenization.LOWERCASE and properties["text"].index_searchable
    assert properties["tags"].data_type == DataType.TEXT_ARRAY and not properties["tags"].index_searchable
    assert properties["origin"].nested_properties[0].name == "page"
    index = config.vector_config["default"].vector_index_config
    assert index.distance_metric == VectorDistances.DOT and index.ef == 77
    client.collections.delete(name)


def test_add_property(passages):
    passages.config.add_property(Property(name="later", data_type=DataType.NUMBER))
    assert "later" in {p.name for p in passages.config.get(simple=True).properties}
    key = passages.data.insert({"text": "a", "later": 1.5})
    assert passages.query.fetch_object_by_id(key).properties["later"] == 1.5


def test_names_begin_with_a_capital(client, name):
    client.collections.create(name[0].lower() + name[1:])
    assert client.collections.exists(name)
    client.collections.delete(name)
