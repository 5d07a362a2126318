// Text measured in code points, as the service counts offsets; JavaScript's own length counts UTF-16 units.

/** How many code points `text` has. */
export function countPoints(text) {
  let count = text.length;
  for (let at = 0; at < text.length - 1; at += 1) {
    if (isPairAt(text, at)) {
      count -= 1;
      at += 1;
    }
  }
  return count;
}

/** `text` from its code point `from` on. */
export function dropPoints(text, from) {
  return text.slice(unitOf(text, from));
}

/** The first `count` code points of `text`. */
export function takePoints(text, count) {
  return text.slice(0, unitOf(text, count));
}

/** How many bytes `text` has in UTF-8. */
export function countBytes(text) {
  return new TextEncoder().encode(text).length;
}

function unitOf(text, point) {
  let at = 0;
  for (let left = point; left > 0 && at < text.length; left -= 1) at += isPairAt(text, at) ? 2 : 1;
  return at;
}

function isPairAt(text, at) {
  const high = text.charCodeAt(at);
  if (high < 0xd800 || high > 0xdbff) return false;
  const low = text.charCodeAt(at + 1);
  return low >= 0xdc00 && low <= 0xdfff;
}
