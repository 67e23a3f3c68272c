"use strict";
// Of one request; a server that is busy says so earlier.
const TIMEOUT = 60000;
const ATTEMPTS = 6;
// Kept in memory alone: closing the page forgets it.
let key = "";

// The answer as a blob; an Error with a sentence, and the status where the server refused.
async function ask(path, body, signal) {
  const limit = new AbortController();
  const stop = () => limit.abort();
  const timer = setTimeout(() => limit.abort("time"), TIMEOUT);
  signal?.addEventListener("abort", stop);
  let response;
  try {
    const headers = key ? { Authorization: "Bearer " + key } : {};
    const method = body ? "POST" : "GET";
    response = await fetch(path, { method, body, headers, signal: limit.signal });
    // All of it has to arrive in time.
    if (response.ok) return await response.blob();
  } catch {
    if (signal?.aborted) throw new Error("Cancelled.");
    if (limit.signal.reason === "time") {
      throw new Error("The server did not answer within " + TIMEOUT / 1000 + " seconds.");
    }
    throw new Error("The server cannot be reached.");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
  let reason = "The server answered with status " + response.status + ".";
  try {
    reason = (await response.json()).error || reason;
  } catch { /* not JSON: the status says what there is to say */ }
  const error = new Error(reason);
  error.status = response.status;
  error.retry = Number(response.headers.get("Retry-After") || 0);
  throw error;
}

const parsed = async (blob) => JSON.parse(await blob.text());

async function askUntilFree(path, file, signal, wait = () => {}) {
  const body = new FormData();
  body.append("image", file, file.name || "pasted");
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask(path, body, signal);
    } catch (error) {
      if (error.status !== 503 || attempt >= ATTEMPTS) throw error;
      wait();
      await new Promise((done) => {
        setTimeout(done, 1000 * Math.max(1, error.retry));
        signal?.addEventListener("abort", done);
      });
      if (signal?.aborted) throw new Error("Cancelled.");
    }
  }
}
