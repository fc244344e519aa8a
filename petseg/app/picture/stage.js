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
  // On another ground only those are shown whose answer is still to come.
  steps: (kept.ground === "photo" || pending ? marked.steps : [])
    .map((step) => ({ ...step, at: toShown(step.x, step.y), to: step.opposite && toShown(...step.opposite) })),
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
  panels.tips(state);
  const any = paint.pets.length > 0 && !state.uploading;
  kept.enable(any);
  stage.classList.toggle("nobody", state.answered && !any);
  find("#view").disabled = find("#background").disabled = state.answered && !any;
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
// Once for each photo, when somebody chooses a tool that corrects.
let prepared = 0;
const prepare = () => {
  if (prepared === given || pending || marked.steps.length || !paint.pets.length || !state.takes.point) return;
  prepared = given;
  trigger("prepare", { number: 0, ...question(), steps: marked.seeds(paint.pets) });
};
const settle = () => {
  pending = null;
  redraw();
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
  // In the order of their numbers: who is Cat 2 stays so when another one is corrected.
  paint.setPets(said.pets.sort((one, other) => one.animal - other.animal).map(shaped(said.shown)));
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
    find("#level").value = back.state.level;
    marked.restore(back.steps);
    marked.pick(back.shown);
    kept.choose(back.ground);
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
  const { photo, example, name, level } = state;
  before = { state: { photo, example, name, level }, steps: marked.steps, shown: marked.shown, ground: kept.ground };
  const turn = given + 1;
  begin({ photo: state.photo, name: file.name, uploading: true });
  stage.dataset.state = "photo";
  busy(true);
  refresh();
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
    uncover();
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
    prepare();
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
  uncover();
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
