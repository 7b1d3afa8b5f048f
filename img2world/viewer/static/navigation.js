// The viewer's pose and motion. A pose is a pivot in the world, the pivot's position in the camera and three
// angles. Input changes the goal, and the current pose follows it like a critically damped spring.

const SPRING_RATE = 14; // per second
const ROTATE_PER_SECOND = 0.35;
const SWAY_PERIOD = 9;
const WALK_PER_SECOND = 0.7; // in distances from the start camera to its pivot
const RUN_FACTOR = 3;
const TURN_PER_SECOND = 1.2;
const ZOOM_PER_SECOND = 1.2; // exponent
const MAX_PITCH = 1.5;

const copyPose = (pose) => ({ ...pose, pivot: [...pose.pivot], pivotInCam: [...pose.pivotInCam] });

const rotationOf = (pose) => rotationFromAngles(pose.yaw, pose.pitch, pose.roll);

const centerOf = (pose) => subtract(pose.pivot, rotate(rotationOf(pose), pose.pivotInCam));

/** Returns the pose of a camera; a pivot behind it is replaced by a point straight ahead at the same distance. */
function poseFromCamera(rotation, center, pivot) {
  let pivotInCam = rotate(transpose(rotation), subtract(pivot, center));
  if (pivotInCam[2] <= 0.01) {
    pivotInCam = [0, 0, Math.max(length(pivotInCam), 0.1)];
    pivot = add(center, rotate(rotation, pivotInCam));
  }
  return { ...anglesFromRotation(rotation), pivot, pivotInCam };
}

class Navigation {
  constructor(home, world) {
    this.settle(home, world);
    this.goal = copyPose(home);
    this.now = copyPose(home);
    this.speeds = new Map();
    this.isFree = false;
    this.anchored = true;
    this.idle = false;
    this.idleTime = 0;
  }

  /**
   * Sets the start and the limits. `supported` is the region in which the world looks right; `sway` holds the ranges of
   * yaw and pitch of the idle motion about the pivot, relative to home.
   */
  settle(home, { is_object: isObject, supported, sway }) {
    this.home = copyPose(home);
    this.unit = length(home.pivotInCam);
    this.isObject = isObject;
    this.region = new Region(supported, home, isObject);
    this.sway = sway;
  }

