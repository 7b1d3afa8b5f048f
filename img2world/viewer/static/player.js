// Plays a scene that moves: the bar at the bottom, its keys, and the time in the address (#t=0.5).

const SPEEDS = [0.25, 0.5, 1, 2];
const MODES = { loop: "Repeat: from the start again", swing: "Repeat: back and forth", once: "Repeat: once, then stop" };
// Keys that move a slider; where it has the focus they are not for the camera.
const SLIDER_KEYS = new Set([...SCROLL_KEYS, "Home", "End"]);
// The longest step between two frames: after a longer pause, as of a hidden window, it goes on where it was.
const MAX_STEP = 0.5;

class Player {
  constructor(viewer) {
    this.viewer = viewer;
    this.motion = viewer.motion;
    this.playing = false;
    this.scrubbing = false;
    this.speed = 1;
    this.mode = "loop";
    this.direction = 1;
    this.slider = element("time");
    this.#connect();
    this.setSpeed(1);
    this.setMode("loop");
    this.seek(this.motion.start);
    if (!this.#openAddress()) this.setPlaying(!window.matchMedia("(prefers-reduced-motion: reduce)").matches);
    Object.assign(window.img2world, {
      getTime: () => viewer.time,
      isPlaying: () => this.playing,
      /** Pauses, and draws exactly this time in seconds. */
      setTime: async (seconds) => {
        this.pauseAt(seconds);
        await viewer.show(viewer.camera());
      },
    });
  }

  #connect() {
    const { slider, motion } = this;
    [slider.min, slider.max] = [motion.start, motion.end];
    slider.oninput = () => this.seek(Number(slider.value));
    slider.onpointerdown = () => { this.scrubbing = true; };
    for (const type of ["pointerup", "pointercancel"]) window.addEventListener(type, () => { this.scrubbing = false; });
    slider.onkeydown = (event) => { if (SLIDER_KEYS.has(event.code)) event.stopPropagation(); };
    for (const type of ["pointerdown", "keydown"]) element("player").addEventListener(type, () => release(this.viewer));
    // A button that was clicked keeps no focus, so that the space key still plays and pauses.
    element("player").onmousedown = (event) => { if (event.target.closest("button")) event.preventDefault(); };
    element("play").onclick = () => this.toggle();
    element("back").onclick = () => this.stepFrame(-1);
    element("onward").onclick = () => this.stepFrame(1);
    element("speed").onclick = () => this.setSpeed(SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length]);
    element("repeat").onclick = () => {
      const modes = Object.keys(MODES);
      this.setMode(modes[(modes.indexOf(this.mode) + 1) % modes.length]);
    };
    window.addEventListener("hashchange", () => this.#openAddress());
  }

  /** Returns codes of keys and what they do. */
  keys() {
    const faster = (by) => this.setSpeed(SPEEDS[clamp(SPEEDS.indexOf(this.speed) + by, 0, SPEEDS.length - 1)]);
    return [
      ["Space", () => this.toggle()],
      ["Comma", () => this.stepFrame(-1)],
      ["Period", () => this.stepFrame(1)],
      ["Home", () => this.seek(this.motion.start)],
      ["End", () => this.pauseAt(this.motion.end)],
      ["BracketLeft", () => faster(-1)],
      ["BracketRight", () => faster(1)],
    ].map(([code, act]) => [code, () => { release(this.viewer); act(); }]);
  }

  /** Pauses at the time in the address of the page; returns false if it has none. */
  #openAddress() {
    const text = new URLSearchParams(window.location.hash.slice(1)).get("t") ?? "";
    if (text.trim() === "" || !Number.isFinite(Number(text))) return false;
    this.pauseAt(Number(text));
    return true;
  }

  setPlaying(playing) {
    this.playing = playing;
    element("play").toggleAttribute("data-playing", playing);
    element("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    this.#show();
  }

  toggle() {
    if (!this.playing && this.mode === "once" && this.viewer.time >= this.motion.end) this.seek(this.motion.start);
    this.setPlaying(!this.playing);
  }

  pauseAt(time) {
    this.setPlaying(false);
    this.seek(time);
  }

  setSpeed(speed) {
    this.speed = speed;
    element("speed").textContent = `${speed}×`;
    element("speed").setAttribute("aria-label", `Speed: ${speed} times`);
  }

  setMode(mode) {
    this.mode = mode;
    this.direction = 1;
    const button = element("repeat");
    button.dataset.mode = mode;
    button.title = MODES[mode];
    button.setAttribute("aria-label", MODES[mode]);
  }

  /** Goes to a time in seconds, or the nearest that there is. */
  seek(time) {
    this.viewer.setTime(clamp(time, this.motion.start, this.motion.end));
    this.#show();
  }

  /** Pauses at the next key of the motion, or at the one before. */
  stepFrame(direction) {
    const { times } = this.motion;
    const { time } = this.viewer;
    const next = direction > 0 ? times.find((key) => key > time) : times.findLast((key) => key < time);
    this.pauseAt(next ?? time);
  }

  /** Goes on by the seconds since the last frame; returns true while it plays. */
  step(seconds) {
    if (!this.playing || this.scrubbing) return false;
    const { start, end } = this.motion;
    const duration = end - start;
    const way = this.speed * Math.min(seconds, MAX_STEP);
    const place = this.viewer.time - start;
    if (this.mode === "loop") {
      this.seek(start + ((place + way) % duration));
    } else if (this.mode === "swing") {
      // There and back again is one round of twice the duration.
      const round = ((this.direction > 0 ? place : 2 * duration - place) + way) % (2 * duration);
      this.direction = round <= duration ? 1 : -1;
      this.seek(start + Math.min(round, 2 * duration - round));
    } else {
      this.seek(start + place + way);
      if (place + way >= duration) this.setPlaying(false);
    }
    return true;
  }

  #show() {
    const { slider, motion } = this;
    const { time } = this.viewer;
    const digits = motion.end < 100 ? 2 : 1;
    slider.value = time;
    slider.style.setProperty("--part", (time - motion.start) / (motion.end - motion.start));
    element("clock").textContent = `${time.toFixed(digits)} / ${motion.end.toFixed(digits)} s`;
    // What has the focus would be read out at every frame.
    if (!this.playing) slider.setAttribute("aria-valuetext", `${time.toFixed(digits)} seconds`);
  }
}
