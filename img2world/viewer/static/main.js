// Starts the page of a world, which holds it.

async function start() {
  const canvas = element("canvas");
  if (!createContext(canvas)) {
    throw new ViewerError("This page needs WebGL 2", "Turn on hardware acceleration, or open it in another browser.");
  }
  const world = JSON.parse(element("world").textContent);
  const showProgress = (fraction) => { element("done").style.width = `${4 + 96 * fraction}%`; };
  await nextPaint();
  const payload = await inflate(bytesFromBase64(element("splats").textContent), world.splats.bytes, (fraction) => showProgress(0.8 * fraction));
  element("splats").remove();
  await nextPaint();
  const splats = decodeSplats(world.splats, payload);
  // motion.js and player.js are only in the page of a scene that moves.
  if (world.motion) splats.skin = decodeSkin(world.splats, payload);
  const viewer = new Viewer(canvas, world, splats, world.motion && new Motion(world.motion, world.splats, payload));
  if (world.motion) viewer.player = new Player(viewer);
  await viewer.show(viewer.camera());
  showProgress(1);
  run(viewer, world.motion && { idleKey: "KeyI", more: viewer.player.keys() });
}

window.img2world = { state: "loading" };
window.img2world.ready = start();
window.img2world.ready.catch(showFailure);
