// <heartlib-player song=ID>: a song from the queue to its last second.
import { clock, follow, make, tell } from "./song.js";
import { Lyrics, readLrc } from "./lyrics.js";
import { Waveform } from "./waveform.js";

const FRAME_SECONDS = 0.08;
const FILES = [
  ["mp3", "audio.mp3"],
  ["wav", "audio.wav"],
  ["flac", "audio.flac"],
  ["LRC", "lyrics.lrc"],
  ["codes", "codes"],
];

class Player extends HTMLElement {
  connectedCallback() {
    this.id_ = this.getAttribute("song");
    this.streaming = false; // whether the player has the growing sound
    this.build();
    this.begin().catch((error) => this.say(error.message));
  }

  disconnectedCallback() {
    this.unfollow?.();
    this.waveform?.close();
    this.audio?.pause();
    this.audio?.removeAttribute("src");
    this.audio?.load();
  }

  build() {
    this.audio = make("audio", { controls: "", preload: "auto", "aria-label": "The song" });
    this.status = make("p", { class: "status" });
    this.aloud = make("p", { class: "aloud", role: "status" }); // what a screen reader says
    this.bar = make("progress", { "aria-label": "How much is sung", max: "1", value: "0" });
    this.waveform = new Waveform((seconds) => this.seek(seconds));
    this.files = make("p", { class: "files" });
    this.here = make(
      "button",
      { type: "button", class: "keep-here", onclick: () => this.keepHere() },
      "Keep until here",
    );
    this.head = make("h2", {}, this.getAttribute("name") ?? "");
    this.replaceChildren(this.head, this.status, this.aloud, this.bar, this.waveform.canvas, this.audio, this.files);
    this.audio.addEventListener("timeupdate", () => this.moved());
    for (const stop of ["pause", "ended"]) this.audio.addEventListener(stop, () => this.takeFile());
  }

  async begin() {
    this.song = await (await tell(this.id_)).json();
    if (!this.isConnected) return;
    this.lyrics = new Lyrics(this.song.lyrics, (seconds) => this.seek(seconds));
    this.append(this.lyrics.element);
    if (this.song.status === "done") {
      this.audio.src = this.song.links.audio;
      if (this.hasAttribute("autoplay")) this.play();
      await this.finished();
      return;
    }
    this.said(this.song.status, { ...this.song.progress, error: this.song.error });
    if (["failed", "cancelled"].includes(this.song.status)) return;
    this.unfollow = follow(this.id_, (kind, data) => this.said(kind, data));
  }

  // What a visitor asked for is heard at once, and seen on a phone, where it is below.
  play() {
    if (this.getBoundingClientRect().top > window.innerHeight * 0.8) {
      this.scrollIntoView({ behavior: "smooth", block: "start" });
    }
    this.audio.play().catch(() => {}); // a browser that wants to be asked has its button
  }

  // Asks for the growing sound as soon as the song is begun, so that the answer waits for the first piece.
  listen() {
    if (this.streaming) return;
    this.streaming = true;
    this.audio.src = this.song.links.audio;
    if (this.hasAttribute("autoplay")) this.play();
  }

  said(kind, data) {
    this.dataset.status = kind;
    if (kind === "queued" || kind === "waiting") {
      this.say(data.place > 1 ? `Waits: place ${data.place}` : "Waits for its turn");
    } else if (kind === "begun") {
      this.say("Begins");
      this.listen();
    } else if (["frames", "sound", "singing"].includes(kind)) {
      this.listen();
      const sung = (data.frames ?? 0) * FRAME_SECONDS;
      if (data.most) this.bar.value = data.frames / data.most;
      const section = data.section ? `[${data.section}] ` : "";
      const heard = data.seconds ? `, ${clock(data.seconds)} can be heard` : "";
      this.say(`${section}${clock(sung)} sung${heard}`, section || "It is sung");
      this.lyrics.section(data.section);
    } else if (kind === "done") {
      this.finished().catch((error) => this.say(error.message));
      document.querySelector("#refresh")?.click();
    } else {
      this.bar.hidden = true;
      this.say(kind === "failed" ? `Failed: ${data.error ?? ""}` : "Cancelled");
      this.audio.pause();
      document.querySelector("#refresh")?.click();
    }
  }

  async finished() {
    this.song = await (await tell(this.id_)).json();
    this.dataset.status = "done";
    this.bar.hidden = true;
    this.lyrics.section(null);
    const { result, seed, tags } = this.song;
    this.say(`${clock(result.seconds)} · seed ${seed} · ${tags}`);
    this.showFiles();
    this.takeFile();
    await this.waveform.read(await (await tell(this.id_, "/audio")).arrayBuffer());
    this.waveform.at(this.audio.currentTime);
    await this.makeTimes();
  }

  showFiles() {
    const links = FILES.map(([name, file]) =>
      make("a", { href: `/v1/songs/${this.id_}/${file}`, download: "" }, name),
    );
    this.files.replaceChildren("Download: ", ...links.flatMap((link) => [link, " "]), this.here);
  }

  // The server listens to the song for this, once; where it cannot, the lyrics stay as they are.
  async makeTimes() {
    this.dataset.words = "awaited";
    try {
      this.lyrics.timed(readLrc(await (await tell(this.id_, "/lyrics.lrc")).text()));
      this.dataset.words = "timed";
      this.moved();
    } catch (error) {
      this.dataset.words = "unknown";
      this.files.append(make("small", {}, ` The words have no times: ${error.message}`));
    }
  }

  // A stream cannot be gone back in: as soon as nobody listens to it, the file takes its place.
  takeFile() {
    const { audio } = this;
    if (!this.streaming || this.dataset.status !== "done" || !(audio.paused || audio.ended)) return;
    this.streaming = false;
    const at = audio.ended ? 0 : audio.currentTime;
    audio.src = this.song.links.audio;
    audio.currentTime = at;
  }

  seek(seconds) {
    if (this.streaming && this.dataset.status === "done") {
      const playing = !this.audio.paused;
      this.audio.pause();
      this.streaming = false;
      this.audio.src = this.song.links.audio;
      this.audio.currentTime = seconds;
      if (playing) this.play();
      return;
    }
    this.audio.currentTime = seconds;
    this.moved();
  }

  moved() {
    this.lyrics?.at(this.audio.currentTime);
    this.waveform.at(this.audio.currentTime);
  }

  keepHere() {
    const panel = document.querySelector("#change");
    if (!panel) return;
    const fill = () => {
      const field = document.querySelector("#keep-until input");
      if (!field) return false;
      field.value = this.audio.currentTime.toFixed(1);
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.focus();
      return true;
    };
    if (fill()) return;
    panel.querySelector("button")?.click();
    setTimeout(fill, 300);
  }

  say(text, aloud = text) {
    if (this.status.textContent !== text) this.status.textContent = text;
    if (this.aloud.textContent !== aloud) this.aloud.textContent = aloud;
  }
}

customElements.define("heartlib-player", Player);
