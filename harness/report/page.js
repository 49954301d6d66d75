"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const secs = (us, digits) => (us / 1e6).toFixed(digits);

  // A time line: the style sheet places everything between --from and --span; zooming only
  // changes these two.
  const timeline = (moment) => {
    const line = moment.querySelector(".line");
    const tell = moment.querySelector(".tell");
    const whole = { from: +line.dataset.from, span: +line.dataset.span };
    const style = (name) => +line.style.getPropertyValue(name);
    let view = { from: style("--from"), span: style("--span") };
    const ticks = () => {
      const axis = line.querySelector(".axis .track");
      axis.textContent = "";
      let step = 1;
      for (let unit = 1; step < view.span / 7; unit *= 10) {
        for (const n of [1, 2, 5]) {
          step = n * unit;
          if (step >= view.span / 7) break;
        }
      }
      const digits = Math.max(0, Math.ceil(6 - Math.log10(step)));
      for (let at = Math.ceil(view.from / step) * step; at <= view.from + view.span * 29 / 30; at += step) {
        const i = document.createElement("i");
        i.style.setProperty("--a", at);
        i.textContent = secs(at, digits) + " s";
        axis.append(i);
      }
    };
    const show = (from, span) => {
      span = Math.min(Math.max(span, 200), whole.span);
      from = Math.min(Math.max(from, whole.from), whole.from + whole.span - span);
      view = { from, span };
      line.style.setProperty("--from", from);
      line.style.setProperty("--span", span);
      moment.querySelector(".window").textContent = secs(from, 3) + " s to " + secs(from + span, 3) + " s";
      ticks();
    };
    const zoom = (factor, at = 0.5) => {
      const span = Math.min(Math.max(view.span * factor, 200), whole.span);
      show(view.from + (view.span - span) * at, span);
    };
    const pan = (share) => show(view.from + view.span * share, view.span);
    const place = (x) => {
      const box = line.querySelector(".axis .track").getBoundingClientRect();
      return Math.min(Math.max((x - box.left) / box.width, 0), 1);
    };

    for (const b of moment.querySelectorAll("[data-zoom]")) {
      b.addEventListener("click", () =>
        +b.dataset.zoom ? zoom(+b.dataset.zoom) : show(whole.from, whole.span));
    }
    for (const b of moment.querySelectorAll("[data-pan]")) {
      b.addEventListener("click", () => pan(+b.dataset.pan));
    }
    line.addEventListener("wheel", (e) => {
      if (!e.ctrlKey && !e.shiftKey) return;
      e.preventDefault();
      zoom(e.deltaY + e.deltaX < 0 ? 0.8 : 1.25, place(e.clientX));
    }, { passive: false });
    line.addEventListener("keydown", (e) => {
      const act = { "+": () => zoom(0.5), "-": () => zoom(2), ArrowLeft: () => pan(-0.2),
        ArrowRight: () => pan(0.2), Escape: () => show(whole.from, whole.span) }[e.key];
      if (!act) return;
      e.preventDefault();
      act();
    });
    line.addEventListener("pointerdown", (e) => {
      if (e.button) return;
      const start = { x: e.clientX, from: view.from };
      const wide = line.querySelector(".axis .track").getBoundingClientRect().width;
      const move = (e) => {
        if (Math.abs(e.clientX - start.x) > 4) line.classList.add("drag");
        show(start.from - ((e.clientX - start.x) / wide) * view.span, view.span);
      };
      const end = () => {
        line.classList.remove("drag");
        removeEventListener("pointermove", move);
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", end, { once: true });
      addEventListener("pointercancel", end, { once: true });
    });

    // What is known of the operation under the pointer is told below the line.
    const point = (e) => {
      const bar = e.target.closest && e.target.closest(".bar, .op");
      if (bar) tell.textContent = bar.title;
    };
    for (const kind of ["pointerover", "click", "focusin"]) line.addEventListener(kind, point);

    const filter = moment.querySelector(".filter");
    const apply = () => {
      for (const lane of line.querySelectorAll(".proc")) {
        // From the last to the first: a label may go on until the next operation that is shown.
        let next = whole.from + 2 * whole.span;
        let any = false;
        for (const op of [...lane.querySelectorAll(".op")].reverse()) {
          op.hidden = filter.value !== "" && op.dataset.key !== filter.value &&
            !op.classList.contains("evidence");
          if (op.hidden) continue;
          const a = +op.style.getPropertyValue("--a");
          op.style.setProperty("--n", Math.max(next, +op.style.getPropertyValue("--b"), a + 1));
          next = a;
          any = true;
        }
        lane.hidden = !any;
      }
    };
    filter.addEventListener("change", apply);
    moment.querySelector(".tools").hidden = false;

    // A link to an operation shows it, whatever is filtered or zoomed.
    const jump = () => {
      const op = location.hash.includes("-op-") && $(location.hash.slice(1));
      if (!op || !line.contains(op)) return;
      for (let up = op.closest("details"); up; up = up.parentElement.closest("details")) {
        up.open = true;
      }
      if (op.hidden) {
        filter.value = "";
        apply();
      }
      const a = +op.style.getPropertyValue("--a");
      const b = +op.style.getPropertyValue("--b");
      if (a < view.from || a > view.from + view.span) show((a + b - view.span) / 2, view.span);
      for (const on of line.querySelectorAll(".on")) on.classList.remove("on");
      op.classList.add("on");
      op.scrollIntoView({ block: "center" });
      tell.textContent = op.title;
    };
    addEventListener("hashchange", jump);
    jump();
  };

  // The charts: a cursor in all of them at once, and what it points to in words.
  const charts = () => {
    const data = JSON.parse($("data").textContent);
    const span = +getComputedStyle(document.querySelector(".xs .plot")).getPropertyValue("--span");
    const plots = [...document.querySelectorAll("#charts .plot:not(.time)")];
    const cursors = plots.map((plot) => {
      const c = document.createElement("div");
      c.className = "cursor";
      c.hidden = true;
      plot.append(c);
      return c;
    });
    const unit = (us) => us >= 1e6 ? (us / 1e6).toFixed(2) + " s"
      : us >= 1e3 ? (us / 1e3).toFixed(1) + " ms" : us + " us";
    const bands = [...document.querySelectorAll("#charts .chart:first-of-type .band")];
    const read = (e) => {
      const box = e.currentTarget.getBoundingClientRect();
      const share = Math.min(Math.max((e.clientX - box.left) / box.width, 0), 1);
      const at = Math.min(Math.floor((share * span) / data.width), data.buckets.length - 1);
      const [ok, fail, info, p50, p95, p99, max] = data.buckets[at];
      for (const c of cursors) {
        c.hidden = false;
        c.style.left = share * 100 + "%";
      }
      const x = share * 1000;
      const broken = new Set();
      for (const b of bands) {
        const from = +b.getAttribute("x");
        if (x >= from && x <= from + +b.getAttribute("width")) {
          broken.add(b.textContent.split(", from ")[0]);
        }
      }
      const per = (n) => (n * 1e6 / data.width).toFixed(0);
      $("readout").textContent = secs(share * span, 2) + " s: " + per(ok) + " ok/s, " +
        per(fail) + " fail/s, " + per(info) + " info/s" +
        (ok ? "; p50 " + unit(p50) + ", p95 " + unit(p95) + ", p99 " + unit(p99) + ", max " +
          unit(max) : "; nothing succeeded") +
        (broken.size ? "; broken: " + [...broken].join(", ") : "");
    };
    for (const plot of plots) {
      plot.addEventListener("pointermove", read);
      plot.addEventListener("pointerdown", read);
    }
  };

  for (const moment of document.querySelectorAll(".moment")) timeline(moment);
  if ($("data")) charts();
})();
