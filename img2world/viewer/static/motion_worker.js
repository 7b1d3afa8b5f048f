// The part of the sort worker that moves the means as the shader does. Receives {means, skin} once, and a sort request
// with `bones`, the transforms of the bones at the time to sort for.

let rest;
let skin;

/** Keeps the means at rest, and where those of another time go. */
function rig(data) {
  rest = data.means;
  skin = data.skin;
  prepare(new Float32Array(rest.length));
}

/** Moves the means by linear-blend skinning; the first 12 of 16 floats of a bone are the rows of its transform. */
function move(bones) {
  const { indices, weights } = skin;
  for (let i = 0, slot = 0; i < rest.length; i += 3) {
    const x = rest[i];
    const y = rest[i + 1];
    const z = rest[i + 2];
    let a = 0;
    let b = 0;
    let c = 0;
    for (const end = slot + 4; slot < end; slot++) {
      const weight = weights[slot];
      if (weight === 0) continue;
      const bone = 16 * indices[slot];
      a += weight * (bones[bone] * x + bones[bone + 1] * y + bones[bone + 2] * z + bones[bone + 3]);
      b += weight * (bones[bone + 4] * x + bones[bone + 5] * y + bones[bone + 6] * z + bones[bone + 7]);
      c += weight * (bones[bone + 8] * x + bones[bone + 9] * y + bones[bone + 10] * z + bones[bone + 11]);
    }
    means[i] = a;
    means[i + 1] = b;
    means[i + 2] = c;
  }
}
