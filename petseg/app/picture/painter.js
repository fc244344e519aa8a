// Draws the picture: the photo, its pets, and what was clicked, from what was sent once.
const LEAST = 960;  // longest side of the canvas, at least
const DIM = 0.42;

const painter = (canvas) => {
  const context = canvas.getContext("2d");
  const probe = blank(1, 1).getContext("2d");
  let photo = null, grey = null, dim = null, pets = [], lit = null, width = 0, height = 0, scale = 1;

  const inGrey = (factor) => {
    const copy = blank(width, height), drawn = copy.getContext("2d", { willReadFrequently: true });
    drawn.drawImage(photo, 0, 0, width, height);
    const data = drawn.getImageData(0, 0, width, height), pixels = data.data;
    for (let i = 0; i < pixels.length; i += 4) {
      const light = factor * (0.299 * pixels[i] + 0.587 * pixels[i + 1] + 0.114 * pixels[i + 2]);
      pixels[i] = pixels[i + 1] = pixels[i + 2] = light;
    }
    drawn.putImageData(data, 0, 0);
    return copy;
  };
  // A photo, or what the browser has of it until the server's comes.
  const setPhoto = (image, across, down) => {
    [photo, width, height] = [image, across, down];
    scale = Math.max(1, LEAST / Math.max(width, height));
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.parentElement.style.setProperty("--ratio", width / height);
    grey = dim = null;
    setPets([]);
  };
  const setPets = (found) => {
    pets = found;
    lit = null;
  };
  const chosen = (shown) => pets.filter((pet) => shown === null || pet.animal === shown);

  // The pets that are shown, cut out of the photo; kept until others are.
  const cut = (shown) => {
    if (lit?.shown === shown) return lit.layer;
    const layer = blank(canvas.width, canvas.height), drawn = layer.getContext("2d");
    drawn.scale(scale, scale);
    chosen(shown).forEach((pet) => drawn.fill(pet.path, "evenodd"));
    drawn.globalCompositeOperation = "source-in";
    drawn.drawImage(photo, 0, 0, width, height);
    lit = { shown, layer };
    return layer;
  };
  const cover = (drawn, image) => {
    const [across, down] = [image.width, image.height];
    const factor = Math.max(width / across, height / down);
    const [w, h] = [factor * across, factor * down];
    drawn.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  };
  const blurred = (drawn) => {
    let small = photo, [w, h] = [width, height];
    for (const side of [256, 64, 24, 64, 256]) {  // smaller and larger again: every browser can do that
      const factor = side / Math.max(width, height);
      const next = blank(Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor)));
      next.getContext("2d").imageSmoothingQuality = "high";
      next.getContext("2d").drawImage(small, 0, 0, w, h, 0, 0, next.width, next.height);
      [small, w, h] = [next, next.width, next.height];
    }
    drawn.drawImage(small, 0, 0, width, height);
  };
  const checkers = (drawn) => {
    const field = Math.max(8, Math.round(Math.max(width, height) / 48));
    for (let y = 0; y < height; y += field) {
      for (let x = 0; x < width; x += field) {
        drawn.fillStyle = ((x + y) / field) % 2 ? "#cdcdcd" : "#eeeeee";
        drawn.fillRect(x, y, field, field);
      }
    }
  };
  const ground = (drawn, name, own) => {
    if (name === "clear") checkers(drawn);
    else if (name === "blur") blurred(drawn);
    else if (name === "grey") drawn.drawImage(grey ??= inGrey(1), 0, 0);
    else if (name === "own" && own) cover(drawn, own);
    else {
      drawn.fillStyle = name;
      drawn.fillRect(0, 0, width, height);
    }
  };
  const layOn = (drawn, layer) => drawn.drawImage(layer, 0, 0, width, height);

  const outlines = (drawn, shown, grown) => {
    const thin = Math.max(width, height) / 420;
    for (const pet of chosen(shown)) {
      for (const [colour, wide] of [["rgb(255 255 255 / .95)", 2.4 * thin], [pet.hue, 1.2 * thin]]) {
        drawn.lineWidth = wide;
        drawn.strokeStyle = colour;
        drawn.setLineDash(grown < 1 ? [pet.length * grown, pet.length] : []);
        drawn.stroke(pet.line);
      }
    }
    drawn.setLineDash([]);
  };
  const views = {
    spotlight: (drawn, look) => {
      drawn.drawImage(dim ??= inGrey(DIM), 0, 0);
      layOn(drawn, cut(look.shown));
      outlines(drawn, look.shown, look.grown);
    },
    tint: (drawn, look) => {
      drawn.drawImage(photo, 0, 0, width, height);
      drawn.globalAlpha = look.opacity;
      for (const pet of chosen(look.shown)) {
        drawn.fillStyle = pet.hue;
        drawn.fill(pet.path, "evenodd");
      }
      drawn.globalAlpha = 1;
      outlines(drawn, look.shown, look.grown);
    },
    outline: (drawn, look) => {
      drawn.drawImage(photo, 0, 0, width, height);
      outlines(drawn, look.shown, look.grown);
    },
    mask: (drawn, look) => {
      drawn.fillStyle = "#000";
      drawn.fillRect(0, 0, width, height);
      for (const pet of chosen(look.shown)) {
        drawn.fillStyle = pet.hue;
        drawn.fill(pet.path, "evenodd");
      }
    },
  };
  const hovered = (drawn, look) => {
    const pet = pets.find((one) => one.animal === look.hover);
    if (!pet || pets.length < 2 || look.shown === pet.animal) return;
    drawn.save();
    drawn.clip(pet.path, "evenodd");
    drawn.drawImage(photo, 0, 0, width, height);
    drawn.globalAlpha = 0.16;
    drawn.fillStyle = "#fff";
    drawn.fillRect(0, 0, width, height);
    drawn.restore();
    outlines(drawn, pet.animal, 1);
  };
  const pin = (drawn, step, unit) => {
    const [x, y, radius] = [step.at[0], step.at[1], 11 * unit];
    const disc = (r, colour) => {
      drawn.beginPath();
      drawn.arc(x, y, r, 0, 2 * Math.PI);
      drawn.fillStyle = colour;
      drawn.fill();
    };
    disc(radius, "#fff");
    disc(radius * 0.82, step.kind === "pet" ? GREEN : RED);
    drawn.strokeStyle = "#fff";
    drawn.lineWidth = radius * 0.24;
    drawn.beginPath();
    drawn.moveTo(x - radius * 0.45, y);
    drawn.lineTo(x + radius * 0.45, y);
    if (step.kind === "pet") {  // the sign tells them apart without the colour
      drawn.moveTo(x, y - radius * 0.45);
      drawn.lineTo(x, y + radius * 0.45);
    }
    drawn.stroke();
  };
  const frame = (drawn, [x0, y0], [x1, y1], unit) => {
    for (const [colour, wide] of [["#000", 5], [YELLOW, 3]]) {
      drawn.strokeStyle = colour;
      drawn.lineWidth = wide * unit;
      drawn.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    }
  };
  const cross = (drawn, [x, y], unit) => {
    for (const [colour, wide] of [["#000", 5], [YELLOW, 2.5]]) {
      drawn.strokeStyle = colour;
      drawn.lineWidth = wide * unit;
      drawn.beginPath();
      drawn.moveTo(x - 16 * unit, y);
      drawn.lineTo(x + 16 * unit, y);
      drawn.moveTo(x, y - 16 * unit);
      drawn.lineTo(x, y + 16 * unit);
      drawn.stroke();
    }
  };

  // `look`: view, ground, own, shown, hover, opacity, grown, split, steps, band, cross. Places are of the preview.
  const scene = (drawn, look) => {
    if (!pets.length) drawn.drawImage(photo, 0, 0, width, height);
    else if (look.ground === "photo") views[look.view](drawn, look);
    else {
      ground(drawn, look.ground, look.own);
      layOn(drawn, cut(look.shown));
    }
  };
  const draw = (look) => {
    if (!photo) return;
    const unit = width / Math.max(1, canvas.clientWidth || width);  // of the preview in one pixel of the screen
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    scene(context, look);
    if (look.ground === "photo") hovered(context, look);
    if (look.split > 0) {
      context.drawImage(photo, 0, 0, photo.width * look.split, photo.height, 0, 0, width * look.split, height);
      context.fillStyle = "#fff";
      context.fillRect(width * look.split - unit, 0, 2 * unit, height);
    }
    for (const step of look.steps) {
      if (step.kind === "box") frame(context, step.at, step.to, unit);
      else if (!step.seed) pin(context, step, unit);
    }
    if (look.band) frame(context, ...look.band, unit);
    if (look.cross) cross(context, look.cross, unit);
  };
  // What is to be copied: the ground and the pets, and nothing else; a clear ground stays clear.
  const composed = (look) => {
    const copy = blank(canvas.width, canvas.height), drawn = copy.getContext("2d");
    drawn.scale(scale, scale);
    if (look.ground !== "clear") ground(drawn, look.ground, look.own);
    layOn(drawn, cut(look.shown));
    return copy;
  };
  // A pet by itself, in a small canvas of its own.
  const thumbnail = (pet, side) => {
    const copy = blank(side, side), drawn = copy.getContext("2d"), [x0, y0, x1, y1] = pet.box;
    const room = 1.12 * Math.max(x1 - x0, y1 - y0), factor = side / room;
    drawn.fillStyle = pet.hue;
    drawn.fillRect(0, 0, side, side);
    drawn.setTransform(factor, 0, 0, factor, side / 2 - factor * (x0 + x1) / 2, side / 2 - factor * (y0 + y1) / 2);
    drawn.clip(pet.path, "evenodd");
    drawn.drawImage(photo, 0, 0, width, height);
    return copy;
  };
  const petAt = (x, y) => pets.find((pet) => probe.isPointInPath(pet.path, x, y, "evenodd")) ?? null;
  return {
    setPhoto, setPets, draw, composed, thumbnail, petAt,
    get pets() { return pets; },
    get shown() { return [width, height]; },
    get ready() { return Boolean(photo); },
  };
};
