/** A typed client of the orchestra-memory service. Types come from the service's schema; see schema.ts. */

import createClient, { type Client } from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type { components, paths };
export type Item = components["schemas"]["MemoryItem"];
export type AgentData = components["schemas"]["AgentData"];
export type Session = components["schemas"]["UserSession"];
export type Erasure = components["schemas"]["Erasure"];
export type ErrorBody = components["schemas"]["Error"];

/**
 * How often a request is sent, and the pauses between in milliseconds: random, and doubled up to the longest. A pause is
 * not shorter than the service asks for; if that is more than `longestWait`, its response is returned instead.
 */
export interface Retries {
  attempts: number;
  firstPause: number;
  longestPause: number;
  longestWait: number;
}

export interface Options {
  baseUrl: string;
  token?: string;
  retries?: Partial<Retries>;
  /** For tests. */
  fetch?: (request: Request) => Promise<Response>;
}

const DEFAULTS: Retries = { attempts: 4, firstPause: 200, longestPause: 10_000, longestWait: 60_000 };
const WRITES = new Set(["POST", "PUT", "PATCH", "DELETE"]);
const REPEATED = new Set([429, 500, 502, 503, 504]);

/**
 * The service's operations by path, as openapi-fetch has them: `memory.GET("/api/memory-items/", ...)`.
 *
 * Each write has an `Idempotency-Key`, so that it is applied once, though it is sent again after a lost answer.
 */
export function createMemoryClient(options: Options): Client<paths> {
  const retries = { ...DEFAULTS, ...options.retries };
  const send = options.fetch ?? ((request: Request) => fetch(request));
  const headers: Record<string, string> = options.token ? { Authorization: `Bearer ${options.token}` } : {};
  return createClient<paths>({
    baseUrl: options.baseUrl,
    headers,
    fetch: (request) => sendWithRetries(withKey(request), send, retries),
  });
}

/** A failed request: `code` is stable, for programs; the service's log has `requestId`, too. */
export class MemoryError extends Error {
  readonly status: number;
  readonly code: string;
  readonly fields: ErrorBody["error"]["fields"];
  readonly requestId: string;

  constructor(response: Response, body: unknown) {
    const error = (body as Partial<ErrorBody> | undefined)?.error;
    super(error?.message ?? `status ${response.status}`);
    this.name = "MemoryError";
    this.status = response.status;
    this.code = error?.code ?? "";
    this.fields = error?.fields ?? {};
    this.requestId = response.headers.get("X-Request-ID") ?? "";
  }
}

/** The data of an answer; throws `MemoryError` for an error. */
export function unwrap<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (!answer.response.ok) {
    throw new MemoryError(answer.response, answer.error);
  }
  return answer.data as T;
}

type Page<T> = { next: string | null; results: T[] };

/** All records of a list: `get` requests the page of a cursor, which is undefined for the first one. */
export async function* pages<T>(
  get: (cursor: string | undefined) => Promise<{ data?: Page<T>; error?: unknown; response: Response }>,
): AsyncGenerator<T> {
  let cursor: string | undefined;
  do {
    const page: Page<T> = unwrap(await get(cursor));
    yield* page.results;
    cursor = page.next ? (new URL(page.next).searchParams.get("cursor") ?? undefined) : undefined;
  } while (cursor !== undefined);
}

/** Erase a person; resolves when it is finished, which takes some seconds. Needs the permission `memory.erase_person`. */
export async function erasePerson(
  memory: Client<paths>,
  userId: string,
  options: components["schemas"]["ErasureQueryRequest"] = {},
): Promise<Erasure> {
  for (;;) {
    const params = { path: { user_id: userId } };
    const found = unwrap(await memory.POST("/api/people/{user_id}/erase/", { params, body: options }));
    if (found.state === "finished") {
      return found;
    }
    const pause = found.go_on_at ? Math.max(0, Date.parse(found.go_on_at) - Date.now()) : 0;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

function withKey(request: Request): Request {
  if (WRITES.has(request.method) && !request.headers.has("Idempotency-Key")) {
    request.headers.set("Idempotency-Key", crypto.randomUUID());
  }
  return request;
}

async function sendWithRetries(
  request: Request,
  send: (request: Request) => Promise<Response>,
  retries: Retries,
): Promise<Response> {
  for (let attempt = 0; ; attempt += 1) {
    const isLast = attempt >= retries.attempts - 1;
    let wait = 0;
    try {
      const response = await send(request.clone());
      wait = 1_000 * (Number(response.headers.get("Retry-After")) || 0);
      if (isLast || wait > retries.longestWait || !(await mayRepeat(response))) {
        return response;
      }
    } catch (error) {
      if (isLast || request.signal.aborted) {
        throw error;
      }
    }
    const most = Math.min(retries.longestPause, retries.firstPause * 2 ** attempt);
    const pause = Math.max(wait, most * (0.5 + Math.random() / 2));
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

async function mayRepeat(response: Response): Promise<boolean> {
  if (response.status !== 409) {
    return REPEATED.has(response.status);
  }
  const body = (await response.clone().json().catch(() => undefined)) as Partial<ErrorBody> | undefined;
  return body?.error?.code === "idempotency_key_in_use";
}
