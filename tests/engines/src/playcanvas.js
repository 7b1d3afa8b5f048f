// PlayCanvas.
import * as pc from "playcanvas";

export async function load(canvas, url, { isMesh, background, camera, turn }) {
  const device = await pc.createGraphicsDevice(canvas, {
    deviceTypes: ["webgl2"], alpha: false, antialias: isMesh, preserveDrawingBuffer: true,
  });
  device.maxPixelRatio = 1;
  const app = new pc.Application(canvas, { graphicsDevice: device });
  app.setCanvasFillMode(pc.FILLMODE_NONE, camera.width, camera.height);
  app.setCanvasResolution(pc.RESOLUTION_FIXED, camera.width, camera.height);
  app.start();
  const isContainer = url.endsWith(".glb");
  const asset = new pc.Asset("file", isContainer ? "container" : "gsplat", { url, filename: url.split("/").pop() });
  await new Promise((resolve, reject) => {
    asset.on("load", resolve);
    asset.on("error", reject);
    app.assets.add(asset);
    app.assets.load(asset);
  });
  let entity = new pc.Entity();
  if (isContainer) entity = asset.resource.instantiateRenderEntity();
  else entity.addComponent("gsplat", { asset });
  if (turn) {
    const [w, x, y, z] = turn.quaternion_wxyz;
    entity.setLocalPosition(...turn.position);
    entity.setLocalRotation(x, y, z, w);
    entity.setLocalScale(...turn.scale);
  }
  app.root.addChild(entity);
  const view = new pc.Entity();
  view.addComponent("camera", {
    clearColor: new pc.Color(...background), fov: camera.fovY, nearClip: camera.near, farClip: camera.far,
    gammaCorrection: pc.GAMMA_SRGB, toneMapping: pc.TONEMAP_NONE,
  });
  const pose = new pc.Mat4();
  pose.data.set(camera.pose);
  view.setPosition(pose.getTranslation());
  view.setRotation(new pc.Quat().setFromMat4(pose));
  app.root.addChild(view);
  const gl = device.gl;
  return {
    render: () => new Promise((resolve) => app.once("frameend", resolve)),
    dispose: () => {
      app.destroy();
      gl.getExtension("WEBGL_lose_context").loseContext();
    },
  };
}
