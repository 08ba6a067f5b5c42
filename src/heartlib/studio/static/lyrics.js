// Lyrics with times: read from LRC, shown, and the word that is being sung marked.
import { make } from "./song.js";

const STAMP = /[[<](\d+):(\d+(?:\.\d+)?)[\]>]/g;

// [[{start, end, text}, ...] for each line]
export function readLrc(text) {
  const lines = [];
  for (const line of text.split("\n")) {
    const stamps = [...line.matchAll(STAMP)];
    const words = [];
    stamps.forEach((stamp, at) => {
      const start = 60 * Number(stamp[1]) + Number(stamp[2]);
      const next = stamps[at + 1];
      const word = line.slice(stamp.index + stamp[0].length, next?.index ?? line.length);
      if (!word.trim()) return;
      const end = next ? 60 * Number(next[1]) + Number(next[2]) : start + 1;
      words.push({ start, end, text: word.trim() });
    });
    if (words.length) lines.push(words);
  }
  return lines;
}

// Lyrics as they were written; once timed, words are buttons that the player goes to.
export class Lyrics {
  constructor(lyrics, seek) {
    this.element = make("div", { class: "lyrics", "aria-label": "Lyrics" });
    this.seek = seek;
    this.words = [];
    for (const line of lyrics.split("\n")) {
      const marker = /^\s*\[.*\]\s*$/.test(line);
      this.element.append(make("p", marker ? { class: "marker" } : {}, line.trim() || "\u00a0"));
    }
  }

  timed(lines) {
    this.words = [];
    const sung = [...this.element.children].filter(
      (line) => !line.classList.contains("marker") && line.textContent.trim(),
    );
    sung.forEach((line, at) => {
      if (!lines[at]) return;
      line.replaceChildren();
      for (const word of lines[at]) {
        const span = make("span", { class: "word", onclick: () => this.seek(word.start) }, word.text);
        line.append(span, " ");
        this.words.push({ ...word, span });
      }
    });
  }

  // From the section on that is being sung, by its name: before there are times.
  section(name) {
    for (const line of this.element.querySelectorAll(".marker")) {
      line.classList.toggle("now", name != null && line.textContent.trim() === `[${name}]`);
    }
  }

  at(seconds) {
    for (const word of this.words) {
      const now = seconds >= word.start && seconds < word.end;
      if (now && !word.span.classList.contains("now")) {
        const box = this.element;
        const top = word.span.offsetTop - box.offsetTop;
        if (top < box.scrollTop || top > box.scrollTop + box.clientHeight - 40) {
          box.scrollTop = Math.max(0, top - box.clientHeight / 3);
        }
      }
      word.span.classList.toggle("now", now);
    }
  }
}
