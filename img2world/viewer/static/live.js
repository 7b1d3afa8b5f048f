// Starts the page of a world in the making: follows the state of the run, and draws what the run shows. All addresses
// are relative, so that the page works through any forwarded port.

const ENDS = { finished: "Finished", failed: "The run failed", rejected: "The run was ended", interrupted: "Interrupted" };
const RETRY_MS = 1500;
// Shortest pause after a scene, relative to the time it takes to draw: without a graphics card the training needs the
// processor, too.
const REST = 3;
const SURE_MS = 4000; // time for the second press of the stop button
const EMPTY_WORLD = {
  kind: "", tone: "dark", drawn: 0, background: [0.055, 0.063, 0.078], is_object: true,
  camera: { rotation: [1, 0, 0, 0, 1, 0, 0, 0, 1], center: [0, 0, -1], fx: 1, fy: 1, cx: 0.5, cy: 0.5, width: 1, height: 1 },
  supported: {
    pivot: [0, 0, 0], azimuth: [-3, 3], elevation: [-1, 1], distance: [0.1, 10], turn_yaw: [-1, 1], turn_pitch: [-1, 1],
    outline: [-0.5, -0.5, 0.5, 0.5],
  },
  sway: { yaw: [0, 0], pitch: [0, 0] },
};

const live = { state: { state: "running" }, revision: 0, world: EMPTY_WORLD, splats: null, wantsCameras: null, viewer: null };

live.ended = new Promise((resolve) => { live.end = resolve; });

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const isOver = () => live.state.state !== "running";

/** Resolves at once where the page can be seen, else when it is looked at again. */
const whenVisible = () => new Promise((resolve) => {
  const check = () => {
    if (document.hidden) return;
    document.removeEventListener("visibilitychange", check);
    resolve();
  };
  document.addEventListener("visibilitychange", check);
  check();
});

function timeText(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const sizeText = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

/** Returns the figures of a stage, such as "step 120 of 300 · 24.1 dB · 12 s left". */
function figuresText({ part, done, total, psnr, left, stage }) {
  if (!total) return "";
  const count = `${part || (stage === "splat" ? "step" : "")} ${done.toLocaleString("en")} of ${total.toLocaleString("en")}`.trim();
  const decibels = psnr ? `${psnr.toFixed(1)} dB` : "";
  const time = left && done < total ? `${timeText(left)} left` : "";
  // A line may end between figures, not within.
  return [count, decibels, time].filter(Boolean).map((text) => text.replaceAll(" ", "\u00a0")).join(" · ");
}

function showState(state) {
  live.state = state;
  const stage = (state.stage ?? "").split(".")[0];
  const stopped = state.stopped_at ? `Stopped at step ${state.stopped_at.toLocaleString("en")}` : "";
  const fraction = state.total ? state.done / state.total : 0;
  setText("mode", "");
  setText("stage", ENDS[state.state] ?? (state.stop === "done" ? "Coming to an end" : state.label ?? "Starting"));
  setText("figures", isOver() ? (state.message ?? "") : figuresText(state));
  setText("note", [isOver() || stage !== "splat" ? stopped : "", state.note].filter(Boolean).join(". "));
  element("fill").style.width = `${100 * fraction}%`;
  if (state.total) element("track").setAttribute("aria-valuenow", Math.round(100 * fraction));
  else element("track").removeAttribute("aria-valuenow");
  if (state.gaussians) setText("count", `${state.gaussians.toLocaleString("en")} Gaussians`);
  showStop(state.stop);
  const mark = isOver() ? ENDS[state.state] : state.total ? `${Math.floor(100 * fraction)} %` : "";
  document.title = [mark, state.title].filter(Boolean).join(" · ");
  if (isOver()) showEnd(state);
}

/** Sets the text of an element, unless it is there already: a status that is set anew is read out anew. */
function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

function showStop(stop) {
  const button = element("stop");
  button.hidden = !["possible", "asked"].includes(stop);
  button.disabled = stop === "asked";
  if (stop === "asked") setText("stop", "Stopping …");
}

function showEnd(state) {
  document.body.dataset.over = state.state;
  live.end();
  if (state.state !== "finished" && live.viewer) setText("empty", "The run ended before there were cameras to show.");
  element("close").hidden = false;
  const rows = (state.files ?? []).map(([name, bytes]) => {
    const row = document.createElement("li");
    for (const text of [name, bytes === null ? "" : sizeText(bytes)]) row.append(Object.assign(document.createElement("span"), { textContent: text }));
    return row;
  });
  element("files").replaceChildren(...rows);
  setText("note", [element("note").textContent, state.hint].filter(Boolean).join(". "));
  setText("command", state.command ?? "");
  // A browser does not follow links from a server to files, so that the path is text.
  setText("report", state.report ? `Report: ${state.report}` : "");
  sayGoodbye();
}

/** Asks the run to stop at the second press within a few seconds: it cannot be taken back. */
function connectStop() {
  const button = element("stop");
  const reset = () => {
    delete button.dataset.sure;
    if (!button.disabled) setText("stop", "Stop here");
  };
  button.onclick = async () => {
    if (button.dataset.sure === undefined) {
      button.dataset.sure = "";
      setText("stop", "Press again to stop");
      setTimeout(reset, SURE_MS);
      return;
    }
    delete button.dataset.sure;
    button.disabled = true;
    setText("stop", "Stopping …");
    try {
      await fetch("stop", { method: "POST" });
    } catch {
      button.disabled = false;
      reset();
    }
  };
}

/** Follows the state; the browser connects anew where the connection breaks. */
function followState() {
  live.events = new EventSource("events");
  live.events.onmessage = ({ data }) => showState(JSON.parse(data));
  live.events.onerror = () => {
    if (isOver()) return;
    setText("mode", "No connection to the run, trying again");
    if (live.events.readyState === EventSource.CLOSED) setTimeout(followState, RETRY_MS);
  };
}

/** Lets the run end, which waits until the last scene is drawn. */
function sayGoodbye() {
  if (isOver() && (!live.viewer || document.hidden || live.revision >= live.state.revision)) {
    live.events.close();
    live.request?.abort();
  }
}

/** Draws what the run shows, one scene after the other. The run makes none while the page is hidden. */
async function followScene() {
  while (!isOver() || live.revision < live.state.revision) {
    await whenVisible();
    live.request = new AbortController();
    try {
      const reply = await fetch(`scene?after=${live.revision}`, { signal: live.request.signal });
      if (reply.status === 200) {
        const buffer = await reply.arrayBuffer();
        const begin = performance.now();
        await draw(buffer);
        live.revision = Number(reply.headers.get("X-Revision"));
        for (let i = 0; i < 2; i++) await nextPaint();
        sayGoodbye();
        await Promise.race([pause(REST * (performance.now() - begin)), live.ended]);
      } else if (reply.status !== 204) {
        await pause(RETRY_MS);
      }
    } catch (error) {
      if (error instanceof ViewerError) setText("mode", error.message);
      if (isOver()) return;
      await pause(RETRY_MS);
    }
    sayGoodbye();
  }
}

/** Decodes a message of the run and shows it. */
async function draw(buffer) {
  const size = new DataView(buffer).getUint32(0, true);
  const world = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, size)));
  const payload = await inflate(new Uint8Array(buffer, 4 + size), world.splats.bytes, () => {});
  // A scene stays where it is while it sharpens, but with more points the middle of everything is elsewhere.
  const isNewView = world.kind === "cameras" || live.world.kind === "cameras";
  const isFirst = live.splats === null;
  live.world = world;
  live.splats = decodeSplats(world.splats, payload);
  await show();
  const { navigation } = live.viewer;
  if (isFirst) navigation.now = copyPose(navigation.home);
  if (isFirst || (isNewView && document.body.dataset.used === undefined)) navigation.reset();
  if (world.kind === "scene") setText("count", `${world.drawn.toLocaleString("en")} Gaussians`);
  else setText("count", world.drawn ? `${world.drawn.toLocaleString("en")} points` : "");
  document.body.dataset.drawn = world.kind;
}

