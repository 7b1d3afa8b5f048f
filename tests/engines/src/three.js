// three.js; splats with Spark.
import { SparkRenderer, SplatMesh } from "@sparkjsdev/spark";
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

export async function load(canvas, url, { isMesh, background, camera, turn }) {
  const renderer = new THREE.WebGLRenderer({ canvas, antialias: isMesh, preserveDrawingBuffer: true });
  renderer.setPixelRatio(1);
  renderer.setSize(camera.width, camera.height, false);
  const scene = new THREE.Scene();
  scene.background = new THREE.Color().setRGB(...background, THREE.SRGBColorSpace);
  if (isMesh) scene.add((await new GLTFLoader().loadAsync(url)).scene);
  else {
    const splats = new SplatMesh({ url });
    await splats.initialized;
    if (turn) {
      const [w, x, y, z] = turn.quaternion_wxyz;
      splats.position.set(...turn.position);
      splats.quaternion.set(x, y, z, w);
      splats.scale.set(...turn.scale);
    }
    scene.add(new SparkRenderer({ renderer }), splats);
  }
  const view = new THREE.PerspectiveCamera(camera.fovY, camera.width / camera.height, camera.near, camera.far);
  new THREE.Matrix4().fromArray(camera.pose).decompose(view.position, view.quaternion, view.scale);
  return {
    render: () => renderer.render(scene, view),
    dispose: () => {
      renderer.dispose();
      renderer.forceContextLoss();
    },
  };
}
