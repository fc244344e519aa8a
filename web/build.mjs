// The page's scripts, into the folder that is given: `node build.mjs FOLDER`.
import { build } from "esbuild";

await build({
  entryPoints: ["src/page.ts", "src/worker.ts", "src/offline.ts"],
  outdir: process.argv[2] ?? "build",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  // The runtime's own script lies beside ours, so that its threads start from that and not from all of this.
  conditions: ["onnxruntime-web-use-extern-wasm"],
  legalComments: "eof",
});