/** Shows the latest scene, with or without its cameras; without a choice they are seen until the training begins. */
async function show() {
  const { world, splats, viewer } = live;
  const hasCameras = live.wantsCameras ?? world.kind === "cameras";
  const count = hasCameras ? splats.count : world.drawn;
  document.body.dataset.tone = world.tone;
  document.body.style.setProperty("--background", `rgb(${world.background.map((value) => Math.round(255 * value)).join(" ")})`);
  element("cameras").setAttribute("aria-pressed", String(hasCameras));
  await viewer.replace(world, {
    count,
    bases: splats.bases,
    geometry: splats.geometry.subarray(0, 12 * count),
    colors: splats.colors.subarray(0, 4 * splats.bases * count),
    means: splats.means.slice(0, 3 * count),
  });
}

function toggleCameras() {
  if (!live.splats) return;
  live.wantsCameras = !(live.wantsCameras ?? live.world.kind === "cameras");
  live.shown = Promise.resolve(live.shown).then(show);
}

async function start() {
  document.querySelector("nav").prepend(element("cameras"));
  new ResizeObserver(() => {
    document.body.style.setProperty("--panel", `${element("panel").offsetHeight}px`);
  }).observe(element("panel"));
  setText("count", "");
  connectStop();
  element("close").onclick = () => { element("panel").hidden = true; };
  followState();
  document.body.dataset.state = "ready";
  if (!createContext(element("canvas"))) {
    setText("empty", "This browser has no WebGL 2, so that it shows no picture. The run goes on.");
    return;
  }
  const nothing = { count: 0, bases: 1, geometry: new Float32Array(0), colors: new Float32Array(0), means: new Float32Array(0) };
  live.viewer = new Viewer(element("canvas"), EMPTY_WORLD, nothing);
  // Where a world will look right is not known before it is made.
  live.viewer.navigation.isFree = true;
  element("cameras").onclick = toggleCameras;
  run(live.viewer, { idle: false, more: [["KeyC", toggleCameras], ["KeyL", () => {}]] });
  await followScene();
}

window.img2world = { state: "loading", live };
window.img2world.ready = start();
window.img2world.ready.catch(showFailure);
