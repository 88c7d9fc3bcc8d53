// Drives the service by openapi-fetch, with the types of openapi-typescript.
import assert from "node:assert/strict";
import createClient, { createQuerySerializer } from "openapi-fetch";
import { complete, completePage, present } from "./answers.ts";
import type { components, paths } from "./schema.d.ts";

const client = createClient<paths>({
  baseUrl: present(process.env["BASE"]),
  // Filters by operator are query parameters of their own, as `style: form` says.
  querySerializer: createQuerySerializer({ object: { style: "form", explode: true } }),
});

// Create
const created = await client.POST("/document", { body: { title: "Vienna", tags: ["draft"] } });
assert.equal(created.response.status, 201);
const id = complete(created.data).meta.resource_id;
const etag = present(created.response.headers.get("etag"));
await client.POST("/document", { body: { title: "Paris", language: "fr" } });

// List with filters
const all = completePage((await client.GET("/document")).data);
assert.deepEqual(all.items.map((item) => item.data.title), ["Paris", "Vienna"]);
const filtered = await client.GET("/document", {
  params: { query: { language: "en", filter: { title__starts_with: "Vie" }, metadata: { version__lte: 1 } } },
});
assert.deepEqual(completePage(filtered.data).items.map((item) => item.data.title), ["Vienna"]);
const refused = await client.GET("/document", { params: { query: { sort: "nothing" } } });
assert.equal(present(refused.error).code, "invalid_parameter");

// Update with If-Match
const path = { resource_id: id };
const replaced = await client.PUT("/document/{resource_id}", {
  params: { path, header: { "If-Match": etag } }, body: { title: "Vienna, again" },
});
assert.equal(complete(replaced.data).meta.version, 2);
const late = await client.PUT("/document/{resource_id}", {
  params: { path, header: { "If-Match": etag } }, body: { title: "too late" },
});
assert.equal(present(late.error).code, "precondition_failed");

// Merge patch
const patched = await client.PATCH("/document/{resource_id}", {
  params: { path }, headers: { "Content-Type": "application/merge-patch+json" }, body: { language: "de", tags: ["late"] },
});
assert.equal(complete(patched.data).data.language, "de");

// JSON Patch
const stepped = await client.PATCH("/document/{resource_id}", {
  params: { path }, headers: { "Content-Type": "application/json-patch+json" },
  body: [{ op: "test", path: "/language", value: "de" }, { op: "add", path: "/tags/-", value: "step" }],
});
assert.deepEqual(complete(stepped.data).data.tags, ["late", "step"]);

// Bulk
type Operation = components["schemas"]["DocumentBulkOperation"];
const operations: Operation[] = [
  { op: "create", data: { title: "Rome" } },
  { op: "patch", id, merge: { title: "Wien" } },
  { op: "delete", id: "absent" },
];
const bulk = present((await client.POST("/document/bulk", { body: { operations } })).data);
assert(typeof bulk !== "string"); // NDJSON answers NDJSON
assert.deepEqual([bulk.succeeded, bulk.failed, bulk.items[2]?.problem?.code], [2, 1, "not_found"]);

// Blobs
const form = new FormData();
form.append("file", new File(["hello"], "hello.txt", { type: "text/plain" }));
const uploaded = await client.POST("/document/blobs", { body: { file: "" }, bodySerializer: () => form });
const blob = present(uploaded.data);
const holder = complete(
  (await client.POST("/document", { body: { title: "With bytes", attachments: [{ file_id: blob.file_id }] } })).data,
);
const download = await client.GET("/document/{resource_id}/blobs/{file_id}", {
  params: { path: { resource_id: holder.meta.resource_id, file_id: blob.file_id } }, parseAs: "text",
});
assert.equal(download.data, "hello");
console.log("done");
