// 3-vectors and row-major 3x3 matrices as plain arrays. OpenCV axes: +X right, +Y down, +Z forward.

const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
const subtract = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
const scaled = (a, factor) => [a[0] * factor, a[1] * factor, a[2] * factor];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const length = (a) => Math.sqrt(dot(a, a));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** Returns m v. */
const rotate = (m, v) => [dot(m.slice(0, 3), v), dot(m.slice(3, 6), v), dot(m.slice(6, 9), v)];

const transpose = (m) => [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];

/** Returns a b. */
function multiply(a, b) {
  const columns = transpose(b);
  return [0, 3, 6].flatMap((row) => [0, 3, 6].map((column) => dot(a.slice(row, row + 3), columns.slice(column, column + 3))));
}

/** Rotates by yaw about the world's vertical, then pitch, then roll. */
function rotationFromAngles(yaw, pitch, roll) {
  const [sy, cy, sp, cp, sr, cr] = [yaw, pitch, roll].flatMap((angle) => [Math.sin(angle), Math.cos(angle)]);
  const turn = [cy, 0, sy, 0, 1, 0, -sy, 0, cy];
  const look = [1, 0, 0, 0, cp, -sp, 0, sp, cp];
  return multiply(turn, multiply(look, [cr, -sr, 0, sr, cr, 0, 0, 0, 1]));
}

function anglesFromRotation(m) {
  const forward = [m[2], m[5], m[8]];
  const yaw = Math.atan2(forward[0], forward[2]);
  const pitch = Math.asin(clamp(-forward[1], -1, 1));
  const unrolled = multiply(transpose(rotationFromAngles(yaw, pitch, 0)), m);
  return { yaw, pitch, roll: Math.atan2(unrolled[3], unrolled[0]) };
}

/** Returns `angle` plus the whole turns that bring it nearest to `reference`. */
const nearestTurn = (angle, reference) => angle + 2 * Math.PI * Math.round((reference - angle) / (2 * Math.PI));
