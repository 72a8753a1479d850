// Against the running service at MEMORY_URL, with the token MEMORY_TOKEN.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";

import { createMemoryClient, erasePerson, MemoryError, pages, unwrap, type Item } from "../src/index.js";

const baseUrl = process.env["MEMORY_URL"] ?? "";
const token = process.env["MEMORY_TOKEN"] ?? "";
const retries = { firstPause: 1, longestPause: 2 };
const memory = createMemoryClient({ baseUrl, token, retries });

test("create, search, update with a tag, and delete", async () => {
  const text = `The zeppelin ${randomUUID()} landed in Basel.`;
  const session_id = `ts-${randomUUID()}`;
  const made = await memory.POST("/api/memory-items/", { body: { item_type: "fact", text_content: text, session_id } });
  const item: Item = unwrap(made);
  const etag = made.response.headers.get("ETag") ?? "";
  const answers = unwrap(
    await memory.POST("/api/memory-items/search/", { body: { questions: ["Where did it land?"], session_id } }),
  );
  assert.equal(answers.searches[0]?.results[0]?.id, item.id);

  const path = { params: { path: { id: item.id } } } as const;
  const changed = { params: { ...path.params, header: { "If-Match": etag } }, body: { metadata: { n: 1 } } };
  assert.deepEqual(unwrap(await memory.PATCH("/api/memory-items/{id}/", changed)).metadata, { n: 1 });
  const stale = await memory.PATCH("/api/memory-items/{id}/", changed);
  assert.throws(
    () => unwrap(stale),
    (error: unknown) => error instanceof MemoryError && error.status === 412 && error.requestId !== "",
  );
  unwrap(await memory.DELETE("/api/memory-items/{id}/", path));
  assert.equal((await memory.GET("/api/memory-items/{id}/", path)).response.status, 404);
});

test("pages", async () => {
  const session_id = `ts-${randomUUID()}`;
  const items = Array.from({ length: 5 }, () => ({ item_type: "m", session_id }));
  unwrap(await memory.POST("/api/memory-items/bulk/", { body: { items } }));
  const found: string[] = [];
  for await (const item of pages<Item>((cursor) =>
    memory.GET("/api/memory-items/", { params: { query: { session_id, limit: 2, ...(cursor ? { cursor } : {}) } } }),
  )) {
    found.push(item.id);
  }
  assert.equal(new Set(found).size, 5);
});

test("a write whose answer is lost is applied once", async () => {
  const keys: (string | null)[] = [];
  const lossy = createMemoryClient({
    baseUrl,
    token,
    retries,
    fetch: async (request) => {
      keys.push(request.headers.get("Idempotency-Key"));
      const response = await fetch(request);
      if (keys.length < 3) {
        throw new TypeError("lost");
      }
      return response;
    },
  });
  const session_id = `ts-${randomUUID()}`;
  const made = await lossy.POST("/api/memory-items/", { body: { item_type: "m", session_id } });
  assert.equal(made.response.headers.get("Idempotent-Replayed"), "true");
  assert.equal(new Set(keys).size, 1);
  const found = unwrap(await memory.GET("/api/memory-items/", { params: { query: { session_id } } }));
  assert.equal(found.results.length, 1);
});

test("an hour is not waited for", async () => {
  let asked = 0;
  const busy = createMemoryClient({
    baseUrl,
    token,
    retries,
    fetch: async () => {
      asked += 1;
      return new Response("{}", { status: 429, headers: { "Retry-After": "3600", "Content-Type": "application/json" } });
    },
  });
  assert.equal((await busy.GET("/api/memory-items/")).response.status, 429);
  assert.equal(asked, 1);
});

test("errors have the service's code and fields", async () => {
  const refused = await memory.POST("/api/memory-items/", { body: { item_type: "" } });
  assert.throws(
    () => unwrap(refused),
    (error: unknown) => error instanceof MemoryError && "item_type" in error.fields,
  );
  const stranger = createMemoryClient({ baseUrl, token: "mem_wrong", retries });
  assert.equal((await stranger.GET("/api/memory-items/")).response.status, 401);
});

test("a person is erased, with a receipt", async () => {
  const user_id = `person-${randomUUID()}`;
  unwrap(await memory.POST("/api/memory-items/", { body: { item_type: "m", user_id } }));
  const erased = await erasePerson(memory, user_id, { keep_hours: 1 });
  assert.equal(erased.erased["memory_items"], 1);
  assert.notEqual(erased.receipt, null);
});
