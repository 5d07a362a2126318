// The pure parts of the views: where bars lie, how lines and figures read, what a problem's sentence is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { beginAnswer } from "../../../localcloud/console/page/answer.js";
import { ago, duration, figurePhrases, tick } from "../../../localcloud/console/page/format.js";
import { readLine } from "../../../localcloud/console/page/logline.js";
import { splitBlocks } from "../../../localcloud/console/page/markdown.js";
import { problemSentence } from "../../../localcloud/console/page/problems.js";
import { newFigures } from "../../../localcloud/console/page/service.js";
import { layOut, orderSpans, ticksOf } from "../../../localcloud/console/page/spans.js";
import { Store } from "../../../localcloud/console/page/store.js";
import { describe } from "../../../localcloud/console/page/turn.js";
import { drawing } from "./drawn.mjs";

const span = (id, parent, start_ms, end_ms, more = {}) => ({ trace: "t", id, parent, kind: "call", name: id, start_ms, end_ms, status: "ok", detail: {}, ...more });

test("spans stand below their cause, siblings by start, strangers and circles at the top", () => {
  const spans = [span("c", "a", 30, 40), span("b", "a", 20, 25), span("a", null, 10, 50), span("x", "gone", 5, 6), span("p", "q", 1, 2), span("q", "p", 1, 2)];
  const order = orderSpans(spans).map(({ span: { id }, depth }) => [id, depth]);
  assert.deepEqual(order, [["x", 0], ["a", 0], ["b", 1], ["c", 1], ["p", 0], ["q", 0]]);
});

test("bars lie on one axis, and what runs reaches to now", () => {
  const { startMs, lengthMs, rows } = layOut([span("a", null, 100, 300), span("b", "a", 150, null)], 300);
  assert.deepEqual([startMs, lengthMs], [100, 200]);
  assert.deepEqual(rows.map(({ bars, lengthMs }) => [bars[0].left, bars[0].width, lengthMs]), [[0, 100, 200], [25, 75, null]]);
});

test("calls of one name share a row from the fourth on, unless something hangs on them", () => {
  const posts = (count) => Array.from({ length: count }, (_, at) => span(`p${at}`, "a", at * 10, at * 10 + 5, { name: "Post" }));
  const few = layOut([span("a", null, 0, 100), ...posts(3)], 0).rows;
  const many = layOut([span("a", null, 0, 100), ...posts(5), span("under", "p4", 41, 42)], 0).rows;
  assert.deepEqual(few.map(({ spans }) => spans.length), [1, 1, 1, 1]);
  assert.deepEqual(many.map(({ spans, lengthMs }) => [spans.length, lengthMs]), [[1, 100], [4, 20], [1, 5], [1, 1]]);
});

test("every drawn waterfall stays within its axis", () => {
  const chance = drawing(3);
  for (let time = 0; time < 500; time += 1) {
    const spans = Array.from({ length: 1 + chance.upTo(20) }, (_, at) => {
      const start = chance.draw() * 10 ** chance.upTo(6);
      return span(`s${at}`, chance.often(0.7) ? `s${chance.upTo(20)}` : null, start, chance.often(0.2) ? null : start + chance.draw() * 10 ** chance.upTo(6), { name: `n${chance.upTo(2)}` });
    });
    const { rows, ticks } = layOut(spans, 10 ** 6);
    assert.deepEqual(rows.flatMap((row) => row.spans.map(({ id }) => id)).sort(), spans.map(({ id }) => id).sort());
    for (const { left, width } of rows.flatMap((row) => row.bars)) assert.ok(left >= 0 && width >= 0 && left + width <= 100.000001);
    assert.ok(ticks.length >= 1 && ticks.length <= 7 && ticks.every(({ left }) => left <= 90));
  }
});

test("ticks are round", () => {
  assert.deepEqual([ticksOf(912), ticksOf(3.2), ticksOf(0.1)].map((ticks) => ticks.slice(0, 3)), [[0, 200, 400], [0, 1, 2], [0, 0.02, 0.04]]);
});

test("times on an axis are short", () => {
  assert.deepEqual([0, 0.02, 200, 1_500, 20_000].map(tick), ["0", "0.02 ms", "200 ms", "1.5 s", "20 s"]);
});

test("durations and ages are short", () => {
  assert.deepEqual([0.01, 0.42, 0.97, 12.4, 999.6, 1240, 12_400, 59_960, 125_000].map(duration), ["0 ms", "0.4 ms", "1 ms", "12 ms", "1.00 s", "1.24 s", "12.4 s", "1 min 0 s", "2 min 5 s"]);
  assert.deepEqual([500, 5_000, 200_000, 8_000_000].map((past) => ago(10 ** 9 - past, 10 ** 9)), ["just now", "5 s ago", "3 min ago", "2 h ago"]);
});

