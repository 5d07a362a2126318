// The pure parts of the view of streams: where shards lie, which records are kept, how lags and replays read.

import assert from "node:assert/strict";
import { test } from "node:test";

import { perSecond, size } from "../../../localcloud/console/page/format.js";
import { asDestination } from "../../../localcloud/console/page/meshlists.js";
import { receiptWords } from "../../../localcloud/console/page/publish.js";
import { lagMs, lagWords } from "../../../localcloud/console/page/readers.js";
import { replayWords } from "../../../localcloud/console/page/replay.js";
import { layShards, shardsSentence, shortId } from "../../../localcloud/console/page/shards.js";
import { recordId, Records, recordTexts } from "../../../localcloud/console/page/tail.js";

const shard = (id, from, to, parents = [], open = true) => ({ id, from, to, parents, open, hot: false, load: 0, records_s: 0, bytes_s: 0 });
const record = (number) => ({ shard: "s", sequence_number: String(number), sub_sequence: null });

test("a child stands right of its parents, at its part of the hash keys", () => {
  const shards = [shard("a", 0, 1, [], false), shard("b", 0, 0.5, ["a"], false), shard("c", 0.5, 1, ["a"]), shard("d", 0, 0.5, ["b", "gone"])];
  assert.deepEqual(layShards(shards).map(({ shard: { id }, column, columns, top, height }) => [id, column, columns, top, height]), [
    ["a", 0, 3, 0, 1],
    ["b", 1, 3, 0, 0.5],
    ["c", 1, 3, 0.5, 0.5],
    ["d", 2, 3, 0, 0.5],
  ]);
});

test("old generations are left out, open shards never are, and a circle ends", () => {
  const line = Array.from({ length: 9 }, (_, at) => shard(`s${at}`, 0, 0.5, at ? [`s${at - 1}`] : [], at === 8));
  const laid = layShards([shard("still", 0.5, 1), ...line]);
  assert.deepEqual(laid.map(({ shard: { id }, column }) => [id, column]), [["still", 0], ["s4", 0], ["s5", 1], ["s6", 2], ["s7", 3], ["s8", 4]]);
  assert.equal(layShards([shard("x", 0, 1, ["y"]), shard("y", 0, 1, ["x"])]).length, 2);
  assert.deepEqual(layShards([]), []);
});

test("a picture says how many shards there are, and which one is hot", () => {
  assert.equal(shardsSentence([shard("a", 0, 1)]), "1 open and 0 closed shard");
  const hot = { ...shard("shardId-000000000012", 0, 1), hot: true };
  assert.equal(shardsSentence([hot, shard("a", 0, 1, [], false)]), "1 open and 1 closed shards; shard 12 is hot");
  assert.equal(shortId("other"), "other");
});

test("the newest records are kept, each once, and wait while it is paused", () => {
  const records = new Records(3);
  for (const number of [1, 2, 2, 3, 4]) records.take(record(number));
  assert.deepEqual([...records.shown.values()].map(({ sequence_number }) => sequence_number), ["2", "3", "4"]);
  records.isPaused = true;
  for (const number of [4, 5, 6, 7, 8]) assert.equal(records.take(record(number)), false);
  assert.deepEqual([records.shown.size, records.waiting.size], [3, 3]);
  records.resume();
  assert.deepEqual([...records.shown.values()].map(({ sequence_number }) => sequence_number), ["6", "7", "8"]);
  assert.deepEqual([records.waiting.size, records.isPaused], [0, false]);
});

test("records of one aggregate are told apart", () => {
  assert.notEqual(recordId({ ...record(1), sub_sequence: 0 }), recordId({ ...record(1), sub_sequence: 1 }));
  assert.notEqual(recordId({ ...record(1), sub_sequence: 0 }), recordId(record(1)));
});

test("data are one line and many, whatever they are", () => {
  const none = { data: null, text: null, base64: null, cut: false, fault: null };
  assert.deepEqual(recordTexts({ ...none, data: { a: [1] } }), { line: '{"a":[1]}', whole: '{\n  "a": [\n    1\n  ]\n}', end: "" });
  assert.deepEqual(recordTexts({ ...none, text: "x", cut: true }), { line: "x", whole: "x", end: "Only the beginning is shown." });
  assert.deepEqual(recordTexts({ ...none, base64: "/w==", fault: "corrupt" }), { line: "/w== (bytes)", whole: "/w==", end: "It cannot be opened: corrupt." });
  assert.equal(recordTexts({ ...none, text: "y".repeat(500) }).line.length, 161);
});

test("a lag is the newest minute's, and 0 once a minute has passed without any, unless something is wrong", () => {
  const reader = { age_ms: 4_200, age_at_ms: 100_000, last_result: "OK" };
  assert.equal(lagMs(reader, 150_000), 4_200);
  assert.equal(lagMs(reader, 166_000), 0);
  assert.equal(lagMs({ ...reader, last_result: "PROBLEM: Function call failed" }, 900_000), 4_200);
  assert.equal(lagMs({ age_ms: null }, 0), null);
  assert.deepEqual([lagWords(reader, 150_000), lagWords(reader, 900_000), lagWords({ age_ms: null }, 0)], ["4.20 s behind", "0 s behind", "nothing to do yet"]);
});

test("a replay says how far it is and what was refused", () => {
  const replay = { state: "running", done: 1_200, refused: 0, shards: 4, shards_done: 1, error: null, reasons: [] };
  assert.equal(replayWords(replay), "Running  ·  1,200 sent  ·  1 of 4 shards");
  assert.equal(replayWords({ ...replay, state: "failed", refused: 3, reasons: [{ reason: "reported", records: 3 }], error: "gone" }), "Failed  ·  1,200 sent  ·  3 refused (reported)  ·  1 of 4 shards  ·  gone");
});

test("destinations and receipts are a few words", () => {
  assert.equal(asDestination({ type: "sqs", url: "https://sqs.eu-west-1.amazonaws.com/1/large" }), "queue large");
  assert.equal(asDestination({ type: "s3", bucket: "b", prefix: "p/" }), "bucket b/p/");
  assert.equal(asDestination({ type: "events", bus: "main" }), "bus main");
  assert.equal(asDestination({ type: "other" }), "other");
  assert.equal(asDestination(null), "nowhere");
  assert.deepEqual(receiptWords({ shard: "shardId-000000000001", seq: "49", sub: 2 }), { ok: true, words: "Stored in shard 1, sequence number 49/2" });
  assert.deepEqual(receiptWords({ problem: { title: "Not stored in time" } }), { ok: false, words: "Not stored in time." });
  assert.equal(receiptWords(undefined).ok, false);
});

test("sizes and rates read as people write them", () => {
  assert.deepEqual([0, 512, 1_434, 20_480, 3 * 1024 ** 2].map(size), ["0 B", "512 B", "1.4 KB", "20 KB", "3.0 MB"]);
  assert.deepEqual([0, 0.25, 9.94, 9.96, 1_240].map(perSecond), ["0", "0.3", "9.9", "10", "1,240"]);
});
