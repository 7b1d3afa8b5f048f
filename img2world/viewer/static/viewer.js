// Shows a world: the draw loop and the controls, and window.img2world for programs that set a camera and read pixels.

const MAX_PIXEL_RATIO = 2;
const MAX_PIXELS = 5e6;
const SLOW_FRAME_MS = 45;
const FAST_FRAME_MS = 24;
const MIN_QUALITY = 0.4;
// Fraction of the window that an object fills at the start.
const OBJECT_FILL = 0.8;

const element = (id) => document.getElementById(id);

const nextPaint = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));

/** The sort worker, with at most one request in flight. */
class Sorter {
  constructor(splats) {
    const url = URL.createObjectURL(new Blob([element("sort-worker").textContent], { type: "text/javascript" }));
    this.worker = new Worker(url);
    URL.revokeObjectURL(url);
    this.busy = null;
    this.setSplats(splats);
  }

  /** Replaces the Gaussians to sort, while the sorter is not busy; the arrays it needs are given away. */
  setSplats({ means, skin }) {
    const rows = Math.ceil(means.length / 3 / TEXTURE_WIDTH);
    this.order = new Uint32Array(rows * TEXTURE_WIDTH);
    const rig = skin && { indices: skin.indices, weights: skin.weights };
    this.worker.postMessage({ means, skin: rig }, [means, ...Object.values(rig ?? {})].map((array) => array.buffer));
  }

  /** Returns a promise of {order, drawn}, or null when the sorter is busy. `bones` is null if nothing moves. */
  sort(camera, bones) {
    if (this.busy) return null;
    const [m, c] = [camera.rotation, camera.center];
    const axis = [m[2], m[5], m[8]];
    this.busy = new Promise((resolve) => {
      this.worker.onmessage = ({ data }) => {
        this.busy = null;
        this.order = data.order;
        resolve(data);
      };
    });
    const request = { axis, offset: -dot(axis, c), near: NEAR, order: this.order, bones };
    this.worker.postMessage(request, [this.order.buffer]);
    return this.busy;
  }
}

class Viewer {
  constructor(canvas, world, splats, motion = null) {
    this.canvas = canvas;
    this.world = world;
    this.splats = splats;
    this.motion = motion;
    this.player = null;
    this.time = 0;
    this.bones = null;
    this.sorter = new Sorter(splats);
    this.navigation = new Navigation(this.home(), world);
    this.input = { keys: new Set(), isHeld: () => false };
    this.fixedCamera = null;
    this.sortedFor = null;
    this.needsDraw = true;
    this.quality = 1;
    this.frameMs = 0;
    this.stillMs = 0;
    this.connect();
    if (motion) this.setTime(motion.start);
  }

  home() {
    const { camera, supported } = this.world;
    return poseFromCamera(camera.rotation, camera.center, supported.pivot);
  }

  /** Shows another world, as soon as it is sorted. What is in view stays there: only the start is another. */
  async replace(world, splats) {
    while (this.sorter.busy) await this.sorter.busy;
    this.sorter.setSplats(splats);
    const sorted = await this.sorter.sort(this.camera(), this.bones);
    this.world = world;
    this.splats = splats;
    this.navigation.settle(this.home(), world);
    this.renderer.setSplats(splats, world.background);
    this.sortedFor = null;
    this.take(sorted);
  }

  /** Creates the renderer, also after the WebGL context was lost. */
  connect() {
    this.renderer = new Renderer(createContext(this.canvas), this.splats, this.world.background);
    if (this.bones) this.renderer.setBones(this.bones, this.time, this.motion.fade);
    this.sortedFor = null;
    this.needsDraw = true;
  }

  /** Moves the scene to a time in seconds, which the next frame shows. */
  setTime(time) {
    this.time = time;
    this.bones = this.motion.bonesAt(time);
    this.renderer.setBones(this.bones, time, this.motion.fade);
    this.needsDraw = true;
  }

