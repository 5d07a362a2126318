// A service, a network and time for the page's client, all drawn from one seed: workers that die and go on elsewhere,
// connections that are cut, frames that are lost, sent twice, or come from a worker that lost its place.

import { drawing } from "./drawn.mjs";

export class Time {
  constructor() {
    this.ms = 1_000_000;
    this.queue = [];
    this.count = 0;
  }

  now = () => this.ms;

  setTimeout = (call, ms) => {
    const timer = { at: this.ms + ms, order: (this.count += 1), call };
    this.queue.push(timer);
    return timer;
  };

  clearTimeout = (timer) => {
    this.queue = this.queue.filter((other) => other !== timer);
  };

  /** Runs what is due next; false where nothing is. */
  async step() {
    await settle();
    if (this.queue.length === 0) return false;
    const next = this.queue.reduce((a, b) => (b.at < a.at || (b.at === a.at && b.order < a.order) ? b : a));
    this.clearTimeout(next);
    this.ms = next.at;
    next.call();
    await settle();
    return true;
  }
}

// promises of the client (its token, its handshake) are all kept at once here
async function settle() {
  for (let turn = 0; turn < 4; turn += 1) await null;
}

/** What the answer is to be: attempts that each go on at `start` with `points`, and how it ends. */
export function drawPlan(chance) {
  const attempts = [{ start: 0, points: chance.points(chance.upTo(120)) }];
  let length = attempts[0].points.length;
  while (chance.often(0.4) && attempts.length < 5) {
    const start = chance.upTo(length);
    attempts.push({ start, points: chance.points(chance.upTo(80)) });
    length = start + attempts.at(-1).points.length;
  }
  const end = chance.often(0.2) ? "retract" : chance.often(0.15) ? "pause" : "final";
  return { attempts, end, retractAt: chance.upTo(length) };
}

export function truth({ attempts, end, retractAt }) {
  let points = [];
  for (const attempt of attempts) points = [...points.slice(0, attempt.start), ...attempt.points];
  return (end === "retract" ? points.slice(0, retractAt) : points).join("");
}

/** A service that follows `plan` for the one request there is. `faults`: {lose, twice, cut, refuse}, shares from 0 to 1. */
export class World {
  constructor(seed, plan, faults) {
    Object.assign(this, { plan, faults, time: new Time(), chance: drawing(seed) });
    this.points = [];
    this.starts = [];
    this.state = "none"; // running, paused, ended
    this.readers = new Map();
    this.received = [];
    const world = this;
    this.WebSocket = class {
      static OPEN = 1;
      constructor() {
        this.readyState = 0;
        this.arrives = 0;
        world.time.setTimeout(() => world.#open(this), 1 + world.chance.upTo(30));
      }
      send(text) {
        world.time.setTimeout(() => this.readyState === 1 && world.#receive(this, JSON.parse(text)), 1 + world.chance.upTo(20));
      }
      close() {
        this.readyState = 3;
      }
    };
  }

  #open(socket) {
    if (socket.readyState !== 0) return;
    if (this.chance.often(this.faults.refuse)) {
      this.#cut(socket);
      return;
    }
    socket.readyState = 1;
    socket.onopen();
  }

  #cut(socket) {
    if (socket.readyState === 3) return;
    socket.readyState = 3;
    this.time.setTimeout(() => socket.onclose(), this.chance.upTo(50));
  }

