// The official JavaScript client against the server whose ports the Rust harness names.
// The packages lie outside the repository, where `cargo xtask setup` put them.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

const require = createRequire(process.env.AZIMUTH_NODE_MODULES + "/");
const { default: weaviate, generateUuid5, vectors } = require("weaviate-client");

const port = Number(process.env.AZIMUTH_HTTP_PORT);
const grpcPort = Number(process.env.AZIMUTH_GRPC_PORT);
const name = "C" + randomUUID().replaceAll("-", "");
const count = 250;
let client, collection;

/** A unit vector that follows from its seed. */
function vector(seed, dimensions = 12) {
  let state = (seed + 1) * 2654435761;
  const values = Array.from({ length: dimensions }, () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 3266489917) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
  const length = Math.hypot(...values);
  return values.map((value) => value / length);
}

const distance = (a, b) => 1 - a.reduce((sum, value, i) => sum + value * b[i], 0);
const identity = (n) => generateUuid5(String(n));

before(async () => {
  client = await weaviate.connectToLocal({ host: "127.0.0.1", port, grpcPort });
  collection = await client.collections.create({
    name,
    vectorizers: vectors.selfProvided(),
    properties: [
      { name: "text", dataType: "text" },
      { name: "number", dataType: "int" },
      { name: "even", dataType: "boolean" },
    ],
  });
  const objects = Array.from({ length: count }, (_, n) => ({
    id: identity(n),
    properties: { text: `passage ${n}`, number: n, even: n % 2 === 0 },
    vectors: vector(n),
  }));
  const outcome = await collection.data.insertMany(objects);
  assert.equal(outcome.hasErrors, false, JSON.stringify(outcome.errors));
});

after(async () => {
  await client?.collections.delete(name);
  await client?.close();
});

test("the server is ready and says what it is", async () => {
  assert.ok(await client.isReady());
  assert.match((await client.getMeta()).version, /^1\./);
});

test("a collection is described and listed", async () => {
  assert.ok(await client.collections.exists(name));
  const config = await collection.config.get();
  assert.deepEqual(config.properties.map((p) => p.name).sort(), ["even", "number", "text"]);
  assert.ok((await client.collections.listAll()).some((c) => c.name === name));
});

test("an object is fetched by its id, changed and deleted", async () => {
  const id = await collection.data.insert({ properties: { text: "one more", number: -1 }, vectors: vector(-1) });
  const found = await collection.query.fetchObjectById(id, { includeVector: true });
  assert.equal(found.properties.text, "one more");
  found.vectors.default.forEach((value, i) => assert.ok(Math.abs(value - vector(-1)[i]) < 1e-6));
  await collection.data.update({ id, properties: { number: -2 } });
  assert.equal((await collection.query.fetchObjectById(id)).properties.number, -2);
  assert.ok(await collection.data.deleteById(id));
  assert.equal(await collection.query.fetchObjectById(id), null);
});

test("nearVector finds the nearest in order, with and without a filter", async () => {
  const query = vector(1e6);
  const order = (numbers) => numbers.sort((a, b) => distance(query, vector(a)) - distance(query, vector(b)));
  const all = Array.from({ length: count }, (_, n) => n);
  const found = await collection.query.nearVector(query, { limit: 5, returnMetadata: ["distance"] });
  assert.deepEqual(found.objects.map((o) => o.properties.number), order([...all]).slice(0, 5));
  for (const o of found.objects) {
    assert.ok(Math.abs(o.metadata.distance - distance(query, vector(o.properties.number))) < 1e-5);
  }
  const even = collection.filter.byProperty("even").equal(true);
  const filtered = await collection.query.nearVector(query, { limit: 5, filters: even });
  assert.deepEqual(filtered.objects.map((o) => o.properties.number), order(all.filter((n) => n % 2 === 0)).slice(0, 5));
});

test("objects are counted, iterated and deleted by filter", async () => {
  assert.equal((await collection.aggregate.overAll()).totalCount, count);
  const seen = new Set();
  for await (const o of collection.iterator()) seen.add(o.properties.number);
  assert.equal(seen.size, count);
  const outcome = await collection.data.deleteMany(collection.filter.byProperty("number").equal(3));
  assert.equal(outcome.successful, 1);
  assert.equal((await collection.aggregate.overAll()).totalCount, count - 1);
});

test("a stream of batches takes objects and says what failed", async () => {
  // The client uses a method of sets that Node has from version 22 on.
  Set.prototype.difference ??= function (other) {
    return new Set([...this].filter((member) => !other.has(member)));
  };
  const stream = await client.batch.stream();
  for (let n = 0; n < 500; n++) {
    const number = n === 123 ? "none" : n;
    await stream.addObject({ collection: name, id: identity(10_000 + n), properties: { number }, vectors: vector(n) });
  }
  await stream.stop();
  assert.equal(stream.hasErrors(), true);
  assert.deepEqual(Object.keys(stream.objErrors()), ["123"]);
  assert.equal(Object.keys(stream.uuids()).length, 499);
  const found = await collection.query.fetchObjectById(identity(10_042));
  assert.equal(found.properties.number, 42);
});