  /** Changes the goal, less where that leaves the region. `anchored` is true if the pivot stays in the world. */
  #steer(anchored, change) {
    const before = copyPose(this.goal);
    change(this.goal);
    this.anchored = anchored;
    if (!this.isFree) this.region.resist(this.goal, before, anchored);
  }

  /** Orbits the pivot. Where the window shows only part of the picture, the look goes the other way to its edges. */
  orbit(yaw, pitch) {
    const limit = Math.max(MAX_PITCH, Math.abs(this.home.pitch));
    const [across, down] = this.isFree ? [0, 0] : this.region.looksPerOrbit();
    this.#steer(true, (goal) => {
      goal.yaw += yaw;
      goal.pitch = clamp(goal.pitch + pitch, -limit, limit);
      const center = centerOf(goal);
      goal.yaw -= across * yaw;
      goal.pitch -= down * pitch;
      goal.pivotInCam = rotate(transpose(rotationOf(goal)), subtract(goal.pivot, center));
    });
  }

  /** Moves the camera along its own axes, in world units; the pivot goes with it. */
  move(right, down, forward) {
    this.#steer(false, (goal) => {
      goal.pivot = add(goal.pivot, rotate(rotationOf(goal), [right, down, forward]));
    });
  }

  rise(step) {
    this.#steer(false, (goal) => { goal.pivot[1] -= step; });
  }

  zoom(factor) {
    this.#steer(true, (goal) => {
      const distance = length(goal.pivotInCam);
      const target = clamp(distance * factor, 0.02 * this.unit, 30 * this.unit);
      goal.pivotInCam = scaled(goal.pivotInCam, target / distance);
    });
  }

  /** Turns the camera in place; the pivot swings around it. */
  turn(yaw, pitch) {
    this.#steer(false, (goal) => {
      const center = centerOf(goal);
      goal.yaw += yaw;
      goal.pitch = clamp(goal.pitch + pitch, -MAX_PITCH, MAX_PITCH);
      goal.pivot = add(center, rotate(rotationOf(goal), goal.pivotInCam));
    });
  }

  /** Looks at a point from where the camera is, as far as the region allows, and makes it the pivot. */
  setPivot(point) {
    const center = centerOf(this.goal);
    const toPoint = subtract(point, center);
    const distance = length(toPoint);
    if (distance < 0.02 * this.unit) return;
    this.goal.yaw = nearestTurn(Math.atan2(toPoint[0], toPoint[2]), this.goal.yaw);
    this.goal.pitch = clamp(Math.asin(-toPoint[1] / distance), -MAX_PITCH, MAX_PITCH);
    this.goal.pivotInCam = [0, 0, distance];
    this.goal.pivot = add(center, rotate(rotationOf(this.goal), this.goal.pivotInCam));
    this.anchored = true;
  }

  reset() {
    this.idle = false;
    this.goal = copyPose(this.home);
    this.now.yaw = nearestTurn(this.now.yaw, this.home.yaw);
  }

  /** Starts or stops the idle motion, which shows depth while there is no input. */
  setIdle(idle) {
    // The sway ranges are relative to home, so the sway starts there.
    if (idle && !this.isObject) this.reset();
    this.idle = idle;
    this.idleTime = 0;
  }

  #idleStep(seconds) {
    this.idleTime += seconds;
    if (this.isObject) {
      this.goal.yaw += ROTATE_PER_SECOND * Math.min(1, this.idleTime) * seconds;
      return;
    }
    const phase = (2 * Math.PI * this.idleTime) / SWAY_PERIOD;
    const ease = Math.min(1, this.idleTime / SWAY_PERIOD);
    const within = ([low, high], wave) => ease * (wave < 0 ? -low : high) * wave;
    this.goal.yaw = this.home.yaw + within(this.sway.yaw, Math.sin(phase));
    this.goal.pitch = this.home.pitch + within(this.sway.pitch, Math.sin(phase / 2));
  }

  /** `keys` are the codes of the keys held down. */
  #walkStep(seconds, keys) {
    const held = (...codes) => (codes.some((code) => keys.has(code)) ? 1 : 0);
    const running = held("ShiftLeft", "ShiftRight") ? RUN_FACTOR : 1;
    const step = WALK_PER_SECOND * running * this.unit * seconds;
    const arrows = [held("ArrowRight") - held("ArrowLeft"), held("ArrowUp") - held("ArrowDown")];
    const walk = this.isObject ? 0 : arrows[1];
    const right = held("KeyD") - held("KeyA");
    const forward = clamp(held("KeyW") - held("KeyS") + walk, -1, 1);
    if (right || forward) this.move(right * step, 0, forward * step);
    const up = held("KeyE") - held("KeyQ");
    if (up) this.rise(up * step);
    const angle = TURN_PER_SECOND * seconds;
    const look = held("PageUp") - held("PageDown");
    if (this.isObject && (arrows[0] || arrows[1])) this.orbit(-arrows[0] * angle, -arrows[1] * angle);
    const turn = this.isObject ? 0 : arrows[0];
    if (turn || look) this.turn(turn * angle, look * angle);
    const zoom = held("Minus", "NumpadSubtract") - held("Equal", "NumpadAdd");
    if (zoom) this.zoom(Math.exp(zoom * ZOOM_PER_SECOND * seconds));
  }

  isAtRest() {
    return !this.idle && JSON.stringify(this.now) === JSON.stringify(this.goal);
  }

  /** Advances the current pose; returns true if it changed. While `isHeld`, the goal may stay beyond the edge. */
  step(seconds, keys, isHeld) {
    if (this.idle) this.#idleStep(seconds);
    this.#walkStep(seconds, keys);
    if (!this.isFree && !isHeld) this.region.confine(this.goal, this.anchored);
    const decay = Math.exp(-SPRING_RATE * seconds);
    let change = 0;
    const follow = (name, now, goal) => {
      const off = now - goal;
      const speed = this.speeds.get(name) ?? 0;
      // Snapping to the goal in the end makes a still view exactly still.
      const rests = Math.abs(off) < 1e-5 && Math.abs(speed) < 1e-4;
      // The exact solution of a critically damped spring does not depend on the frame rate.
      const push = (speed + SPRING_RATE * off) * seconds;
      const next = rests ? goal : goal + (off + push) * decay;
      this.speeds.set(name, rests ? 0 : (speed - SPRING_RATE * push) * decay);
      change = Math.max(change, Math.abs(next - now));
      return next;
    };
    for (const angle of ["yaw", "pitch", "roll"]) this.now[angle] = follow(angle, this.now[angle], this.goal[angle]);
    for (const vector of ["pivot", "pivotInCam"]) {
      this.now[vector] = this.now[vector].map((now, axis) => follow(vector + axis, now, this.goal[vector][axis]));
    }
    return change > 0;
  }
}
