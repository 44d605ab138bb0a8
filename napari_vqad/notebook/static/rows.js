// A table whose rows are chosen with a click, or with Enter; the arrow keys move between them.
export default {
  render({ model, el }) {
    const box = document.createElement("div");
    box.className = "vqad-rows";
    box.tabIndex = -1;
    el.append(box);
    const choose = (i) => model.send({ row: i });
    function fill() {
      const table = document.createElement("table");
      const head = table.createTHead().insertRow();
      for (const [title, tip] of model.get("columns")) {
        const cell = document.createElement("th");
        cell.textContent = title;
        cell.title = tip;
        head.append(cell);
      }
      const body = table.createTBody();
      model.get("rows").forEach((cells, i) => {
        const row = body.insertRow();
        row.tabIndex = 0;
        row.dataset.row = i;
        for (const text of cells) row.insertCell().textContent = text;
        row.onclick = () => choose(i);
        row.onkeydown = (event) => {
          const other = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
          if (event.key === "Enter" || event.key === " ") choose(i);
          else if (other) other.focus();
          else return;
          event.preventDefault();
          event.stopPropagation();
        };
      });
      box.replaceChildren(table);
      mark();
    }
    function mark() {
      box.classList.toggle("stale", model.get("stale"));
      const here = new Set(model.get("here"));
      box.querySelectorAll("tbody tr").forEach((row, i) => row.classList.toggle("here", here.has(i)));
    }
    fill();
    model.on("change:rows", fill);
    model.on("change:columns", fill);
    model.on("change:here", mark);
    model.on("change:stale", mark);
  },
};
