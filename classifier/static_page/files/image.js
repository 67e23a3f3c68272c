// From an image file to the model input, as read_image of classifier/processing/images.py. The
// browser decodes the file and turns it by its EXIF orientation.

import { checkReadAlike } from "./headers.js";
import { meanBlocks, resize } from "./resample.js";

const BAND = 256; // rows that are decoded to pixels at once; a multiple of every block

// Return the square of config.stored_size pixels: Uint8ClampedArray (S, S, 3), RGB.
export async function storedPixels(file, config) {
  const content = new Uint8Array(await bytesOf(file));
  checkReadAlike(content);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This browser cannot read it as an image.");
  }
  try {
    if (bitmap.width * bitmap.height > config.max_pixels) {
      throw new Error(`It has ${bitmap.width} x ${bitmap.height} pixels; `
        + `${config.max_pixels.toLocaleString("en")} is the limit.`);
    }
    return toSquare(bitmap, config, isJpeg(content));
  } finally {
    bitmap.close();
  }
}

async function bytesOf(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new Error("It cannot be read: it is a folder, or it was moved or changed meanwhile.");
  }
}

// Return the centre of a square, which the model sees: Uint8Array (input_size, input_size, 3).
export function centre(square, { stored_size: size, input_size: side }) {
  const first = Math.floor((size - side) / 2);
  const output = new Uint8Array(side * side * 3);
  for (let row = 0; row < side; row++) {
    const from = ((first + row) * size + first) * 3;
    output.set(square.subarray(from, from + side * 3), row * side * 3);
  }
  return output;
}

function toSquare(bitmap, config, jpeg) {
  const { size, box } = geometry(bitmap.width, bitmap.height, config);
  const block = jpeg ? reduction(bitmap, size) : 1;
  const width = Math.ceil(bitmap.width / block), height = Math.ceil(bitmap.height / block);
  const rgb = new Uint8Array(width * height * 3);
  for (const { y, rows, band } of bands(bitmap)) {
    const reduced = block === 1 ? band : meanBlocks(band, bitmap.width, rows, block);
    rgb.set(reduced, (y / block) * width * 3);
  }
  const part = box.map((edge) => edge / block);
  return fillUp(resize(rgb, [width, height], size, part), size, config.stored_size);
}

// Return the size to scale to, and the part of the image that is scaled to it.
function geometry(width, height, { stored_size: target, resize: way }) {
  const whole = [0, 0, width, height];
  if (way === "stretch") return { size: [target, target], box: whole };
  if (way === "pad") {
    const longest = Math.max(width, height);
    const size = [width, height].map((side) => Math.max(1, halfEven((side * target) / longest)));
    return { size, box: whole };
  }
  const side = Math.min(width, height);
  const left = (width - side) / 2, top = (height - side) / 2;
  return { size: [target, target], box: [left, top, left + side, top + side] };
}

// Round as Python's round: halves to the even neighbour.
function halfEven(value) {
  const below = Math.floor(value);
  const half = value - below === 0.5;
  return half ? below + (below % 2) : Math.round(value);
}

// Pillow lets the decoder reduce a JPEG, up to an eighth, to no less than twice the size.
function reduction({ width, height }, size) {
  const factor = Math.min(
    Math.floor(width / (2 * size[0])), Math.floor(height / (2 * size[1])));
  return [8, 4, 2, 1].find((side) => factor >= side) || 1;
}

// Yield the pixels in bands of rows, on white: browsers limit the size of a canvas.
function* bands(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, Math.min(BAND, bitmap.height));
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  context.fillStyle = "white";
  for (let y = 0; y < bitmap.height; y += BAND) {
    const rows = Math.min(BAND, bitmap.height - y);
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, y, bitmap.width, rows, 0, 0, bitmap.width, rows);
    const { data } = context.getImageData(0, 0, bitmap.width, rows);
    const band = new Uint8Array(bitmap.width * rows * 3);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      band[to++] = data[from];
      band[to++] = data[from + 1];
      band[to++] = data[from + 2];
    }
    yield { y, rows, band };
  }
}

// Place the pixels in the middle of a black square.
function fillUp(rgb, [width, height], side) {
  if (width === side && height === side) return rgb;
  const square = new Uint8ClampedArray(side * side * 3);
  const left = Math.floor((side - width) / 2), top = Math.floor((side - height) / 2);
  for (let row = 0; row < height; row++) {
    const line = rgb.subarray(row * width * 3, (row + 1) * width * 3);
    square.set(line, ((top + row) * side + left) * 3);
  }
  return square;
}

function isJpeg(start) {
  return start[0] === 0xff && start[1] === 0xd8;
}
