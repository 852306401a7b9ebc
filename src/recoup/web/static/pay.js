// Says that a payment is on its way as soon as a button is pressed, and lets it be pressed once. Optional.
"use strict";
document.addEventListener("submit", (e) => {
  const button = e.submitter;
  if (!button || e.defaultPrevented) return;
  if (e.target.dataset.sent) { e.preventDefault(); return; }
  e.target.dataset.sent = "1";
  setTimeout(() => { button.textContent = button.dataset.busy || "One moment…"; button.disabled = true; }, 0);
});
window.addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });
