// The page's one conversation with the server: a photo, all clicks on it, and the answer to the last of them.
const HARDLY = 6;  // pixels that a finger may move and still tap
const KEPT = "petseg-photo";
const stage = find("#stage"), canvas = find("canvas"), split = find(".split");
const paint = painter(canvas), marked = marks();
const state = {
  photo: null, example: 0, name: "", size: [1, 1], model: "", level: 0, answered: false, note: "", another: false,
  takes: { point: false, box: false }, hover: null, split: 0, grown: 1, band: null, cross: null, corner: null,
  needsPhoto: true, uploading: false, get shown() { return marked.shown; },
};
let number = 0, pending = null, waiting = false, given = 0, before = null;

// -- what is seen ------------------------------------------------------------------------------------------
const toShown = (x, y) => [(x + 0.5) * paint.shown[0] / state.size[0], (y + 0.5) * paint.shown[1] / state.size[1]];
const look = () => ({
  view: find("#view input:checked").value, ground: kept.ground, own: kept.own, opacity: Number(find("#opacity").value),
  shown: marked.shown, hover: state.hover, grown: state.grown, split: state.split, band: state.band, cross: state.cross,
  steps: marked.steps.map((step) => ({ ...step, at: toShown(step.x, step.y), to: step.opposite && toShown(...step.opposite) })),
});
let planned = false;
const redraw = () => {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    paint.draw(look());
  });
};
const grow = () => {
  if (calm.matches) state.grown = 1;
  else {
    const started = performance.now();
    const step = (now) => {
      state.grown = Math.min(1, Math.max(0.001, (now - started) / 800));
      redraw();
      if (state.grown < 1) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }
};
const refresh = () => {
  panels.chips(state);
  panels.words(state);
  find("#undo").disabled = find("#clear").disabled = !marked.undoable && marked.shown === null;
  panels.showTip(state.another ? panels.TIPS.another : panels.TIPS[panels.tool()]);
  stage.classList.toggle("boxing", panels.tool() === "box" && !state.another);
  stage.dataset.shown = marked.shown ?? "all";
  kept.changed();
  redraw();
};
const busy = (is) => {
  find(".line").hidden = !is;
  stage.setAttribute("aria-busy", is);
};

// -- questions and answers: one at a time, each about everything, so that the last one counts -------------
const question = () => ({
  photo: state.photo, example: state.example, steps: marked.steps, model: state.model, level: state.level,
});
const remember = () => {
  const { photo, name, example } = state;
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ photo, name, example, steps: marked.steps }));
  } catch { /* a browser that keeps nothing keeps no photo either */ }
};
const ask = () => {
  busy(true);
  if (pending || state.uploading) {
    waiting = true;
    return;
  }
  pending = { number: ++number, given, needsPhoto: state.needsPhoto, ...question() };
  trigger("ask", pending);
};
const settle = () => {
  pending = null;
  busy(waiting || state.uploading);
  if (waiting && !state.uploading) {
    waiting = false;
    ask();
  }
};
const photoOf = (said) => new Promise((done) => {
  if (!said.photo) return done(null);
  const image = new Image();
  image.onload = () => done(image);
  image.onerror = () => done(null);
  image.src = said.photo;
});
const answered = async (text) => {
  const said = JSON.parse(text || "{}");
  if (!pending || said.number !== pending.number) return;
  const about = pending, image = await photoOf(said);
  if (about.given === given) {  // else another photo was given meanwhile
    if (said.error) failed(said.error, about);
    else shown(said, image);
  }
  settle();
  stage.dataset.answer = said.number;
  if (!peeked && state.photo === null) peek();
};
// The cards of the examples show their answers, one after the other once the first picture is there.
let peeked = 0;
const peek = () => {
  if (peeked < findAll("#examples button").length) trigger("peek", { number: -(++peeked), example: peeked - 1 });
};
const shown = (said, image) => {
  if (image) {
    paint.setPhoto(image, ...said.shown);
    state.needsPhoto = false;
  }
  const first = Boolean(image);
  Object.assign(state, { name: said.name, size: said.size, takes: said.takes, note: said.note, answered: said.answered });
  paint.setPets(said.pets.map(shaped));
  if (said.missed.length) {
    marked.drop(said.missed);
    panels.warn("There is no pet that I can see there, so the picture stays as it is.");
  }
  if (!waiting) marked.settle(paint.pets);
  [find("#tap-x").max, find("#tap-y").max] = said.size.map((length) => length - 1);
  stage.dataset.state = state.photo === null ? "start" : "photo";
  panels.tools(state);
  panels.code(said);
  refresh();
  const words = panels.words(state), advice = panels.advice(state);
  if (advice) panels.warn(advice);
  panels.say(said.missed.length ? "" : words);
  if (first) grow();
  paint.draw(look());
  remember();
};
// What was there stays; a photo that could not be read makes room for the one before, or the example.
const failed = (message, about) => {
  panels.warn(message);
  panels.say("");
  if (!about.needsPhoto) return;
  if (about.photo === null) return;
  if (before) {
    const back = before;
    before = null;
    Object.assign(state, back.state);
    marked.restore(back.steps);
    state.needsPhoto = true;
    given++;
    ask();
  } else show(0);
};
const begin = (photo) => {
  given++;
  marked.clear();
  Object.assign(state, { level: 0, hover: null, split: 0, band: null, corner: null, cross: null, another: false, note: "" });
  Object.assign(state, { needsPhoto: true, answered: false }, photo);
  find("#level").value = 0;
  moveSplit(0);
  kept.choose("photo");
};
const show = (example) => {
  begin({ photo: null, example, name: "" });
  ask();
};

