// Web worker that sorts the Gaussians back to front. Receives {means} once, then {axis, offset, near, order};
// sends {order, drawn}. The buffer of `order` is passed back and forth.

let means;
let depths;
let bits;
let keys;
let swap;
const starts = new Uint32Array(65536);

function prepare(values) {
  means = values;
  const count = values.length / 3;
  depths = new Float32Array(count);
  // The bits of positive floats increase with their value, so they can be sorted as integers.
  bits = new Uint32Array(depths.buffer);
  keys = new Uint32Array(count);
  swap = new Uint32Array(count);
}

/** Runs one stable counting-sort pass over 16 bits of the depths, far before near. */
function pass(from, to, drawn, shift) {
  starts.fill(0);
  for (let i = 0; i < drawn; i++) starts[(bits[from[i]] >>> shift) & 65535]++;
  let place = 0;
  for (let digit = 65535; digit >= 0; digit--) {
    const size = starts[digit];
    starts[digit] = place;
    place += size;
  }
  for (let i = 0; i < drawn; i++) to[starts[(bits[from[i]] >>> shift) & 65535]++] = from[i];
}

function sort({ axis, offset, near, order }) {
  let drawn = 0;
  // At equal depth the later one is drawn first: the rasterizers treat the earlier one as nearer.
  for (let i = depths.length - 1; i >= 0; i--) {
    const depth = axis[0] * means[3 * i] + axis[1] * means[3 * i + 1] + axis[2] * means[3 * i + 2] + offset;
    depths[i] = depth;
    if (depth > near) keys[drawn++] = i;
  }
  pass(keys, swap, drawn, 0);
  pass(swap, order, drawn, 16);
  return drawn;
}

onmessage = ({ data }) => {
  // motion_worker.js, in the page of a scene that moves, has the functions for bones.
  if (data.skin) {
    rig(data);
    return;
  }
  if (data.means) {
    prepare(data.means);
    return;
  }
  if (data.bones) move(data.bones);
  const drawn = sort(data);
  postMessage({ order: data.order, drawn }, [data.order.buffer]);
};
