// Babylon.js.
import { FreeCamera } from "@babylonjs/core/Cameras/freeCamera.js";
import { Engine } from "@babylonjs/core/Engines/engine.js";
import { ImportMeshAsync } from "@babylonjs/core/Loading/sceneLoader.js";
import { Color4 } from "@babylonjs/core/Maths/math.color.js";
import { Matrix, Quaternion, Vector3 } from "@babylonjs/core/Maths/math.vector.js";
import { TransformNode } from "@babylonjs/core/Meshes/transformNode.js";
import { Scene } from "@babylonjs/core/scene.js";
import "@babylonjs/loaders/SPLAT/index.js";
import "@babylonjs/loaders/glTF/index.js";
import * as fflate from "fflate";

export async function load(canvas, url, { isMesh, background, camera, turn }) {
  const engine = new Engine(canvas, isMesh, { alpha: false, preserveDrawingBuffer: true }, false);
  const scene = new Scene(engine);
  scene.clearColor = new Color4(...background, 1);
  // Without these options it loads its unpackers from another site.
  const loaded = await ImportMeshAsync(url, scene, { pluginOptions: { splat: { fflate, spzLibraryUrl: "" } } });
  if (turn) {
    const [w, x, y, z] = turn.quaternion_wxyz;
    const holder = new TransformNode("holder", scene);
    holder.position.set(...turn.position);
    holder.rotationQuaternion = new Quaternion(x, y, z, w);
    holder.scaling.set(...turn.scale);
    for (const mesh of loaded.meshes) mesh.parent ??= holder;
  }
  const view = new FreeCamera("view", Vector3.Zero(), scene);
  view.minZ = camera.near;
  view.maxZ = camera.far;
  view.fov = (camera.fovY * Math.PI) / 180;
  view.rotationQuaternion = new Quaternion();
  Matrix.FromArray(camera.pose).decompose(undefined, view.rotationQuaternion, view.position);
  // Otherwise a quaternion without a Z component leaves the up vector as it is.
  view.updateUpVectorFromRotation = true;
  scene.activeCamera = view;
  await scene.whenReadyAsync();
  const gl = canvas.getContext("webgl2");
  return {
    render: () => scene.render(),
    dispose: () => {
      engine.dispose();
      gl.getExtension("WEBGL_lose_context").loseContext();
    },
  };
}
