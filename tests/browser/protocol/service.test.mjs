// The client of streamed answers against services and networks that are drawn: whatever happens, the text ends equal.

import assert from "node:assert/strict";
import { test } from "node:test";

import { beginAnswer, isSettled, reopenAnswer } from "../../../localcloud/console/page/answer.js";
import { newFigures, Service } from "../../../localcloud/console/page/service.js";
import { drawing } from "./drawn.mjs";
import { drawPlan, truth, World } from "./world.mjs";

const SEEDS = Number(process.env.SEEDS ?? 3_000);
const HOUR_MS = 3_600_000;

function clientOf(world, onAnswer = () => {}) {
  return new Service({
    connect: async () => ({ url: "ws://service", protocols: ["sluiceway"] }),
    WebSocket: world.WebSocket,
    clock: world.time,
    random: () => world.chance.draw(),
    onAnswer,
    onJob: () => {},
    onConnection: () => {},
  });
}

async function runUntilSettled(world, service, { reloadAfter = Infinity } = {}) {
  service.start();
  let entry = service.attach(beginAnswer("r1", { prompt: "why?" }));
  for (let steps = 0; !(isSettled(entry.answer) && entry.answer.state !== "paused"); steps += 1) {
    assert.ok(await world.time.step(), "nothing is left to happen, and the answer is not there");
    assert.ok(world.time.ms < HOUR_MS, "the answer takes for ever");
    if (steps === reloadAfter) {
      service.stop();
      service = clientOf(world);
      service.start();
      entry = service.attach(JSON.parse(JSON.stringify(entry.answer)), { ...newFigures(), askedMs: 0 });
    }
    if (entry.answer.state === "paused") entry = service.attach(reopenAnswer(entry.answer), entry.figures);
  }
  service.stop();
  return entry;
}

function drawFaults(chance) {
  const one = (most) => (chance.often(0.5) ? 0 : chance.draw() * most);
  return { lose: one(0.15), twice: one(0.3), cut: one(0.08), refuse: one(0.5) };
}

test(`${SEEDS} drawn answers arrive whole, whatever is cut, lost, repeated or begun anew`, async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const chance = drawing(seed);
    const plan = drawPlan(chance);
    const world = new World(seed, plan, drawFaults(chance));
    const reloadAfter = chance.often(0.3) ? chance.upTo(60) : Infinity;
    const { answer } = await runUntilSettled(world, clientOf(world), { reloadAfter });
    assert.equal(answer.text, truth(plan), `seed ${seed}`);
    assert.equal(answer.length, [...answer.text].length, `seed ${seed}`);
    assert.equal(answer.state, plan.end === "retract" ? "failed" : "finished", `seed ${seed}`);
  }
});

test("without faults there is one message, no reconnect and no resume", async () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const plan = { ...drawPlan(drawing(seed)), end: "final" };
    const world = new World(seed, plan, { lose: 0, twice: 0, cut: 0, refuse: 0 });
    const { answer, figures } = await runUntilSettled(world, clientOf(world));
    assert.equal(answer.text, truth(plan));
    assert.deepEqual([world.received.map(({ action }) => action), figures.reconnects, figures.resumedAt], [["ask"], 0, null]);
  }
});

// A service of which the test itself says every frame.
function stage() {
  const world = new World(1, drawPlan(drawing(1)), { lose: 0, twice: 0, cut: 0, refuse: 0 });
  const sent = [];
  const sockets = [];
  class Line {
    static OPEN = 1;
    constructor(url, protocols) {
      Object.assign(this, { url, protocols, readyState: 0 });
      sockets.push(this);
    }
    send(text) {
      sent.push(JSON.parse(text));
    }
    close() {
      this.readyState = 3;
    }
    open() {
      this.readyState = 1;
      this.onopen();
    }
    say(t, seq, off, d, attempt = 1) {
      this.onmessage({ data: JSON.stringify({ v: 1, req: "r1", seq, off, try: attempt, t, d }) });
    }
  }
  world.WebSocket = Line;
  const changes = [];
  const service = clientOf(world, (entry) => changes.push([entry.answer.state, entry.link]));
  const pass = async (ms) => {
    const until = world.time.ms + ms;
    world.time.setTimeout(() => {}, ms);
    while (world.time.ms < until) await world.time.step();
  };
  return { service, sockets, sent, changes, pass };
}

async function asked() {
  const on = stage();
  on.service.start();
  await on.pass(0);
  on.sockets[0].open();
  on.entry = on.service.attach(beginAnswer("r1", { prompt: "why?" }));
  on.sent.length = 0;
  return on;
}

test("a gap is resumed from what is there, once", async () => {
  const { sockets, sent, entry } = await asked();
  sockets[0].say("delta", 1, 0, "one ");
  sockets[0].say("delta", 3, 8, "three");
  sockets[0].say("delta", 4, 13, "four");
  assert.deepEqual(sent, []); // within the time that the question itself may take to be attached
  assert.equal(entry.answer.text, "one ");
});

