"use strict";

const LONGEST_SHOWN = 20000;

function requestOf(form) {
  const query = new URLSearchParams();
  const headers = {};
  for (const field of form.querySelectorAll("[data-query]")) {
    if (field.value) query.set(field.dataset.query, field.value);
  }
  for (const field of form.querySelectorAll("[data-header]")) {
    if (field.value) headers[field.dataset.header] = field.value;
  }
  const key = document.getElementById("api-key");
  if (key && key.value.trim()) headers["X-API-Key"] = key.value.trim();
  const options = { method: form.dataset.method, headers };
  const file = form.querySelector("input[type=file]");
  const text = form.querySelector("textarea");
  if (file && file.files.length) {
    options.body = new FormData();
    options.body.append("file", file.files[0]);
  } else if (text) {
    headers["Content-Type"] = "application/json";
    options.body = text.value;
  }
  const search = query.toString();
  return [form.dataset.path + (search ? "?" + search : ""), options];
}

async function send(form) {
  const output = form.querySelector("output");
  const shown = form.querySelector("pre");
  output.textContent = "Sending...";
  const began = performance.now();
  try {
    const answer = await fetch(...requestOf(form));
    const text = await answer.text();
    const milliseconds = Math.round(performance.now() - began);
    output.textContent = `${answer.status} ${answer.statusText}, ${milliseconds} ms`;
    const json = (answer.headers.get("Content-Type") || "").includes("json");
    const pretty = json ? JSON.stringify(JSON.parse(text), null, 2) : text;
    const rest = pretty.length - LONGEST_SHOWN;
    shown.textContent = rest > 0 ? `${pretty.slice(0, LONGEST_SHOWN)}\n(${rest} more)` : pretty;
    shown.hidden = false;
  } catch {
    output.textContent = "No answer. Is the server still running?";
    shown.hidden = true;
  }
}

for (const form of document.querySelectorAll("form.try")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  const chooser = form.querySelector("select.example");
  if (chooser) {
    chooser.addEventListener("change", () => {
      form.querySelector("textarea").value = chooser.value;
    });
  }
}
