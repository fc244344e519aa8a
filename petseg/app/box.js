// A box by dragging over the result. Gradio gives `trigger`; the server gets two corners, in pixels of the picture.
// A finger or mouse that hardly moves still clicks: two clicks make a box too.
const HARDLY = 6;
let start = null, band = null;

const place = (image, event) => {
  const frame = image.getBoundingClientRect();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const scale = Math.min(1, frame.width / width, frame.height / height);  // object-fit: scale-down
  const inside = (value, most) => Math.min(most, Math.max(0, value));
  return [
    inside((event.clientX - frame.left - (frame.width - scale * width) / 2) / scale, width),
    inside((event.clientY - frame.top - (frame.height - scale * height) / 2) / scale, height),
  ];
};
const stop = () => {
  band?.remove();
  start = band = null;
};

document.addEventListener("pointerdown", (event) => {
  stop();
  const image = event.target.closest?.("#result img");
  if (!image || !event.isPrimary || event.button) return;
  if (!document.querySelector("#click-mode input[value=corner]:checked")) return;
  start = { image, x: event.clientX, y: event.clientY, one: place(image, event) };
  image.setPointerCapture(event.pointerId);
});
document.addEventListener("pointermove", (event) => {
  if (!start || !event.isPrimary) return;
  const [x, y] = [event.clientX - start.x, event.clientY - start.y];
  if (!band) {
    if (Math.hypot(x, y) < HARDLY) return;
    band = document.createElement("div");
    band.className = "drawn-box";
    (document.fullscreenElement ?? document.body).append(band);
  }
  band.style.left = `${start.x + Math.min(x, 0)}px`;
  band.style.top = `${start.y + Math.min(y, 0)}px`;
  band.style.width = `${Math.abs(x)}px`;
  band.style.height = `${Math.abs(y)}px`;
});
document.addEventListener("pointerup", (event) => {
  if (!start || !event.isPrimary) return;
  if (band) {
    trigger("box", { one: start.one, other: place(start.image, event) });
    // The click that follows is no corner.
    const swallow = (click) => click.stopImmediatePropagation();
    window.addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => window.removeEventListener("click", swallow, { capture: true }));
  }
  stop();
});
document.addEventListener("pointercancel", stop);
document.addEventListener("dragstart", (event) => start && event.preventDefault());
