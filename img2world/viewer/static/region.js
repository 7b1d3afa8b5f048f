// Keeps the camera in the supported region of the world. Beyond the edge a steered camera meets growing resistance;
// once released it returns to the edge.

// How far the camera can be pushed beyond an edge, relative to the width of the region.
const GIVE = 0.15;

/** Returns where a step from `over` (negative inside the edge) ends; beyond the edge it approaches `give` at most. */
function pushed(over, step, give) {
  const held = Math.min(over, 0.99 * give);
  const raw = held > 0 ? (give * held) / (give - held) : held;
  const next = raw + step;
  return next > 0 ? (give * next) / (give + next) : next;
}

/** Returns `after`, short of it where the step from `before` goes outwards beyond an edge of [low, high]. */
function resisted(before, after, [low, high]) {
  const give = GIVE * (high - low);
  if (after > before && after > high) return high + pushed(before - high, after - before, give);
  if (after < before && after < low) return low - pushed(low - before, before - after, give);
  return after;
}

/**
 * A camera as five coordinates with limits: yaw and pitch of the direction to the region's pivot, the logarithm of the
 * distance from it, and yaw and pitch of the look relative to that direction.
 */
class Region {
  constructor(supported, home, isObject) {
    this.supported = supported;
    /** Yaw and pitch by which the window is narrower than the picture; the look may turn as far to see all of it. */
    this.slack = [0, 0];
    const [yaw, pitch, , turnYaw, turnPitch] = this.read(home);
    const around = (center, range) => range.map((angle) => center + angle);
    // A camera that is to the right looks to the left at the pivot, and one that is above looks down.
    const opposite = ([low, high]) => [-high, -low];
    this.azimuth = isObject ? [-Infinity, Infinity] : around(yaw, opposite(supported.azimuth));
    this.elevation = around(pitch, opposite(supported.elevation));
    this.distance = supported.distance.map(Math.log);
    this.turnYaw = around(turnYaw, supported.turn_yaw);
    this.turnPitch = around(turnPitch, supported.turn_pitch);
    this.middle = (this.azimuth[0] + this.azimuth[1]) / 2 || 0;
  }

  read(pose) {
    const way = subtract(this.supported.pivot, centerOf(pose));
    const distance = Math.max(length(way), 1e-6);
    // Away from the wrap of angles, the limits of a scene are an interval.
    const yaw = nearestTurn(Math.atan2(way[0], way[2]), this.middle ?? 0);
    const pitch = Math.asin(clamp(-way[1] / distance, -1, 1));
    return [yaw, pitch, Math.log(distance), nearestTurn(pose.yaw - yaw, 0), pose.pitch - pitch];
  }

  /** Sets a pose to five coordinates; its pivot stays in the world (`anchored`) or goes with the camera. */
  write(pose, [yaw, pitch, distance, turnYaw, turnPitch], anchored) {
    const way = [Math.sin(yaw) * Math.cos(pitch), -Math.sin(pitch), Math.cos(yaw) * Math.cos(pitch)];
    const center = subtract(this.supported.pivot, scaled(way, Math.exp(distance)));
    pose.yaw = nearestTurn(yaw + turnYaw, pose.yaw);
    pose.pitch = pitch + turnPitch;
    const rotation = rotationOf(pose);
    if (anchored) pose.pivotInCam = rotate(transpose(rotation), subtract(pose.pivot, center));
    else pose.pivot = add(center, rotate(rotation, pose.pivotInCam));
  }

  limits() {
    const wide = ([low, high], slack) => {
      const middle = (low + high) / 2;
      return [Math.min(low, middle - slack), Math.max(high, middle + slack)];
    };
    return [this.azimuth, this.elevation, this.distance, wide(this.turnYaw, this.slack[0]), wide(this.turnPitch, this.slack[1])];
  }

  /** Returns the turns of the look per angle of the orbit that reach the edges of the picture and of the orbit together. */
  looksPerOrbit() {
    const turns = (slack, [low, high]) => (slack > 0 ? (2 * slack) / Math.max(high - low, 0.01) : 0);
    return [turns(this.slack[0], this.azimuth), turns(this.slack[1], this.elevation)];
  }

  /** Lets a pose that was steered from `before` go less far where it leaves the region. */
  resist(pose, before, anchored) {
    const [from, to, limits] = [this.read(before), this.read(pose), this.limits()];
    const held = to.map((value, i) => resisted(from[i], value, limits[i]));
    if (held.some((value, i) => value !== to[i])) this.write(pose, held, anchored);
  }

  /** Brings a pose back into the region. */
  confine(pose, anchored) {
    const at = this.read(pose);
    const limits = this.limits();
    const inside = at.map((value, i) => clamp(value, ...limits[i]));
    // Rounding must not keep a view at the edge in motion.
    if (inside.some((value, i) => Math.abs(value - at[i]) > 1e-7)) this.write(pose, inside, anchored);
  }
}
