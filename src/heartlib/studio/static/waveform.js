// A song's loudness as a picture, on which one chooses a moment: a slider for the keyboard.
import { clock, make } from "./song.js";

const BARS = 240;

export class Waveform {
  constructor(seek) {
    this.seek = seek;
    this.peaks = null;
    this.seconds = 0;
    this.now = 0;
    this.canvas = make("canvas", {
      class: "waveform",
      tabindex: "0",
      role: "slider",
      "aria-label": "Where in the song",
      "aria-valuemin": "0",
      onclick: (event) => this.seek((event.offsetX / this.canvas.clientWidth) * this.seconds),
      onkeydown: (event) => this.key(event),
    });
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.canvas);
  }

  close() {
    this.resized.disconnect();
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 };
    const to = { Home: 0, End: this.seconds }[event.key] ?? this.now + (steps[event.key] ?? NaN);
    if (Number.isNaN(to)) return;
    event.preventDefault();
    this.seek(Math.min(Math.max(0, to), this.seconds));
  }

  async read(sound) {
    const context = new OfflineAudioContext(1, 1, 8000);
    const decoded = await context.decodeAudioData(sound);
    const samples = decoded.getChannelData(0);
    const each = samples.length / BARS;
    this.peaks = Array.from({ length: BARS }, (_, bar) => {
      let peak = 0;
      for (let at = Math.floor(bar * each); at < (bar + 1) * each; at++) {
        peak = Math.max(peak, Math.abs(samples[at] ?? 0));
      }
      return peak;
    });
    this.seconds = decoded.duration;
    this.at(this.now);
  }

  at(seconds) {
    this.now = seconds;
    this.canvas.setAttribute("aria-valuemax", this.seconds.toFixed(1));
    this.canvas.setAttribute("aria-valuenow", seconds.toFixed(1));
    this.canvas.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(this.seconds)}`);
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth * scale, canvas.clientHeight * scale];
    if (!width) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const style = getComputedStyle(canvas);
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const played = this.seconds ? this.now / this.seconds : 0;
    const bar = width / BARS;
    for (let at = 0; at < BARS; at++) {
      const tall = Math.max(2 * scale, (this.peaks?.[at] ?? 0) * height * 0.95);
      pen.fillStyle = at / BARS < played ? style.color : style.borderColor;
      pen.fillRect(at * bar, (height - tall) / 2, Math.max(1, bar * 0.7), tall);
    }
  }
}
