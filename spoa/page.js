// Keeps a page up to date without reloading it, and says how much time is left. Everything works without it too.
"use strict";
(() => {
    const EVERY_MS = 2000;
    const view = document.body.dataset.view;
    const list = view === "list" || view === "all";
    const offline = document.getElementById("offline");
    let shown = document.querySelector("main").innerHTML;

    function left(ms) {
        const s = Math.max(0, Math.floor(ms / 1000));
        if (s < 90) return `${s} s left`;
        if (s < 5400) return `${Math.round(s / 60)} min left`;
        if (s < 129600) return `${Math.round(s / 3600)} h left`;
        return `${Math.round(s / 86400)} days left`;
    }

    // A time to come gets what is left of it behind it; its own text, in UTC, stays.
    function tick() {
        for (const t of document.querySelectorAll("time")) {
            const ms = Date.parse(t.dateTime) - Date.now();
            if (!t.dataset.utc) {
                t.dataset.utc = t.textContent;
                t.title = new Date(t.dateTime).toLocaleString();
            }
            const text = ms > 0 ? `${t.dataset.utc} (${left(ms)})` : t.dataset.utc;
            if (t.textContent !== text) t.textContent = text;
            t.classList.toggle("soon", ms > 0 && ms < 60000);
        }
    }

    // What somebody is writing, and where, survives.
    function replace(fresh) {
        const old = document.querySelector("main");
        const active = document.activeElement && document.activeElement.id;
        const written = document.getElementById("reason");
        old.replaceWith(fresh);
        const field = document.getElementById("reason");
        if (written && field) {
            field.value = written.value;
            field.setSelectionRange(written.selectionStart, written.selectionEnd);
        }
        if (active) {
            const again = document.getElementById(active);
            if (again) again.focus({ preventScroll: true });
        }
        tick();
    }

    async function look() {
        if (document.hidden) return;
        let answer, text;
        try {
            answer = await fetch(location.href, { credentials: "same-origin", redirect: "error", headers: { Accept: "text/html" } });
            text = await answer.text();
        } catch (e) {
            answer = null;
        }
        offline.hidden = answer !== null && answer.ok;
        offline.textContent = offline.hidden ? "" : "The gate does not answer: what you see may be old.";
        if (!offline.hidden) return;
        const fresh = new DOMParser().parseFromString(text, "text/html");
        if (fresh.body.dataset.view !== view) {
            location.reload(); // signed out meanwhile
            return;
        }
        const main = fresh.querySelector("main");
        const changed = list ? main.innerHTML !== shown : main.dataset.version !== document.querySelector("main").dataset.version;
        document.title = fresh.title;
        if (!changed) return;
        shown = main.innerHTML;
        replace(main);
    }

    // j and k go through the list, Enter opens.
    function keys(e) {
        if (e.ctrlKey || e.altKey || e.metaKey || /^(TEXTAREA|INPUT)$/.test(e.target.tagName) || (e.key !== "j" && e.key !== "k")) return;
        const cards = [...document.querySelectorAll(".card")];
        if (cards.length === 0) return;
        const at = cards.indexOf(document.activeElement);
        const next = e.key === "j" ? Math.min(at + 1, cards.length - 1) : Math.max(at - 1, 0);
        cards[next].focus();
        e.preventDefault();
    }

    tick();
    setInterval(tick, 1000);
    if (list || view === "request") {
        setInterval(look, EVERY_MS);
        document.addEventListener("visibilitychange", look);
    }
    if (list) document.addEventListener("keydown", keys);
})();
