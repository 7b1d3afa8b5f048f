// Draws sorted Gaussians with WebGL 2. A camera is {rotation (world from camera, 9 numbers), center,
// fx, fy, cx, cy, width, height}.

function createProgram(gl, vertexSource, fragmentSource) {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) throw new Error(gl.getShaderInfoLog(shader));
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
  return program;
}

/** Creates a texture of numbers, four per texel, filled row by row. */
function createDataTexture(gl, internalFormat, numbers) {
  const height = Math.max(1, Math.ceil(numbers.length / 4 / TEXTURE_WIDTH));
  if (height > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    throw new ViewerError("This scene is too large for this graphics card", "Export it again with fewer Gaussians.");
  }
  const texture = createTexture(gl);
  const whole = new Float32Array(4 * TEXTURE_WIDTH * height);
  whole.set(numbers);
  gl.texImage2D(gl.TEXTURE_2D, 0, internalFormat, TEXTURE_WIDTH, height, 0, gl.RGBA, gl.FLOAT, whole);
  return texture;
}

function createTexture(gl) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
  for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
  return texture;
}

/** Returns null if the browser has no WebGL 2. */
function createContext(canvas) {
  return canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" });
}

class Renderer {
  constructor(gl, splats, background) {
    this.gl = gl;
    this.bases = 0;
    this.hasHalfFloats = Boolean(gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float"));
    this.copyProgram = createProgram(gl, COPY_VERTEX_SHADER, COPY_FRAGMENT_SHADER);
    this.#createBatch();
    this.#createTarget();
    this.setSplats(splats, background);
  }

  /** Sets the Gaussians, in place of those before; nothing is drawn until they have an order. */
  setSplats(splats, background) {
    const { gl } = this;
    for (const name of ["geometry", "colors", "order", "skin", "bones"]) {
      gl.deleteTexture(this[name] ?? null);
      this[name] = null;
    }
    this.background = background;
    this.drawn = 0;
    this.geometry = createDataTexture(gl, gl.RGBA32F, splats.geometry);
    this.colors = createDataTexture(gl, gl.RGBA16F, splats.colors);
    this.#createOrder(splats.count);
    if (splats.skin) this.skin = createDataTexture(gl, gl.RGBA32F, splats.skin.texture);
    const skinning = splats.skin ? skinningShader(splats.skin.hasWindows) : "";
    if (splats.bases !== this.bases || skinning !== this.skinning) this.#createSplatProgram(splats.bases, skinning);
  }

  /** Sets the bones of a scene that moves, and the seconds of the time and of a fade. */
  setBones(bones, time, fade) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0);
    gl.deleteTexture(this.bones);
    this.bones = createDataTexture(gl, gl.RGBA32F, bones);
    [this.time, this.fade] = [time, fade];
  }

  #createSplatProgram(bases, skinning) {
    const { gl } = this;
    this.bases = bases;
    this.skinning = skinning;
    this.splatProgram = createProgram(gl, splatVertexShader(bases, skinning), SPLAT_FRAGMENT_SHADER);
    this.uniforms = {};
    const count = gl.getProgramParameter(this.splatProgram, gl.ACTIVE_UNIFORMS);
    for (let i = 0; i < count; i++) {
      const { name } = gl.getActiveUniform(this.splatProgram, i);
      this.uniforms[name] = gl.getUniformLocation(this.splatProgram, name);
    }
  }

  /** Creates the indices of a batch: two triangles per quad, whose corners the shader derives from the vertex numbers. */
  #createBatch() {
    const { gl } = this;
    const corners = Uint16Array.from({ length: 6 * BATCH }, (_, i) => 4 * Math.floor(i / 6) + [0, 1, 2, 2, 1, 3][i % 6]);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, corners, gl.STATIC_DRAW);
  }

  #createOrder(count) {
    const { gl } = this;
    this.order = createTexture(gl);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R32UI, TEXTURE_WIDTH, Math.max(1, Math.ceil(count / TEXTURE_WIDTH)));
  }

  #createTarget() {
    const { gl } = this;
    this.image = createTexture(gl);
    this.target = gl.createFramebuffer();
    this.targetSize = [0, 0];
  }

  /** Sets the Gaussians to draw, back to front, as an array that fills whole rows of the texture. */
  setOrder(order, drawn) {
    const { gl } = this;
    const rows = Math.ceil(drawn / TEXTURE_WIDTH);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.order);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, TEXTURE_WIDTH, rows, gl.RED_INTEGER, gl.UNSIGNED_INT, order);
    this.drawn = drawn;
  }

  draw(camera) {
    const { gl } = this;
    const { width, height } = camera;
    if (gl.canvas.width !== width) gl.canvas.width = width;
    if (gl.canvas.height !== height) gl.canvas.height = height;
    if (!this.hasHalfFloats) {
      this.#drawSplats(camera, null, [...this.background, 1], false);
      return;
    }
    this.#resizeTarget(width, height);
    this.#drawSplats(camera, this.target, [...this.background, 1], false);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.useProgram(this.copyProgram);
    gl.disable(gl.BLEND);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.image);
    gl.uniform1i(gl.getUniformLocation(this.copyProgram, "image"), 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  #resizeTarget(width, height) {
    const { gl } = this;
    if (this.targetSize[0] === width && this.targetSize[1] === height) return;
    this.targetSize = [width, height];
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.image);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA16F, width, height, 0, gl.RGBA, gl.HALF_FLOAT, null);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.target);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.image, 0);
  }

  #drawSplats(camera, target, clearColor, drawDepth) {
    const { gl, uniforms } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.viewport(0, 0, camera.width, camera.height);
    gl.clearColor(...clearColor);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.splatProgram);
    const names = ["geometry", "colors", "order", ...(this.skin ? ["skin", "bones"] : [])];
    for (const [unit, name] of names.entries()) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, this[name]);
      gl.uniform1i(uniforms[name], unit);
    }
    if (this.skin) {
      gl.uniform1f(uniforms.time ?? null, this.time);
      gl.uniform1f(uniforms.fade ?? null, this.fade);
    }
    gl.uniform1i(uniforms.drawn, this.drawn);
    // The row-major world-from-camera rotation, read as columns, is its transpose: camera-from-world.
    gl.uniformMatrix3fv(uniforms.camFromWorld, false, camera.rotation);
    gl.uniform3fv(uniforms.center, camera.center);
    gl.uniform2f(uniforms.focal, camera.fx, camera.fy);
    gl.uniform2f(uniforms.principal, camera.cx, camera.cy);
    gl.uniform2f(uniforms.size, camera.width, camera.height);
    gl.uniform1i(uniforms.drawDepth, drawDepth ? 1 : 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawElementsInstanced(gl.TRIANGLES, 6 * BATCH, gl.UNSIGNED_SHORT, 0, Math.ceil(this.drawn / BATCH));
  }

  /** Returns the depth along +Z at a pixel, or null if nothing is there or depth cannot be rendered. */
  pickDepth(camera, x, y) {
    if (!this.hasHalfFloats) return null;
    const { gl } = this;
    this.#resizeTarget(camera.width, camera.height);
    const column = Math.floor(x);
    const row = camera.height - 1 - Math.floor(y);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(column, row, 1, 1);
    this.#drawSplats(camera, this.target, [0, 0, 0, 0], true);
    gl.disable(gl.SCISSOR_TEST);
    const texel = new Float32Array(4);
    gl.readPixels(column, row, 1, 1, gl.RGBA, gl.FLOAT, texel);
    return texel[3] > 0.1 ? texel[0] / texel[3] : null;
  }

  /** Draws a camera and returns its pixels as RGBA bytes, top row first. */
  readPixels(camera) {
    const { gl } = this;
    const { width, height } = camera;
    this.draw(camera);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    const upsideDown = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, upsideDown);
    const data = new Uint8Array(upsideDown.length);
    for (let row = 0; row < height; row++) {
      data.set(upsideDown.subarray(4 * width * (height - 1 - row), 4 * width * (height - row)), 4 * width * row);
    }
    return { width, height, data };
  }
}
