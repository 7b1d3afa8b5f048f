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
  const viewer = new Viewer(canvas, world, decodeSplats(world.splats, payload));
  await viewer.show(viewer.camera());
  showProgress(1);
  run(viewer);
}

window.img2world = { state: "loading" };
window.img2world.ready = start();
window.img2world.ready.catch(showFailure);
