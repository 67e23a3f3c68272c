// Scale images as Pillow does: bilinear with antialiasing, in the same fixed-point arithmetic and in
// the same order, so that the result is the same to the bit. After src/libImaging/Resample.c of
// Pillow; the order is that of Pillow 13.

const PRECISION_BITS = 22; // 32 bits less 8 of the pixels, less 2 for the sum

// Scale the part `box` (left, top, right, bottom) of an RGB image, Uint8Array (height, width, 3).
export function resize(rgb, [width, height], [outWidth, outHeight], [left, top, right, bottom]) {
  const across = filterWeights(width, left, right, outWidth);
  const down = filterWeights(height, top, bottom, outHeight);
  if (height > outHeight && height - outHeight > 2 * (width - outWidth)) {
    return scaleRows(scaleColumns(rgb, width, down), width, outHeight, across);
  }
  return scaleColumns(scaleRows(rgb, width, height, across), outWidth, down);
}

// For each of outSize pixels: the first input pixel and the weights of those from there on.
// The part from `start` to `end` of inSize pixels becomes outSize pixels.
function filterWeights(inSize, start, end, outSize) {
  const scale = (end - start) / outSize;
  const filterScale = Math.max(scale, 1), inverse = 1 / filterScale;
  const rows = [];
  for (let place = 0; place < outSize; place++) {
    const centre = start + (place + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - filterScale + 0.5), 0);
    const last = Math.min(Math.trunc(centre + filterScale + 0.5), inSize);
    const weights = [];
    for (let x = first; x < last; x++) {
      weights.push(Math.max(1 - Math.abs((x - centre + 0.5) * inverse), 0));
    }
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const fixed = weights.map((weight) =>
      Math.trunc(0.5 + (sum ? weight / sum : weight) * 2 ** PRECISION_BITS));
    rows.push({ first, fixed: Int32Array.from(fixed) });
  }
  return rows;
}

// Scale along one axis. The axis has `step` values from pixel to pixel in the input and outStep in
// the output; the other axis has `lines` lines, with `lineStep` and outLineStep from one to the next.
function scaleAxis(input, output, weights, { step, outStep, lines, lineStep, outLineStep }) {
  weights.forEach(({ first, fixed }, place) => {
    for (let line = 0; line < lines; line++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (PRECISION_BITS - 1);
        let from = line * lineStep + first * step + channel;
        for (let tap = 0; tap < fixed.length; tap++, from += step) sum += input[from] * fixed[tap];
        output[line * outLineStep + place * outStep + channel] = sum >> PRECISION_BITS;
      }
    }
  });
}

// Scale RGB rows to the width of `weights`: Uint8Array (height, width, 3).
function scaleRows(rgb, width, height, weights) {
  const output = new Uint8ClampedArray(height * weights.length * 3);
  scaleAxis(rgb, output, weights,
    { step: 3, outStep: 3, lines: height, lineStep: 3 * width, outLineStep: 3 * weights.length });
  return output;
}

// Scale RGB columns to the height of `weights`.
function scaleColumns(rgb, width, weights) {
  const output = new Uint8ClampedArray(weights.length * width * 3);
  scaleAxis(rgb, output, weights,
    { step: 3 * width, outStep: 3 * width, lines: width, lineStep: 3, outLineStep: 3 });
  return output;
}

// Replace each block of `side` x `side` pixels by its mean; blocks at the edge may be smaller.
// A JPEG decoder that is asked for a reduced size does nearly the same.
export function meanBlocks(rgb, width, height, side) {
  const outWidth = Math.ceil(width / side), outHeight = Math.ceil(height / side);
  const output = new Uint8ClampedArray(outWidth * outHeight * 3);
  for (let y = 0; y < outHeight; y++) {
    const bottom = Math.min((y + 1) * side, height);
    for (let x = 0; x < outWidth; x++) {
      const right = Math.min((x + 1) * side, width);
      const count = (bottom - y * side) * (right - x * side);
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let row = y * side; row < bottom; row++) {
          for (let column = x * side; column < right; column++) {
            sum += rgb[(row * width + column) * 3 + channel];
          }
        }
        output[(y * outWidth + x) * 3 + channel] = Math.round(sum / count);
      }
    }
  }
  return output;
}
