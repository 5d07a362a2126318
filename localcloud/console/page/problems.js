// Problems as sentences that say what to do. Source of the types: docs/streaming.md, docs/jobs.md, template.yaml.

const SENTENCES = {
  "attempt-lost": "The worker was lost on its way. Submit the job again.",
  "conflict": "This request was asked with other words before. Ask again, as a new question.",
  "content-filtered": "The model will not answer this. Put the question differently.",
  "context-too-long": "The question is longer than the model can read. Shorten it.",
  "deadline-exceeded": "The worker ran out of time. Go on to have the rest.",
  "forbidden": "This token may not do that. Use one that may.",
  "gateway": "The gateway could not hand the question on. Try again; the logs say more.",
  "internal-error": "Something broke in the service. Try again; the logs say more.",
  "invalid-characters": "The text has characters that a queue cannot carry. Take them out.",
  "misconfigured": "The service is not set up for this: it lacks a model, a table or a permission. Its logs say which.",
  "model-denied": "This deployment may not use the model. Ask whoever runs it to grant access.",
  "model-overloaded": "The model is overloaded. Try again in a moment.",
  "model-throttled": "The model is busy. Try again in a moment.",
  "model-timeout": "The model took too long. Try again.",
  "no-such-answer": "The service does not have this answer any more. Ask again.",
  "not-queued": "The job was not taken into the queue. Take control characters out of it, or try again later.",
  "not-found": "The service does not know this job. Submit it again.",
  "question-gone": "The service has forgotten the question by now. Ask again.",
  "result-expired": "The result was deleted. Submit the job again.",
  "result-too-large": "The answer is larger than a reply can be. Ask for less.",
  "service-unavailable": "A part of the service is away. Try again in a moment.",
  "size_limit": "The answer reached the largest size that is kept.",
  "throttled": "Too many requests. Wait a moment, then try again.",
  "too-large": "This is too large to send. Shorten it.",
  "too-many-readers": "Too many windows read this answer. Close one, then go on.",
  "unauthorized": "The token was not accepted. Get a new one.",
  "unavailable": "The service is not ready. Try again in a moment.",
  "unknown-model": "This deployment does not offer that model.",
  "unreachable": "The service cannot be reached. See that it runs, then try again.",
};

/** RFC 9457 members (or what came instead) as one or two sentences. */
export function problemSentence(problem) {
  const kind = String(problem?.type ?? "").replace(/^.*\/problems\//, "");
  if (kind in SENTENCES) return SENTENCES[kind];
  const title = text(problem?.title) || text(problem?.message) || "The service refused, and did not say why";
  return [title, text(problem?.detail)].filter(Boolean).map(asSentence).join(" ");
}

/** A problem that the page itself has seen, in the service's form. */
export class Problem extends Error {
  constructor(members, { status = 0, final = false } = {}) {
    super(problemSentence(members));
    this.members = members;
    this.status = status;
    this.final = final; // trying again without a person is no use
  }
}

function asSentence(words) {
  const sentence = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

function text(value) {
  return typeof value === "string" ? value.trim() : "";
}
