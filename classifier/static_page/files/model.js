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
    response = await fetch(name);
  } catch {
    throw new Error(`${name} cannot be read. Serve this folder: python -m http.server`);
  }
  if (!response.ok) throw new Error(`${name} is missing: copy the whole folder.`);
  return response;
}
