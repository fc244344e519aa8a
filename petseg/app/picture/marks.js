// What was clicked, about which animal: all of it is kept here, and all of it is sent each time.
const marks = () => {
  let steps = [], shown = null, target = null, begun = 0;

  // Animals that were found without being pointed at become ones that were, so that all stay when one is corrected.
  const seeds = (pets) => pets.map((pet) => ({ kind: "pet", x: pet.at[0], y: pet.at[1], animal: pet.animal, seed: true }));
  const seeded = (pets) => {
    if (steps.length || !pets.length) return;
    steps = seeds(pets);
    begun = Math.max(...pets.map((pet) => pet.animal)) + 1;
  };
  const next = () => Math.max(begun, ...steps.map((step) => step.animal + 1));
  const tidy = () => {
    if (steps.every((step) => step.seed)) {
      steps = [];
      begun = 0;
    }
    const known = new Set(steps.map((step) => step.animal));
    if (steps.length && shown !== null && !known.has(shown)) shown = null;
    if (steps.length && target !== null && !known.has(target)) target = null;
  };
  return {
    seeds,
    get steps() { return steps; },
    get shown() { return shown; },
    get target() { return target; },
    get undoable() { return steps.some((step) => !step.seed); },
    pick(animal) {
      [shown, target] = [animal, animal];
    },
    // A new animal, by a click or a box on it; alone: the others are not to be seen.
    begin(step, pets, alone) {
      seeded(pets);
      const animal = next();
      steps = [...steps, { ...step, animal }];
      [shown, target] = [alone ? animal : null, animal];
    },
    correct(kind, x, y, animal, pets) {
      seeded(pets);
      steps = [...steps, { kind, x, y, animal }];
      target = animal;
    },
    undo() {
      const last = steps.findLastIndex((step) => !step.seed);
      steps = steps.filter((_, i) => i !== last);
      tidy();
    },
    clear() {
      [steps, shown, target, begun] = [[], null, null, 0];
    },
    restore(kept) {
      this.clear();
      steps = kept;
    },
    // Clicks that were on nothing are taken back.
    drop(missed) {
      const same = (a, b) => a.x === b.x && a.y === b.y && a.animal === b.animal && a.kind === b.kind;
      steps = steps.filter((step) => !missed.some((other) => same(step, other)));
      tidy();
    },
    // An answer may know fewer animals than there were.
    settle(pets) {
      if (!pets.some((pet) => pet.animal === shown)) shown = null;
      if (!pets.some((pet) => pet.animal === target) && !steps.some((step) => step.animal === target)) target = null;
    },
  };
};
