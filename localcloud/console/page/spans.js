// Spans of a request and where their bars lie. Pure: no page. Times are milliseconds.

const MOST_TICKS = 6;
const MANY = 4; // calls of one name that share a row

/** Spans in the order to read them: each below the one that caused it, siblings by start; with their `depth`. */
export function orderSpans(spans) {
  const known = new Set(spans.map((span) => span.id));
  const below = new Map();
  for (const span of spans) {
    const parent = known.has(span.parent) && span.parent !== span.id ? span.parent : null;
    below.set(parent, [...(below.get(parent) ?? []), span]);
  }
  const ordered = [];
  const seen = new Set();
  const walk = (parent, depth) => {
    for (const span of (below.get(parent) ?? []).sort(byStart)) {
      if (seen.has(span.id)) continue;
      seen.add(span.id);
      ordered.push({ span, depth });
      walk(span.id, depth + 1);
    }
  };
  walk(null, 0);
  for (const span of [...spans].sort(byStart)) if (!seen.has(span.id)) ordered.push({ span, depth: 0 }); // a circle
  return ordered;
}

/**
 * {startMs, lengthMs, rows, ticks} of a waterfall. A row is one span, or many calls of one name by one parent: its `spans`,
 * `depth`, a `key` that stays, `bars` with `left` and `width` in percent of the whole, and `lengthMs` (of many: together),
 * null while it runs: a bar then reaches to `nowMs`. Ticks have `left` and `ms` from the start.
 */
export function layOut(spans, nowMs) {
  if (spans.length === 0) return { startMs: 0, lengthMs: 0, rows: [], ticks: [] };
  const startMs = Math.min(...spans.map((span) => span.start_ms));
  const endOf = (span) => Math.max(span.end_ms ?? nowMs, span.start_ms);
  const lengthMs = Math.max(Math.max(...spans.map(endOf)) - startMs, 0.1);
  const share = (ms) => (100 * ms) / lengthMs;
  const bar = (span) => ({ left: share(span.start_ms - startMs), width: share(endOf(span) - span.start_ms) });
  const rows = gather(orderSpans(spans)).map(({ key, depth, spans: own }) => ({
    key,
    depth,
    spans: own,
    bars: own.map(bar),
    lengthMs: own.some((span) => span.end_ms === null) ? null : own.reduce((sum, span) => sum + span.end_ms - span.start_ms, 0),
  }));
  return { startMs, lengthMs, rows, ticks: ticksOf(lengthMs).map((ms) => ({ ms, left: share(ms) })) };
}

// A streamed answer posts a hundred times: calls of one name by one parent share a row, where the first of them stands.
function gather(ordered) {
  const parents = new Set(ordered.map(({ span }) => span.parent));
  const nameOf = (span) => `${span.parent} ${span.name}`;
  const alike = new Map();
  for (const { span } of ordered) {
    if (span.kind === "call" && !parents.has(span.id)) alike.set(nameOf(span), [...(alike.get(nameOf(span)) ?? []), span]);
  }
  const rows = [];
  for (const { span, depth } of ordered) {
    const many = span.kind === "call" && !parents.has(span.id) ? alike.get(nameOf(span)) : [];
    if (many.length < MANY) rows.push({ key: span.id, depth, spans: [span] });
    else if (many[0] === span) rows.push({ key: nameOf(span), depth, spans: many });
  }
  return rows;
}

/** Round times from 0 on, at most six, that leave room for their labels before `lengthMs`. */
export function ticksOf(lengthMs) {
  const rough = lengthMs / MOST_TICKS;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= rough);
  const ticks = [];
  for (let count = 0; count * step <= lengthMs * 0.84; count += 1) ticks.push(count * step);
  return ticks;
}

function byStart(a, b) {
  return a.start_ms - b.start_ms || String(a.id).localeCompare(String(b.id));
}
