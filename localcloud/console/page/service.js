// Answers and jobs over one socket: asks, resumes, cancels, and watches that something comes.
//
// What a frame means for the text is answer.js's to say; what a connection does, socket.js's. This module decides when
// to send what, and keeps the figures of each answer. Times are epoch milliseconds: `clock.now()`.

import { applyFrame, ENDED, isSettled, isStale, reopenAnswer, resumeMessage } from "./answer.js";
import { gatewayComplaint, parseFrame } from "./frames.js";
import { backoffMs, Socket } from "./socket.js";
import { countBytes } from "./text.js";

export const SILENCE_MS = 30_000; // then resume: docs/streaming.md
export const MESSAGE_BYTES = 32_000; // API Gateway takes frames of 32 KB, and a browser sends a message in one
const MEND_MS = 2_000; // so long after a resume, what an older attachment still sends asks for no other
const REFUSALS = 5; // in a row without a new character: then a person is asked
const PAUSE_MS = 5_000; // of silence counts as speaking time at most

// Pauses that are nobody's trouble: whoever still reads goes on at once.
const GO_ON = new Set(["deadline-exceeded", "nobody-reads", "reader-behind", "unavailable", "worker-stopped"]);

/** What has been measured of one answer. `resumedAt`: the length at which the newest resume went on, null for none. */
export function newFigures() {
  return { askedMs: null, firstMs: null, lastMs: null, speakingMs: 0, reconnects: 0, resumedAt: null };
}

/** Whether a message fits the frame that a browser sends it in. */
export function fitsFrame(message) {
  return countBytes(JSON.stringify(message)) <= MESSAGE_BYTES;
}

/** The message that asks an answer's question. */
export function askMessage(answer) {
  return { action: "ask", req: answer.req, ...answer.question };
}

/**
 * `onAnswer(entry)` is told every change: {answer, figures, link, cancelling}, `link` being live, resuming or cut.
 * `onJob(req, frame)` gets the frames of submitted jobs (`req` is "" where it says only that one was queued, or was not),
 * `onConnection(state)` what the socket does.
 */
export class Service {
  constructor({ connect, WebSocket, clock, random = Math.random, onAnswer, onJob, onConnection }) {
    Object.assign(this, { clock, random, onAnswer, onJob, onConnection });
    this.entries = new Map();
    this.jobs = new Set();
    const onText = (text) => this.#hear(text);
    const onState = (state) => this.#follow(state);
    this.socket = new Socket({ connect, WebSocket, clock, random, onText, onState });
  }

  start() {
    this.socket.start();
  }

  stop() {
    for (const entry of this.entries.values()) this.clock.clearTimeout(entry.timer);
    this.entries.clear();
    this.socket.stop();
  }

  /** Closes the connection until `start`; what is attached stays so. */
  rest() {
    this.socket.stop();
  }

  /** Whether some answer or job is still to come. */
  get isWaiting() {
    return this.jobs.size > 0 || [...this.entries.values()].some((entry) => !isSettled(entry.answer));
  }

  /** Has this answer from now on: asked where nothing of it is known, else resumed. */
  attach(answer, figures = newFigures()) {
    const entry = { answer, figures, link: "cut", cancelling: false, heard: false, vain: 0, mendMs: 0, timer: null };
    this.entries.set(answer.req, entry);
    this.#send(entry);
    return entry;
  }

  /** Stops the generation; the answer ends with the service's own word for it. */
  cancel(req) {
    const entry = this.entries.get(req);
    if (!entry || isSettled(entry.answer)) return;
    if (entry.figures.askedMs === null) {
      this.#settle(entry, { ...entry.answer, state: "stopped", stopReason: "cancelled" });
      return;
    }
    entry.cancelling = true;
    this.socket.send({ action: "cancel", req });
    this.onAnswer(entry);
  }

  /** Sends a job, whose end comes to `onJob`; false where no connection is open. */
  submit(req, job) {
    const isAway = this.socket.send({ action: "submit", req, job });
    if (isAway) this.jobs.add(req);
    return isAway;
  }

