// Motion of Gaussians by bones, the rule of img2world/core/motion.py; packed as img2world/viewer/packed_motion.py says.
// The main thread moves the bones, the shader and the sort worker the Gaussians.

/** Floats of a bone: the rows of its transform, and its rotation as a wxyz quaternion. */
const BONE_FLOATS = 16;

/** Returns the wxyz quaternion at a fraction of the shortest way from that at `i` of `quats` to that at `j`. */
function slerp(quats, i, j, fraction) {
  let cosine = 0;
  for (let part = 0; part < 4; part++) cosine += quats[i + part] * quats[j + part];
  const angle = Math.acos(Math.min(1, Math.abs(cosine)));
  const [from, to] = angle < 1e-6
    ? [1 - fraction, fraction]
    : [Math.sin((1 - fraction) * angle) / Math.sin(angle), Math.sin(fraction * angle) / Math.sin(angle)];
  const mixed = [0, 1, 2, 3].map((part) => from * quats[i + part] + (cosine < 0 ? -to : to) * quats[j + part]);
  const size = Math.hypot(...mixed);
  return mixed.map((part) => part / size);
}

const matrixFromQuat = ([w, x, y, z]) => [
  1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
  2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
  2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
];

class Motion {
  constructor({ key_times: times, bones, fade }, { fields }, payload) {
    this.times = times;
    this.count = bones;
    this.fade = fade;
    for (const name of ["bone_pivots", "bone_quats", "bone_translations"]) {
      const entry = fields.find((field) => field.name === name);
      const numbers = new Float64Array(entry.components * entry.count);
      decodeNumbers(payload, entry, entry.count, (i, component, value) => { numbers[entry.components * i + component] = value; });
      this[name] = numbers;
    }
  }

  get start() { return this.times[0]; }

  get end() { return this.times[this.times.length - 1]; }

  /** Returns BONE_FLOATS numbers for each bone at a time in seconds, which is between the first and the last key. */
  bonesAt(time) {
    const { times, count, bone_pivots: pivots, bone_translations: translations } = this;
    const next = times.findIndex((key) => key > time);
    const low = next < 0 ? times.length - 2 : Math.max(0, next - 1);
    const fraction = clamp((time - times[low]) / (times[low + 1] - times[low]), 0, 1);
    const bones = new Float32Array(BONE_FLOATS * count);
    for (let bone = 0; bone < count; bone++) {
      const key = bone * times.length + low;
      const quat = slerp(this.bone_quats, 4 * key, 4 * key + 4, fraction);
      const matrix = matrixFromQuat(quat);
      const pivot = pivots.subarray(3 * bone, 3 * bone + 3);
      const turned = rotate(matrix, pivot);
      for (let axis = 0; axis < 3; axis++) {
        const [from, to] = [translations[3 * key + axis], translations[3 * key + 3 + axis]];
        const shift = pivot[axis] + (1 - fraction) * from + fraction * to - turned[axis];
        bones.set([...matrix.slice(3 * axis, 3 * axis + 3), shift], BONE_FLOATS * bone + 4 * axis);
      }
      bones.set(quat, BONE_FLOATS * bone + 12);
    }
    return bones;
  }
}

/**
 * Returns how the Gaussians hang on the bones: `indices` and `weights`, four for each, and `texture` with 12 numbers per
 * Gaussian in the layout of the textures: indices, weights, and the window (from, to, and padding).
 */
function decodeSkin({ count, fields }, payload) {
  const indices = new Uint16Array(4 * count);
  const weights = new Float32Array(4 * count);
  const texture = new Float32Array(12 * count);
  const entry = Object.fromEntries(fields.map((field) => [field.name, field]));
  decodeNumbers(payload, entry.bone_indices, count, (i, place, value) => {
    texture[12 * i + place] = indices[4 * i + place] = value;
  });
  decodeNumbers(payload, entry.bone_weights, count, (i, place, value) => {
    texture[12 * i + 4 + place] = weights[4 * i + place] = value;
  });
  if (entry.windows) decodeNumbers(payload, entry.windows, count, (i, side, value) => { texture[12 * i + 8 + side] = value; });
  return { indices, weights, texture, hasWindows: Boolean(entry.windows) };
}

const skinningShader = (hasWindows) => `
uniform sampler2D skin;
uniform sampler2D bones;
uniform float time;
uniform float fade;

/* Takes mean and opacity, and a quaternion, from rest to the time that is shown. */
void move(inout vec4 first, inout vec4 quat) {
  vec4 indices = texelFetch(skin, at(3 * index), 0);
  vec4 weights = texelFetch(skin, at(3 * index + 1), 0);
  vec4 rest = vec4(first.xyz, 1.0), front = texelFetch(bones, at(4 * int(indices.x) + 3), 0), turn = vec4(0.0);
  vec3 mean = vec3(0.0);
  for (int k = 0; k < 4; k++) {
    if (weights[k] == 0.0) continue;
    int bone = 4 * int(indices[k]);
    vec4 rotation = texelFetch(bones, at(bone + 3), 0);
    mean += weights[k] * vec3(
      dot(texelFetch(bones, at(bone), 0), rest),
      dot(texelFetch(bones, at(bone + 1), 0), rest),
      dot(texelFetch(bones, at(bone + 2), 0), rest));
    // A quaternion and its negative are the same rotation; summed up, they must not cancel out.
    turn += weights[k] * (dot(rotation, front) < 0.0 ? -rotation : rotation);
  }
  first.xyz = mean;
  turn = normalize(turn);
  quat = vec4(
    turn.x * quat.x - dot(turn.yzw, quat.yzw),
    turn.x * quat.yzw + quat.x * turn.yzw + cross(turn.yzw, quat.yzw));
${hasWindows ? `
  vec2 window = texelFetch(skin, at(3 * index + 2), 0).xy;
  vec2 there = clamp(vec2(time - window.x, window.y - time) / fade + 0.5, 0.0, 1.0);
  first.w *= there.x * there.y;` : ""}
}
`;
