// What each frame makes of an answer: the table of docs/streaming.md, row by row.

import assert from "node:assert/strict";
import { test } from "node:test";

import { applyFrame, beginAnswer, resumeMessage } from "../../../localcloud/console/page/answer.js";
import { parseFrame } from "../../../localcloud/console/page/frames.js";
import { countPoints, dropPoints, takePoints } from "../../../localcloud/console/page/text.js";
import { drawing } from "./drawn.mjs";

const asked = beginAnswer("r1", { prompt: "why?" });

function after(frames, from = asked) {
  let answer = from;
  let resume = false;
  for (const [kind, seq, off, data, attempt = 1] of frames) {
    ({ answer, resume } = applyFrame(answer, { kind, req: "r1", seq, off, attempt, data }, seq === 1));
  }
  return { ...answer, resume };
}

const said = (...frames) => {
  const { text, attempt, state, resume } = after(frames);
  return [text, attempt, state, resume];
};

test("a delta appends what is lacking, and nothing twice", () => {
  assert.deepEqual(said(["delta", 1, 0, "ab"], ["delta", 1, 0, "ab"], ["delta", 2, 1, "bcd"]), ["abcd", 1, "streaming", false]);
});

test("offsets count code points", () => {
  assert.deepEqual(said(["delta", 1, 0, "🌊a"], ["delta", 2, 1, "a👩‍👩‍👧"], ["delta", 3, 7, "z"]), ["🌊a👩‍👩‍👧z", 1, "streaming", false]);
});

test("a delta beyond the end is a gap", () => {
  assert.deepEqual(said(["delta", 1, 0, "ab"], ["delta", 3, 4, "ef"]), ["ab", 1, "streaming", true]);
});

test("a delta of an older attempt is ignored", () => {
  assert.deepEqual(said(["delta", 1, 0, "ab", 2], ["delta", 9, 2, "XY", 1]), ["ab", 2, "streaming", false]);
});

test("a reset cuts, and the next attempt goes on from there", () => {
  assert.deepEqual(said(["delta", 1, 0, "abcd"], ["reset", 2, 2, {}, 2], ["delta", 3, 2, "XY", 2]), ["abXY", 2, "streaming", false]);
});

test("text of a later attempt whose reset was lost is not believed", () => {
  assert.deepEqual(said(["delta", 1, 0, "abcd"], ["delta", 3, 4, "XY", 2]), ["abcd", 1, "streaming", true]);
});

test("a reset that skips an attempt is not believed, unless it begins an attachment", () => {
  assert.deepEqual(said(["delta", 1, 0, "abcd"], ["reset", 2, 3, {}, 3]), ["abcd", 1, "streaming", true]);
  assert.deepEqual(said(["delta", 1, 0, "abcd"], ["reset", 1, 3, {}, 3]), ["abc", 3, "streaming", false]);
});

test("the first frame after a resume may be of a later attempt: the service knew what is here", () => {
  assert.deepEqual(said(["delta", 1, 0, "abcd"], ["delta", 1, 4, "ef", 2]), ["abcdef", 2, "streaming", false]);
});

test("a reset beyond the end leaves what stands, and is a gap", () => {
  assert.deepEqual(said(["delta", 1, 0, "ab"], ["reset", 5, 4, {}, 2]), ["ab", 2, "streaming", true]);
});

test("a retract takes text away at once, and an error follows", () => {
  const gone = after([["delta", 1, 0, "good bad"], ["retract", 2, 5, { reason: "guardrail" }]]);
  assert.deepEqual([gone.text, gone.retracted, gone.state], ["good ", "guardrail", "streaming"]);
  const ended = after([["error", 3, 5, { type: "/problems/content-filtered", title: "no", resumable: false }]], gone);
  assert.deepEqual([ended.text, ended.state, ended.problem], ["good ", "failed", { type: "/problems/content-filtered", title: "no" }]);
});

test("an error whose retract was lost takes the text away as well", () => {
  const { text } = after([["delta", 1, 0, "good bad"], ["error", 3, 5, { title: "no", resumable: false }]]);
  assert.equal(text, "good ");
});

test("a resumable error pauses, any other fails, and the front door's speaks of no attempt", () => {
  assert.equal(after([["error", 1, 0, { resumable: true }, 0]]).state, "paused");
  assert.equal(after([["delta", 1, 0, "ab"], ["error", 1, 0, { title: "?" }, 0]]).state, "failed");
  assert.equal(after([["delta", 1, 0, "ab"], ["error", 1, 0, { title: "?" }, 0]]).text, "ab");
});

test("final ends it where the length is right, is a gap where text is lacking", () => {
  const done = after([["delta", 1, 0, "ab"], ["final", 2, 2, { stop_reason: "end_turn", usage: { output_tokens: 1 } }]]);
  assert.deepEqual([done.state, done.stopReason, done.usage], ["finished", "end_turn", { output_tokens: 1 }]);
  assert.deepEqual(said(["delta", 1, 0, "ab"], ["final", 3, 4, {}]), ["ab", 1, "streaming", true]);
  assert.equal(after([["final", 1, 0, { stop_reason: "cancelled" }, 0]]).state, "stopped");
});

test("nothing comes after the end", () => {
  assert.deepEqual(said(["delta", 1, 0, "ab"], ["final", 2, 2, {}], ["delta", 3, 2, "c"]), ["ab", 1, "finished", false]);
});

test("a resume names the attempt once there is one", () => {
  assert.deepEqual(resumeMessage(asked), { action: "resume", req: "r1", off: 0 });
  assert.deepEqual(resumeMessage(after([["delta", 1, 0, "🌊"]])), { action: "resume", req: "r1", off: 1, try: 1 });
});

test("what is no frame is null", () => {
  const good = { v: 1, req: "r1", seq: 1, off: 0, try: 1, t: "delta", d: "x" };
  assert.deepEqual(parseFrame(JSON.stringify(good)), { kind: "delta", req: "r1", seq: 1, off: 0, attempt: 1, data: "x" });
  const bad = [{ v: 2 }, { req: 3 }, { req: "a b" }, { off: -1 }, { off: 1.5 }, { seq: "1" }, { try: null }, { t: "new" }, { d: 3 }];
  assert.deepEqual(bad.map((change) => parseFrame(JSON.stringify({ ...good, ...change }))), bad.map(() => null));
  assert.deepEqual(["", "[]", "null", "1", "{", '{"message":"Forbidden"}'].map(parseFrame), Array(6).fill(null));
  assert.deepEqual(parseFrame(JSON.stringify({ ...good, t: "ping", d: null })).data, {});
});

test("counting and cutting agree with the language's own iteration", () => {
  const chance = drawing(7);
  for (let time = 0; time < 2_000; time += 1) {
    const points = [...chance.points(chance.upTo(30)).join("")];
    const at = chance.upTo(points.length + 2);
    const text = points.join("");
    assert.deepEqual([countPoints(text), takePoints(text, at), dropPoints(text, at)], [points.length, points.slice(0, at).join(""), points.slice(at).join("")]);
  }
  assert.deepEqual([countPoints("\ud83c"), countPoints("\udf0a\ud83c"), dropPoints("\udf0a\ud83cx", 1)], [1, 2, "\ud83cx"]);
});
