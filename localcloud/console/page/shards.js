// The picture of a stream's shards: their hash keys from top to bottom, their generations from left to right.

import { perSecond, size } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 250; // a box has room for its rates
const MIDDLE = 170; // for how many records there are
const NARROW = 130; // a box has no room for words
const ROW = 30; // of an open shard of its share
const LINE = 20; // of a shard with its name
const [LOWEST, HIGHEST] = [96, 420]; // of the picture
const GAP = 26; // between generations, where the lines run
const MOST_COLUMNS = 5; // older generations are left out

/**
 * Where shards lie: [{shard, column, columns, top, height}], tops and heights as parts of 1. A child stands one column right
 * of its parents; shards whose parents are gone begin on the left. Generations older than the last few are left out.
 */
export function layShards(shards) {
  const byId = new Map(shards.map((shard) => [shard.id, shard]));
  const depths = new Map();
  const depthOf = (shard) => {
    if (!depths.has(shard.id)) {
      depths.set(shard.id, 0); // a circle ends here
      const parents = shard.parents.map((id) => byId.get(id)).filter(Boolean);
      depths.set(shard.id, parents.length ? 1 + Math.max(...parents.map(depthOf)) : 0);
    }
    return depths.get(shard.id);
  };
  const last = Math.max(0, ...shards.map(depthOf));
  const first = Math.max(0, last - MOST_COLUMNS + 1);
  const columns = last - first + 1;
  return shards
    .filter((shard) => shard.open || depthOf(shard) >= first)
    .map((shard) => ({ shard, column: Math.max(0, depthOf(shard) - first), columns, top: shard.from, height: shard.to - shard.from }));
}

/** What the picture says, for those who do not see it. */
export function shardsSentence(shards) {
  const open = shards.filter((shard) => shard.open);
  const hot = open.find((shard) => shard.hot);
  const closed = shards.length - open.length;
  return `${open.length} open and ${closed} closed ${shards.length === 1 ? "shard" : "shards"}${hot ? `; ${shortId(hot.id)} is hot` : ""}`;
}

/** `shardId-000000000003` as `shard 3`. */
export function shortId(id) {
  const number = /^shardId-0*(\d+)$/.exec(id);
  return number ? `shard ${number[1]}` : id;
}

/** The picture, drawn anew, `width` pixels wide. */
export function drawShards(shards, width) {
  const laid = layShards(shards);
  const height = heightOf(laid);
  const svg = part("svg", { viewBox: `0 0 ${width} ${height}`, class: "shards", role: "img", "aria-label": shardsSentence(shards) });
  const places = new Map(laid.map((each) => [each.shard.id, placeOf(each, width, height)]));
  for (const { shard } of laid) {
    const to = places.get(shard.id);
    for (const from of shard.parents.map((id) => places.get(id)).filter(Boolean)) svg.append(lineOf(from, to));
  }
  for (const { shard } of laid) svg.append(boxOf(shard, places.get(shard.id)));
  return svg;
}

// High enough for the names of the smallest shards, as far as it goes.
function heightOf(laid) {
  const open = laid.filter(({ shard }) => shard.open).length;
  const smallest = Math.min(1, ...laid.map(({ height }) => height));
  return Math.min(HIGHEST, Math.max(LOWEST, ROW * open, LINE / smallest));
}

function placeOf({ column, columns, top, height: share }, whole, height) {
  const width = (whole - 2 - GAP * (columns - 1)) / columns;
  return { x: 1 + column * (width + GAP), y: top * height + 1, width, height: Math.max(2, share * height - 3) };
}

function lineOf(from, to) {
  const [x1, y1, x2, y2] = [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2];
  const middle = (x1 + x2) / 2;
  return part("path", { class: "kin", d: `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}` });
}

function boxOf(shard, { x, y, width, height }) {
  const state = shard.hot ? "hot" : shard.open ? "open" : "closed";
  const group = part("g", { class: "shard", "data-state": state });
  group.append(part("rect", { class: "box", x, y, width, height, rx: 4 }));
  if (shard.load) group.append(part("rect", { class: "load", x, y, width: Math.max(2, width * Math.min(1, shard.load)), height, rx: 4 }));
  const title = part("title", {});
  title.textContent = `${labelOf(shard, WIDE)}${flowOf(shard, Infinity)}`;
  group.append(title);
  if (height >= 14) {
    const label = part("text", { x: x + 10, y: y + height / 2, "dominant-baseline": "central" });
    label.textContent = labelOf(shard, width) + flowOf(shard, width);
    group.append(label);
  }
  return group;
}

function flowOf({ open, records_s, bytes_s }, width) {
  if (!open || records_s === null || width <= MIDDLE) return "";
  return width > WIDE ? `  ${perSecond(records_s)} records/s, ${size(bytes_s)}/s` : `  ${perSecond(records_s)}/s`;
}

// The list of shards says all; here stands what there is room for.
function labelOf(shard, width) {
  const name = width < NARROW ? shortId(shard.id).replace(/^shard /, "") : shortId(shard.id);
  if (shard.hot) return width < NARROW ? `${name} hot` : `${name}, hot`;
  return shard.open || width < NARROW ? name : `${name}, closed`;
}

function part(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, typeof value === "number" ? value.toFixed(1) : value);
  return element;
}