  #follow(state) {
    for (const entry of this.entries.values()) {
      if (isSettled(entry.answer)) continue;
      if (state.state === "open") this.#send(entry);
      else this.#cut(entry);
    }
    this.onConnection(state);
  }

  #cut(entry) {
    this.clock.clearTimeout(entry.timer);
    if (entry.link === "cut") return;
    entry.link = "cut";
    entry.figures.reconnects += 1;
    this.onAnswer(entry);
  }

  #send(entry) {
    const { answer, figures } = entry;
    const isNew = answer.attempt === 0 && answer.state === "asking" && !entry.cancelling;
    if (entry.cancelling) this.socket.send({ action: "cancel", req: answer.req });
    this.clock.clearTimeout(entry.timer);
    if (this.socket.send(isNew ? askMessage(answer) : resumeMessage(answer))) {
      const now = this.clock.now();
      entry.link = figures.askedMs === null ? "live" : "resuming";
      figures.askedMs ??= now;
      entry.heard = false;
      entry.mendMs = now + MEND_MS;
      this.#watch(entry);
    }
    this.onAnswer(entry);
  }

  // Nothing for 30 s: resume, for the attachment may be lost. Nothing after that either: the connection is dead.
  #watch(entry) {
    this.clock.clearTimeout(entry.timer);
    entry.timer = this.clock.setTimeout(() => {
      if (entry.heard) this.#send(entry);
      else this.socket.restart();
    }, SILENCE_MS);
  }

  #hear(text) {
    const frame = parseFrame(text);
    if (frame === null) {
      const complaint = gatewayComplaint(text);
      if (complaint) this.#refused(complaint);
      return;
    }
    this.socket.praise();
    const entry = this.entries.get(frame.req);
    if (entry) this.#take(entry, frame);
    else if (this.jobs.has(frame.req) || (frame.req === "" && this.jobs.size > 0)) this.#pass(frame);
  }

  #pass(frame) {
    if (frame.kind === "final" || frame.kind === "error") this.jobs.delete(frame.req);
    this.onJob(frame.req, frame);
  }

  #take(entry, frame) {
    const before = entry.answer;
    if (ENDED.has(before.state) || isStale(before, frame)) return;
    const { answer, resume } = applyFrame(before, frame, frame.seq === 1 && !entry.heard);
    entry.answer = answer;
    if (resume) {
      this.#mend(entry);
      return;
    }
    if (answer.length > before.length) entry.vain = 0;
    this.#measure(entry, frame, before);
    entry.heard = true;
    const wasLive = entry.link === "live";
    entry.link = "live";
    if (isSettled(answer)) {
      this.#end(entry, reasonOf(answer.problem));
      return;
    }
    this.#watch(entry);
    if (answer !== before || !wasLive) this.onAnswer(entry);
  }

  #end(entry, reason) {
    const { answer, cancelling } = entry;
    if (cancelling && reason === "no-such-answer" && answer.attempt === 0) {
      this.#settle(entry, { ...answer, state: "stopped", stopReason: "cancelled", problem: null });
    } else if (answer.state === "paused" && GO_ON.has(reason) && entry.vain < REFUSALS) {
      entry.answer = reopenAnswer(answer);
      this.#sendLater(entry);
    } else {
      this.#settle(entry, answer);
    }
  }

  // A gap. A service that answers every resume with another gap is asked ever more slowly.
  #mend(entry) {
    if (this.clock.now() >= entry.mendMs) {
      if (entry.vain > 0) {
        this.#sendLater(entry);
        return;
      }
      entry.vain += 1;
      this.#send(entry);
    } else {
      this.onAnswer(entry);
    }
  }

  #sendLater(entry) {
    entry.vain += 1;
    entry.link = "resuming";
    entry.mendMs = Infinity;
    this.clock.clearTimeout(entry.timer);
    entry.timer = this.clock.setTimeout(() => this.#send(entry), backoffMs(entry.vain, this.random));
    this.onAnswer(entry);
  }

  // The gateway names no request: it is one of those that nothing has come for yet.
  #refused(complaint) {
    for (const entry of this.entries.values()) {
      if (entry.heard || isSettled(entry.answer) || entry.mendMs === Infinity) continue;
      const problem = { type: "/problems/gateway", title: complaint };
      if (entry.vain < REFUSALS) this.#sendLater(entry);
      else this.#settle(entry, { ...entry.answer, state: "paused", problem });
    }
  }

  #measure(entry, frame, before) {
    const { figures } = entry;
    if (entry.link === "resuming" && before.attempt > 0) {
      figures.resumedAt = frame.kind === "reset" ? Math.min(frame.off, before.length) : before.length;
    }
    if (frame.kind !== "delta" || frame.data === "") return;
    const now = this.clock.now();
    if (figures.firstMs === null) figures.firstMs = now;
    else figures.speakingMs += Math.min(now - figures.lastMs, PAUSE_MS);
    figures.lastMs = now;
  }

  #settle(entry, answer) {
    this.clock.clearTimeout(entry.timer);
    entry.answer = answer;
    entry.link = "live";
    entry.cancelling = false;
    this.onAnswer(entry);
  }
}

function reasonOf(problem) {
  return typeof problem?.type === "string" ? problem.type.replace("/problems/", "") : "";
}
