// What HTML cannot do: uploads with progress, the camera, the clipboard, problems as text.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const announce = (words) => { $("#announcer").textContent = words; };

// Problems: what is wrong, and what to do.

function showProblem(problem) {
  const box = document.createElement("div");
  const what = document.createElement("b");
  const todo = document.createElement("p");
  box.className = "error";
  what.textContent = sentence(problem.message || "the server did not answer");
  todo.textContent = `What to do: ${problem.remedy || "check that it is running, then try again"}.`;
  box.append(what, todo);
  const notice = $("#notice");
  notice.replaceChildren(box);
  notice.scrollIntoView({ block: "nearest" });
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
const clearProblem = () => $("#notice").replaceChildren();

function problemOf(request) {
  if (request.status === 401) {
    location.assign("/");
    return { message: "this server needs a key", remedy: "enter it on the front page" };
  }
  try {
    return JSON.parse(request.responseText);
  } catch {
    return {};
  }
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "get") clearProblem();
});
document.addEventListener("htmx:responseError", (event) => showProblem(problemOf(event.detail.xhr)));
document.addEventListener("htmx:sendError", () => showProblem({}));
document.addEventListener("error", (event) => {
  if (event.target.matches?.("img[data-thumb]")) event.target.remove();
}, true);

// Uploads.

