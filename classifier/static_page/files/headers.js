// Find the files that browsers read otherwise than Pillow, by their headers.

const ORIENTATION = 0x0112;

// Throw an Error with a sentence for such a file. content: Uint8Array.
export function checkReadAlike(content) {
  const reason = difference(content);
  if (reason) throw new Error(`${reason}: use classifier predict.`);
}

function difference(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  try {
    if (text(view, 1, 3) === "PNG") return differenceOfPng(view);
    if (text(view, 0, 4) === "RIFF" && text(view, 8, 4) === "WEBP" && isTurned(view)) {
      return "EXIF data turn it, which some browsers ignore in WebP files";
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file is cut short
  }
  return "";
}

function differenceOfPng(view) {
  if (view.getUint8(24) === 16 && view.getUint8(25) === 0) {
    return "Its grey values have 16 bits, which browsers cut to 8";
  }
  let isAnimated = false;
  for (let at = 8; ; at += 12 + view.getUint32(at)) {
    const kind = text(view, at + 4, 4);
    if (kind === "acTL") isAnimated = true;
    if (kind === "fcTL") return "";
    if (kind === "IDAT") {
      return isAnimated ? "Its image is none of its animation, which browsers show" : "";
    }
  }
}

// Whether a WebP file has an EXIF orientation other than upright.
function isTurned(view) {
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    if (text(view, at, 4) === "EXIF") return orientation(view, at + 8) > 1;
    at += 8 + size + (size % 2);
  }
  return false;
}

// Return the orientation of EXIF data, 1 to 8, or 1 where there is none.
function orientation(view, start) {
  const tiff = text(view, start, 4) === "Exif" ? start + 6 : start;
  const little = text(view, tiff, 2) === "II";
  const directory = tiff + view.getUint32(tiff + 4, little);
  const entries = view.getUint16(directory, little);
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + 12 * entry;
    if (view.getUint16(at, little) === ORIENTATION) return view.getUint16(at + 8, little);
  }
  return 1;
}

function text(view, at, length) {
  let letters = "";
  for (let place = at; place < at + length; place++) {
    letters += String.fromCharCode(view.getUint8(place));
  }
  return letters;
}
