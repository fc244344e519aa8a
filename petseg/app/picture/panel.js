// What stands around the picture: words, chips, and the parts of the panel.
const panel = (paint, on) => {
  const live = find("#live"), alarm = find(".alarm"), tip = find("#tip"), badge = find("#badge");
  const TIPS = {
    pet: "Tap what belongs to the pet too.",
    "not pet": "Tap what does not belong to the pet.",
    box: "Drag a box around a pet, or tap two of its corners.",
  };
  const say = (text) => { live.textContent = text; };
  const warn = (text) => {
    alarm.hidden = !text;
    alarm.textContent = text;
  };
  const tool = () => find("#tools input:checked").value;
  const tipFor = (state) => {
    const kind = tool(), count = paint.pets.length;
    if (state.another) return "Tap the next pet.";
    if (kind !== "pick" && (count || kind === "box")) return TIPS[kind];
    if (count > 1) return state.shown === null ? "Tap a pet to pick just that one." : "Only this one is kept. Tap it again for all.";
    if (!state.takes.point) return "";
    if (count) return "Not quite right? Choose “Pet” or “Not pet”, and tap.";
    return state.answered ? "Tap the pet to show where it is." : "";
  };
  const tips = (state) => { tip.textContent = tipFor(state); };

  const chip = (words, pressed, picked, picture, score) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    if (pressed !== null) button.setAttribute("aria-pressed", pressed);
    if (picture) {
      picture.setAttribute("aria-hidden", "true");
      button.append(picture);
    }
    button.append(Object.assign(document.createElement("span"), { textContent: words }));
    if (score) button.append(Object.assign(document.createElement("small"), { textContent: score }));
    button.addEventListener("click", picked);
    return button;
  };
  const chips = (state) => {
    const room = find("#pets"), pets = paint.pets;
    const place = [...room.children].indexOf(document.activeElement), along = room.scrollLeft;
    room.replaceChildren();
    if (pets.length > 1) {
      const all = chip(`All: ${counted(pets)}`, state.shown === null, () => on.pick(null));
      room.append(all);
    }
    for (const pet of pets) {
      const picked = pets.length > 1 ? state.shown === pet.animal : null;
      const button = chip(named(pet, pets), picked, () => on.pick(pet.animal), paint.thumbnail(pet, 72), percent(pet.score));
      button.style.setProperty("--hue", pet.hue);
      button.dataset.animal = pet.animal;
      button.addEventListener("pointerenter", () => on.hover(pet.animal));
      button.addEventListener("pointerleave", () => on.hover(null));
      room.append(button);
    }
    if (pets.length && state.takes.point) {
      const more = chip("+ another pet", state.another, () => on.another());
      more.id = "another";
      room.append(more);
    }
    if (place >= 0) room.children[Math.min(place, room.children.length - 1)]?.focus();
    room.scrollLeft = along;
    const picked = room.querySelector(".chip[data-animal][aria-pressed=true]")?.getBoundingClientRect(), box = room.getBoundingClientRect();
    if (picked) room.scrollLeft += Math.min(0, picked.left - box.left) + Math.max(0, picked.right - box.right);
  };
  // "Cat, 97 % sure" on the picture, and for screen readers all of it.
  const words = (state) => {
    const pets = paint.pets, one = pets.find((pet) => pet.animal === state.shown) ?? (pets.length === 1 ? pets[0] : null);
    badge.hidden = !state.answered;
    if (one) badge.textContent = `${named(one, pets)}, ${percent(one.score)} sure`;
    else badge.textContent = pets.length ? capital(counted(pets)) : "No pet found";
    const found = pets.map((pet) => `${named(pet, pets)}, ${percent(pet.score)} sure`).join("; ");
    const canvas = find("canvas");
    canvas.setAttribute("aria-label", state.answered ? `${state.name}: ${found || "no pet found"}` : `${state.name}`);
    return pets.length ? `${capital(counted(pets))} found: ${found}.` : "No pet found.";
  };
  const advice = (state) => {
    if (state.note) return state.note;
    if (paint.pets.length || !state.answered) return "";
    const tap = state.takes.point ? "Tap the pet in the photo to show where it is, or " : "";
    return `No cat or dog was found. ${tap}${tap ? "try" : "Try"} “looser” under Advanced, or another photo.`;
  };
  const tools = (state) => {
    for (const input of findAll("#tools input")) {
      const kind = { pet: "point", "not pet": "point", box: "box" }[input.value];
      input.closest("label").hidden = Boolean(kind) && !state.takes[kind];
      if (input.checked && input.closest("label").hidden) find("#tools input[value=pick]").checked = true;
    }
  };
  const part = (name) => {
    element.querySelector("#stage").dataset.part = name;
    findAll(".bar button").forEach((button) => button.setAttribute("aria-pressed", button.dataset.part === name));
  };
  findAll(".bar button").forEach((button) => button.addEventListener("click", () => {
    part(button.dataset.part);
    find(`.panel > [data-part=${button.dataset.part}]`).scrollIntoView({ block: "nearest", behavior: calm.matches ? "auto" : "smooth" });
  }));
  findAll(".code button").forEach((button) => button.addEventListener("click", () => {
    getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    document.execCommand("copy");  // works where navigator.clipboard is missing: without HTTPS
    button.textContent = "Copied";
  }));
  const code = (said) => {
    find("#code-python").textContent = said.code.python;
    find("#code-client").textContent = said.code.client;
    findAll(".code button").forEach((button) => { button.textContent = "Copy"; });
    find("#facts").textContent = said.facts;
  };
  return { say, warn, tips, chips, words, advice, tools, code, tool };
};