test("figures are the service's where it counts, else about a quarter of the characters", () => {
  const figures = { ...newFigures(), askedMs: 1_000, firstMs: 1_180, lastMs: 5_180, speakingMs: 4_000, reconnects: 1 };
  const answer = { ...beginAnswer("r1", {}), length: 400 };
  assert.deepEqual(figurePhrases(answer, figures), ["180 ms to the first token", "≈ 25 tokens/s", "1 reconnect"]);
  const counted = { ...answer, usage: { output_tokens: 168 } };
  assert.deepEqual(figurePhrases(counted, { ...figures, reconnects: 0 }), ["180 ms to the first token", "42 tokens/s", "168 tokens"]);
  assert.deepEqual(figurePhrases({ ...answer, usage: { output_tokens: 100, estimated: 1 } }, newFigures()), ["≈ 100 tokens"]);
});

test("what stands beside an answer says where it is", () => {
  const entry = (answer, more = {}) => ({ answer: { ...beginAnswer("r1", {}), ...answer }, figures: newFigures(), link: "live", cancelling: false, ...more });
  const asked = { ...newFigures(), askedMs: 1 };
  const said = (...parts) => describe(entry(...parts))?.text ?? null;
  assert.equal(said({}), null);
  assert.equal(said({}, { link: "cut" }), "Waiting for a connection…");
  assert.equal(said({}, { link: "cut", figures: asked }), "Reconnecting…");
  assert.equal(said({ length: 1234 }, { link: "resuming", figures: asked }), "Asking for the rest, from character 1,234…");
  assert.equal(said({ state: "streaming" }, { figures: { ...asked, resumedAt: 1234 } }), "Resumed at character 1,234.");
  assert.equal(said({}, { cancelling: true, link: "cut" }), "Stopping…");
  assert.equal(said({ state: "stopped", text: "a" }), "Stopped.");
  assert.equal(said({ state: "finished", stopReason: "max_tokens" }), "It ended at the most tokens that were allowed.");
  const withheld = { state: "failed", retracted: "content-filtered", problem: { type: "/problems/content-filtered" } };
  assert.equal(said(withheld), "A guardrail took the text back. The model will not answer this. Put the question differently.");
});

test("a problem is a sentence, whatever came", () => {
  assert.equal(problemSentence({ type: "/problems/model-throttled", title: "x" }), "The model is busy. Try again in a moment.");
  assert.equal(problemSentence({ type: "/problems/new", title: "the dam broke", detail: "at gate 3" }), "The dam broke. At gate 3.");
  const odd = [null, undefined, {}, { type: 3, title: null }, { title: "  " }];
  assert.deepEqual(odd.map(problemSentence), odd.map(() => "The service refused, and did not say why."));
});

test("records read as words and fields, without what is said twice", () => {
  const record = { level: "INFO", message: "answer.ended", timestamp: "x", request_id: "q", correlation_id: "q", trace_id: "t", xray_trace_id: "t", attempt: 1, left: null };
  assert.deepEqual(readLine({ record }), { level: "INFO", words: "answer.ended", fields: [["request_id", "q"], ["trace_id", "t"], ["attempt", "1"]] });
  assert.deepEqual(readLine({ record: null, message: "START\n" }), { level: "", words: "START", fields: [] });
  const report = { type: "platform.report", record: { requestId: "q", status: "timeout", metrics: { durationMs: 3, memorySizeMB: 512, maxMemoryUsedMB: 26 } } };
  assert.deepEqual(readLine({ record: report }), { level: "", words: "report", fields: [["request_id", "q"], ["status", "timeout"], ["duration", "3 ms"], ["memory", "26 of 512 MB"]] });
  assert.deepEqual(readLine({ record: { _aws: {}, service: "s", Asked: [1] } }), { level: "", words: "metrics", fields: [["Asked", "1"]] });
});

test("text is split into blocks, and every line is in one of them", () => {
  const kinds = (text) => splitBlocks(text).map(({ kind, lines }) => [kind, ...lines]);
  assert.deepEqual(kinds("# Locks\nWater\nrises.\n\n1. shut\n2. fill\n   slowly\n\n- a\n```py\n# no heading\n\nx\n```\nend"), [
    ["heading", "# Locks"],
    ["paragraph", "Water", "rises."],
    ["numbers", "1. shut", "2. fill", "   slowly"],
    ["list", "- a"],
    ["code", "# no heading", "", "x"],
    ["paragraph", "end"],
  ]);
  assert.deepEqual(kinds("```\nnever closed"), [["code", "never closed"]]);
  assert.deepEqual(kinds(""), []);
});

test("the store keeps the newest that there is room for, and nothing where it may not", () => {
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text) };
  const store = new Store([() => storage]);
  const items = Array.from({ length: 80 }, (_, at) => ({ at, text: "x".repeat(100_000) }));
  assert.equal(store.save("turns", items), true);
  const loaded = store.load("turns");
  assert.ok(loaded.length > 5 && loaded.at(-1).at === 79);
  kept.set("sluiceway.turns", "{broken");
  assert.deepEqual(store.load("turns"), []);
  const denied = () => {
    throw new Error("denied");
  };
  assert.deepEqual(new Store([denied, () => storage]).save("turns", items.slice(0, 1)), true);
  const forbidden = new Store([denied]);
  assert.deepEqual([forbidden.load("jobs"), forbidden.save("jobs", items)], [[], false]);
});
