/** What an ONNX file says about itself (docs/onnx-contract.md), read from its bytes. */

export interface Manifest {
  format: number;
  name: string;
  version: string;
  classes: string[];
  size: number;
  fit: string;
  fill: number;
  prompts: string[];
  part?: "encoder" | "decoder";
  zoom?: boolean;
  mirror?: boolean;
  semantic?: boolean;
  apart?: boolean;
  presence?: string;
  doubt?: boolean;
  precision?: string;
}

/** Number of the metadata among the fields of a ModelProto, and of key and value in each entry. */
const METADATA = 14;
const [KEY, VALUE] = [1, 2];
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5];

/** Fields of a protobuf message that are bytes: number and content. */
function* fields(message: Uint8Array): Generator<[number, Uint8Array]> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= message.length) throw new Error("The model's file is damaged: it ends too early.");
      const byte = message[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = varint();
    const kind = tag % 8;
    if (kind === BYTES) {
      const length = varint();
      yield [Math.floor(tag / 8), message.subarray(at, at + length)];
      at += length;
    } else if (kind === VARINT) varint();
    else if (kind === FIXED64) at += 8;
    else if (kind === FIXED32) at += 4;
    else throw new Error("The model's file is damaged: it is no ONNX.");
  }
}

/** The manifest of a model's file; throws where this page cannot keep its contract. */
export function readManifest(file: Uint8Array): Manifest {
  const text = new TextDecoder();
  for (const [number, entry] of fields(file)) {
    if (number !== METADATA) continue;
    const pair = new Map(fields(entry));
    const [key, value] = [pair.get(KEY), pair.get(VALUE)];
    if (!key || !value || text.decode(key) !== "petseg") continue;
    const manifest = JSON.parse(text.decode(value)) as Manifest;
    const classes = manifest.classes.join();
    if (manifest.format !== 1 || manifest.fit !== "letterbox" || classes !== "background,cat,dog") {
      throw new Error(`Model ${manifest.name} is made for a newer page: reload this one.`);
    }
    return manifest;
  }
  throw new Error("The model's file says nothing about itself.");
}
