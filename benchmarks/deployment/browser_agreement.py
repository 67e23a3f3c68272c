"""Compare the page of `classifier export-page` with Python, in headless Chromium.

python benchmarks/deployment/browser_agreement.py PROJECT [--int8]

PROJECT is a folder in which the pipeline has run. Its test images go through both: as PNG files of
the stored pixels and, where `download.url` is a folder, as the original files; besides, the golden
files and JPEG files of 16 times as many pixels, which Pillow lets the decoder reduce.
"""

import argparse
import base64
import io
import json
import shutil
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path[0] = str(ROOT)

from classifier.data.dataset import load_dataset  # noqa: E402
from classifier.export.original_files import original_files  # noqa: E402
from classifier.inference.predict import Model, load_model  # noqa: E402
from classifier.static_page.web_runtime import runtime_files  # noqa: E402
from classifier.static_page.write_page import write_page  # noqa: E402

CLASSIFY = """async (text) => {
  const { storedPixels } = await import("/image.js");
  const { loadModel } = await import("/model.js");
  window.model ||= await loadModel();
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const started = performance.now();
  const pixels = await storedPixels(new File([bytes], "image"), window.model.config);
  const decoded = performance.now();
  const answer = await window.model.run(pixels);
  return { pixels: btoa(Array.from(pixels, (value) => String.fromCharCode(value)).join("")),
    ...answer, decoding: decoded - started, inference: performance.now() - decoded };
}"""
MOST = 400


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def image_files(project: Path) -> dict[str, list[bytes]]:
    dataset = load_dataset(project / "data/split")
    rows = dataset.rows("test")
    stored = [Image.fromarray(image) for image in dataset.images[rows[:MOST]]]
    files = {"stored pixels as PNG": [encoded(image, "PNG") for image in stored]}
    source = json.loads((project / "data/raw/source.json").read_text("utf-8"))
    folder = Path(str(source.get("url")))
    if folder.is_dir():
        paths = [folder / str(path) for path in dataset.manifest["path"].to_numpy()[rows[:MOST]]]
        files["original files"] = [path.read_bytes() for path in paths]
    enlarged = [
        image.resize((4 * image.width, 4 * image.height), Image.Resampling.BICUBIC)
        for image in stored
    ]
    files["JPEG of 16 times the pixels"] = [
        encoded(image, "JPEG", quality=90) for image in enlarged[:40]
    ]
    golden = original_files(dataset.images[rows[:8]])
    return files | {f"golden file {name}": [content] for name, content in golden.items()}


def compare(page: Page, model: Model, contents: list[bytes]) -> str:
    same_class = same_pixels = largest = 0
    mean, probability, times = [], 0.0, []
    for content in contents:
        given = page.evaluate(CLASSIFY, base64.b64encode(content).decode())
        pixels = model.decode(content)
        shown = np.frombuffer(base64.b64decode(given["pixels"]), np.uint8).reshape(pixels.shape)
        difference = np.abs(shown.astype(int) - pixels)
        answer = model.answers(pixels[np.newaxis])[0]
        same_class += (given["index"], given["reason"]) == (answer.best.index, answer.reason)
        same_pixels += not difference.any()
        largest = max(largest, int(difference.max()))
        mean.append(difference.mean())
        found = np.abs(answer.probabilities - given["probabilities"]).max()
        probability = max(probability, float(found))
        times.append((given["decoding"], given["inference"]))
    decoding, inference = np.median(times, axis=0)
    return (
        f"{len(contents)} | {same_class} | {same_pixels} | {np.mean(mean):.2g} | {largest} | "
        f"{probability:.1e} | {decoding:.0f} + {inference:.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--package", type=Path)
    parser.add_argument("--int8", action="store_true", help="the eight-bit file")
    options = parser.parse_args()
    model = load_model(options.project / "models", int8=options.int8, threads=1)
    print("| files | images | same answer | same pixels | mean | largest | probability | ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "page")
        runtime = runtime_files(options.package)
        write_page(folder, options.project / "models", runtime, int8=options.int8)
        handler = partial(Quiet, directory=str(folder))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as tool:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            chromium = shutil.which("chromium")
            browser = tool.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            for what, contents in image_files(options.project).items():
                print(f"| {what} | {compare(page, model, contents)} |", flush=True)
            browser.close()
            server.shutdown()


if __name__ == "__main__":
    main()
