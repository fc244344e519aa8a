// Outlines of pets as the server sends them, and small things that all parts use.
const HUES = ["#f59e0b", "#3b82f6", "#10b981", "#ec4899", "#8b5cf6", "#ef4444", "#14b8a6", "#eab308"];
const GREEN = "#16a34a", RED = "#dc2626", YELLOW = "#facc15";
const find = (selector) => element.querySelector(selector);
const findAll = (selector) => [...element.querySelectorAll(selector)];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const narrow = matchMedia("(max-width: 899px)");  // as in picture.css: one part of the panel at a time
const percent = (share) => `${Math.round(100 * share)}%`;
const capital = (word) => word[0].toUpperCase() + word.slice(1);
const hueOf = (pet) => HUES[pet.animal % HUES.length];

// A path through the middles of the outline's sides: steps of pixels become curves. Long sides may be left out.
const smooth = (path, ring, hidden = () => false) => {
  const count = ring.length / 2, at = (i) => [ring[2 * (i % count)], ring[2 * (i % count) + 1]];
  const middle = (i) => { const [a, b] = [at(i), at(i + 1)]; return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]; };
  const long = (i) => { const [a, b] = [at(i), at(i + 1)]; return Math.hypot(a[0] - b[0], a[1] - b[1]) > 12; };
  path.moveTo(...middle(count - 1));
  for (let i = 0; i < count; i++) {
    const go = (a, b) => (hidden(at(a), at(b)) ? "moveTo" : "lineTo");
    if (long(i) || long(i + count - 1)) path[go(i + count - 1, i)](...at(i));  // a straight edge has its corner
    else path.quadraticCurveTo(...at(i), ...middle(i));
    if (long(i)) path[go(i, i + 1)](...middle(i));
  }
};
const lengthOf = (ring) => {
  let length = 0;
  for (let i = 0; i < ring.length; i += 2) {
    const j = (i + 2) % ring.length;
    length += Math.hypot(ring[i] - ring[j], ring[i + 1] - ring[j + 1]);
  }
  return length;
};
// A pet as it is drawn: `path` to be filled, and `line`, which leaves out where the photo cuts the pet off.
const shaped = (size) => (pet) => {
  const path = new Path2D(), line = new Path2D();
  const atEdge = (one, other) => [0, 1].some((i) => [0, size[i]].some((edge) => [one, other].every((at) => Math.abs(at[i] - edge) < 1)));
  for (const ring of pet.rings) {
    smooth(path, ring);
    path.closePath();
    smooth(line, ring, atEdge);
  }
  return { ...pet, path, line, hue: hueOf(pet), length: Math.max(1, ...pet.rings.map(lengthOf)) };
};
const blank = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

// What there is, in words: "2 cats and 1 dog".
const counted = (pets) => ["cat", "dog"]
  .map((label) => [label, pets.filter((pet) => pet.label === label).length])
  .filter(([, count]) => count)
  .map(([label, count]) => `${count} ${label}${count > 1 ? "s" : ""}`)
  .join(" and ");
// "Cat 2" where there is more than one of them.
const named = (pet, pets) => {
  const alike = pets.filter((other) => other.label === pet.label);
  return capital(pet.label) + (alike.length > 1 ? ` ${alike.indexOf(pet) + 1}` : "");
};
