// The cameras in 3D: points and frusta on a 2D canvas, without WebGL, so that it also works in old and locked browsers.
const data = JSON.parse(document.getElementById("places").textContent);
if (data.cameras) {
  document.documentElement.classList.add("script");
  startView(data);
}

function startView({ scale, points, colors, cameras, frames }) {
  const canvas = document.getElementById("space"), pick = document.getElementById("pick");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const xyz = positions(points, scale), rgb = bytes(colors), count = xyz.length / 3;
  const centers = cameras.map((row) => row.slice(0, 3));
  const start = firstView(xyz, centers, cameras[0].slice(9, 12));
  const view = { ...start, target: [...start.target] };
  const size = frustumSize(centers, start.distance);
  let chosen = 0, hovered = -1, isDue = false, projected = [];

  function draw() {
    isDue = false;
    const density = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(Math.round(canvas.clientWidth * density), 1), height = Math.max(Math.round(canvas.clientHeight * density), 1);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const axes = axesOf(view), eye = view.target.map((value, i) => value - view.distance * axes.forward[i]);
    const focal = 1.25 * Math.min(width, height);
    const project = (x, y, z) => {
      const dx = x - eye[0], dy = y - eye[1], dz = z - eye[2];
      const depth = dx * axes.forward[0] + dy * axes.forward[1] + dz * axes.forward[2];
      const u = dx * axes.right[0] + dy * axes.right[1] + dz * axes.right[2];
      const v = dx * axes.down[0] + dy * axes.down[1] + dz * axes.down[2];
      return depth > 1e-4 * view.distance ? [width / 2 + focal * u / depth, height / 2 + focal * v / depth, depth] : null;
    };
    drawPoints(context, width, height, project, density);
    drawCameras(project, density);
  }

  function drawPoints(context, width, height, project, density) {
    const image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const depths = new Float32Array(width * height).fill(Infinity);
    const side = Math.max(Math.round(2.6 * density), 2);
    for (let i = 0; i < count; i++) {
      const at = project(xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]);
      if (!at) continue;
      const left = Math.round(at[0] - side / 2), top = Math.round(at[1] - side / 2);
      const color = 0xff000000 | (rgb[3 * i + 2] << 16) | (rgb[3 * i + 1] << 8) | rgb[3 * i];
      for (let y = Math.max(top, 0); y < Math.min(top + side, height); y++) {
        for (let x = Math.max(left, 0); x < Math.min(left + side, width); x++) {
          if (at[2] < depths[y * width + x]) {
            depths[y * width + x] = at[2];
            pixels[y * width + x] = color;
          }
        }
      }
    }
    context.putImageData(image, 0, 0);
  }

  function drawCameras(project, density) {
    const style = getComputedStyle(canvas), ink = style.getPropertyValue("--ink"), accent = style.getPropertyValue("--accent");
    projected = cameras.map((row, i) => project(...centers[i]));
    context.lineJoin = "round";
    const order = cameras.map((_, i) => i).filter((i) => i !== chosen && i !== hovered);
    for (const i of [...order, ...(hovered >= 0 && hovered !== chosen ? [hovered] : []), chosen]) {
      const isMarked = i === chosen || i === hovered;
      const corners = cornersOf(cameras[i], isMarked ? 1.5 * size : size).map((corner) => project(...corner));
      if (!projected[i] || corners.includes(null)) continue;
      if (i === chosen) drawShot(corners);
      context.strokeStyle = isMarked ? accent : ink;
      context.globalAlpha = isMarked ? 1 : 0.55;
      context.lineWidth = (isMarked ? 2 : 1.1) * density;
      context.beginPath();
      corners.forEach((corner, k) => {
        context.moveTo(projected[i][0], projected[i][1]);
        context.lineTo(corner[0], corner[1]);
        context.lineTo(corners[(k + 1) % 4][0], corners[(k + 1) % 4][1]);
      });
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  // A parallelogram is close enough to the perspective of so small a picture.
  function drawShot([topLeft, topRight, , bottomLeft]) {
    const picture = pictureOf(chosen);
    if (!picture || !picture.complete || !picture.naturalWidth) return;
    const { naturalWidth: w, naturalHeight: h } = picture;
    context.save();
    context.globalAlpha = 0.92;
    context.setTransform((topRight[0] - topLeft[0]) / w, (topRight[1] - topLeft[1]) / w, (bottomLeft[0] - topLeft[0]) / h, (bottomLeft[1] - topLeft[1]) / h, topLeft[0], topLeft[1]);
    context.drawImage(picture, 0, 0);
    context.restore();
  }

  const pictureOf = (i) => document.querySelector(`#frame-${frames[i]}`);
  const nameOf = (i) => document.querySelectorAll("#names li")[i].textContent;

  function show(i) {
    const picture = pictureOf(i), shot = document.getElementById("shot");
    shot.hidden = !picture;
    if (picture) Object.assign(shot, { src: picture.src, alt: nameOf(i) });
    document.getElementById("shot-name").textContent = `${nameOf(i)}, camera ${i + 1} of ${cameras.length}${picture ? "" : " (no picture on this page)"}`;
  }

  function choose(i) {
    chosen = i;
    pick.value = i;
    show(i);
    redraw();
  }

  function redraw() {
    if (!isDue) requestAnimationFrame(draw);
    isDue = true;
  }

  function turn(dx, dy) {
    view.yaw -= dx;
    view.pitch = Math.max(-1.5, Math.min(1.5, view.pitch + dy));
    redraw();
  }

  function zoom(factor) {
    view.distance = Math.max(start.distance / 20, Math.min(start.distance * 6, view.distance * factor));
    redraw();
  }

  function nearest(event) {
    const density = canvas.width / canvas.clientWidth, x = event.offsetX * density, y = event.offsetY * density;
    let best = -1, least = 22 * density;
    projected.forEach((at, i) => {
      const away = at ? Math.hypot(at[0] - x, at[1] - y) : Infinity;
      if (away < least) [best, least] = [i, away];
    });
    return best;
  }

  const held = new Map();
  let travelled = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, [event.clientX, event.clientY]);
    travelled = held.size > 1 ? Infinity : 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) {
      const i = nearest(event);
      if (i !== hovered) {
        hovered = i;
        show(i < 0 ? chosen : i);
        redraw();
      }
      return;
    }
    const now = [event.clientX, event.clientY];
    if (held.size === 1) {
      travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
      turn((now[0] - before[0]) / 160, (now[1] - before[1]) / 160);
    } else {
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      const spread = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]);
      if (spread(now) > 1) zoom(spread(before) / spread(now));
    }
    held.set(event.pointerId, now);
  });
  canvas.addEventListener("pointerup", (event) => {
    held.delete(event.pointerId);
    const i = travelled < 6 ? nearest(event) : -1;
    if (i >= 0) choose(i);
  });
  for (const name of ["pointercancel", "pointerleave"]) {
    canvas.addEventListener(name, (event) => {
      held.delete(event.pointerId);
      hovered = -1;
      show(chosen);
      redraw();
    });
  }
  canvas.addEventListener("wheel", (event) => {
    // Without focus the wheel scrolls the page.
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    zoom(Math.exp(event.deltaY / 500));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = 0.12;
    const moves = {
      ArrowLeft: () => turn(step, 0), ArrowRight: () => turn(-step, 0), ArrowUp: () => turn(0, step), ArrowDown: () => turn(0, -step),
      "+": () => zoom(0.87), "=": () => zoom(0.87), "-": () => zoom(1.15), Home: goHome,
    };
    if (!moves[event.key] || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    moves[event.key]();
  });
  function goHome() {
    Object.assign(view, start, { target: [...start.target] });
    redraw();
  }
  pick.addEventListener("input", () => choose(Number(pick.value)));
  document.getElementById("home").addEventListener("click", goHome);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(redraw).observe(canvas);
  window.addEventListener("load", redraw);
  choose(0);
}

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function positions(text, scale) {
  const raw = bytes(text), stored = new DataView(raw.buffer);
  return Float32Array.from({ length: raw.length / 2 }, (_, i) => stored.getInt16(2 * i, true) * scale);
}

