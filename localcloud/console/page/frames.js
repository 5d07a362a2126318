// Frames of the service, read once at the edge: what comes out has every member with its type, or is null.
// Source: docs/streaming.md

const KINDS = new Set(["delta", "tool", "final", "reset", "retract", "error", "ping"]);
const REQ = /^[A-Za-z0-9._~-]{0,128}$/; // empty where the service could not tell, or does not say, which request it was

/**
 * A message's text as {kind, req, seq, off, attempt, data}, or null for what is no frame of version 1.
 *
 * `data` is text for a delta and an object for everything else. API Gateway's own error messages have no `v`: null.
 */
export function parseFrame(text) {
  const raw = readJson(text);
  if (raw === null || raw.v !== 1 || !KINDS.has(raw.t) || typeof raw.req !== "string" || !REQ.test(raw.req)) return null;
  const { seq = 0, off = 0, try: attempt = 0 } = raw;
  if (![seq, off, attempt].every(isCount)) return null;
  if (raw.t === "delta" && typeof raw.d !== "string") return null;
  return { kind: raw.t, req: raw.req, seq, off, attempt, data: raw.t === "delta" ? raw.d : members(raw.d) };
}

/** The sentence in a message that API Gateway itself sends about a message of ours, "" for anything else. */
export function gatewayComplaint(text) {
  const raw = readJson(text);
  return raw !== null && raw.v === undefined && typeof raw.message === "string" ? raw.message : "";
}

/** A name for a request that nobody else uses. */
export function newReq(prefix = "r") {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return prefix + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function readJson(text) {
  try {
    const value = JSON.parse(text);
    return members(value) === value ? value : null;
  } catch {
    return null;
  }
}

function members(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
}

function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}
