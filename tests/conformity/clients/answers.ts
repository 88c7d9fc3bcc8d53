// Type guards for answers. `returns=` and `fields=` select parts, so an answer is either complete or partial.
import assert from "node:assert/strict";

type Complete<T> = Extract<T, { data: unknown; meta: unknown; revision_info: unknown }>;

/** Return an answer that has all parts. */
export function complete<T>(answer: T): Complete<T> {
  assert(answer && typeof answer === "object", JSON.stringify(answer));
  assert("data" in answer && "meta" in answer && "revision_info" in answer, JSON.stringify(answer));
  return answer as Complete<T>;
}

type CompletePage<T> = Extract<T, { items: { data: unknown; meta: unknown; revision_info: unknown }[] }>;

/** Return a page whose items have all parts. A list also answers with CSV, which is a text. */
export function completePage<T>(page: T): CompletePage<T> {
  assert(page && typeof page === "object" && "items" in page && Array.isArray(page.items), String(page));
  page.items.forEach((item) => complete(item));
  return page as CompletePage<T>;
}

/** Return a value that must be there. */
export function present<T>(value: T | null | undefined): T {
  assert(value !== null && value !== undefined);
  return value;
}
