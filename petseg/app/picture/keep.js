// What a visitor takes along: full-size files made by the server, pictures for the clipboard made here.
const keep = (paint, panels, ask) => {
  const save = find("#save"), share = find("#share"), copy = find("#copy");
  let ground = "photo", own = null, sent = null, waiting = new Map(), made = null;
  const plain = () => ground === "photo" || ground === "clear";
  const kind = () => (plain() ? "sticker" : "on");
  const label = () => (plain() ? "Save sticker" : "Save picture");
  const cutout = find("#cutout");
  // On a small screen all but the one large button, and what a phone shares by, goes to the panel.
  const place = () => {
    if (narrow.matches) find(".more").append(cutout, copy);
    else find(".goal").append(copy, share, cutout);
  };
  place();
  narrow.addEventListener("change", place);
  share.hidden = !navigator.canShare?.({ files: [new File([], "cat.png", { type: "image/png" })] });

  const address = (path) => `${window.gradio_config?.root ?? ""}${window.gradio_config?.api_prefix ?? "/gradio_api"}/file=${path}`;
  // A file of the server, as a blob.
  const order = async (wanted) => {
    const background = ground === "own" ? await sent : ground;
    const more = wanted === "on" ? { background } : {};
    return new Promise((done, fail) => waiting.set(ask({ kind: wanted, ...more }), { done, fail }));
  };
  const answered = async (said) => {
    const waits = waiting.get(said.number);
    if (!waits) return false;
    waiting.delete(said.number);
    if (said.error) waits.fail(new Error(said.error));
    else {
      const got = await fetch(address(said.file));
      if (got.ok) waits.done(new File([await got.blob()], said.name, { type: got.headers.get("content-type") }));
      else waits.fail(new Error("The file is not there any more. Try again."));
    }
    return true;
  };
  const lost = () => {
    waiting.forEach((waits) => waits.fail(new Error("The page is busy. Try again in a moment.")));
    waiting.clear();
  };
  // While a file is made its button says so, and waits.
  const timers = new Map();
  const busy = async (button, work) => {
    if (button.getAttribute("aria-busy") === "true") return;
    const words = (button.dataset.words ??= button.textContent);  // pressed again, it still says what was done
    const rest = () => { button.textContent = button === save ? label() : words; };
    clearTimeout(timers.get(button));
    button.setAttribute("aria-busy", "true");
    button.textContent = "Preparing\u00a0…";
    panels.warn("");
    try {
      button.textContent = (await work()) ?? words;
    } catch (error) {
      rest();
      panels.warn(error.message);
    }
    button.removeAttribute("aria-busy");
    timers.set(button, setTimeout(rest, 1600));
  };
  const hand = (file) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: file.name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    panels.say(`${file.name} is saved.`);
  };
  const saver = (button, wanted) => button.addEventListener("click", () => busy(button, async () => {
    hand(await order(wanted()));
    return "Saved";
  }));
  saver(save, kind);
  for (const name of ["cutout", "mask", "json", "coco"]) {
    saver(name === "cutout" ? cutout : find(`#save-${name}`), () => name);
  }
  copy.addEventListener("click", () => busy(copy, async () => {
    if (!navigator.clipboard?.write) throw new Error("This browser cannot copy pictures here; save the sticker instead.");
    const pets = plain() ? order("sticker") : new Promise((done) => paint.composed(look()).toBlob(done, "image/png"));
    await navigator.clipboard.write([new ClipboardItem({ "image/png": pets })]);
    panels.say("Copied.");
    return "Copied";
  }));
  share.addEventListener("click", () => busy(share, async () => {
    made ??= await order(kind());
    try {
      await navigator.share({ files: [made] });
    } catch (error) {
      // Browsers share only just after a tap; the file may have come too late for this one.
      if (error.name === "NotAllowedError") return "Ready: share";
      if (error.name !== "AbortError") throw error;
    }
    made = null;
    return "Share";
  }));

  let look = () => ({});
  const choose = (name) => {
    ground = name;
    made = null;
    save.textContent = label();
    findAll("#background input[type=radio]").forEach((input) => { input.checked = input.value === name; });
    find(".own").classList.toggle("chosen", name === "own");
  };
  return {
    answered, lost, choose,
    changed() { made = null; },
    enable(is) {
      for (const button of [save, copy, share, cutout, ...findAll("#developers .row button")]) button.disabled = !is;
    },
    setOwn(image, path) { [own, sent] = [image, path]; },
    looks(given) { look = given; },
    get ground() { return ground; },
    get own() { return own; },
  };
};
