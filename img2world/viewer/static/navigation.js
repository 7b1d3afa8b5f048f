// The viewer's pose and motion. A pose is a pivot in the world, the pivot's position in the camera and three
// angles. Input changes the goal, and the current pose follows it smoothly.

const FOLLOW_RATE = 9; // per second
const ROTATE_PER_SECOND = 0.35;
const SWAY_PERIOD = 9;
const WALK_PER_SECOND = 0.7; // in distances from the start camera to its pivot
const RUN_FACTOR = 3;
const TURN_PER_SECOND = 1.2;
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
  /** `sway` holds the ranges of yaw and pitch about the pivot, relative to home, in which the world looks right. */
  constructor(home, { isObject, sway }) {
    this.home = copyPose(home);
    this.goal = copyPose(home);
    this.now = copyPose(home);
    this.unit = length(home.pivotInCam);
    this.isObject = isObject;
    this.sway = sway;
    this.idle = false;
    this.idleTime = 0;
  }

  orbit(yaw, pitch) {
    this.goal.yaw += yaw;
    const limit = Math.max(MAX_PITCH, Math.abs(this.home.pitch));
    this.goal.pitch = clamp(this.goal.pitch + pitch, -limit, limit);
  }

  /** Moves the camera along its own axes, in world units; the pivot goes with it. */
  move(right, down, forward) {
    this.goal.pivot = add(this.goal.pivot, rotate(rotationOf(this.goal), [right, down, forward]));
  }

  zoom(factor) {
    const distance = length(this.goal.pivotInCam);
    const target = clamp(distance * factor, 0.02 * this.unit, 30 * this.unit);
    this.goal.pivotInCam = scaled(this.goal.pivotInCam, target / distance);
  }

  /** Turns the camera in place; the pivot swings around it. */
  turn(yaw) {
    const center = centerOf(this.goal);
    this.goal.yaw += yaw;
    this.goal.pivot = add(center, rotate(rotationOf(this.goal), this.goal.pivotInCam));
  }

  /** Looks at a point from where the camera is and makes it the pivot. */
  setPivot(point) {
    const center = centerOf(this.goal);
    const toPoint = subtract(point, center);
    const distance = length(toPoint);
    if (distance < 0.02 * this.unit) return;
    this.goal.yaw = nearestTurn(Math.atan2(toPoint[0], toPoint[2]), this.goal.yaw);
    this.goal.pitch = clamp(Math.asin(-toPoint[1] / distance), -MAX_PITCH, MAX_PITCH);
    this.goal.pivotInCam = [0, 0, distance];
    this.goal.pivot = add(center, rotate(rotationOf(this.goal), this.goal.pivotInCam));
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
    const right = held("KeyD") - held("KeyA");
    const forward = held("KeyW", "ArrowUp") - held("KeyS", "ArrowDown");
    if (right || forward) this.move(right * step, 0, forward * step);
    const up = held("KeyE") - held("KeyQ");
    if (up) this.goal.pivot[1] -= up * step;
    const turn = held("ArrowRight") - held("ArrowLeft");
    if (turn) this.turn(turn * TURN_PER_SECOND * seconds);
  }

  isAtRest() {
    return !this.idle && JSON.stringify(this.now) === JSON.stringify(this.goal);
  }

  /** Advances the current pose; returns true if it changed. */
  step(seconds, keys) {
    if (this.idle) this.#idleStep(seconds);
    this.#walkStep(seconds, keys);
    const blend = 1 - Math.exp(-FOLLOW_RATE * seconds);
    let change = 0;
    const follow = (now, goal) => {
      // Snapping to the goal in the end makes a still view exactly still.
      const next = Math.abs(goal - now) < 1e-5 ? goal : now + blend * (goal - now);
      change = Math.max(change, Math.abs(next - now));
      return next;
    };
    for (const angle of ["yaw", "pitch", "roll"]) this.now[angle] = follow(this.now[angle], this.goal[angle]);
    for (let axis = 0; axis < 3; axis++) {
      this.now.pivot[axis] = follow(this.now.pivot[axis], this.goal.pivot[axis]);
      this.now.pivotInCam[axis] = follow(this.now.pivotInCam[axis], this.goal.pivotInCam[axis]);
    }
    return change > 0;
  }
}
