// Run the model: ONNX Runtime in WebAssembly, on one thread, which needs no special HTTP headers.

import { InferenceSession, Tensor, env } from "./ort.wasm.bundle.min.mjs";
import { decide, mostSimilar } from "./answer.js";
import { centre, storedPixels } from "./image.js";

env.wasm.numThreads = 1;
env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", import.meta.url).href };

// Load the description and the network; fails with a sentence.
export async function loadModel() {
  const config = await (await fetched("config.json")).json();
  const network = await (await fetched("model.onnx")).arrayBuffer();
  await checkNetwork(network, config.model);
  const session = await InferenceSession.create(network, { executionProviders: ["wasm"] });
  const run = async (square) => {
    const side = config.input_size;
    const images = new Tensor("uint8", centre(square, config), [1, side, side, 3]);
    const { logits, outside, similarity } = await session.run({ images });
    const answer = decide(logits.data, outside ? outside.data[0] : null, config);
    return { ...answer, similar: similarity && config.similar
      ? mostSimilar(similarity.data, config.similar) : [] };
  };
  return { config, run, classify: async (file) => run(await storedPixels(file, config)) };
}

async function fetched(name) {
  let response;
  try {
    // Asks the server whether a copy in the browser's cache is still that of this page.
    response = await fetch(name, { cache: "no-cache" });
  } catch {
    throw new Error(`${name} cannot be read. Serve this folder: python -m http.server`);
  }
  if (!response.ok) throw new Error(`${name} is missing: copy the whole folder.`);
  return response;
}

// Fail where the network is not the one that config.json describes, as in a folder that was copied
// in part. The version is the beginning of its SHA-256; browsers compute that over HTTPS and on this
// machine only.
async function checkNetwork(network, version) {
  if (!crypto.subtle) return;
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", network));
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (!digits.startsWith(version)) {
    throw new Error("model.onnx and config.json are of two models: copy the whole folder again, "
      + "and reload the page.");
  }
}
