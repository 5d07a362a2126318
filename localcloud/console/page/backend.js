// Who the page is, and how it asks: configuration, tokens, the service's HTTP API and the local cloud's own.

import { Problem } from "./problems.js";

const TOKEN = "sluiceway.token";
const EARLY_MS = 60_000; // a token is renewed so long before it ends

/** The deployment's config.json: {local, region, model, endpoints, functions, outputs}. Rejects with a Problem. */
export async function loadConfig() {
  let config = null;
  try {
    const response = await fetch("config.json", { cache: "no-store" });
    config = response.ok ? await response.json() : null;
  } catch {
    config = null;
  }
  if (config === null || typeof config !== "object") {
    const detail = "Put the stack's endpoints into a config.json beside index.html, as docs/console.md shows.";
    throw new Problem({ title: "There is no config.json here", detail });
  }
  return { local: false, region: "", model: "", endpoints: {}, functions: {}, outputs: {}, ...config };
}

export class Backend {
  constructor(config, storage = sessionStorage) {
    const { endpoints, outputs } = config;
    const isSocket = (url) => /^wss?:/.test(url);
    this.config = config;
    this.storage = storage;
    this.api = endpoints.api ?? outputs.ApiUrl ?? null;
    this.socket = endpoints.socket ?? outputs.SocketUrl ?? Object.values(endpoints).find(isSocket) ?? null;
    this.kept = null; // {token, untilMs}
  }

  /** Where the socket is and how it is greeted. Rejects with a Problem. */
  async greet() {
    if (this.socket === null) throw new Problem({ title: "config.json names no socket endpoint" }, { final: true });
    const token = await this.token();
    return { url: this.socket, protocols: ["sluiceway", `bearer.${token}`] };
  }

  /** A token that is good for a while. Rejects with a final Problem where a person has to give one. */
  async token() {
    if (!this.config.local) return this.#given();
    if (this.kept === null || Date.now() > this.kept.untilMs - EARLY_MS) {
      const made = await this.local("token", { method: "POST" });
      this.kept = { token: made.token, untilMs: Date.now() + made.expires_s * 1000 };
    }
    return this.kept.token;
  }

  /** Takes the token that a person gives. Throws where it is none, or is over. */
  use(text) {
    const token = text.trim().replace(/^bearer\s+/i, "");
    if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) throw new Problem({ title: "That is no token", detail: "A token has three parts with dots between them." });
    if (isOver(token)) throw new Problem({ title: "That token has ended", detail: "Get a new one." });
    this.storage.setItem(TOKEN, token);
  }

  /** Forgets the token: it was not accepted. */
  forget() {
    this.kept = null;
    if (!this.config.local) this.storage.removeItem(TOKEN);
  }

  /** The service's API. Resolves to {status, body}; rejects with a Problem for every status from 400 on. */
  async call(path, { method = "GET", body, headers = {} } = {}) {
    if (this.api === null) throw new Problem({ title: "config.json names no api endpoint" }, { final: true });
    const token = await this.token();
    const sent = { ...headers, authorization: `Bearer ${token}` };
    if (body !== undefined) sent["content-type"] = "application/json";
    const response = await reach(this.api.replace(/\/$/, "") + path, { method, headers: sent, body: body && JSON.stringify(body) });
    if (response.status === 401) this.forget();
    return { status: response.status, body: await read(response) };
  }

  /** The local cloud's own API; `path` without `/api/`. Resolves to its JSON, null for 204. Rejects with a Problem. */
  async local(path, { method = "GET", body } = {}) {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const response = await reach(`api/${path}`, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
    return response.status === 204 ? null : read(response);
  }

  #given() {
    const token = this.storage.getItem(TOKEN);
    if (token === null || isOver(token)) throw new Problem({ type: "/problems/unauthorized", title: "Sign in" }, { status: 401, final: true });
    return token;
  }
}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch {
    throw new Problem({ type: "/problems/unreachable" });
  }
}

async function read(response) {
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  throw new Problem(asMembers(response.status, body), { status: response.status });
}

const KINDS = { 401: "unauthorized", 403: "forbidden", 413: "too-large", 429: "throttled", 503: "unavailable", 504: "unavailable" };

function asMembers(status, body) {
  if (typeof body?.type === "string") return body;
  if (typeof body?.error === "string") return { title: body.error };
  if (status in KINDS) return { type: `/problems/${KINDS[status]}` };
  return { title: body?.message ?? `The service answered ${status}`, detail: "Its logs may say more." };
}

// Only to ask in time: whether a token is good is the service's to say.
function isOver(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
    return typeof claims.exp === "number" && claims.exp * 1000 <= Date.now();
  } catch {
    return false;
  }
}
