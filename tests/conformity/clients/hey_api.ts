// Drives the service by the client of @hey-api/openapi-ts.
import assert from "node:assert/strict";
import { complete, completePage, present } from "./answers.ts";
import { client } from "./hey_api/client.gen.ts";
import {
  bulkDocument,
  createDocument,
  deleteDocument,
  listDocument,
  patchDocument,
  readBlobDocument,
  readDocument,
  replaceDocument,
  uploadBlobDocument,
} from "./hey_api/sdk.gen.ts";
import type { DocumentBulkOperation } from "./hey_api/types.gen.ts";

client.setConfig({
  baseUrl: present(process.env["BASE"]),
  // Filters by operator are query parameters of their own, as `style: form` says.
  querySerializer: { object: { style: "form", explode: true } },
});

// Create
const created = await createDocument({ body: { title: "Vienna", tags: ["draft"], language: "en" } });
assert.equal(created.response?.status, 201);
const vienna = complete(created.data);
const id = vienna.meta.resource_id;
const etag = present(created.response?.headers.get("etag"));
await createDocument({ body: { title: "Paris", language: "fr" } });

// List with filters
const all = completePage((await listDocument()).data);
assert.deepEqual(all.items.map((item) => item.data.title), ["Paris", "Vienna"]);
const filtered = await listDocument({
  query: { language: "en", filter: { title__starts_with: "Vie", tags__contains_any: "draft,x" } },
});
assert.deepEqual(completePage(filtered.data).items.map((item) => item.data.title), ["Vienna"]);
const versions = await listDocument({ query: { metadata: { version__gte: 2 } } });
assert.equal(present(versions.data).items.length, 0);
const partial = present((await listDocument({ query: { returns: "data", fields: "title", limit: 1 } })).data);
assert.deepEqual(partial.items, [{ data: { title: "Paris" } }]);
const refused = await listDocument({ query: { sort: "nothing" } });
assert.equal(present(refused.error).code, "invalid_parameter");

// Update with If-Match
const replaced = await replaceDocument({
  path: { resource_id: id }, headers: { "If-Match": etag }, body: { title: "Vienna, again" },
});
assert.equal(complete(replaced.data).meta.version, 2);
const late = await replaceDocument({
  path: { resource_id: id }, headers: { "If-Match": etag }, body: { title: "too late" },
});
assert.equal(late.response?.status, 412);
assert.equal(present(late.error).code, "precondition_failed");

// Merge patch
const patched = await patchDocument({ path: { resource_id: id }, body: { language: "de", tags: ["late"] } });
assert.deepEqual(
  [complete(patched.data).data.title, complete(patched.data).data.language], ["Vienna, again", "de"],
);
const invalid = await patchDocument({ path: { resource_id: id }, body: { language: "German" } });
assert.deepEqual(present(invalid.error).errors?.map((error) => error.field), ["language"]);

// Bulk
const operations: DocumentBulkOperation[] = [
  { op: "create", data: { title: "Rome" } },
  { op: "patch", id, merge: { title: "Wien" } },
  { op: "patch", id, patch: [{ op: "add", path: "/tags/-", value: "bulk" }] },
  { op: "delete", id: "absent" },
];
const bulk = present((await bulkDocument({ body: { operations } })).data);
assert.deepEqual([bulk.succeeded, bulk.failed, bulk.items[3]?.problem?.code], [3, 1, "not_found"]);
const renamed = complete((await readDocument({ path: { resource_id: id } })).data);
assert.deepEqual([renamed.data.title, renamed.data.tags], ["Wien", ["late", "bulk"]]);

// Blobs
const uploaded = await uploadBlobDocument({ body: { file: new File(["hello"], "hello.txt", { type: "text/plain" }) } });
const blob = present(uploaded.data);
assert.deepEqual([blob.size, blob.filename], [5, "hello.txt"]);
const holder = complete(
  (await createDocument({ body: { title: "With bytes", attachments: [{ file_id: blob.file_id, filename: "hello.txt" }] } })).data,
);
const download = await readBlobDocument({
  path: { resource_id: holder.meta.resource_id, file_id: blob.file_id }, parseAs: "text",
});
assert.equal(download.data as unknown, "hello");

// Delete
assert.equal((await deleteDocument({ path: { resource_id: id } })).response?.status, 204);
assert.equal((await readDocument({ path: { resource_id: id } })).response?.status, 410);
console.log("done");
