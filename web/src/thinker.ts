/** The worker, as the page talks to it. */

import type { Question } from "./worker";

interface Waiting {
  resolve: (answer: unknown) => void;
  reject: (error: Error) => void;
}

export class Thinker {
  private readonly worker = new Worker("worker.js", { type: "module" });
  private readonly waiting = new Map<number, Waiting>();
  private count = 0;

  /** `onProgress` gets how much of the files that are loading came, 0..1. */
  constructor(onProgress: (share: number) => void) {
    this.worker.addEventListener("message", ({ data: { id, answer, error, progress } }) => {
      if (progress !== undefined) return onProgress(progress);
      const waiting = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) waiting?.resolve(answer);
      else waiting?.reject(new Error(error));
    });
    this.worker.addEventListener("error", () => {
      for (const { reject } of this.waiting.values())
        reject(new Error("Something went wrong: reload the page."));
    });
  }

  ask(question: Question): Promise<unknown> {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, question });
    });
  }
}