// The world's axes are to the right, down and forward: +Y is down.
function axesOf({ yaw, pitch }) {
  const forward = [Math.sin(yaw) * Math.cos(pitch), Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)];
  const right = [Math.cos(yaw), 0, -Math.sin(yaw)];
  const down = [
    forward[1] * right[2] - forward[2] * right[1],
    forward[2] * right[0] - forward[0] * right[2],
    forward[0] * right[1] - forward[1] * right[0],
  ];
  return { forward, right, down };
}

// From behind the first camera, to its side and above, with all cameras and most points in view.
function firstView(xyz, centers, forward) {
  const points = Array.from({ length: xyz.length / 3 }, (_, i) => [...xyz.subarray(3 * i, 3 * i + 3)]);
  const middle = [0, 1, 2].map((axis) => {
    const sorted = points.map((point) => point[axis]).sort((a, b) => a - b), ends = centers.map((center) => center[axis]);
    const bulk = sorted.slice(Math.floor(0.1 * sorted.length), Math.ceil(0.9 * sorted.length));
    const all = [...ends, ...bulk.slice(0, 1), ...bulk.slice(-1)];
    return (Math.min(...all) + Math.max(...all)) / 2;
  });
  const away = (point) => Math.hypot(...point.map((value, axis) => value - middle[axis]));
  const reach = points.map(away).sort((a, b) => a - b)[Math.floor(0.7 * points.length)] ?? 0;
  const radius = Math.max(reach, ...centers.map(away), 1e-6);
  return { yaw: Math.atan2(forward[0], forward[2]) + 0.65, pitch: 0.5, distance: 2.5 * radius, target: middle };
}

// Neighbouring cameras should not hide each other, and a single one should be seen.
function frustumSize(centers, distance) {
  const steps = centers.slice(1).map((center, i) => Math.hypot(...center.map((value, axis) => value - centers[i][axis]))).sort((a, b) => a - b);
  const step = steps.length ? steps[Math.floor(steps.length / 2)] : 0;
  return Math.max(Math.min(1.2 * step, 0.08 * distance), 0.03 * distance);
}

function cornersOf(row, size) {
  const [center, right, down, forward] = [0, 3, 6, 9].map((i) => row.slice(i, i + 3));
  const [left, top, far, bottom] = row.slice(12);
  return [[left, top], [far, top], [far, bottom], [left, bottom]].map(([u, v]) =>
    center.map((value, axis) => value + size * (forward[axis] + u * right[axis] + v * down[axis])));
}
