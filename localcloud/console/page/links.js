// Between Regions: a picture of them with what is under way and what is cut, and the same as a list with its buttons.

import { h, setText } from "./dom.js";
import { counted, duration } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const PLACES = [{ x: 6, y: 22, width: 108 }, { x: 246, y: 22, width: 108 }, { x: 126, y: 158, width: 108 }];
const HEIGHT = 46;

export class Links {
  constructor(place, { act }) {
    Object.assign(this, { place, act });
    this.rows = new Map();
  }

  draw(told) {
    for (const [source, target] of pairs(told)) {
      const key = `${source} ${target}`;
      if (!this.rows.has(key)) this.rows.set(key, this.#make(source, target));
      const row = this.rows.get(key);
      const ways = [[source, target], [target, source]].map(([from, to]) => wayOf(told, from, to));
      const isQuiet = ways.every((way) => !way.cut && !way.dark && way.pending === 0);
      setText(row.said, isQuiet ? "Nothing under way" : ways.map((way) => `${way.source} to ${way.target}: ${sentence(way)}`).join(". "));
      row.item.toggleAttribute("data-cut", ways.some((way) => way.cut));
      const isCut = ways.every((way) => way.cut);
      label(row.both, isCut ? "Heal" : "Cut", `${isCut ? "Heal" : "Cut"} ${source} and ${target}`);
      row.both.dataset.cut = !isCut;
      ways.forEach((way, at) => {
        label(row.ways[at], `${way.cut ? "Heal" : "Cut"} ${at === 0 ? "→" : "←"}`, `${way.cut ? "Heal" : "Cut"} ${way.source} to ${way.target} only`);
        row.ways[at].dataset.cut = !way.cut;
      });
    }
  }

  #make(source, target) {
    const button = (from, to, both) => {
      const made = h("button", { type: "button", onclick: () => this.#set(made, { source: from, target: to, both }) });
      return made;
    };
    const row = { said: h("p", { class: "facts" }), both: button(source, target, true), ways: [button(source, target, false), button(target, source, false)] };
    for (const way of row.ways) way.classList.add("quiet");
    row.item = h("li", {}, h("b", {}, `${source} ⇄ ${target}`), h("span", { class: "buttons" }, row.both, ...row.ways), row.said);
    this.place.append(row.item);
    return row;
  }

  async #set(button, link) {
    const cut = button.dataset.cut === "true";
    await this.act("links", { ...link, cut }, cut ? "It is cut" : "It is healed");
  }
}

/** Draws the Regions as boxes and what passes between them as arrows. */
export function drawMap(place, told) {
  const regions = [...told.regions, ...told.beside.map((region) => ({ ...region, isBeside: true }))].slice(0, PLACES.length);
  const ways = pairs(told).flatMap(([a, b]) => [wayOf(told, a, b), wayOf(told, b, a)]);
  const state = JSON.stringify([regions.map((region) => [region.region, region.dark, region.home]), ways.map((way) => [way.cut, word(way)])]);
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  const at = new Map(regions.map((region, number) => [region.region, PLACES[number]]));
  const svg = el("svg", { viewBox: `0 0 360 ${regions.length > 2 ? 212 : 92}`, class: "map", role: "img", "aria-label": mapSentence(regions, ways) });
  for (const way of ways) if (at.has(way.source) && at.has(way.target)) svg.append(arrow(way, at.get(way.source), at.get(way.target)));
  for (const region of regions) svg.append(box(region, at.get(region.region)));
  place.replaceChildren(svg);
}

function pairs(told) {
  const names = [...told.regions, ...told.beside].map((region) => region.region);
  return names.flatMap((name, at) => names.slice(at + 1).map((other) => [name, other]));
}

function wayOf(told, source, target) {
  const lag = told.lags.find((each) => each.source === source && each.target === target);
  const cut = told.cuts.some(([from, to]) => from === source && to === target);
  const dark = [...told.regions, ...told.beside].some((region) => region.dark && (region.region === source || region.region === target));
  return { source, target, cut, dark, pending: lag?.pending ?? 0, oldestMs: (lag?.oldest_s ?? 0) * 1000 };
}

function sentence({ cut, dark, pending, oldestMs }) {
  const waits = pending > 0 ? `${counted(pending, "change")} under way, the oldest for ${duration(oldestMs)}` : "nothing under way";
  return cut ? `cut, ${waits}` : dark ? `dark, ${waits}` : waits;
}

function word({ pending, oldestMs }) {
  return pending > 0 ? `${pending} · ${duration(oldestMs < 1_000 ? Math.round(oldestMs / 100) * 100 : Math.round(oldestMs / 1_000) * 1_000).replace(".00", "").replace(".0", "")}` : "";
}

function mapSentence(regions, ways) {
  const states = regions.map((region) => `${region.region} is ${region.dark ? "dark" : "up"}${region.home ? " and home" : ""}`);
  const cuts = ways.filter((way) => way.cut).map((way) => `${way.source} to ${way.target} is cut`);
  return [...states, ...cuts].join(", ");
}

function label(button, text, name) {
  setText(button, text);
  button.setAttribute("aria-label", name);
}

function el(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function box(region, { x, y, width }) {
  const state = region.dark ? "dark" : region.home ? "home" : "up";
  const said = region.dark ? "dark" : region.home ? "home" : region.isBeside ? "keeps the term" : "standby";
  const middle = x + width / 2;
  return el(
    "g",
    { "data-state": state },
    el("rect", { x, y, width, height: HEIGHT, rx: 8, class: "box" }),
    el("text", { x: middle, y: y + 20, class: "name" }, region.region),
    el("text", { x: middle, y: y + 36 }, said),
  );
}

// Two arrows a pair, side by side; they end at the boxes' edges.
function arrow(way, from, to) {
  const centre = (box) => [box.x + box.width / 2, box.y + HEIGHT / 2];
  const [x1, y1] = centre(from);
  const [x2, y2] = centre(to);
  const length = Math.hypot(x2 - x1, y2 - y1);
  const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
  const [ox, oy] = [-uy * -8, ux * -8]; // to the left of the way it goes
  // How far the arrow's line, which passes beside the centre, is inside a box in the direction (dx, dy).
  const inside = (box, dx, dy) => Math.min((box.width / 2 - ox * Math.sign(dx)) / (Math.abs(dx) || 1e-9), (HEIGHT / 2 - oy * Math.sign(dy)) / (Math.abs(dy) || 1e-9)) + 4;
  const [a, b] = [inside(from, ux, uy), inside(to, -ux, -uy)];
  const start = [x1 + ux * a + ox, y1 + uy * a + oy];
  const end = [x2 - ux * b + ox, y2 - uy * b + oy];
  const [mx, my] = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
  const head = (side) => `${end[0] - ux * 7 + side * uy * 4} ${end[1] - uy * 7 - side * ux * 4}`;
  const cross = `M${mx - 5} ${my - 5}l10 10M${mx + 5} ${my - 5}l-10 10`;
  const state = way.cut ? "cut" : way.dark ? "dark" : way.pending > 0 ? "busy" : "idle";
  const isFlat = Math.abs(uy) < 0.2;
  const text = { x: mx + (isFlat ? 0 : ox * 1.4), y: isFlat ? my + (oy < 0 ? -6 : 15) : my + 4, class: isFlat ? "" : ox < 0 ? "end" : "start" };
  return el(
    "g",
    { "data-way": state },
    el("path", { d: `M${start.join(" ")}L${end.join(" ")}M${head(1)}L${end.join(" ")}L${head(-1)}` }),
    ...(way.cut ? [el("path", { d: cross, class: "cross" })] : []),
    el("text", text, way.cut ? "" : word(way)),
  );
}
