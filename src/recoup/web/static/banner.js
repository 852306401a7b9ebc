/* Recoup: says in your product that a payment is open. No cookies, nothing stored, nothing shown to who owes nothing. */
(() => {
  "use strict";
  const tag = document.currentScript;
  const given = tag && tag.dataset;
  if (!given || !given.token) return;
  const address = new URL("state/" + encodeURIComponent(given.token), tag.src);
  const NAME = "recoup-banner";
  const STYLE = `
:host{all:initial!important;display:block!important;position:sticky!important;top:0!important;
 z-index:2147483000!important}
:host([data-position=bottom]){position:fixed!important;top:auto!important;bottom:0!important;inset-inline:0!important}
:host([data-mounted]){position:static!important}
*{box-sizing:border-box;margin:0;font:inherit;color:inherit}
.bar,dialog{--paper:#fff;--ink:#1a1f26;--soft:#56606b;--line:#d5dae0;font:16px/1.5 system-ui,sans-serif;
 background:var(--paper);color:var(--ink)}
@media(prefers-color-scheme:dark){:host(:not([data-theme=light])) :is(.bar,dialog){--paper:#171c22;--ink:#eceff3;
 --soft:#a5afba;--line:#39424d;--fill:var(--fill-dark);--on:var(--on-dark);color-scheme:dark}}
:host([data-theme=dark]) :is(.bar,dialog){--paper:#171c22;--ink:#eceff3;--soft:#a5afba;--line:#39424d;
 --fill:var(--fill-dark);--on:var(--on-dark);color-scheme:dark}
.bar{display:flex;flex-wrap:wrap;gap:8px 16px;align-items:center;padding:8px 16px;border:solid var(--line);
 border-width:0 0 1px;border-inline-start:4px solid var(--fill)}
:host([data-position=bottom]) .bar{border-block-width:1px 0}
:host([data-mounted]) .bar{border-block-width:1px;border-inline-end-width:1px}
.says{flex:1 1 20em}
.acts{display:flex;flex-wrap:wrap;gap:8px;align-items:center}
a,button{cursor:pointer;border-radius:6px;padding:6px 14px;min-height:40px;display:inline-flex;align-items:center;
 justify-content:center;text-decoration:none}
.pay{background:var(--fill);color:var(--on);border:1px solid transparent;font-weight:600}
.other{background:none;border:1px solid transparent;color:var(--soft);text-decoration:underline}
:focus-visible{outline:3px solid var(--ink);outline-offset:2px}
dialog{margin:auto;border:1px solid var(--line);border-radius:12px;padding:32px;width:min(30em,calc(100vw - 32px));
 max-height:calc(100vh - 32px);overflow:auto;overscroll-behavior:contain}
dialog::backdrop{background:rgb(10 14 20/.7)}
.who{color:var(--soft);margin-block-end:8px}
h2{font-size:22px;line-height:1.3;font-weight:650;margin-block-end:8px}
dialog .acts{margin-block-start:24px;flex-direction:column;align-items:stretch}
dialog .pay{min-height:48px}`;
  let host, dialog, shown = "", later = false, ended = false, asked = 0, focused;

  const element = (kind, type, text) => {
    const made = document.createElement(kind);
    made.className = type;
    if (text) made.textContent = text;
    return made;
  };
  const link = (type, text, href, own) => {
    const made = element("a", type, text);
    made.href = href;
    if (!own) { made.target = "_blank"; made.rel = "noopener"; }
    return made;
  };
  // Only addresses of pages: never javascript: or data:.
  const page = (text) => {
    try {
      const url = new URL(text, location.href);
      return /^https?:$/.test(url.protocol) ? url.href : "";
    } catch { return ""; }
  };
  const exporting = given.export ? page(given.export) : "";

  const away = () => {
    if (dialog) { const was = dialog; dialog = null; was.close(); }
    if (host) host.remove();
    host = null;
    shown = "";
    if (focused && focused.isConnected) focused.focus();
    focused = null;
  };

  const acts = (answer) => {
    const row = element("div", "acts");
    if (answer.pay_url) row.append(link("pay", answer.pay_label, answer.pay_url));
    return row;
  };

  const bar = (root, answer) => {
    const area = element("section", "bar");
    area.setAttribute("aria-label", answer.merchant);
    const says = element("div", "says");
    says.setAttribute("role", "status");
    const row = acts(answer);
    const close = element("button", "other", answer.later_label);
    close.type = "button";
    close.addEventListener("click", () => { later = true; away(); });
    row.append(close);
    area.append(says, row);
    root.append(area);
    // A screen reader speaks what changes in a status that is there already.
    setTimeout(() => { says.textContent = [answer.title, answer.text].filter(Boolean).join(" "); }, 50);
  };

  const wall = (root, answer) => {
    focused = document.activeElement;
    const box = dialog = element("dialog", "wall");
    const title = element("h2", "", answer.title);
    const text = element("p", "", answer.text);
    title.id = "title";
    text.id = "text";
    box.setAttribute("aria-labelledby", "title");
    box.setAttribute("aria-describedby", "text");
    box.setAttribute("closedby", "none");
    const row = acts(answer);
    row.append(link("other", answer.export_label, exporting, true));
    if (answer.help_url) row.append(link("other", answer.help_label, answer.help_url));
    box.append(element("p", "who", answer.merchant), title, text, row);
    box.addEventListener("cancel", (e) => e.preventDefault());
    box.addEventListener("close", () => { if (dialog === box) box.showModal(); });
    box.addEventListener("keydown", (e) => {
      if (e.key === "Escape") e.preventDefault();
      if (e.key !== "Tab") return;
      const stops = [...box.querySelectorAll("a")];
      const last = e.shiftKey ? stops[0] : stops[stops.length - 1];
      if (root.activeElement === last || root.activeElement === box) {
        e.preventDefault();
        (e.shiftKey ? stops[stops.length - 1] : stops[0]).focus();
      }
    });
    root.append(box);
    box.showModal();
  };

  const show = (answer) => {
    let kind = answer.show;
    if (kind === "notice") kind = "early" in given ? "banner" : "nothing";
    // Nobody is kept from their data: without a way to it the page stays usable.
    if (kind === "wall" && !exporting) {
      console.warn("Recoup: no wall without data-export, the address where customers download their data; a banner instead");
      kind = "banner";
    }
    const key = [kind, answer.title, answer.text].join("\n");
    if (key === shown && host && host.isConnected) return;
    away();
    shown = key;
    if (kind === "nothing" || (kind === "banner" && later)) return;
    for (const old of document.querySelectorAll(NAME)) old.remove();
    host = element(NAME, "");
    host.lang = answer.lang;
    host.dir = answer.dir;
    for (const name of ["position", "theme"]) if (given[name]) host.dataset[name] = given[name];
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    const c = answer.colours;
    sheet.replaceSync(`${STYLE}\n.bar,dialog{--fill:${c.accent};--on:${c.ink};--fill-dark:${c.dark_accent};--on-dark:${c.dark_ink}}`);
    root.adoptedStyleSheets = [sheet];
    const mount = given.mount && kind === "banner" && document.querySelector(given.mount);
    if (mount) { host.dataset.mounted = ""; mount.append(host); } else document.body.prepend(host);
    (kind === "wall" ? wall : bar)(root, answer);
  };

  const ask = async () => {
    if (ended) return;
    asked = Date.now();
    let answer;
    try {
      const got = await fetch(address, { credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" });
      if (!got.ok) {
        ended = got.status !== 429 && got.status < 500; // The token ran out, or this is not its place.
        if (ended) away();
        return;
      }
      answer = await got.json();
    } catch { return; } // Recoup cannot be reached: nobody is kept out for that.
    show(answer);
    document.dispatchEvent(new CustomEvent("recoup:access", { detail: { access: answer.access, until: answer.until } }));
  };
  const again = () => {
    const often = host ? 4e3 : 3e5;
    if (document.visibilityState === "visible" && Date.now() - asked > often) ask();
  };
  const begin = () => {
    ask();
    document.addEventListener("visibilitychange", again);
    addEventListener("focus", again);
    setInterval(() => { if (host) again(); }, 3e4);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
