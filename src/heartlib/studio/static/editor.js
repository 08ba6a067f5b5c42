// The lyrics' section buttons, which write where the cursor is, and keys for the whole page.

function insert(text) {
  const field = document.querySelector("#lyrics textarea");
  if (!field) return;
  const { selectionStart: start, selectionEnd: end, value } = field;
  const before = value.slice(0, start);
  const gap = !before || before.endsWith("\n\n") ? "" : before.endsWith("\n") ? "\n" : "\n\n";
  const after = value.slice(end).startsWith("\n") ? "" : "\n";
  field.value = before + gap + text + after + value.slice(end);
  const at = start + gap.length + text.length + 1;
  field.setSelectionRange(at, at);
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button.insert-section, .insert-section button");
  if (button) insert(button.textContent.trim());
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    // what was typed last reaches Gradio before the click
    setTimeout(() => document.querySelector("#create")?.click(), 50);
    return;
  }
  const typing = event.target.closest?.("input, textarea, select, button, a, canvas, audio, [contenteditable]");
  if (event.key === " " && !typing) {
    const audio = document.querySelector("heartlib-player audio");
    if (!audio) return;
    event.preventDefault();
    audio.paused ? audio.play().catch(() => {}) : audio.pause();
  }
});
