// Pointer and keyboard on the picture, and the handle between before and after.
const placeOf = (event) => {
  const box = canvas.getBoundingClientRect();
  const inside = (value, most) => Math.min(most, Math.max(0, value));
  return [
    inside((event.clientX - box.left) * paint.shown[0] / box.width, paint.shown[0]),
    inside((event.clientY - box.top) * paint.shown[1] / box.height, paint.shown[1]),
  ];
};
let down = null;
canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button || !paint.ready) return;
  down = { x: event.clientX, y: event.clientY, place: placeOf(event), moved: false };
  if (stage.classList.contains("boxing")) canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!event.isPrimary || !paint.ready) return;
  if (down) {
    down.moved ||= Math.hypot(event.clientX - down.x, event.clientY - down.y) > HARDLY;
    if (down.moved && stage.classList.contains("boxing")) {
      state.band = [down.place, placeOf(event)];
      redraw();
    }
    return;
  }
  const over = event.pointerType === "mouse" ? paint.petAt(...placeOf(event))?.animal ?? null : null;
  if (over !== state.hover) {
    state.hover = over;
    redraw();
  }
});
canvas.addEventListener("pointerup", (event) => {
  if (!event.isPrimary || !down) return;
  const [began, place] = [down, placeOf(event)];
  down = null;
  state.cross = state.corner;
  if (!began.moved) tap(place);
  else if (state.band) boxed(...state.band);
});
const dropped = () => {
  down = state.band = null;
  redraw();
};
canvas.addEventListener("pointercancel", dropped);
canvas.addEventListener("pointerleave", () => {
  state.hover = null;
  redraw();
});
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener("keydown", (event) => {
  if (!paint.ready) return;
  const [width, height] = paint.shown, by = ARROWS[event.key];
  if (by) {
    const far = (event.shiftKey ? 0.1 : 0.02) * Math.max(width, height);
    const [x, y] = state.cross ?? [width / 2, height / 2];
    state.cross = [Math.min(width, Math.max(0, x + far * by[0])), Math.min(height, Math.max(0, y + far * by[1]))];
    state.hover = paint.petAt(...state.cross)?.animal ?? null;
    redraw();
  } else if ((event.key === "Enter" || event.key === " ") && state.cross) tap(state.cross);
  else if (event.key === "Escape") {
    state.cross = state.corner = state.hover = null;
    redraw();
  } else return;
  event.preventDefault();
});
canvas.addEventListener("blur", () => {
  state.cross = state.corner;
  redraw();
});
const moveSplit = (share) => {
  state.split = Math.min(1, Math.max(0, share));
  // The knob never leaves the picture, so that it is whole also where it is first seen.
  split.style.left = `clamp(20px, ${100 * state.split}%, 100% - 20px)`;
  split.setAttribute("aria-valuenow", Math.round(100 * state.split));
  split.setAttribute("aria-valuetext", `${Math.round(100 * state.split)} % as it was`);
  redraw();
};
// What is chosen or tapped is to be seen, also where the photo as it was hid all of it.
const uncover = () => {
  if (state.split > 0.9) moveSplit(0);
};
stage.addEventListener("change", uncover);
split.addEventListener("pointerdown", (event) => {
  split.setPointerCapture(event.pointerId);
  event.preventDefault();
  split.focus();
});
split.addEventListener("pointermove", (event) => {
  if (!split.hasPointerCapture(event.pointerId)) return;
  const box = canvas.getBoundingClientRect();
  moveSplit((event.clientX - box.left) / box.width);
});
split.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -0.05, ArrowDown: -0.05, ArrowRight: 0.05, ArrowUp: 0.05, Home: -1, End: 1 }[event.key];
  if (by === undefined) return;
  moveSplit(state.split + by);
  event.preventDefault();
});