// -- photos ------------------------------------------------------------------------------------------------
// The browser shows a photo at once, while the server looks at it.
const preview = async (file, turn) => {
  try {
    const bitmap = await createImageBitmap(file);
    const { width: across, height: down } = bitmap, factor = Math.min(1, 1024 / Math.max(across, down));
    const copy = blank(Math.max(1, Math.round(across * factor)), Math.max(1, Math.round(down * factor)));
    copy.getContext("2d").drawImage(bitmap, 0, 0, copy.width, copy.height);
    bitmap.close();
    if (turn !== given || !state.needsPhoto) return;
    paint.setPhoto(copy, copy.width, copy.height);
    state.size = [across, down];
    refresh();
  } catch { /* not every browser reads what the server does */ }
};
const give = async (file, trouble) => {
  if (trouble) return panels.warn(trouble);
  if (!file) return;
  panels.warn("");
  before = { state: { photo: state.photo, example: state.example, name: state.name }, steps: marked.steps };
  const turn = given + 1;
  begin({ photo: state.photo, name: file.name, uploading: true });
  stage.dataset.state = "photo";
  busy(true);
  find("#badge").hidden = true;
  panels.say("Looking for pets.");
  preview(file, turn);
  try {
    const { path } = await upload(file);
    if (turn !== given) return;
    Object.assign(state, { photo: path, uploading: false });
    ask();
    canvas.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  } catch (error) {
    if (turn !== given) return;
    state.uploading = false;
    failed(String(error.message ?? error).replace(/^Error: /, ""), { needsPhoto: true, photo: "" });
  }
};
find("#photo-file").addEventListener("change", (event) => {
  give(event.target.files[0]);
  event.target.value = "";  // so that the same photo can be given again
});
camera(give);
findAll("#examples button").forEach((button) => button.addEventListener("click", () => {
  panels.warn("");
  show(Number(button.dataset.example));
  scrollTo({ top: 0, behavior: calm.matches ? "auto" : "smooth" });
}));

// -- taps --------------------------------------------------------------------------------------------------
const panels = panel(paint, {
  pick: (animal) => {
    marked.pick(animal);
    refresh();
    const pet = paint.pets.find((one) => one.animal === animal);
    panels.say(pet ? `${named(pet, paint.pets)} is picked.` : "All pets are picked.");
  },
  hover: (animal) => {
    state.hover = animal;
    redraw();
  },
  another: () => {
    state.another = !state.another;
    state.corner = null;
    refresh();
  },
});
const kept = keep(paint, panels, (wanted) => {
  const asked = { number: ++number, animal: marked.shown, ...question(), ...wanted };
  trigger("keep", asked);
  return asked.number;
});
kept.looks(look);
const changed = () => {
  panels.warn("");
  refresh();
  ask();
};
// A new animal, at a pixel of the photo.
const begun = (step, alone) => {
  if (!state.takes[step.kind === "box" ? "box" : "point"]) {
    panels.warn(paint.pets.length ? "There is no pet there." : "The models here find pets by themselves only.");
    return;
  }
  state.another = false;
  marked.begin(step, paint.pets, alone);
  changed();
};
const nearest = (x, y) => {
  const far = ({ box: [x0, y0, x1, y1] }) => Math.hypot(Math.max(x0 - x, 0, x - x1), Math.max(y0 - y, 0, y - y1));
  return [...paint.pets].sort((a, b) => far(a) - far(b))[0] ?? null;
};
// At a place of the preview.
const tap = (place) => {
  const [x, y] = [0, 1].map((i) => Math.min(state.size[i] - 1, Math.max(0, Math.floor(place[i] * state.size[i] / paint.shown[i]))));
  const hit = paint.petAt(...place), kind = panels.tool();
  if (state.another) return begun({ kind: "pet", x, y }, false);
  if (kind === "box") return corner(place, x, y);
  if (kind === "pick") {
    if (!hit) return begun({ kind: "pet", x, y }, paint.pets.length > 0 && marked.shown !== null);
    const again = marked.shown === hit.animal || paint.pets.length === 1;
    marked.pick(again ? null : hit.animal);
    panels.warn("");
    panels.say(again ? "All pets are picked." : `${named(hit, paint.pets)} is picked.`);
    return refresh();
  }
  const about = marked.shown ?? marked.target ?? (hit ?? nearest(...place))?.animal;
  if (about === undefined) {
    if (kind === "pet") begun({ kind, x, y }, false);
    else panels.warn("There is no pet to take this from; tap the pet first.");
    return;
  }
  marked.correct(kind, x, y, about, paint.pets);
  changed();
};
const boxed = (one, other) => {
  const pixel = (place) => place.map((value, i) => Math.min(state.size[i] - 1, Math.max(0, Math.floor(value * state.size[i] / paint.shown[i]))));
  const [[x, y], opposite] = [pixel(one), pixel(other)];
  state.corner = state.band = state.cross = null;
  begun({ kind: "box", x, y, opposite }, false);
};
const corner = (place) => {
  if (state.corner) return boxed(state.corner, place);
  state.corner = state.cross = place;
  panels.say("One corner is set; tap the one across.");
  redraw();
};