function send(file, name, progress) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    request.open("POST", `/v1/uploads?name=${encodeURIComponent(name)}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () => (request.status === 201 ? resolve(JSON.parse(request.responseText)) : reject(problemOf(request)));
    request.onerror = () => reject({});
    request.onabort = () => reject(null);
    request.send(file);
  });
  return { done, stop: () => request.abort() };
}

async function upload(slot, file, name) {
  clearProblem();
  const drop = $("[data-drop]", slot);
  const sending = $("[data-sending]", slot);
  const bar = $("progress", sending);
  const words = $("[data-sending-words]", sending);
  drop.hidden = true;
  sending.hidden = false;
  words.textContent = `Sending ${name}`;
  const way = send(file, name, (share) => {
    bar.value = 100 * share;
    if (share === 1) words.textContent = "Checking it";
  });
  $("[data-cancel]", sending).onclick = way.stop;
  try {
    const { id } = await way.done;
    await htmx.ajax("GET", `/page/clips/${id}`, { target: slot, swap: "innerHTML" });
    announce(`${name} is uploaded`);
    $("#prompt")?.focus();
  } catch (problem) {
    drop.hidden = false;
    sending.hidden = true;
    if (problem) showProblem(problem);
  }
}

async function addPictures(input) {
  const field = $("input[type=hidden]", input.parentElement);
  const words = $("small", input.parentElement);
  const button = $(".primary", input.form);
  clearProblem();
  field.value = "";
  button.disabled = true;
  try {
    const ids = [];
    for (const file of input.files) {
      words.textContent = `Sending ${file.name}`;
      ids.push((await send(file, file.name, () => {}).done).id);
    }
    field.value = ids.join(",");
    words.textContent = ids.length ? "Sent" : "None";
  } catch (problem) {
    input.value = "";
    words.textContent = "Not sent";
    showProblem(problem ?? {});
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-picture]")) addPictures(event.target);
  if (event.target.matches("[data-file]") && event.target.files.length) {
    const [file] = event.target.files;
    upload(event.target.closest("[data-slot]"), file, file.name);
  }
  if (event.target.matches("[data-files]")) chooseFiles(event.target.closest("form"), event.target.files);
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const place = event.target.closest?.("[data-drop], [data-drop-many]");
    event.preventDefault(); // a miss must not make the browser leave for the file
    place?.classList.toggle("over", kind === "dragover");
    if (kind !== "drop" || !place || !event.dataTransfer.files.length) return;
    const { files } = event.dataTransfer;
    if (place.matches("[data-drop]")) upload(place.closest("[data-slot]"), files[0], files[0].name);
    else chooseFiles(place.closest("form"), files);
  });
}

// The draft of an answer: put in as text, and only its beginning is announced.

document.addEventListener("htmx:sseBeforeMessage", (event) => {
  const place = event.target;
  if (!place.matches?.("[data-draft]")) return;
  event.preventDefault();
  const data = JSON.parse(event.detail.data);
  const words = $(".draft", place);
  const status = $("[role=status]", place);
  if (event.detail.type === "attempt") {
    words.textContent = "";
    return;
  }
  if (!status.textContent) status.textContent = "Draft, not reviewed yet";
  words.textContent += data.piece;
});

// The camera.

const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

async function record(slot) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } }, audio: false });
  } catch {
    showProblem({ message: "the camera cannot be used", remedy: "allow it in the browser, or choose a file" });
    return;
  }
  const [drop, box] = [$("[data-drop]", slot), $("[data-recording]", slot)];
  const video = $("video", box);
  const recorder = new MediaRecorder(stream);
  const parts = [];
  const end = (keep) => {
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      video.srcObject = null;
      box.hidden = true;
      drop.hidden = false;
      const kind = recorder.mimeType.includes("mp4") ? "mp4" : "webm";
      if (keep) upload(slot, new Blob(parts), `recording.${kind}`);
    };
    recorder.stop();
  };
  recorder.ondataavailable = (event) => parts.push(event.data);
  video.srcObject = stream;
  drop.hidden = true;
  box.hidden = false;
  await video.play();
  recorder.start();
  $("[data-stop]", box).onclick = () => end(true);
  $("[data-discard]", box).onclick = () => end(false);
  $("[data-stop]", box).focus();
}

// The files of a batch.

const isRows = (file) => /\.(jsonl|ndjson)$/i.test(file.name);
let chosen = [];

function chooseFiles(form, files) {
  for (const file of files) {
    chosen = chosen.filter((one) => one.name !== file.name && !(isRows(one) && isRows(file)));
    chosen.push(file);
  }
  const list = $("[data-chosen]", form);
  list.replaceChildren(...chosen.map((file) => {
    const item = document.createElement("li");
    const name = document.createElement("span");
    name.textContent = file.name;
    const state = document.createElement("small");
    state.textContent = isRows(file) ? "rows" : `${(file.size / 1e6).toFixed(1)} MB`;
    item.append(name, state);
    return item;
  }));
}

async function startBatch(form) {
  const button = $(".primary", form);
  const items = [...$("[data-chosen]", form).children];
  const uploads = {};
  const fields = new FormData(form);
  const values = Object.fromEntries([...new Set(fields.keys())].map((name) => [name, fields.getAll(name).join(",")]));
  clearProblem();
  if (!chosen.length) {
    showProblem({ message: "there is no video yet", remedy: "drop some, and a JSONL file if there is one" });
    return;
  }
  button.disabled = true;
  try {
    for (const [place, file] of chosen.entries()) {
      const state = $("small", items[place]);
      if (isRows(file)) {
        values.rows = await file.text();
        values.name = file.name;
        continue;
      }
      try {
        const upload = await send(file, file.name, (share) => { state.textContent = `${Math.round(100 * share)} %`; }).done;
        uploads[file.name] = upload.id;
        state.textContent = "sent";
      } catch (problem) {
        uploads[file.name] = problem ?? {}; // its row says why, and the others go on
        state.textContent = problem?.message || "not sent";
        items[place].classList.add("bad");
      }
    }
    values.rows ||= chosen.map((file) => JSON.stringify({ video: file.name })).join("\n");
    values.files = JSON.stringify(uploads);
    await htmx.ajax("POST", "/page/batches", { target: "#run", swap: "outerHTML", values });
    $("#h-run")?.focus();
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-batch]")) {
    event.preventDefault();
    startBatch(event.target);
  }
});

// The answer: copy it, edit it.

async function copy(button) {
  const field = $(button.dataset.from || "[data-edit]");
  try {
    await navigator.clipboard.writeText(field.value);
  } catch {
    // Only secure addresses have the clipboard; this works everywhere.
    const hidden = field.hidden;
    field.hidden = false;
    field.select();
    document.execCommand("copy");
    field.hidden = hidden;
  }
  announce("Copied");
  const words = button.dataset.copy ||= button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = words; }, 1600);
}

function toggleEdit(form) {
  const [field, shown] = [$("[data-edit]", form), $("[data-long]", form)];
  const editing = field.hidden;
  field.hidden = !editing;
  shown.hidden = editing;
  $("[data-review]", form).hidden = !editing;
  const button = $("[data-change]", form);
  button.setAttribute("aria-expanded", String(editing));
  button.textContent = editing ? "Discard the edit" : "Edit";
  if (editing && shown.matches("pre")) field.value = shown.textContent;
  if (editing) field.focus();
  else field.value = field.defaultValue;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button");
  if (!button) return;
  if (button.matches("[data-record]")) record(button.closest("[data-slot]"));
  if (button.matches("[data-copy]")) copy(button);
  if (button.matches("[data-change]")) toggleEdit(button.closest("form"));
});

// After a fragment was put in.

function prepare(within) {
  if (canRecord()) within.querySelectorAll("[data-record]").forEach((one) => { one.hidden = false; });
  const suggestion = $("template[data-suggestion]", within);
  const prompt = $("#prompt");
  if (suggestion && prompt && !prompt.value) prompt.value = suggestion.dataset.suggestion;
}

document.addEventListener("DOMContentLoaded", () => prepare(document));
document.addEventListener("htmx:afterSettle", (event) => {
  const { target } = event;
  const asked = event.detail.requestConfig?.verb === "post"; // a button was pressed, and is gone
  prepare(target);
  if (target.id === "run" && target.dataset.over === "true") announce($("[data-summary]", target).textContent);
  if (target.id === "columns" && target.getAttribute("aria-busy") === "false") announce("All variants are finished");
  if (target.id === "reviewed" && asked) {
    $("[data-change]", target)?.focus();
    announce($(".verdict", target)?.textContent ?? "");
  }
  if (target.id !== "job") return;
  const head = $("h2", target);
  if (asked) {
    head.focus({ preventScroll: true });
    target.scrollIntoView({ block: "start" });
  } else announce(head.textContent);
});

// A browser has six connections to a server: tabs that nobody looks at must not hold them all.

document.addEventListener("visibilitychange", () => {
  const job = $("#job[sse-connect]");
  if (!job) return;
  if (document.hidden) htmx.trigger(job, "htmx:beforeCleanupElement"); // closes its event stream
  else htmx.ajax("GET", `/?job=${job.dataset.job}`, { target: job, select: "#job", swap: "outerHTML" });
});
