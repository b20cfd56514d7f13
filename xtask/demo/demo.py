"""The demo: real documents into a running server through the official client, then questions to them.

  demo.py load ROOT [FOLDER]     cut, embed, load, ask
  demo.py ask "QUESTION"         one more question

The ports come from AZIMUTH_HTTP_PORT and AZIMUTH_GRPC_PORT, the place for embeddings from AZIMUTH_DEMO_CACHE."""

import hashlib
import os
import pathlib
import sys
import textwrap
import time

import minilm  # first: it decides how many threads numpy may use
import numpy as np
import weaviate
from weaviate.classes.config import Configure, DataType, Property
from weaviate.classes.query import Filter, MetadataQuery

import documents

HTTP_PORT, GRPC_PORT = (int(os.environ[f"AZIMUTH_{kind}_PORT"]) for kind in ("HTTP", "GRPC"))
CACHE = pathlib.Path(os.environ["AZIMUTH_DEMO_CACHE"]) / "embeddings.npz"
PASSAGES_MAX = 2000

QUESTIONS = [
    "What happens to an acknowledged write when the process is killed?",
    "How are vectors found before they are in the graph?",
    "How do I parse command line arguments in Rust?",
    "Which library generates random numbers?",
    "How can I read a file line by line in JavaScript?",
    "How do I publish a package to the registry?",
]


def main():
    if sys.argv[1] == "ask":
        with connect() as client:
            ask(client.collections.get("Passage"), minilm.Encoder(), sys.argv[2])
        return
    root, folder = sys.argv[2], (sys.argv[3:] or [None])[0]
    groups = documents.folder_group(folder) if folder else documents.default_groups(root)
    found = documents.passages(groups, PASSAGES_MAX)
    if not found:
        sys.exit(f"no text or Markdown in {folder or root}")
    counts = {name: sum(p["source"] == name for p in found) for name, _ in groups}
    print(f"{len(found)} passages: " + ", ".join(f"{n} from {name}" for name, n in counts.items() if n))
    vectors = embed([f"{p['title']}. {p['text']}" for p in found])
    with connect() as client:
        load(client, found, vectors)
        encoder = minilm.Encoder()
        passages = client.collections.get("Passage")
        for question in questions(found) if folder else QUESTIONS:
            ask(passages, encoder, question)
        filtered(passages, encoder, found)


def connect():
    return weaviate.connect_to_local(port=HTTP_PORT, grpc_port=GRPC_PORT)


def embed(texts):
    """A vector for each text; those of an earlier run are taken from the cache."""
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    known = {}
    if CACHE.is_file():
        with np.load(CACHE) as stored:
            known = dict(zip(stored["keys"].tolist(), stored["vectors"]))
    missing = [i for i, key in enumerate(keys) if key not in known]
    if missing:
        since = time.perf_counter()
        said = [since]

        def progress(done, total):
            if time.perf_counter() - said[0] > 5 or done == total:
                said[0] = time.perf_counter()
                print(f"  embedding: {done} of {total}, {done / (said[0] - since):.0f} a second", flush=True)

        made = minilm.encode_many([texts[i] for i in missing], progress)
        known.update(zip((keys[i] for i in missing), made))
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        partial = CACHE.with_suffix(".partial.npz")
        np.savez(partial, keys=np.array(list(known)), vectors=np.array(list(known.values())))
        partial.replace(CACHE)
    print(f"embeddings: {len(missing)} computed with all-MiniLM-L6-v2, {len(texts) - len(missing)} from an earlier run")
    return np.array([known[key] for key in keys])


def load(client, found, vectors):
    client.collections.delete("Passage")
    passages = client.collections.create(
        "Passage",
        description="passages of documentation found on this machine",
        properties=[
            Property(name="text", data_type=DataType.TEXT),
            Property(name="title", data_type=DataType.TEXT),
            Property(name="source", data_type=DataType.TEXT),
        ],
        vector_config=Configure.Vectors.self_provided(),
    )
    since = time.perf_counter()
    with passages.batch.dynamic() as batch:
        for passage, vector in zip(found, vectors):
            batch.add_object(passage, vector=vector.tolist())
    seconds = time.perf_counter() - since
    if passages.batch.failed_objects:
        sys.exit(f"{len(passages.batch.failed_objects)} refused, the first: {passages.batch.failed_objects[0].message}")
    count = passages.aggregate.over_all(total_count=True).total_count
    print(f"loaded: {count} objects through the official client in {seconds:.1f} s; each was durable when it was acknowledged")


def questions(found):
    """For a folder of the reader's: what stands under some of its own headings."""
    headings = list(dict.fromkeys(p["title"].split(", ", 1)[1] for p in found if ", " in p["title"]))
    step = max(1, len(headings) // 5)
    return [f"What about {heading}?" for heading in headings[::step][:5]] or ["What is this about?"]


def ask(passages, encoder, question, filters=None, limit=3):
    since = time.perf_counter()
    vector = encoder.encode([question])[0].tolist()
    embedded = time.perf_counter()
    answer = passages.query.near_vector(vector, limit=limit, filters=filters, return_metadata=MetadataQuery(distance=True))
    searched = time.perf_counter()
    print(f"\n? {question}   (embedded in {1e3 * (embedded - since):.0f} ms, searched in {1e3 * (searched - embedded):.1f} ms)")
    for hit in answer.objects:
        print(f"  {1 - hit.metadata.distance:.3f}  {hit.properties['title']}  [{hit.properties['source']}]")
        print(textwrap.shorten(hit.properties["text"], 220, initial_indent=" " * 9, placeholder=" .."))


def filtered(passages, encoder, found):
    source = found[0]["source"]
    print(f"\nOnly passages whose source is '{source}':", end="")
    ask(passages, encoder, "How do I get started?", Filter.by_property("source").equal(source), limit=2)


if __name__ == "__main__":
    main()
