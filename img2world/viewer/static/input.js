// Mouse, touch and keyboard input.

const ORBIT_PER_PIXEL = 0.0055;
const ZOOM_PER_PIXEL = 0.0012;
const DOUBLE_TAP_MS = 320;
const TAP_PIXELS = 8;
const WHEEL_HOLD_MS = 200; // turning the wheel is holding on for as long
const SCROLL_KEYS = new Set(["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown"]);
const MOVE_KEYS = new Set([
  ...SCROLL_KEYS, "KeyW", "KeyA", "KeyS", "KeyD", "KeyQ", "KeyE", "Equal", "Minus", "NumpadAdd", "NumpadSubtract",
]);
const SHIFT_KEYS = new Set(["ShiftLeft", "ShiftRight"]);

/**
 * Steers `navigation` by input on `canvas`. `focalInCss` returns the focal length in CSS pixels; `onUse` is
 * called on any steering, `onPick(x, y)` on a double click and `onKey(code)` on other keys.
 * Returns the set of movement keys that are held down, and `isHeld()`: true while anything steers.
 */
function listen(canvas, navigation, { focalInCss, onUse, onPick, onKey }) {
  const pointers = new Map();
  const taps = tapCounter(onPick);
  let wheelTime = -Infinity;

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const pans = event.button !== 0 || event.shiftKey;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, pans });
    taps.down(event, pointers.size);
    onUse();
  });

  canvas.addEventListener("pointermove", (event) => {
    const pointer = pointers.get(event.pointerId);
    if (!pointer) return;
    const before = summary(pointers);
    pointer.x = event.clientX;
    pointer.y = event.clientY;
    const after = summary(pointers);
    const [dx, dy] = [after.x - before.x, after.y - before.y];
    if (pointers.size > 1 || pointer.pans) {
      const perPixel = navigation.goal.pivotInCam[2] / focalInCss();
      navigation.move(-dx * perPixel, -dy * perPixel, 0);
      if (before.spread > 0 && after.spread > 0) navigation.zoom(before.spread / after.spread);
    } else {
      // The near side follows the pointer.
      navigation.orbit(dx * ORBIT_PER_PIXEL, -dy * ORBIT_PER_PIXEL);
    }
  });

  const release = (event) => {
    if (pointers.delete(event.pointerId) && event.type === "pointerup") taps.up(event);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    wheelTime = performance.now();
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 18 : 1);
    // Browsers report a trackpad pinch as a wheel event with the control key and much smaller steps.
    navigation.zoom(Math.exp(clamp(pixels, -240, 240) * ZOOM_PER_PIXEL * (event.ctrlKey ? 8 : 1)));
    onUse();
  }, { passive: false });

  const keys = listenToKeys(onUse, onKey);
  const isHeld = () => pointers.size > 0 || performance.now() - wheelTime < WHEEL_HOLD_MS || [...keys].some((key) => MOVE_KEYS.has(key));
  return { keys, isHeld };
}

/** Returns the centroid of all pointers and their mean distance from it. */
function summary(pointers) {
  const all = [...pointers.values()];
  const mean = (pick) => all.reduce((sum, pointer) => sum + pick(pointer), 0) / all.length;
  const x = mean((pointer) => pointer.x);
  const y = mean((pointer) => pointer.y);
  return { x, y, spread: mean((pointer) => Math.hypot(pointer.x - x, pointer.y - y)) };
}

/** Detects double clicks and double taps; phones send no reliable dblclick event. */
function tapCounter(onDouble) {
  let start = null;
  let last = null;
  const near = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) < TAP_PIXELS * 3;
  return {
    down(event, fingers) {
      start = fingers === 1 && event.button === 0 ? event : null;
    },
    up(event) {
      const isTap = start && Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < TAP_PIXELS;
      if (isTap && last && event.timeStamp - last.timeStamp < DOUBLE_TAP_MS && near(event, last)) {
        last = null;
        onDouble(event.clientX, event.clientY);
      } else {
        last = isTap ? event : null;
      }
    },
  };
}

function listenToKeys(onUse, onKey) {
  const keys = new Set();
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!MOVE_KEYS.has(event.code) && !SHIFT_KEYS.has(event.code)) {
      if (!event.repeat) onKey(event.code);
      return;
    }
    if (SCROLL_KEYS.has(event.code)) event.preventDefault();
    keys.add(event.code);
    if (MOVE_KEYS.has(event.code)) onUse();
  });
  window.addEventListener("keyup", (event) => keys.delete(event.code));
  // The release of a key while another window has the focus is never reported.
  window.addEventListener("blur", () => keys.clear());
  return keys;
}
