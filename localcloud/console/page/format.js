// Numbers and times as people read them.

/** A duration: 0 ms, 0.4 ms, 12 ms, 1.24 s, 12.4 s, 2 min 5 s. */
export function duration(ms) {
  if (ms < 0.05) return "0 ms";
  if (ms < 0.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A round time on an axis: 0, 200 ms, 1.5 s. */
export function tick(ms) {
  if (ms === 0) return "0";
  return ms < 1_000 ? `${Number(ms.toPrecision(3))} ms` : `${Number((ms / 1000).toPrecision(3))} s`;
}

/** A whole number with thousands apart: 12,345. */
export function whole(number) {
  return Math.round(number).toLocaleString("en");
}

/** A size: 0 B, 512 B, 1.4 KB, 12 MB. */
export function size(bytes) {
  const units = ["B", "KB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const number = bytes / 1024 ** step;
  return `${number < 10 && step > 0 ? number.toFixed(1) : whole(number)} ${units[step]}`;
}

/** How many a second: 0, 0.3, 12, 1,240. */
export function perSecond(number) {
  return number === 0 || number >= 9.95 ? whole(number) : number.toFixed(1);
}

/** "1 line", "2 lines". */
export function counted(number, one, many = `${one}s`) {
  return `${whole(number)} ${number === 1 ? one : many}`;
}

/** A moment of today as 14:05:09, of another day with its date. */
export function moment(ms, now = Date.now()) {
  const date = new Date(ms);
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
  if (new Date(now).toDateString() === date.toDateString()) return time;
  return `${date.toLocaleDateString("en", { day: "numeric", month: "short" })}, ${time}`;
}

/** How long ago: just now, 5 s ago, 3 min ago, 2 h ago. */
export function ago(ms, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - ms) / 1000));
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

/** The figures of an answer as short phrases. `answer` and `figures` are those of service.js. */
export function figurePhrases(answer, figures) {
  const phrases = [];
  if (figures.firstMs !== null) phrases.push(`${duration(figures.firstMs - figures.askedMs)} to the first token`);
  const usage = answer.usage ?? {};
  const isExact = Number.isFinite(usage.output_tokens) && !usage.estimated;
  const tokens = Number.isFinite(usage.output_tokens) ? usage.output_tokens : answer.length / 4; // English, about
  if (figures.speakingMs > 200) phrases.push(`${isExact ? "" : "≈ "}${rate(tokens / (figures.speakingMs / 1000))} tokens/s`);
  if (answer.usage) phrases.push(`${isExact ? "" : "≈ "}${counted(tokens, "token")}`);
  if (figures.reconnects > 0) phrases.push(counted(figures.reconnects, "reconnect"));
  return phrases;
}

function rate(number) {
  return number < 10 ? number.toFixed(1) : whole(number);
}
