// Reads the packed Gaussians. The form is described in img2world/export/packed_splats.py; the header's table
// tells the fields, so that only the two kinds of number are written here a second time.

const FORMAT_VERSION = 1;
const SQUARE_LEVELS = 127;

/** What the person at the screen can understand and act on. */
class ViewerError extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

function bytesFromBase64(text) {
  const characters = atob(text.trim());
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < characters.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** Inflates a zlib stream of known size and tells the share that is done, 0 to 1. */
async function inflate(packed, size, onProgress) {
  if (typeof DecompressionStream === "undefined") {
    throw new ViewerError("This browser is too old", "Open the page in a browser from 2023 or later.");
  }
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const payload = new Uint8Array(size);
  let done = 0;
  for (;;) {
    const chunk = await reader.read();
    if (chunk.done) break;
    payload.set(chunk.value, done);
    done += chunk.value.length;
    onProgress(done / size);
  }
  if (done !== size) throw new ViewerError("This file is damaged", "Export the page again.");
  return payload;
}

/** The integers of one component of a field. */
function integersOf(payload, entry, count, component) {
  const integers = new Uint32Array(count);
  for (let byte = 0; byte < entry.bytes; byte++) {
    const start = entry.offset + (component * entry.bytes + byte) * count;
    for (let i = 0; i < count; i++) integers[i] |= payload[start + i] << (8 * byte);
  }
  return integers;
}

/** Calls put(i, component, value) for each value of a linear or signed_square field. */
function decodeNumbers(payload, entry, count, put) {
  for (let component = 0; component < entry.components; component++) {
    const integers = integersOf(payload, entry, count, component);
    const high = entry.high[component];
    if (entry.kind === "linear") {
      const low = entry.low[component];
      const step = (high - low) / (256 ** entry.bytes - 1);
      for (let i = 0; i < count; i++) put(i, component, low + integers[i] * step);
    } else {
      for (let i = 0; i < count; i++) {
        const share = (integers[i] - SQUARE_LEVELS) / SQUARE_LEVELS;
        put(i, component, high * share * Math.abs(share));
      }
    }
  }
}

/** Turns the modified Rodrigues parameters at `place` of each Gaussian's geometry into wxyz quaternions. */
function quatsFromTurns(geometry, count, place) {
  for (let i = 0; i < count; i++) {
    const at = 12 * i + place;
    const [x, y, z] = geometry.subarray(at, at + 3);
    const square = x * x + y * y + z * z;
    geometry.set([(1 - square) / (1 + square), (2 * x) / (1 + square), (2 * y) / (1 + square), (2 * z) / (1 + square)], at);
  }
}

/**
 * Arrays as the textures want them: geometry holds 12 numbers a Gaussian (mean and opacity, wxyz
 * quaternion, scales and a spare), colors 4 numbers a basis (rgb and a spare), means 3 for the sorter.
 */
function decodeSplats(header, payload) {
  if (header.version !== FORMAT_VERSION) throw new ViewerError("This file is of another version", "Export the page again.");
  const { count, fields } = header;
  const bases = (header.sh_degree + 1) ** 2;
  const geometry = new Float32Array(12 * count);
  const colors = new Float32Array(4 * bases * count);
  const means = new Float32Array(3 * count);
  const entry = Object.fromEntries(fields.map((field) => [field.name, field]));
  decodeNumbers(payload, entry.means, count, (i, axis, value) => {
    geometry[12 * i + axis] = means[3 * i + axis] = value;
  });
  decodeNumbers(payload, entry.opacities, count, (i, _, value) => { geometry[12 * i + 3] = value; });
  decodeNumbers(payload, entry.turns, count, (i, part, value) => { geometry[12 * i + 4 + part] = value; });
  quatsFromTurns(geometry, count, 4);
  decodeNumbers(payload, entry.log_scales, count, (i, axis, value) => { geometry[12 * i + 8 + axis] = Math.exp(value); });
  decodeNumbers(payload, entry.sh_first, count, (i, channel, value) => { colors[4 * bases * i + channel] = value; });
  if (bases > 1) {
    decodeNumbers(payload, entry.sh_rest, count, (i, component, value) => {
      const basis = 1 + Math.floor(component / 3);
      colors[4 * (bases * i + basis) + (component % 3)] = value;
    });
  }
  return { count, bases, geometry, colors, means };
}
