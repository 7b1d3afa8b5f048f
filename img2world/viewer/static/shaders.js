// Projection of Gaussians as in EWA splatting (Zwicker et al. 2001) with the constants of 3D Gaussian
// splatting (Kerbl et al. 2023). Its pixels must equal those of img2world/render; tests compare them.

const TEXTURE_WIDTH = 2048;
// Gaussians closer to the camera than this are not drawn.
const NEAR = 0.01;
// Gaussians per instance. Instances of a single quad would leave most of a graphics card idle.
const BATCH = 128;

/** `skinning` is the source of a function that moves mean and opacity, and a quaternion; none if nothing moves. */
const splatVertexShader = (bases, skinning = "") => `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
uniform sampler2D geometry;
uniform sampler2D colors;
uniform usampler2D order;
uniform int drawn;
uniform mat3 camFromWorld;
uniform vec3 center;
uniform vec2 focal;
uniform vec2 principal;
uniform vec2 size;
uniform bool drawDepth;
out vec2 sigmas;
flat out vec3 color;
flat out float opacity;

const float LOW_PASS = 0.3;
const float NEAR = ${NEAR};
// Float32 cannot represent the shape of a Gaussian a million pixels wide.
const float MAX_VARIANCE = 1e12;

ivec2 at(int place) {
  return ivec2(place % ${TEXTURE_WIDTH}, place / ${TEXTURE_WIDTH});
}

mat3 matrixFromQuat(vec4 q) {
  float w = q.x, x = q.y, y = q.z, z = q.w;
  return mat3(
    1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
    2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
    2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

int index;

vec3 coefficient(int basis) {
  return texelFetch(colors, at(index * ${bases} + basis), 0).rgb;
}

vec3 colorFrom(vec3 d) {
  float x = d.x, y = d.y, z = d.z;
  vec3 rgb = 0.5 + 0.28209479177387814 * coefficient(0);
${bases > 1 ? `
  rgb += 0.4886025119029199 * (z * coefficient(2) - y * coefficient(1) - x * coefficient(3));` : ""}
${bases > 4 ? `
  rgb += 1.0925484305920792 * (x * y * coefficient(4) - y * z * coefficient(5) - x * z * coefficient(7));
  rgb += 0.31539156525252005 * (2.0 * z * z - x * x - y * y) * coefficient(6);
  rgb += 0.5462742152960396 * (x * x - y * y) * coefficient(8);` : ""}
${bases > 9 ? `
  rgb += -0.5900435899266435 * y * (3.0 * x * x - y * y) * coefficient(9);
  rgb += 2.890611442640554 * x * y * z * coefficient(10);
  rgb += -0.4570457994644658 * y * (4.0 * z * z - x * x - y * y) * coefficient(11);
  rgb += 0.3731763325901154 * z * (2.0 * z * z - 3.0 * x * x - 3.0 * y * y) * coefficient(12);
  rgb += -0.4570457994644658 * x * (4.0 * z * z - x * x - y * y) * coefficient(13);
  rgb += 1.445305721320277 * z * (x * x - y * y) * coefficient(14);
  rgb += -0.5900435899266435 * x * (x * x - 3.0 * y * y) * coefficient(15);` : ""}
  return max(rgb, 0.0);
}
${skinning}
void main() {
  gl_Position = vec4(2.0, 2.0, 0.0, 1.0);
  int place = gl_InstanceID * ${BATCH} + gl_VertexID / 4;
  if (place >= drawn) return;
  index = int(texelFetch(order, at(place), 0).r);
  vec4 first = texelFetch(geometry, at(3 * index), 0);
  vec4 quat = texelFetch(geometry, at(3 * index + 1), 0);${skinning ? `
  move(first, quat);` : ""}
  vec3 fromCamera = first.xyz - center;
  vec3 mean = camFromWorld * fromCamera;
  opacity = first.w;
  if (mean.z <= NEAR || opacity < 1.0 / 255.0) return;

  // Far outside the image the linear approximation of the projection diverges, so its position is clamped.
  vec2 margin = 0.15 * size / focal;
  vec2 ray = clamp(mean.xy / mean.z, -principal / focal - margin, (size - principal) / focal + margin);
  mat3 axes = camFromWorld * matrixFromQuat(quat);
  vec3 scales = texelFetch(geometry, at(3 * index + 2), 0).xyz;
  mat3 spread = mat3(axes[0] * scales.x, axes[1] * scales.y, axes[2] * scales.z);
  vec3 row0 = focal.x / mean.z * (vec3(1.0, 0.0, -ray.x) * spread);
  vec3 row1 = focal.y / mean.z * (vec3(0.0, 1.0, -ray.y) * spread);
  float a = dot(row0, row0) + LOW_PASS, b = dot(row0, row1), c = dot(row1, row1) + LOW_PASS;

  float halfGap = length(vec2(0.5 * (a - c), b));
  float large = 0.5 * (a + c) + halfGap;
  if (large > MAX_VARIANCE) return;
  // a c - b b cancels catastrophically for long thin Gaussians; the sum of squared minors does not.
  vec3 minors = cross(row0, row1);
  float determinant = LOW_PASS * (a + c - LOW_PASS) + dot(minors, minors);
  float small = determinant / large;
  vec2 along = a >= c ? vec2(large - c, b) : vec2(b, large - a);
  along = halfGap > 1e-6 * large ? normalize(along) : vec2(1.0, 0.0);

  // The quad ends where alpha falls below 1/255.
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1 & 1) * 2.0 - 1.0;
  sigmas = corner * sqrt(2.0 * log(255.0 * opacity));
  vec2 offset = sigmas.x * sqrt(large) * along + sigmas.y * sqrt(small) * vec2(-along.y, along.x);
  vec2 pixel = focal * mean.xy / mean.z + principal + offset;
  gl_Position = vec4(2.0 * pixel.x / size.x - 1.0, 1.0 - 2.0 * pixel.y / size.y, 0.0, 1.0);
  color = drawDepth ? vec3(mean.z) : colorFrom(normalize(fromCamera));
}
`;

const SPLAT_FRAGMENT_SHADER = `#version 300 es
precision highp float;
in vec2 sigmas;
flat in vec3 color;
flat in float opacity;
out vec4 premultiplied;

void main() {
  float alpha = min(0.999, opacity * exp(-0.5 * dot(sigmas, sigmas)));
  if (alpha < 1.0 / 255.0) discard;
  premultiplied = vec4(color * alpha, alpha);
}
`;

// Blending is done in half floats: in 8 bits, hundreds of faint layers would lose their colour.
const COPY_VERTEX_SHADER = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }
`;

const COPY_FRAGMENT_SHADER = `#version 300 es
precision highp float;
uniform highp sampler2D image;
out vec4 color;
void main() { color = vec4(texelFetch(image, ivec2(gl_FragCoord.xy), 0).rgb, 1.0); }
`;
