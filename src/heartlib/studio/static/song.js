// A song of the server: what it tells, and what happens to it.

export async function tell(id, part = "", options = {}) {
  const answer = await fetch(`/v1/songs/${id}${part}`, options);
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? answer.statusText);
  }
  return answer;
}

// Calls told(kind, data) for every event until the last; returns what ends it.
export function follow(id, told) {
  const source = new EventSource(`/v1/songs/${id}/events`);
  const kinds = ["queued", "begun", "frames", "sound", "done", "failed", "cancelled"];
  for (const kind of kinds) {
    source.addEventListener(kind, (event) => {
      if (["done", "failed", "cancelled"].includes(kind)) source.close();
      told(kind, JSON.parse(event.data));
    });
  }
  return () => source.close();
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
