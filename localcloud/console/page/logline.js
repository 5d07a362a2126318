// A log record as a person reads it. Pure: no page.
//
// Records are those of Lambda's JSON format: what functions log, what the platform says (`type`: "platform.report"),
// and metrics in the embedded format (`_aws`). Source:
// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html

const OWN = new Set(["timestamp", "time", "level", "log_level", "message", "event", "type", "service", "location", "_aws", "taskName"]);
const SAME = [["correlation_id", "request_id"], ["xray_trace_id", "trace_id"]];

/** {level, words, fields: [[name, text], ...]} of a line that is a record, or of its plain `message`. */
export function readLine({ record, message }) {
  if (!record) return { level: "", words: String(message ?? "").trimEnd(), fields: [] };
  if (String(record.type ?? "").startsWith("platform.")) return readPlatform(record);
  const level = String(record.level ?? record.log_level ?? "").toUpperCase();
  const words = record._aws ? "metrics" : textOf(record.message ?? record.event);
  const isTwice = (name) => SAME.some(([other, first]) => other === name && record[other] === record[first]);
  const fields = Object.entries(record).filter(([name, value]) => !OWN.has(name) && !isTwice(name) && value !== null);
  return { level, words, fields: fields.map(([name, value]) => [name, textOf(record._aws && Array.isArray(value) ? value[0] : value)]) };
}

function readPlatform({ type, record = {} }) {
  const { metrics = {}, requestId, status, ...rest } = record;
  const fields = [];
  if (requestId) fields.push(["request_id", requestId]);
  if (status && status !== "success") fields.push(["status", status]);
  const kind = type.slice("platform.".length);
  if (kind === "report") {
    if (metrics.durationMs !== undefined) fields.push(["duration", `${metrics.durationMs} ms`]);
    if (metrics.initDurationMs !== undefined) fields.push(["init", `${metrics.initDurationMs} ms`]);
    if (metrics.maxMemoryUsedMB !== undefined) fields.push(["memory", `${metrics.maxMemoryUsedMB} of ${metrics.memorySizeMB} MB`]);
    return { level: "", words: "report", fields };
  }
  const more = kind === "start" ? [] : Object.entries(rest).map(([name, value]) => [name, textOf(value)]);
  return { level: "", words: kind, fields: [...fields, ...more] };
}

function textOf(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
