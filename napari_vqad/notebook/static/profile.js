// The slice scores as bars in reading order, their threshold and the slice in view; a click goes to a slice.
const NS = "http://www.w3.org/2000/svg";
const LEFT = 34, RIGHT = 6, TOP = 6, BOTTOM = 18, HEIGHT = 104;

function add(parent, name, attributes, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

export default {
  render({ model, el }) {
    el.classList.add("vqad-profile");
    const svg = add(el, "svg", { tabindex: 0, role: "img", "aria-label": "Slice scores" });
    const place = (event) => {
      const box = svg.getBoundingClientRect();
      const n = model.get("bars").length;
      const part = (event.clientX - box.left - LEFT) / Math.max(box.width - LEFT - RIGHT, 1);
      return Math.min(Math.max(Math.floor(part * n), 0), n - 1);
    };
    const go = (i) => {
      const n = model.get("bars").length;
      if (n) model.send({ bar: Math.min(Math.max(i, 0), n - 1) });
    };
    svg.addEventListener("pointerdown", (event) => go(place(event)));
    svg.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) go(place(event));
      else svg.firstChild.textContent = model.get("words")[place(event)] ?? "";
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      go(model.get("here") + step);
      event.preventDefault();
      event.stopPropagation();
    });
    function draw() {
      const bars = model.get("bars"), n = bars.length, look = model.get("look");
      const wide = svg.getBoundingClientRect().width || 600;
      const width = wide - LEFT - RIGHT, height = HEIGHT - TOP - BOTTOM, base = TOP + height;
      svg.setAttribute("viewBox", `0 0 ${wide} ${HEIGHT}`);
      svg.replaceChildren();
      add(svg, "title", {}, "");
      if (!n) {
        add(svg, "text", { x: wide / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "slice scores appear here");
        return;
      }
      const step = width / n, top = look.top;
      bars.forEach(([score, flagged, waiting], i) => {
        const tall = (height * Math.max(0, score)) / top, x = LEFT + i * step;
        const fill = flagged ? look.flagged : look.bar;
        add(svg, "rect", { x, y: base - tall, width: Math.max(step - 0.8, 0.8), height: tall, fill });
        if (waiting) add(svg, "rect", { x, y: TOP, width: step, height, fill: look.bar, opacity: 0.25 });
      });
      const curve = model.get("curve"), most = Math.max(...curve, 0);
      if (curve.length === n && most > 0) {
        const points = curve.map((v, i) => `${LEFT + (i + 0.5) * step},${base - (height * 0.95 * v) / most}`);
        add(svg, "polyline", { points: points.join(" "), fill: "none", stroke: "currentColor", "stroke-width": 1 });
      }
      const y = base - (height * look.threshold) / top;
      add(svg, "line", { x1: LEFT, x2: LEFT + width, y1: y, y2: y, stroke: look.flagged, "stroke-dasharray": "4 3" });
      const x = LEFT + (model.get("here") + 0.5) * step;
      add(svg, "line", { x1: x, x2: x, y1: TOP, y2: base + 2, stroke: look.here, "stroke-width": 2, class: "here" });
      add(svg, "text", { x: 2, y: TOP + 8 }, look.top_text);
      add(svg, "text", { x: 2, y: base }, "0");
      if (y > TOP + 14 && y < base - 12) {
        const limit = add(svg, "text", { x: 2, y: y + 4 }, look.threshold_text);
        limit.style.fill = look.flagged;
      }
      add(svg, "text", { x: LEFT, y: HEIGHT - 5 }, look.first);
      add(svg, "text", { x: LEFT + width, y: HEIGHT - 5, "text-anchor": "end" }, look.last);
      for (const words of [look.title_long, look.title]) {
        const title = add(svg, "text", { x: LEFT + width / 2, y: HEIGHT - 5, "text-anchor": "middle" }, words);
        if (title.getComputedTextLength() < width - 180 || words === look.title) break;
        title.remove();
      }
    }
    const resized = new ResizeObserver(draw);
    resized.observe(svg);
    for (const name of ["bars", "curve", "here", "look"]) model.on(`change:${name}`, draw);
    draw();
    return () => resized.disconnect();
  },
};
