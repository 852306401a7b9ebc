// Comfort for people who work cases all day. Every page works without it.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const told = document.cookie.split("; ").find((c) => c.startsWith("zone="));
  if (zone && told !== "zone=" + encodeURIComponent(zone)) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = "zone=" + encodeURIComponent(zone) + "; Path=/; Max-Age=31536000; SameSite=Lax" + secure;
    if (document.body.dataset.zone && document.body.dataset.zone !== zone && !told) location.reload();
  }

  const rows = () => [...document.querySelectorAll("tr.go")];
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const here = all.findIndex((r) => r.classList.contains("at"));
    const there = Math.max(0, Math.min(all.length - 1, here < 0 ? 0 : here + by));
    all.forEach((r) => r.classList.remove("at"));
    all[there].classList.add("at");
    all[there].querySelector("a")?.focus();
    all[there].scrollIntoView({ block: "nearest" });
  };
  const goTo = { t: "/", q: "/queues", c: "/cases", i: "/insight", e: "/experiments", m: "/messages", w: "/webhooks" };
  let g = false;
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "Escape") {
      document.querySelectorAll("details.act[open]").forEach((d) => d.removeAttribute("open"));
      if (e.target.matches?.("input, textarea, select")) e.target.blur();
      return;
    }
    if (e.target.matches?.("input, textarea, select")) return;
    if (g && goTo[e.key]) { location.href = goTo[e.key]; return; }
    g = e.key === "g";
    if (e.key === "j") step(1);
    else if (e.key === "k") step(-1);
    else if (e.key === "/") { const q = document.querySelector("[name=q]"); if (q) { e.preventDefault(); q.focus(); q.select(); } }
    else if (e.key === "?") location.href = "/keys";
    else if (e.key === "n") { const n = document.querySelector("#note"); if (n) { e.preventDefault(); n.open = true; n.querySelector("textarea").focus(); } }
  });
  document.addEventListener("toggle", (e) => {
    if (e.target.matches?.("details.act[open]")) {
      document.querySelectorAll("details.act[open]").forEach((d) => { if (d !== e.target) d.removeAttribute("open"); });
    }
  }, true);
  document.querySelector("[data-print]")?.addEventListener("click", () => window.print());
  document.addEventListener("change", (e) => {
    if (e.target.matches?.("select[data-send]")) e.target.form.requestSubmit();
  });
})();
