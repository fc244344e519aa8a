/** Models: fetched, checked, and run. */

import * as ort from "onnxruntime-web/wasm";
import { type Manifest, readManifest } from "./onnx";
import type { Listed, Listing } from "./rules";

/** What a decoder is given of a photo. */
export type Features = Record<string, ort.Tensor>;

/** Tells how many bytes came. */
export type Progress = (bytes: number) => void;

/** A file as it was when it was listed. */
async function fetchListed(file: Listed, progress: Progress): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await fetch(file.path);
  if (!answer.ok || !answer.body) throw new Error(`${file.path} is missing here (${answer.status}).`);
  const counted = answer.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(part, out) {
        progress(part.byteLength);
        out.enqueue(part);
      },
    }),
  );
  const bytes = new Uint8Array(
    await new Response(counted.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer(),
  );
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== file.sha256)
    throw new Error(`${file.path} is not the file that belongs here: reload the page.`);
  return bytes;
}

let started: Promise<void> | undefined;

/** Make the runtime ready, once. */
function start(listing: Listing, progress: Progress): Promise<void> {
  started ??= fetchListed(listing.runtime, progress).then((binary) => {
    const { wasm } = ort.env;
    wasm.wasmBinary = binary;
    wasm.wasmPaths = { mjs: new URL("runtime.mjs", self.location.href).href };
    wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  });
  return started;
}

/** A thread that waits sleeps: on a busy phone one that spins would keep the others from their work. */
const OPTIONS = { extra: { session: { intra_op: { allow_spinning: "0" } } } };

/** One graph: the whole of a model, or its encoder or decoder. */
class Graph {
  private constructor(
    readonly manifest: Manifest,
    private readonly session: ort.InferenceSession,
  ) {}

  static async open(file: Listed, listing: Listing, progress: Progress): Promise<Graph> {
    const [bytes] = await Promise.all([fetchListed(file, progress), start(listing, progress)]);
    return new Graph(readManifest(bytes), await ort.InferenceSession.create(bytes, OPTIONS));
  }

  async run(inputs: Features): Promise<Features> {
    return this.session.run(inputs);
  }
}

function imageOf(square: Uint8Array, size: number): Features {
  return { image: new ort.Tensor("uint8", square, [1, 3, size, size]) };
}

/** A model that finds all pets. */
export class Finder {
  private constructor(private readonly graph: Graph) {}

  static async open(listing: Listing, progress: Progress): Promise<Finder> {
    return new Finder(await Graph.open(listing.all, listing, progress));
  }

  get manifest(): Manifest {
    return this.graph.manifest;
  }

  /** (3, S, S) logits of a square (3, S, S). */
  async run(square: Uint8Array): Promise<Float32Array> {
    return (await this.graph.run(imageOf(square, this.manifest.size))).logits.data as Float32Array;
  }
}

/** A model that answers clicks. */
export class Clicker {
  private constructor(
    private readonly encoder: Graph,
    private readonly decoder: Graph,
  ) {}

  static async open(listing: Listing, progress: Progress): Promise<Clicker> {
    const open = (file: Listed): Promise<Graph> => Graph.open(file, listing, progress);
    return new Clicker(await open(listing.encoder), await open(listing.decoder));
  }

  get manifest(): Manifest {
    return this.encoder.manifest;
  }

  async encode(square: Uint8Array): Promise<Features> {
    return this.encoder.run(imageOf(square, this.manifest.size));
  }

  async answer(features: Features, prompt: Float32Array): Promise<Float32Array> {
    const { size } = this.manifest;
    const inputs = { ...features, prompt: new ort.Tensor("float32", prompt, [1, 2, size, size]) };
    return (await this.decoder.run(inputs)).logits.data as Float32Array;
  }
}

/** What an encoder says of all pets, (3, s, s); null of one that does not. */
export function semantic(features: Features, manifest: Manifest): Float32Array | null {
  if (!manifest.semantic) return null;
  return features[`features_${Object.keys(features).length - 1}`].data as Float32Array;
}

/** What an encoder says of which animal each place is of, (E, side, side); null of one that does not. */
export function vectors(
  features: Features,
  manifest: Manifest,
): { planes: Float32Array; side: number } | null {
  if (!manifest.apart) return null;
  const { data, dims } = features[`features_${Object.keys(features).length - 2}`];
  return { planes: data as Float32Array, side: dims[3] };
}