  /**
   * Returns the current camera. The picture of a scene fills the window, which shows nothing beyond its edges and
   * therefore less of it where the proportions differ; an object, from whichever side, fits into the window.
   */
  camera() {
    if (this.fixedCamera) return this.fixedCamera;
    const source = this.world.camera;
    const [acrossInCss, downInCss] = [window.innerWidth, window.innerHeight];
    const affordable = Math.sqrt(MAX_PIXELS / Math.max(1, acrossInCss * downInCss));
    const ratio = Math.min(window.devicePixelRatio, MAX_PIXEL_RATIO, affordable) * this.quality;
    const width = Math.max(1, Math.round(acrossInCss * ratio));
    const height = Math.max(1, Math.round(downInCss * ratio));
    const [left, top, right, bottom] = this.world.supported.outline;
    const [across, down] = [width / (source.fx * (right - left)), height / (source.fy * (bottom - top))];
    const scale = this.world.is_object ? OBJECT_FILL * Math.min(across, down) : Math.max(across, down);
    const pose = this.navigation.now;
    return {
      rotation: rotationOf(pose),
      center: centerOf(pose),
      fx: source.fx * scale,
      fy: source.fy * scale,
      cx: width / 2 - ((left + right) / 2) * source.fx * scale,
      cy: height / 2 - ((top + bottom) / 2) * source.fy * scale,
      width,
      height,
    };
  }

  /** Returns the yaw and pitch by which a camera sees less to each side than the picture of the scene shows. */
  slack({ fx, fy, cx, cy }) {
    if (this.world.is_object) return [0, 0];
    const [left, top] = this.world.supported.outline;
    return [Math.atan(-left) - Math.atan(cx / fx), Math.atan(-top) - Math.atan(cy / fy)].map((angle) => Math.max(0, angle));
  }

  /** Requests a sort if camera or scene has moved since the last one; the order is drawn as soon as it arrives. */
  requestSort(camera) {
    const key = [...camera.rotation, ...camera.center, this.time].join();
    if (this.sortedFor === key) return;
    const sorting = this.sorter.sort(camera, this.bones);
    if (!sorting) return;
    this.sortedFor = key;
    sorting.then((sorted) => this.take(sorted));
  }

  take({ order, drawn }) {
    this.renderer.setOrder(order, drawn);
    this.needsDraw = true;
  }

  frame(milliseconds) {
    if (this.fixedCamera || this.renderer.gl.isContextLost()) return;
    this.navigation.region.slack = this.slack(this.camera());
    const played = this.player?.step(milliseconds / 1000) ?? false;
    const moved = this.navigation.step(Math.min(milliseconds, 100) / 1000, this.input.keys, this.input.isHeld());
    this.adaptQuality(milliseconds, moved || played);
    const camera = this.camera();
    this.requestSort(camera);
    if (!moved && !this.needsDraw) return;
    this.renderer.draw(camera);
    this.needsDraw = false;
  }

  /** Lowers the resolution while a slow graphics card has to follow a motion; restores it afterwards. */
  adaptQuality(milliseconds, moved) {
    this.stillMs = moved ? 0 : this.stillMs + milliseconds;
    let quality = this.quality;
    if (moved) {
      this.frameMs += 0.1 * (Math.min(milliseconds, 400) - this.frameMs);
      if (this.frameMs > SLOW_FRAME_MS) quality = Math.max(MIN_QUALITY, quality * clamp(SLOW_FRAME_MS / this.frameMs, 0.7, 0.95));
      if (this.frameMs < FAST_FRAME_MS) quality = Math.min(1, quality * 1.02);
    } else if (this.stillMs > 250) {
      quality = 1;
    }
    this.needsDraw ||= quality !== this.quality;
    this.quality = quality;
  }

  /** Looks at the surface under a point of the window and makes it the pivot. */
  pick(clientX, clientY) {
    const camera = this.camera();
    const x = (clientX / window.innerWidth) * camera.width;
    const y = (clientY / window.innerHeight) * camera.height;
    const depth = this.renderer.pickDepth(camera, clamp(x, 0, camera.width - 1), clamp(y, 0, camera.height - 1));
    this.needsDraw = true;
    if (depth === null) return;
    const inCam = [((x - camera.cx) / camera.fx) * depth, ((y - camera.cy) / camera.fy) * depth, depth];
    this.navigation.setPivot(add(camera.center, rotate(camera.rotation, inCam)));
  }

  /** Sorts for and draws exactly this camera. */
  async show(camera) {
    while (this.sorter.busy) await this.sorter.busy;
    const sorted = await this.sorter.sort(camera, this.bones);
    this.sortedFor = null;
    this.take(sorted);
    this.renderer.draw(camera);
  }
}

