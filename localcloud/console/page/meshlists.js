// Rules, subscribers and rollups: what the mesh's tables hold.

import { h } from "./dom.js";
import { ago, counted, whole } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [600, 90];

/** Rules of filter_records, with what became of all records that it read. */
export function drawRules(place, rules, filtered) {
  const told = filtered && ["matched", "unmatched", "poison", "sent", "refused", "returned"].map((name) => `${whole(filtered[name])} ${name}`).join("  ·  ");
  const facts = told && h("p", { class: "facts" }, `Since the start: ${told}`);
  if (rules.length === 0) {
    place.replaceChildren(...[facts, h("p", { class: "empty" }, "No rules: every record is read, and goes nowhere.")].filter(Boolean));
    return;
  }
  place.replaceChildren(...[facts, h("ul", { class: "readers", "aria-label": "Rules" }, ...rules.map(ruleCard))].filter(Boolean));
}

function ruleCard(rule) {
  const masks = Object.entries(rule.masks).map(([path, mask]) => `${path}: ${typeof mask === "string" ? mask : mask.mask}`);
  const lines = [
    ["Rows", rule.pattern ? asText(rule.pattern) : "all"],
    ["Columns", rule.columns?.length ? rule.columns.join(", ") : "all"],
    masks.length > 0 && ["Masks", masks.join(", ")],
    ["To", asDestination(rule.destination)],
    rule.counts && ["Wrong", Object.entries(rule.counts).map(([name, count]) => `${whole(count)} ${name}`).join(", ")],
  ].filter(Boolean);
  const state = rule.problem ? "Unusable" : rule.enabled ? "Enabled" : "Disabled";
  return h(
    "li",
    { class: "reader", "data-wrong": Boolean(rule.problem) },
    h("b", {}, String(rule.id)),
    h("span", { class: "chip", "data-state": state.toLowerCase() }, state),
    h("span", { class: "facts" }, `topic ${rule.topic}`),
    rule.problem && h("span", { class: "problem" }, rule.problem),
    h("dl", { class: "pairs" }, ...lines.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
  );
}

function asText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A destination in a few words: "queue large-orders". */
export function asDestination(destination) {
  if (!destination || typeof destination !== "object") return asText(destination ?? "nowhere");
  const { type, name, url, topic_arn, bus, bucket, prefix } = destination;
  const words = { stream: ["stream", name], sqs: ["queue", url?.split("/").pop()], sns: ["topic", topic_arn?.split(":").pop()], events: ["bus", bus], s3: ["bucket", `${bucket}/${prefix ?? ""}`] };
  return (words[type] ?? [type, ""]).filter(Boolean).join(" ");
}

/** Who has subscribed to a topic, and to what of it; the channels to which topics are published as well. */
export function drawSubscribers(place, subscribers, channels) {
  const events = Object.entries(channels).map(([topic, channel]) => h("p", { class: "facts" }, `Topic ${topic} is published to ${channel} as well; AppSync does not tell who listens there.`));
  if (subscribers.length === 0) {
    place.replaceChildren(h("p", { class: "empty" }, "Nobody has subscribed."), ...events);
    return;
  }
  const cards = subscribers.map(({ topic, connections, wants, is_whole }) => {
    const kinds = wants.map((want) => h("li", {}, `${counted(want.connections, "connection")}: rows `, h("code", {}, want.pattern ?? "all"), `, columns ${want.columns.length ? want.columns.join(", ") : "all"}`));
    return h("li", { class: "reader" }, h("b", {}, topic), h("span", { class: "facts" }, `${is_whole ? "" : "at least "}${counted(connections, "connection")}`), h("ul", { class: "reasons" }, ...kinds));
  });
  place.replaceChildren(h("ul", { class: "readers", "aria-label": "Subscribers by topic" }, ...cards), ...events);
}

/** Rollups: how many records each of the newest minutes has, averages of the last one, and the job. */
export function drawRollups(place, rollups, now) {
  if (rollups.length === 0) place.replaceChildren(h("p", { class: "empty" }, "No function rolls records up."));
  else place.replaceChildren(...rollups.flatMap((rollup) => rollupParts(rollup, now)));
}

function rollupParts({ id, minutes, job, is_whole }, now) {
  const newest = minutes.findLast((minute) => minute.records > 0);
  const jobWords = job ? `Job: ${job.state}, ${ago(job.updated_ms, now)}${job.last_failure ? `; ${job.last_failure}` : ""}` : "Job: has not run yet";
  const averages = newest ? Object.entries(newest.averages).map(([name, value]) => `${name} ${Number(value.toPrecision(4)).toLocaleString("en")}`) : [];
  return [
    h("h3", {}, id),
    newest ? drawMinutes(minutes) : h("p", { class: "empty" }, "No rows of the last half hour. A minute is written when its window ends."),
    newest && h("p", { class: "facts" }, `${newest.start.slice(11, 16)} UTC: ${counted(newest.records, "record")} in ${counted(newest.rows, "row")}${averages.length ? `; average ${averages.join(", ")}` : ""}`),
    !is_whole && h("p", { class: "facts" }, "There are more rows than are read here."),
    h("p", { class: job?.last_failure ? "problem" : "facts" }, jobWords),
  ].filter(Boolean);
}

function drawMinutes(minutes) {
  const most = Math.max(1, ...minutes.map((minute) => minute.records));
  const svg = document.createElementNS(SVG, "svg");
  const total = minutes.reduce((sum, minute) => sum + minute.records, 0);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("class", "minutes");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Records by minute: ${whole(total)} in the last ${minutes.length} minutes, ${whole(most)} at most`);
  const step = WIDTH / minutes.length;
  minutes.forEach((minute, at) => {
    const bar = document.createElementNS(SVG, "rect");
    const height = minute.records > 0 ? Math.max(3, (HEIGHT * minute.records) / most) : 1;
    const place = { x: at * step + 1, y: HEIGHT - height, width: step - 3, height };
    for (const [name, value] of Object.entries(place)) bar.setAttribute(name, value.toFixed(1));
    const title = document.createElementNS(SVG, "title");
    title.textContent = `${minute.start.slice(11, 16)} UTC: ${counted(minute.records, "record")}`;
    bar.append(title);
    svg.append(bar);
  });
  return svg;
}