test("a gap later on is resumed at once, and what the old attachment still says asks for no other", async () => {
  const { sockets, sent, entry, pass } = await asked();
  sockets[0].say("delta", 1, 0, "one ");
  await pass(2_000);
  sockets[0].say("delta", 3, 8, "three");
  sockets[0].say("delta", 4, 13, "four");
  assert.deepEqual(sent, [{ action: "resume", req: "r1", off: 4, try: 1 }]);
  sockets[0].say("delta", 1, 4, "two three");
  assert.equal(entry.answer.text, "one two three");
  assert.equal(entry.figures.resumedAt, 4);
});

test("30 s of silence are resumed, a ping in time is none, and silence after the resume replaces the connection", async () => {
  const { sockets, sent, entry, pass } = await asked();
  sockets[0].say("delta", 1, 0, "one");
  await pass(20_000);
  sockets[0].say("ping", 2, 3, null);
  await pass(29_000);
  assert.deepEqual(sent, []);
  await pass(1_000);
  assert.deepEqual(sent, [{ action: "resume", req: "r1", off: 3, try: 1 }]);
  await pass(30_000);
  assert.equal(sockets.length, 2);
  sockets[1].open();
  assert.deepEqual(sent.at(-1), { action: "resume", req: "r1", off: 3, try: 1 });
  assert.equal(entry.figures.reconnects, 1);
});

test("a question of which nothing came is asked again, in the same words", async () => {
  const { sockets, sent, pass } = await asked();
  sockets[0].readyState = 3;
  sockets[0].onclose();
  await pass(300);
  sockets[1].open();
  assert.deepEqual(sent, [{ action: "ask", req: "r1", prompt: "why?" }]);
});

test("a stop that the connection did not survive is said again before the resume", async () => {
  const { service, sockets, sent, entry, pass } = await asked();
  sockets[0].say("delta", 1, 0, "one");
  service.cancel("r1");
  sockets[0].readyState = 3;
  sockets[0].onclose();
  await pass(300);
  sockets[1].open();
  const cancel = { action: "cancel", req: "r1" };
  assert.deepEqual(sent, [cancel, cancel, { action: "resume", req: "r1", off: 3, try: 1 }]);
  sockets[1].say("final", 1, 3, { stop_reason: "cancelled", usage: {} });
  assert.deepEqual([entry.answer.state, entry.cancelling], ["stopped", false]);
});

test("a question that was never sent is stopped without the service", () => {
  const { service, sent } = stage();
  const entry = service.attach(beginAnswer("r1", { prompt: "why?" }));
  service.cancel("r1");
  assert.deepEqual([entry.answer.state, sent], ["stopped", []]);
});

test("a message that the gateway refuses is sent again ever later, and in the end a person is asked", async () => {
  const { sockets, sent, entry, pass } = await asked();
  for (let time = 0; time < 6; time += 1) {
    sockets[0].onmessage({ data: '{"message":"Internal server error","connectionId":"c","requestId":"q"}' });
    await pass(20_000);
  }
  assert.deepEqual([sent.length, entry.answer.state, entry.answer.problem.title], [5, "paused", "Internal server error"]);
});

test("the figures say when the first text came, and how long it has been speaking", async () => {
  const { sockets, entry, pass } = await asked();
  await pass(180);
  sockets[0].say("delta", 1, 0, "one");
  await pass(500);
  sockets[0].say("delta", 2, 3, "two");
  await pass(20_000);
  sockets[0].say("delta", 3, 6, "three");
  const { askedMs, firstMs, speakingMs } = entry.figures;
  assert.deepEqual([firstMs - askedMs, speakingMs], [180, 5_500]);
});

test("a pause that is nobody's trouble is gone on with, any other waits for a person", async () => {
  const { sockets, sent, entry, pass } = await asked();
  sockets[0].say("delta", 1, 0, "one");
  sockets[0].say("error", 2, 3, { type: "/problems/deadline-exceeded", title: "ran out of time", resumable: true });
  await pass(1_000);
  assert.deepEqual(sent, [{ action: "resume", req: "r1", off: 3, try: 1 }]);
  sockets[0].say("error", 1, 3, { type: "/problems/model-throttled", title: "busy", resumable: true });
  await pass(60_000);
  assert.deepEqual([entry.answer.state, sent.length], ["paused", 1]);
});

test("a stop of a question that may never have arrived does not ask it", async () => {
  const { service, sockets, sent, entry, pass } = await asked();
  sockets[0].readyState = 3;
  sockets[0].onclose();
  service.cancel("r1");
  await pass(300);
  sockets[1].open();
  assert.deepEqual(sent, [{ action: "cancel", req: "r1" }, { action: "resume", req: "r1", off: 0 }]);
  sockets[1].say("error", 1, 0, { type: "/problems/no-such-answer", title: "none", resumable: false }, 0);
  assert.deepEqual([entry.answer.state, entry.answer.problem], ["stopped", null]);
});
