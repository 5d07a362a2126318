// Chance that a seed decides, and text with everything that breaks a count of characters.

const LETTERS = [..."abc de\n.,*`_<&", "ä", "é", "ß", "水", "門", "🌊", "👩‍👩‍👧", "🇨🇭", "a\u0301", "\u200d", "\u{10ffff}"];

export function drawing(seed) {
  let state = seed >>> 0;
  const draw = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const upTo = (most) => Math.floor(draw() * (most + 1));
  const points = (count) => {
    let text = "";
    for (let at = 0; at < count; at += 1) text += LETTERS[upTo(LETTERS.length - 1)];
    return [...text];
  };
  return { draw, upTo, points, often: (share) => draw() < share };
}
