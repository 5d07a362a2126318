// Answers and jobs over one socket: asks, resumes, cancels, and watches that something comes.
//
// What a frame means for the text is answer.js's to say; what a connection does, socket.js's. This module decides when
// to send what, and keeps the figures of each answer. Times are milliseconds of `clock.now()`.

import { applyFrame, ENDED, isSettled, isStale, resumeMessage } from "./answer.js";
import { gatewayComplaint, parseFrame } from "./frames.js";
import { backoffMs, Socket } from "./socket.js";
import { countBytes } from "./text.js";

export const SILENCE_MS = 30_000; // then resume: docs/streaming.md
export const RESUME_PATIENCE_MS = 10_000; // a resume that nothing follows means that the connection is dead
export const MESSAGE_BYTES = 32_000; // API Gateway takes frames of 32 KB, and a browser sends a message in one

/** What has been measured of one answer. `resumedAt` is the length at which the newest resume went on, null for none. */
export function newFigures() {
  return { askedMs: null, firstMs: null, lastMs: null, reconnects: 0, resumedAt: null, points: 0 };
}

/**
 * `onAnswer(entry)` is told every change: {answer, figures, link, cancelling}, `link` being live, resuming or cut.
 * `onJob(req, frame)` gets the frames of submitted jobs, `onConnection(state)` what the socket does, and
 * `onComplaint(sentence)` what the gateway says about a message it did not take.
 */
export class Service {
  constructor({ connect, WebSocket, clock, random = Math.random, onAnswer, onJob, onConnection, onComplaint }) {
    Object.assign(this, { clock, random, onAnswer, onJob, onConnection, onComplaint });
    this.entries = new Map();
    this.jobs = new Set();
    this.connections = 0;
    const onText = (text) => this.#hear(text);
    const onState = (state) => this.#follow(state);
    this.socket = new Socket({ connect, WebSocket, clock, random, onText, onState });
  }

  /** Whether the message that would ask this question fits a frame. */
  static fits(message) {
    return countBytes(JSON.stringify(message)) <= MESSAGE_BYTES;
  }

  start() {
    this.socket.start();
  }

  stop() {
    for (const entry of this.entries.values()) this.clock.clearTimeout(entry.timer);
    this.socket.stop();
  }

  /** Has this answer from now on: asked where nothing of it is known, else resumed. */
  attach(answer, figures = newFigures()) {
    const entry = { answer, figures, link: "cut", cancelling: false, sent: false, heard: false, vain: 0, timer: null };
    this.entries.set(answer.req, entry);
    this.#send(entry);
    return entry;
  }

  /** Stops the generation; the answer ends with the service's own word for it. */
  cancel(req) {
    const entry = this.entries.get(req);
    if (!entry || ENDED.has(entry.answer.state)) return;
    if (!entry.sent && entry.answer.attempt === 0 && entry.answer.state === "asking") {
      this.#settle(entry, { ...entry.answer, state: "stopped", stopReason: "cancelled" });
      return;
    }
    entry.cancelling = true;
    this.socket.send({ action: "cancel", req });
    this.onAnswer(entry);
  }

  /** Sends a job; false where no connection is open. Its end comes to `onJob`. */
  submit(req, job) {
    this.jobs.add(req);
    return this.socket.send({ action: "submit", req, job });
  }

  #follow(state) {
    if (state.state === "open") {
      this.connections += 1;
      for (const entry of this.entries.values()) if (!isSettled(entry.answer)) this.#send(entry);
    } else if (state.state !== "connecting") {
      for (const entry of this.entries.values()) this.#cut(entry);
    }
    this.onConnection(state);
  }

  #cut(entry) {
    this.clock.clearTimeout(entry.timer);
    if (isSettled(entry.answer) || entry.link === "cut") return;
    entry.link = "cut";
    if (entry.sent) entry.figures.reconnects += 1;
    this.onAnswer(entry);
  }

  #send(entry) {
    const { answer, figures } = entry;
    const isNew = answer.attempt === 0 && answer.state === "asking";
    const message = isNew ? { action: "ask", req: answer.req, ...answer.question } : resumeMessage(answer);
    if (entry.cancelling) this.socket.send({ action: "cancel", req: answer.req });
    const isAway = this.socket.send(message);
    this.clock.clearTimeout(entry.timer);
    if (isAway) {
      if (figures.askedMs === null) figures.askedMs = this.clock.now();
      entry.link = isNew && figures.reconnects === 0 ? "live" : "resuming";
      entry.sent = true;
      entry.heard = false;
      this.#watch(entry, isNew ? SILENCE_MS : RESUME_PATIENCE_MS);
    }
    this.onAnswer(entry);
  }

  #watch(entry, ms) {
    this.clock.clearTimeout(entry.timer);
    entry.timer = this.clock.setTimeout(() => this.#worry(entry), ms);
  }

  #worry(entry) {
    if (entry.heard) {
      this.#send(entry); // silence: perhaps the attachment is lost
    } else {
      this.socket.restart(); // not even an answer to what we sent: the connection is dead
      this.#cut(entry);
    }
  }

  #hear(text) {
    const frame = parseFrame(text);
    if (frame === null) {
      const complaint = gatewayComplaint(text);
      if (complaint) this.onComplaint(complaint);
      return;
    }
    this.socket.praise();
    const entry = this.entries.get(frame.req);
    if (entry) this.#take(entry, frame);
    else if (this.jobs.has(frame.req)) this.onJob(frame.req, frame);
  }

  #take(entry, frame) {
    if (ENDED.has(entry.answer.state) || isStale(entry.answer, frame)) return;
    const { answer, resume } = applyFrame(entry.answer, frame);
    const grew = answer.length > entry.answer.length;
    if (resume) {
      entry.answer = answer;
      this.#repair(entry);
      return;
    }
    this.#measure(entry, frame, answer);
    entry.heard = true;
    if (grew) entry.vain = 0;
    entry.link = "live";
    if (isSettled(answer)) {
      this.#settle(entry, answer);
    } else {
      const changed = answer !== entry.answer;
      entry.answer = answer;
      this.#watch(entry, SILENCE_MS);
      if (changed || frame.kind === "ping") this.onAnswer(entry);
    }
  }

  // A gap. While a resume is on its way, what an older attachment still sends asks for no other; and a service that
  // answers every resume with another gap is asked ever more slowly.
  #repair(entry) {
    if (entry.link === "resuming" && !entry.heard) return;
    entry.vain += 1;
    if (entry.vain === 1) {
      this.#send(entry);
      return;
    }
    entry.link = "resuming";
    entry.heard = false;
    this.clock.clearTimeout(entry.timer);
    entry.timer = this.clock.setTimeout(() => this.#send(entry), backoffMs(entry.vain, this.random));
    this.onAnswer(entry);
  }

  #measure(entry, frame, answer) {
    const { figures } = entry;
    if (entry.link === "resuming" && entry.figures.resumedAt !== entry.answer.length) {
      figures.resumedAt = Math.min(answer.length, frame.kind === "delta" ? entry.answer.length : frame.off);
    }
    if (frame.kind !== "delta" || frame.data === "") return;
    const now = this.clock.now();
    if (figures.firstMs === null) figures.firstMs = now;
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
