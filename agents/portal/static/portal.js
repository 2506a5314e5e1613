"use strict";
// One press is one press. The server takes a form's token once anyway; this
// spares the second journey over a slow link.
addEventListener("submit", e => {
  const form = e.target;
  if (form.dataset.sent) return e.preventDefault();
  form.dataset.sent = "yes";
  for (const b of form.querySelectorAll("button")) setTimeout(() => { b.disabled = true; });
});
// Back from another page: the form may be sent again.
addEventListener("pageshow", () => {
  for (const form of document.forms) {
    delete form.dataset.sent;
    for (const b of form.querySelectorAll("button")) b.disabled = false;
  }
});
for (const b of document.querySelectorAll("[data-print]")) {
  b.hidden = false;
  b.addEventListener("click", () => print());
}
// What a page waits for is told as it happens; without scripts it is looked at again.
const wait = document.querySelector("[data-live]");
if (wait && window.EventSource) {
  const events = new EventSource(wait.dataset.live);
  events.addEventListener("done", () => { events.close(); location.reload(); });
}