// -- pointer, keyboard -------------------------------------------------------------------------------------
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
  split.style.left = `${100 * state.split}%`;
  split.setAttribute("aria-valuenow", Math.round(100 * state.split));
  split.setAttribute("aria-valuetext", `${Math.round(100 * state.split)} % as it was`);
  redraw();
};
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

// -- the panel's controls ----------------------------------------------------------------------------------
find("#tools").addEventListener("change", () => {
  state.another = false;
  state.corner = state.cross = null;
  refresh();
});
find("#view").addEventListener("change", () => {
  kept.choose("photo");
  redraw();
});
find("#opacity").addEventListener("input", redraw);
find("#background").addEventListener("change", async (event) => {
  const file = event.target.type === "file" ? event.target.files[0] : null;
  if (event.target.type !== "file") kept.choose(event.target.value);
  else if (file) {
    event.target.value = "";
    try {
      const image = await createImageBitmap(file);
      const sent = upload(file).then(({ path }) => path);
      sent.catch(() => {});  // who saves is told
      kept.setOwn(image, sent);
      kept.choose("own");
    } catch {
      panels.warn(`${file.name} is not a photo that this browser can show; choose a JPEG, PNG or WebP photo.`);
    }
  }
  redraw();
});
find("#undo").addEventListener("click", () => {
  if (marked.undoable) {
    marked.undo();
    return changed();
  }
  marked.pick(null);
  refresh();
});
find("#clear").addEventListener("click", () => {
  const asked = marked.steps.length > 0;
  marked.clear();
  if (asked) return changed();
  refresh();
});
find("#level").addEventListener("change", (event) => {
  state.level = Number(event.target.value);
  changed();
});
find("#model").addEventListener("change", (event) => {
  state.model = event.target.value;
  changed();
});
find("#tap").addEventListener("click", () => {
  const [x, y] = ["#tap-x", "#tap-y"].map((name) => find(name).valueAsNumber), [width, height] = state.size;
  if (!(x >= 0 && x < width && y >= 0 && y < height)) {
    return panels.warn(`Give x from 0 to ${width - 1} and y from 0 to ${height - 1}.`);
  }
  const kind = panels.tool() === "not pet" ? "not pet" : "pet", about = marked.shown ?? marked.target ?? paint.pets[0]?.animal;
  const exact = { kind, x: Math.floor(x), y: Math.floor(y) };
  if (panels.tool() === "pick" || state.another || about === undefined) return begun(exact, false);
  marked.correct(kind, exact.x, exact.y, about, paint.pets);
  changed();
});
const full = find(".full"), frame = find(".frame");
full.addEventListener("click", () => {
  const large = frame.classList.toggle("large");
  full.setAttribute("aria-pressed", large);
  full.setAttribute("aria-label", large ? "Make smaller" : "Enlarge");
  document.documentElement.classList.toggle("enlarged", large);
  redraw();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && frame.classList.contains("large")) full.click();
});
new ResizeObserver(redraw).observe(canvas);

// -- what the server says ----------------------------------------------------------------------------------
watch("value", () => answered(props.value));
stage.addEventListener("aside", async ({ detail }) => {
  const said = JSON.parse(detail || "{}");
  if (await kept.answered(said) || !said.pets) return;
  peek();
  const button = findAll("#examples button")[-said.number - 1];
  const small = button && painter(button.querySelector("canvas")), image = await photoOf(said);
  if (!small || !image) return;
  small.setPhoto(image, ...said.shown);
  small.setPets(said.pets.map(shaped));
  small.draw({ ...look(), view: "spotlight", ground: "photo", shown: null, hover: null, grown: 1, split: 0, steps: [], band: null, cross: null });
});
stage.addEventListener("lost", ({ detail }) => {
  if (detail === "keep") return kept.lost();
  if (!pending) return;
  const about = pending;
  if (about.given === given) failed("The page is busy. Try again in a moment.", about);
  settle();
});
const restored = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? null;
  } catch {
    return null;
  }
};
const earlier = restored();
if (earlier?.photo) {
  begin({ photo: earlier.photo, name: earlier.name });
  marked.restore(earlier.steps ?? []);
  stage.dataset.state = "photo";
  ask();
} else show(0);
