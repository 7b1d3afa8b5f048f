// Draws files in the engines; one at a time, each in a canvas of its own.
import * as babylon from "./babylon.js";
import * as playcanvas from "./playcanvas.js";
import * as three from "./three.js";

const engines = { babylon, playcanvas, three };
const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
let canvas, drawing;

/** Loads a file; `frame` draws it afterwards. */
window.load = async (engine, url, options) => {
  canvas = document.createElement("canvas");
  canvas.width = options.camera.width;
  canvas.height = options.camera.height;
  document.body.append(canvas);
  drawing = await engines[engine].load(canvas, url, options);
};

/** Draws once more and returns the pixels as base64 of RGBA bytes, from the top left. */
window.frame = async () => {
  await drawing.render();
  context.canvas.width = canvas.width;
  context.canvas.height = canvas.height;
  context.drawImage(canvas, 0, 0);
  const bytes = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
};

/** Frees the engine's memory and its context, of which a page may have few. */
window.unload = () => {
  drawing?.dispose();
  canvas.remove();
  drawing = undefined;
};
