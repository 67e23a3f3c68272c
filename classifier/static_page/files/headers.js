// Find the files that browsers read otherwise than Pillow, by their headers.

const ORIENTATION = 0x0112, SHORT = 3, LONG = 4; // a tag of EXIF data, and types of numbers
const PART = "Its first frame has another size than the image, which browsers show otherwise";
const ANIMATED_AVIF = "It is an AVIF animation, whose colours some browsers change";
const PROFILE = "Raw profile type exif";
// Beginnings of JPEG, PNG, GIF, RIFF (WebP), BMP and TIFF files, as bytes of Latin-1; browsers also
// show icons and drawings.
const KNOWN = ["\xff\xd8\xff", "\x89PNG", "GIF8", "RIFF", "BM", "II*\0", "MM\0*"];

// Throw an Error with a sentence for such a file. content: Uint8Array.
export function checkReadAlike(content) {
  const start = String.fromCharCode(...content.subarray(0, 12));
  // AVIF and HEIF files begin with the size of a box.
  if (!KNOWN.some((known) => start.startsWith(known)) && start.slice(4, 8) !== "ftyp") {
    throw new Error("It is no image in a known format.");
  }
  const reason = difference(content);
  if (reason) throw new Error(`${reason}: use classifier predict.`);
}

function difference(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  try {
    if (text(view, 4, 8) === "ftypavis") return ANIMATED_AVIF;
    const kind = kindOf(view);
    const found = { PNG: differenceOfPng, GIF: differenceOfGif, WebP: differenceOfWebp }[kind]?.(view);
    if (found) return found;
    const letters = new TextDecoder("latin1").decode(content);
    const exif = exifStart(letters, kind);
    if (isTurnedByXmp(view, letters, exif)) return "XMP data turn it, which browsers ignore";
    if (exif >= 0 && isOdd(view, exif)) return "Its EXIF orientation is written as browsers ignore it";
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file is cut short
  }
  return "";
}

function kindOf(view) {
  if (text(view, 1, 3) === "PNG") return "PNG";
  if (text(view, 0, 3) === "GIF") return "GIF";
  return text(view, 0, 4) === "RIFF" && text(view, 8, 4) === "WEBP" ? "WebP" : "";
}

function differenceOfPng(view) {
  const isWide = view.getUint8(24) === 16, colours = view.getUint8(25);
  if (isWide && colours === 0) return "Its grey values have 16 bits, which browsers cut to 8";
  let isAnimated = false, hasFrame = false, hasPixels = false, hasExif = false, hasText = false;
  for (let at = 8; at + 12 <= view.byteLength; at += 12 + view.getUint32(at)) {
    const kind = text(view, at + 4, 4);
    if (kind === "acTL") isAnimated = true;
    if (kind === "fcTL") hasFrame = true;
    if (kind === "IDAT") {
      if (isAnimated && !hasFrame) return "Its image is none of its animation, which browsers show";
      hasPixels = true;
    }
    if (kind === "tRNS" && isWide && colours === 2) {
      return "Its transparent colour has 16 bits a value, which Pillow does not know";
    }
    if (kind === "eXIf") {
      hasExif = true;
      if (hasPixels && turns(orientation(view, at + 8))) {
        return "EXIF data behind its pixels turn it, which browsers ignore";
      }
    }
    if (/^(tEXt|zTXt|iTXt)$/.test(kind) && view.getUint32(at) > PROFILE.length) {
      hasText ||= text(view, at + 8, PROFILE.length) === PROFILE;
    }
  }
  return hasText && !hasExif ? "Its EXIF data are in a text, which browsers ignore" : "";
}

function differenceOfGif(view) {
  const size = (at) => view.getUint16(at, true);
  const colours = view.getUint8(10);
  let at = 13 + (colours & 0x80 ? 3 * 2 ** ((colours & 7) + 1) : 0);
  while (view.getUint8(at) === 0x21) { // an extension, whose blocks end with an empty one
    for (at += 2; view.getUint8(at); at += 1 + view.getUint8(at));
    at += 1;
  }
  const fills = !size(at + 1) && !size(at + 3) && size(at + 5) === size(6) && size(at + 7) === size(8);
  return fills ? "" : PART;
}

function differenceOfWebp(view) {
  const triple = (at) => view.getUint16(at, true) + 0x10000 * view.getUint8(at + 2);
  let frames = 0;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const kind = text(view, at, 4), size = view.getUint32(at + 4, true);
    if (kind === "EXIF" && turns(orientation(view, at + 8))) {
      return "EXIF data turn it, which some browsers ignore in WebP files";
    }
    // The header, VP8X, has width and height at 24 and 27.
    if (kind === "ANMF" && !frames++ && (triple(at + 8) || triple(at + 11)
      || triple(at + 14) !== triple(24) || triple(at + 17) !== triple(27))) return PART;
    at += 8 + size + (size % 2);
  }
  return "";
}

// Whether XMP data turn the image: they count where EXIF data, or the properties of an AVIF file,
// say nothing.
function isTurnedByXmp(view, letters, exif) {
  const found = /tiff:Orientation(?:="|>)([0-9])/.exec(letters);
  if (!found || !turns(Number(found[1])) || /irot|imir/.test(letters)) return false;
  return exif < 0 || orientation(view, exif) === 0;
}

// Return where the EXIF data begin, or -1.
function exifStart(letters, kind) {
  const start = letters.indexOf({ PNG: "eXIf", WebP: "EXIF" }[kind] ?? "Exif\0\0");
  return start < 0 ? start : start + ({ PNG: 4, WebP: 8 }[kind] ?? 0);
}

// Whether the orientation turns the image by Pillow alone: browsers read nothing but one short
// number, in EXIF data that begin as TIFF files.
function isOdd(view, start) {
  const found = orientationEntry(view, start);
  return found !== null && turns(found.value) && !(found.magic === 42 && found.kind === SHORT
    && found.count === 1);
}

function turns(orientation) {
  return orientation > 1 && orientation < 9;
}

// Return the orientation of EXIF data, 1 to 8 if it is right, or 0 where there is none.
function orientation(view, start) {
  return orientationEntry(view, start)?.value ?? 0;
}

function orientationEntry(view, start) {
  const tiff = text(view, start, 4) === "Exif" ? start + 6 : start;
  const little = text(view, tiff, 2) === "II";
  const directory = tiff + view.getUint32(tiff + 4, little);
  const entries = view.getUint16(directory, little);
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + 12 * entry;
    if (view.getUint16(at, little) !== ORIENTATION) continue;
    const kind = view.getUint16(at + 2, little);
    const value = kind === LONG ? view.getUint32(at + 8, little) : view.getUint16(at + 8, little);
    const magic = view.getUint16(tiff + 2, little), count = view.getUint32(at + 4, little);
    return { kind, value, magic, count };
  }
  return null;
}

function text(view, at, length) {
  let letters = "";
  for (let place = at; place < at + length; place++) {
    letters += String.fromCharCode(view.getUint8(place));
  }
  return letters;
}
