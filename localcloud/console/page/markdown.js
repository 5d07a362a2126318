// A model's text as paragraphs, lists, headings and code. Whatever it says becomes text nodes: no markup gets through.

import { h } from "./dom.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/;
const ITEM = /^ {0,3}(?:[-*+•]|\d{1,4}[.)])\s+/;
const NUMBERED = /^ {0,3}\d/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const INLINE = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|\*\*(?=\S)([\s\S]*?\S)\*\*|(?<![\w*])\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])/g;

/** The blocks of `text`: {kind: paragraph, heading, list, numbers or code; source; and lines, what was in it}. */
export function splitBlocks(text) {
  const blocks = [];
  let open = null;
  const close = () => {
    if (open) blocks.push({ ...open, source: open.lines.join("\n") });
    open = null;
  };
  for (const line of text.split("\n")) {
    if (open?.kind === "code") {
      if (line.trim() === open.fence) close();
      else open.lines.push(line);
      continue;
    }
    const kind = kindOf(line, open);
    if (kind !== open?.kind || kind === "heading") close();
    if (kind === "code") open = { kind, lines: [], fence: FENCE.exec(line)[1] };
    else if (kind !== "blank") (open ??= { kind, lines: [] }).lines.push(line);
  }
  close();
  return blocks;
}

/** Brings `container` to show `text`; what is there already and still right stays untouched. */
export class MarkdownView {
  constructor(container) {
    this.container = container;
    this.shown = [];
  }

  show(text) {
    const blocks = splitBlocks(text).map((block) => ({ ...block, key: `${block.kind} ${block.source}` }));
    let same = 0;
    while (same < this.shown.length && same < blocks.length && this.shown[same] === blocks[same].key) same += 1;
    while (this.container.children.length > same) this.container.lastElementChild.remove();
    for (const block of blocks.slice(same)) this.container.append(MAKE[block.kind](block));
    this.shown = blocks.map((block) => block.key);
  }
}

const MAKE = {
  paragraph: ({ source }) => h("p", {}, ...inline(source)),
  heading: ({ source }) => h("p", { class: "heading" }, ...inline(HEADING.exec(source)[2])),
  code: ({ source }) => h("pre", { tabindex: "0" }, h("code", {}, source)),
  list: ({ lines }) => h("ul", {}, ...items(lines)),
  numbers: ({ lines }) => h("ol", { start: parseInt(lines[0], 10) }, ...items(lines)),
};

function kindOf(line, open) {
  if (line.trim() === "") return "blank";
  if (FENCE.test(line)) return "code";
  if (HEADING.test(line)) return "heading";
  if (ITEM.test(line)) return NUMBERED.test(line) ? "numbers" : "list";
  if (/^\s{2,}\S/.test(line) && (open?.kind === "list" || open?.kind === "numbers")) return open.kind;
  return "paragraph";
}

function items(lines) {
  const joined = [];
  for (const line of lines) {
    if (ITEM.test(line) || joined.length === 0) joined.push(line.replace(ITEM, ""));
    else joined[joined.length - 1] += `\n${line.trim()}`;
  }
  return joined.map((item) => h("li", {}, ...inline(item)));
}

function inline(text) {
  const parts = [];
  let at = 0;
  for (const match of text.matchAll(INLINE)) {
    parts.push(text.slice(at, match.index));
    const [whole, , code, strong, emphasis] = match;
    if (code !== undefined) parts.push(h("code", {}, code));
    else if (strong !== undefined) parts.push(h("strong", {}, strong));
    else parts.push(h("em", {}, emphasis));
    at = match.index + whole.length;
  }
  return [...parts, text.slice(at)].filter((part) => part !== "");
}