/**
 * `idle` tells whether the view moves by itself at first, `idleKey` starts and stops that, and `more` lists further keys
 * and what they do.
 */
function connectControls(viewer, { idle = true, idleKey = "Space", more = [] }) {
  const { navigation, canvas } = viewer;
  const setIdle = (idle) => {
    navigation.setIdle(idle);
    element("idle").setAttribute("aria-pressed", String(idle));
  };
  const takeControl = () => {
    document.body.dataset.used = "";
    if (navigation.idle) setIdle(false);
    release(viewer);
  };
  const reset = () => {
    takeControl();
    navigation.reset();
  };
  const toggleIdle = () => {
    release(viewer);
    setIdle(!navigation.idle);
  };
  const toggleFullscreen = () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (document.fullscreenEnabled) document.documentElement.requestFullscreen();
  };
  const toggleFree = () => {
    takeControl();
    navigation.isFree = !navigation.isFree;
    element("free").setAttribute("aria-pressed", String(navigation.isFree));
    element("mode").textContent = navigation.isFree ? "Free movement: no limits" : "";
  };
  const keys = new Map([["KeyR", reset], ["KeyL", toggleFree], ["KeyF", toggleFullscreen], [idleKey, toggleIdle], ...more]);
  viewer.input = listen(canvas, navigation, {
    focalInCss: () => (viewer.camera().fx * window.innerWidth) / viewer.camera().width,
    onUse: takeControl,
    onPick: (x, y) => viewer.pick(x, y),
    // On a button, the browser takes the space key as a press.
    onKey: (code) => { if (code !== "Space" || document.activeElement?.tagName !== "BUTTON") keys.get(code)?.(); },
  });
  element("reset").onclick = reset;
  element("idle").onclick = toggleIdle;
  element("free").onclick = toggleFree;
  element("fullscreen").onclick = toggleFullscreen;
  element("fullscreen").hidden = !document.fullscreenEnabled;
  window.addEventListener("resize", () => { viewer.needsDraw = true; });
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => viewer.connect());
  setIdle(idle && !window.matchMedia("(prefers-reduced-motion: reduce)").matches);
}

/** Returns from a fixed camera to the controls. */
function release(viewer) {
  if (!viewer.fixedCamera) return;
  viewer.fixedCamera = null;
  viewer.needsDraw = true;
}

/** The interface for tests and other programs. Matrices are 16 numbers, row-major, OpenCV axes, in world units. */
function exposeInterface(viewer) {
  Object.assign(window.img2world, {
    /** Draws exactly this camera at this size until the controls are used. */
    async setCamera(worldFromCam, fx, fy, cx, cy, width, height) {
      const m = worldFromCam;
      const rotation = [m[0], m[1], m[2], m[4], m[5], m[6], m[8], m[9], m[10]];
      viewer.fixedCamera = { rotation, center: [m[3], m[7], m[11]], fx, fy, cx, cy, width, height };
      await viewer.show(viewer.fixedCamera);
    },
    getCamera() {
      const { rotation: r, center: c, ...rest } = viewer.camera();
      return { worldFromCam: [r[0], r[1], r[2], c[0], r[3], r[4], r[5], c[1], r[6], r[7], r[8], c[2], 0, 0, 0, 1], ...rest };
    },
    /** Returns true while the view moves, idly or towards where it was steered. */
    isMoving: () => !viewer.navigation.isAtRest(),
    /** Returns {width, height, data}: RGBA bytes, top row first. */
    readPixels: () => viewer.renderer.readPixels(viewer.camera()),
  });
}

function showFailure(error) {
  window.img2world.state = "failed";
  document.body.dataset.state = "failed";
  element("headline").textContent = error instanceof ViewerError ? error.message : "The world could not be shown";
  element("detail").textContent = error.hint ?? String(error);
}

/** Hands the page over to the user. */
function run(viewer, options = {}) {
  connectControls(viewer, options);
  exposeInterface(viewer);
  document.body.dataset.state = "ready";
  window.img2world.state = "ready";
  let last = performance.now();
  const loop = (now) => {
    viewer.frame(now - last);
    last = now;
    requestAnimationFrame(loop);
  };
  requestAnimationFrame(loop);
}
