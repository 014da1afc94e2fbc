// A sparkline of the current value, on a canvas.

import { el } from "./dom.js";

const POINTS = 60;
const WIDTH = 120;
const HEIGHT = 28;

export class Spark {
  constructor() {
    this.values = [];
    this.canvas = el("canvas", { class: "spark", width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
    this.scale = 0;
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > POINTS) this.values.shift();
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    if (this.scale !== ratio) {
      this.scale = ratio;
      this.canvas.width = WIDTH * ratio;
      this.canvas.height = HEIGHT * ratio;
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, WIDTH, HEIGHT);
    if (!this.values.length) return;
    const low = Math.min(...this.values);
    const range = Math.max(...this.values) - low;
    const step = (WIDTH - 8) / (POINTS - 1);
    const x = (i) => WIDTH - 4 - (this.values.length - 1 - i) * step;
    const share = (value) => (range ? (value - low) / range : 0.5); // a flat line in the middle
    const y = (value) => HEIGHT - 4 - share(value) * (HEIGHT - 8);
    context.strokeStyle = context.fillStyle = getComputedStyle(this.canvas).color;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.beginPath();
    this.values.forEach((value, i) => context.lineTo(x(i), y(value)));
    context.stroke();
    context.beginPath();
    context.arc(x(this.values.length - 1), y(this.values.at(-1)), 2.2, 0, 7);
    context.fill();
  }
}
