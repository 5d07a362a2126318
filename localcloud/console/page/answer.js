// One streamed answer and what a frame makes of it. Pure: no socket, no clock, no page.
//
// The rules are those of docs/streaming.md. Text is cut and compared by offsets in code points, never by value. An
// offset is only worth something together with the attempt that it counts in: the text of a later attempt may differ
// from ours below our length, so a later attempt is taken at its word only where the service knew what we have (the
// first frame after our own asking), says where the next attempt cuts (a reset), or begins at 0. Else we ask again.

import { countPoints, dropPoints, takePoints } from "./text.js";

export const ENDED = new Set(["finished", "stopped", "failed"]);

/** An answer nobody has begun yet. `question` is what was asked: {prompt, system?, max_tokens?, temperature?, model?, after?}. */
export function beginAnswer(req, question) {
  return {
    req,
    question,
    text: "",
    length: 0, // code points of text
    attempt: 0, // whose text it is; 0: nobody's yet
    state: "asking", // then streaming; in the end finished, stopped or failed; paused: a resume goes on
    stopReason: "",
    usage: null,
    problem: null,
    retracted: "", // why text was taken back, and where
    retractedAt: 0,
    notice: "", // what the page itself has to say about it
  };
}

/** Whether nothing more comes unless somebody asks. */
export function isSettled(answer) {
  return ENDED.has(answer.state) || answer.state === "paused";
}

/** A paused answer, when its rest is asked for. */
export function reopenAnswer(answer) {
  return { ...answer, state: answer.attempt === 0 ? "asking" : "streaming", problem: null };
}

/** What the client sends to have the rest of this answer. */
export function resumeMessage(answer) {
  const message = { action: "resume", req: answer.req, off: answer.length };
  return answer.attempt > 0 ? { ...message, try: answer.attempt } : message;
}

/**
 * The answer after `frame`, and whether the client has to resume: {answer, resume}.
 *
 * `answer` is the same object where the frame changes nothing. `isReply`: it is the first frame of the attachment that we
 * asked for last, so the service said it knowing our length and attempt.
 */
export function applyFrame(answer, frame, isReply) {
  const apply = APPLY[frame.kind];
  if (apply === undefined || ENDED.has(answer.state) || isStale(answer, frame)) return stay(answer);
  return apply(answer, frame, isReply || answer.length === 0);
}

/** Whether the frame comes from a worker that lost its place. Errors and pings need not speak of any attempt. */
export function isStale(answer, frame) {
  return frame.attempt < answer.attempt && !(frame.attempt === 0 && (frame.kind === "error" || frame.kind === "ping"));
}

const APPLY = {
  delta(answer, frame, isSure) {
    if (!isKnownGround(answer, frame, isSure) || frame.off > answer.length) return { answer, resume: true };
    const kept = frame.attempt > answer.attempt ? cut(answer, frame.off) : answer;
    const news = dropPoints(frame.data, kept.length - frame.off);
    if (news === "" && kept === answer && answer.state === "streaming") return stay(answer);
    const text = { text: kept.text + news, length: kept.length + countPoints(news) };
    return stay({ ...kept, ...text, attempt: frame.attempt, state: "streaming", problem: null });
  },

  reset(answer, frame, isSure) {
    if (!isKnownGround(answer, frame, isSure) && frame.attempt !== answer.attempt + 1) return { answer, resume: true };
    const after = { ...cut(answer, frame.off), attempt: frame.attempt, state: "streaming", problem: null };
    return { answer: after, resume: frame.off > answer.length };
  },

  retract(answer, frame, isSure) {
    const after = { ...cut(answer, frame.off), retracted: reasonOf(frame), retractedAt: frame.off };
    if (!isKnownGround(answer, frame, isSure)) return { answer: after, resume: true };
    return { answer: { ...after, attempt: frame.attempt }, resume: frame.off > answer.length };
  },

  final(answer, frame, isSure) {
    if (!isKnownGround(answer, frame, isSure) || frame.off > answer.length) return { answer, resume: true };
    const stopReason = typeof frame.data.stop_reason === "string" ? frame.data.stop_reason : "";
    const state = stopReason === "cancelled" ? "stopped" : "finished";
    const usage = frame.data.usage ?? null;
    return stay({ ...cut(answer, frame.off), attempt: frame.attempt, state, stopReason, usage, problem: null });
  },

  // Where it speaks of an attempt it ends that attempt's text at `off`; the front door's refusals speak of none.
  error(answer, frame, isSure) {
    const { resumable = false, ...problem } = frame.data;
    const after = { ...answer, state: resumable === true ? "paused" : "failed", problem };
    if (frame.attempt === 0) return stay(after);
    const isKnown = isKnownGround(answer, frame, isSure);
    const end = answer.retracted ? answer.retractedAt : frame.off; // what was taken back may still be counted
    const isGap = end > answer.length;
    if (after.state === "failed" && (!isKnown || isGap)) return { answer, resume: true };
    return stay(isKnown ? cut(after, frame.off) : after);
  },
};

function stay(answer) {
  return { answer, resume: false };
}

function isKnownGround(answer, frame, isSure) {
  return isSure || frame.attempt === answer.attempt || frame.off === 0;
}

function cut(answer, off) {
  if (off >= answer.length) return answer;
  return { ...answer, text: takePoints(answer.text, off), length: off };
}

function reasonOf(frame) {
  return typeof frame.data.reason === "string" && frame.data.reason !== "" ? frame.data.reason : "guardrail";
}
