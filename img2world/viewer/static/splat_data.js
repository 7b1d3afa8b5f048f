// Decodes packed Gaussians. The format is specified in img2world/viewer/packed_splats.py; the header lists the
// fields, so only the two encodings are implemented here a second time.

const FORMAT_VERSION = 1;
const SQUARE_LEVELS = 127;

/** An error that is shown to the user, with a hint. */
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

/** Inflates a zlib stream of known size; `onProgress` gets the fraction done, 0 to 1. */
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

/** Returns the integers of one component of a field. */
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
        const root = (integers[i] - SQUARE_LEVELS) / SQUARE_LEVELS;
        put(i, component, high * root * Math.abs(root));
      }
    }
  }
}

/** Replaces the modified Rodrigues parameters at `offset` of each Gaussian's geometry by wxyz quaternions. */
function convertTurnsToQuats(geometry, count, offset) {
  for (let i = 0; i < count; i++) {
    const at = 12 * i + offset;
    const [x, y, z] = geometry.subarray(at, at + 3);
    const square = x * x + y * y + z * z;
    geometry.set([(1 - square) / (1 + square), (2 * x) / (1 + square), (2 * y) / (1 + square), (2 * z) / (1 + square)], at);
  }
}

/**
 * Returns arrays in the layout of the textures: `geometry` has 12 numbers per Gaussian (mean and opacity, wxyz
 * quaternion, scales and padding), `colors` 4 per SH basis (rgb and padding); `means` has 3 for the sorter.
 */
function decodeSplats(header, payload) {
  if (header.version !== FORMAT_VERSION) throw new ViewerError("This file has another version", "Export the page again.");
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
  convertTurnsToQuats(geometry, count, 4);
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
