"use strict";
const form = document.querySelector(".filter");
const rows = [...document.querySelectorAll("tbody tr[data-words]")];
const find = document.getElementById("find");
const state = document.getElementById("state");
const environment = document.getElementById("environment");
const count = document.getElementById("count");
const words = rows.map((row) => row.dataset.words.toLowerCase());

function matches(text, terms) {
  const wanted = state.value && (environment.value ? environment.value + ":" + state.value : ":" + state.value);
  if (!terms.every((term) => text.includes(term))) return false;
  if (!wanted && !environment.value) return true;
  return text.split(" ").some((word) =>
    wanted ? (environment.value ? word === wanted : word.endsWith(wanted)) : word.startsWith(environment.value + ":") && !word.endsWith(":"));
}

function filter() {
  const terms = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  rows.forEach((row, i) => {
    const hide = !matches(words[i], terms);
    if (row.hidden !== hide) row.hidden = hide;
    if (!hide) shown++;
  });
  count.textContent = shown + " of " + rows.length + " commits";
}

form.hidden = false;
form.addEventListener("submit", (event) => event.preventDefault());
for (const input of [find, state, environment]) input.addEventListener("input", filter);
filter();

for (const button of document.querySelectorAll(".copy button")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const command = button.parentElement.querySelector("code");
    getSelection().selectAllChildren(command);
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected";
    }
  });
}