  #receive(socket, message) {
    this.received.push(message);
    if (message.action === "ask" && this.state === "none") {
      this.state = "running";
      this.#work(0);
    }
    if (message.action === "cancel") return;
    this.#attach(socket, message.off ?? 0, message.try ?? 0);
    if (this.state === "paused") {
      this.state = "running";
      this.plan = { ...this.plan, end: "final" };
      this.#finish(this.starts.length);
    }
  }

  // what docs/streaming.md and rules/answers.py say of a reader that comes back
  #attach(socket, off, attempt) {
    const reader = { seq: 0, off, attempt };
    this.readers.set(socket, reader);
    const isTrusted = attempt > 0 || this.starts.length <= 1;
    const valid = isTrusted ? Math.min(off, this.points.length, ...this.starts.slice(Math.max(attempt, 1))) : 0;
    const now = Math.max(1, this.starts.length);
    if (valid < off) this.#post(socket, reader, "reset", valid, now, { reason: "continued" });
    for (let at = valid; at < this.points.length; ) {
      const many = 1 + this.chance.upTo(30);
      this.#post(socket, reader, "delta", at, now, this.points.slice(at, at + many).join(""));
      at += many;
    }
    if (this.state === "ended") this.#sayEnd(socket, reader);
  }

  #post(socket, reader, kind, off, attempt, data) {
    reader.seq += 1;
    if (this.chance.often(this.faults.cut)) this.#cut(socket);
    if (this.chance.often(this.faults.lose)) return;
    const text = JSON.stringify({ v: 1, req: "r1", seq: reader.seq, off, try: attempt, t: kind, d: data });
    const times = this.chance.often(this.faults.twice) ? 2 : 1;
    for (let time = 0; time < times; time += 1) {
      socket.arrives = Math.max(socket.arrives, this.time.ms) + 1 + this.chance.upTo(20);
      this.time.setTimeout(() => socket.readyState === 1 && socket.onmessage({ data: text }), socket.arrives - this.time.ms);
    }
  }

  #work(index) {
    const attempt = this.plan.attempts[index];
    const zombies = this.points.slice(attempt.start);
    this.points.length = attempt.start;
    this.starts.push(attempt.start);
    if (index > 0) {
      for (const [socket, reader] of this.readers) {
        this.#takeOver(socket, reader, attempt.start);
        if (zombies.length > 0 && this.chance.often(0.5)) {
          this.#post(socket, { seq: 7 }, "delta", attempt.start, index, zombies.join(""));
        }
      }
    }
    this.#say(index, 0);
  }

  // A worker that counts anew knows of a reader what it had when it came; one that counts on, all that was sent to it.
  #takeOver(socket, reader, start) {
    if (this.chance.often(0.5)) this.#attach(socket, reader.off, reader.attempt);
    else this.#post(socket, reader, "reset", start, this.starts.length, { reason: "continued" });
  }

  #say(index, at) {
    const { points } = this.plan.attempts[index];
    if (at >= points.length) {
      if (index + 1 < this.plan.attempts.length) this.time.setTimeout(() => this.#work(index + 1), this.chance.upTo(5_000));
      else this.#finish(index + 1);
      return;
    }
    const piece = points.slice(at, at + 1 + this.chance.upTo(9));
    const off = this.points.length;
    this.points.push(...piece);
    for (const [socket, reader] of this.readers) this.#post(socket, reader, "delta", off, index + 1, piece.join(""));
    this.time.setTimeout(() => this.#say(index, at + piece.length), 1 + this.chance.upTo(60));
  }

  #finish(attempt) {
    const { end, retractAt } = this.plan;
    this.state = end === "pause" ? "paused" : "ended";
    if (end === "retract") {
      this.points.length = Math.min(retractAt, this.points.length);
      const problem = { type: "/problems/content-filtered", title: "taken back", resumable: false };
      const counted = this.points.length + (this.faults.lose ? 0 : this.chance.upTo(3)); // with what was taken back
      this.end = (socket, reader) => {
        this.#post(socket, reader, "retract", this.points.length, attempt, { reason: "guardrail" });
        this.#post(socket, reader, "error", counted, attempt, problem);
      };
    } else if (end === "pause") {
      const reason = this.chance.often(0.5) ? "model-throttled" : "worker-stopped";
      const problem = { type: `/problems/${reason}`, title: "not now", resumable: true };
      this.end = (socket, reader) => this.#post(socket, reader, "error", this.points.length, attempt, problem);
    } else {
      const data = { stop_reason: "end_turn", usage: { output_tokens: 5 } };
      this.end = (socket, reader) => this.#post(socket, reader, "final", this.points.length, attempt, data);
    }
    for (const [socket, reader] of this.readers) this.#sayEnd(socket, reader);
  }

  #sayEnd(socket, reader) {
    this.end(socket, reader);
  }
}
