// <heartlib-compare a=ID b=ID>: two songs that play together, of which one is heard.
import { clock, make } from "./song.js";

class Compare extends HTMLElement {
  connectedCallback() {
    this.sounds = ["a", "b"].map((side) =>
      make("audio", { src: `/v1/songs/${this.getAttribute(side)}/audio`, preload: "auto" }),
    );
    this.button = make("button", { type: "button", class: "play", onclick: () => this.toggle() }, "Play");
    this.sides = ["a", "b"].map((side, at) =>
      make(
        "button",
        { type: "button", class: "side", "aria-pressed": "false", onclick: () => this.hear(at) },
        `${side.toUpperCase()}: ${this.getAttribute(`${side}-name`)}`,
      ),
    );
    this.time = make("span", { class: "time" }, "0:00");
    this.replaceChildren(this.button, this.time, ...this.sides, ...this.sounds);
    this.sounds[0].addEventListener("timeupdate", () => this.moved());
    this.hear(0);
  }

  disconnectedCallback() {
    for (const sound of this.sounds ?? []) sound.pause();
  }

  toggle() {
    const playing = this.sounds.some((sound) => !sound.paused);
    for (const sound of this.sounds) playing ? sound.pause() : sound.play().catch(() => {});
    this.button.textContent = playing ? "Play" : "Pause";
  }

  hear(side) {
    this.sounds[side].currentTime = this.sounds[1 - side].currentTime;
    this.sounds.forEach((sound, at) => (sound.muted = at !== side));
    this.sides.forEach((button, at) => button.setAttribute("aria-pressed", String(at === side)));
  }

  moved() {
    this.time.textContent = clock(this.sounds[0].currentTime);
    if (this.sounds.every((sound) => sound.paused)) this.button.textContent = "Play";
  }
}

customElements.define("heartlib-compare", Compare);
