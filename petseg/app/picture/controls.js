// The panel's controls, what the server says, and what is there first.
find("#tools").addEventListener("change", () => {
  state.another = false;
  state.corner = state.cross = null;
  if (panels.tool() !== "pick") prepare();
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
// Enlarged, the picture takes the whole screen; where a browser has no way to do that, as on an iPhone or inside
// another page, its window.
const full = find("button.full"), frame = find(".frame");
const enlarge = (large) => {
  if (frame.classList.contains("large") === large) return;
  frame.classList.toggle("large", large);
  full.setAttribute("aria-pressed", large);
  full.setAttribute("aria-label", large ? "Make smaller" : "Enlarge");
  document.documentElement.classList.toggle("enlarged", large);
  full.focus();
  redraw();
};
const leave = () => (document.fullscreenElement === frame ? document.exitFullscreen() : enlarge(false));
full.addEventListener("click", () => {
  if (frame.classList.contains("large")) leave();
  else if (document.fullscreenEnabled) frame.requestFullscreen({ navigationUI: "hide" }).catch(() => enlarge(true));
  else enlarge(true);
});
document.addEventListener("fullscreenchange", () => enlarge(document.fullscreenElement === frame));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && frame.classList.contains("large")) leave();
});
new ResizeObserver(redraw).observe(canvas);
const seen = find(".seen");
new ResizeObserver(() => {
  document.documentElement.style.setProperty("--seen", `${seen.offsetHeight}px`);
}).observe(seen);

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
  small.setPets(said.pets.map(shaped(said.shown)));
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
