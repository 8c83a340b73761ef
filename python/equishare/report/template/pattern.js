const FONT = "12px system-ui, sans-serif";
// The coloured pattern: drawn on a canvas, explored with mouse, fingers or keys.
class Pattern {
  constructor(element, data) {
    this.data = data;
    this.canvas = element.querySelector("canvas");
    this.readout = element.querySelector(".readout");
    this.view = new View(data.rows, data.columns);
    this.cell = null;
    this.image = this.paint();
    this.listen(element);
    this.resize();
  }

  // One pixel for each cell; the browser enlarges it.
  paint() {
    const { rows, columns, cells, colours } = this.data;
    const channels = colours.map((c) => [1, 3, 5].map((i) => parseInt(c.slice(i, i + 2), 16)));
    const pixels = new ImageData(columns, rows);
    cells.forEach((group, i) => {
      if (group >= 0) pixels.data.set([...channels[group], 255], 4 * i);
    });
    const image = document.createElement("canvas");
    image.width = columns;
    image.height = rows;
    image.getContext("2d").putImageData(pixels, 0, 0);
    return image;
  }

  // What a row or a column is called at the side of the picture, and whether these words stand upright.
  ticks() {
    const { axes, ticks, rows, columns } = this.data;
    const fits = (own, count) => own && own.length === count;
    const own = axes.length > 1 ? ticks : rows === 1 ? [[], ticks[0]] : [];
    // One row of means needs no number.
    if (axes.length === 1 && rows === 1) own[0] = [""];
    const row = fits(own[0], rows) ? (i) => own[0][i] : (i) => String(this.firstOf(i));
    const named = axes.length < 3 && fits(own[1], columns);
    return { row, column: named ? (i) => own[1][i] : String, turned: named };
  }

  resize() {
    const { rows, columns, titles } = this.data;
    const { row, column, turned } = this.ticks();
    const pen = this.canvas.getContext("2d");
    pen.font = FONT;
    const widest = (word, count) => Math.max(...Array.from({ length: count }, (_, i) => pen.measureText(word(i)).width));
    this.titled = titles.length > 1 ? 18 : 0;
    this.left = this.titled + 10 + widest(row, rows);
    this.top = this.titled + (turned ? 10 + widest(column, columns) : 22);
    const room = Math.max(80, this.canvas.parentElement.clientWidth - this.left - 12);
    this.view.resize(Math.min(room, 640), 640, 44);
    this.draw();
  }

  draw() {
    const { canvas, view } = this;
    const width = this.left + view.width + 12;
    const height = this.top + view.height + 2;
    // Sharp on paper too.
    const ratio = Math.max(2, window.devicePixelRatio || 1);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    canvas.dataset.zoom = view.zoom;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    this.drawTicks(pen);
    pen.translate(this.left, this.top);
    pen.beginPath();
    pen.rect(0, 0, view.width, view.height);
    pen.clip();
    pen.imageSmoothingEnabled = false;
    const seen = [view.x, view.y, view.width / view.size, view.height / view.size];
    pen.drawImage(this.image, ...seen, 0, 0, view.width, view.height);
    this.drawCells(pen);
  }

  drawTicks(pen) {
    const { view } = this;
    pen.fillStyle = getComputedStyle(this.canvas).color;
    pen.font = FONT;
    const { row, column, turned } = this.ticks();
    const upright = (words, x, y) => {
      pen.save();
      pen.translate(x, y);
      pen.rotate(-Math.PI / 2);
      pen.fillText(words, 0, 0);
      pen.restore();
    };
    const axis = (count, origin, pixels, room, put) => {
      const step = [1, 2, 5, 10, 20, 50, 100].find((s) => s * view.size >= room) || 200;
      for (let i = step * Math.ceil(origin / step); i < count; i += step) {
        const at = (i + 0.5 - origin) * view.size;
        if (at >= 0 && at <= pixels) put(i, at);
      }
    };
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    axis(this.data.rows, view.y, view.height, 14, (i, y) => pen.fillText(row(i), this.left - 6, this.top + y));
    pen.textAlign = turned ? "left" : "center";
    axis(this.data.columns, view.x, view.width, turned ? 14 : 26, (i, x) => {
      if (turned) upright(column(i), this.left + x, this.top - 6);
      else pen.fillText(column(i), this.left + x, this.top - 10);
    });
    if (!this.titled) return;
    pen.textAlign = "center";
    pen.font = `bold ${FONT}`;
    pen.fillText(this.data.titles.slice(1).join(" × "), this.left + view.width / 2, 8);
    const length = pen.measureText(this.data.titles[0]).width;
    // Beside a single row it reaches above the row, where there is room.
    const middle = Math.min(view.height / 2, view.height - length / 2);
    if (length <= view.height + 16) upright(this.data.titles[0], 8, this.top + middle);
  }

  drawCells(pen) {
    const { view } = this;
    const { rows, columns, cells, groups, inks } = this.data;
    const chosen = this.cell && cells[this.cell.row * columns + this.cell.column];
    const digits = String(Math.max(...groups)).length;
    const withText = view.size >= Math.max(16, 8 * digits + 6);
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.font = `${Math.min(15, Math.round(view.size * 0.5))}px system-ui, sans-serif`;
    const last = { row: Math.ceil(view.y + view.height / view.size), column: Math.ceil(view.x + view.width / view.size) };
    for (let row = Math.floor(view.y); row < Math.min(rows, last.row); row++) {
      for (let column = Math.floor(view.x); column < Math.min(columns, last.column); column++) {
        const group = cells[row * columns + column];
        if (group < 0) continue;
        const x = (column - view.x) * view.size;
        const y = (row - view.y) * view.size;
        if (withText) {
          pen.fillStyle = inks[group];
          pen.fillText(groups[group], x + view.size / 2, y + view.size / 2);
        }
        if (this.cell && group === chosen && view.size >= 4) this.frame(pen, x, y, inks[group], Math.min(2, view.size / 6));
      }
    }
    if (this.cell) {
      const x = (this.cell.column - view.x) * view.size;
      const y = (this.cell.row - view.y) * view.size;
      pen.lineWidth = 3;
      pen.strokeStyle = "#000000";
      pen.strokeRect(x - 0.5, y - 0.5, view.size + 1, view.size + 1);
      pen.lineWidth = 1;
      pen.strokeStyle = "#ffffff";
      pen.strokeRect(x - 0.5, y - 0.5, view.size + 1, view.size + 1);
    }
  }

  frame(pen, x, y, colour, width) {
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    const inset = width / 2 + Math.min(1, this.view.size / 12);
    pen.strokeRect(x + inset, y + inset, this.view.size - 2 * inset, this.view.size - 2 * inset);
  }

  // Number of the first entry of a row: its own where rows are outputs, an entry where a vector is wrapped.
  firstOf(row) {
    return this.data.axes.length > 1 ? row : row * this.data.columns;
  }

  describe({ row, column }) {
    const { axes, names, countedIn, inner, cells, columns, groups, values, sizes, sure } = this.data;
    const called = (axis, i) => `${axes[axis]} ${(axes.length < 3 && names[axis]?.[i]) || i}`;
    const group = cells[row * columns + column];
    if (group < 0) return "No entry here.";
    let where = called(0, this.firstOf(row) + (axes.length > 1 ? 0 : column));
    let rest = column;
    const places = inner.map((_, i) => {
      const size = inner.slice(i + 1).reduce((product, n) => product * n, 1);
      const place = Math.floor(rest / size);
      rest %= size;
      return called(i + 1, place);
    });
    where = [where, ...places].join(", ");
    const value = values ? `, value ${Number(values[group].toPrecision(6))}` : "";
    const chance = sure?.[row * columns + column] ?? null;
    const told = chance === null ? "" : `, probability of its ties ${chance}`;
    const size = `${sizes[group]} ${countedIn[sizes[group] === 1 ? 0 : 1]}`;
    return `${where}: group ${groups[group]}${value}, ${size}${told}`;
  }

  choose(cell) {
    this.cell = cell;
    if (cell) {
      const words = this.describe(cell);
      if (this.readout.textContent !== words) this.readout.textContent = words;
    }
    this.draw();
  }

  listen(element) {
    const { canvas, view } = this;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left - this.left, event.clientY - box.top - this.top];
    };
    const acts = { in: () => view.zoomBy(1.5), out: () => view.zoomBy(1 / 1.5), whole: () => view.whole() };
    element.querySelector(".tools").addEventListener("click", (event) => {
      const act = acts[event.target.dataset.act];
      if (!act) return;
      act();
      this.draw();
    });
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      drag = [event.clientX, event.clientY];
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (drag && view.zoom > 1) {
        view.panBy(event.clientX - drag[0], event.clientY - drag[1]);
        drag = [event.clientX, event.clientY];
      }
      const cell = view.cellAt(...place(event));
      if (cell || !drag) this.choose(cell || this.cell);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (drag = null));
    canvas.addEventListener("wheel", (event) => {
      // Without Ctrl the wheel scrolls the page.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      view.zoomBy(event.deltaY < 0 ? 1.25 : 0.8, ...place(event));
      this.draw();
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event, acts));
    canvas.addEventListener("focus", () => this.choose(this.cell || { row: 0, column: 0 }));
    document.addEventListener("scheme", () => this.draw());
    addEventListener("resize", () => this.resize());
    // Paper gets the whole pattern in the colours of the print style.
    const before = {};
    addEventListener("beforeprint", () => {
      Object.assign(before, { zoom: view.zoom, x: view.x, y: view.y, cell: this.cell });
      this.cell = null;
      view.whole();
      this.draw();
    });
    addEventListener("afterprint", () => {
      Object.assign(view, { zoom: before.zoom, x: before.x, y: before.y });
      this.cell = before.cell;
      this.draw();
    });
    matchMedia("print").addEventListener("change", () => this.draw());
  }

  key(event, acts) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { rows, columns } = this.data;
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const ends = { Home: 0, End: columns - 1 };
    const zooms = { "+": acts.in, "=": acts.in, "-": acts.out, 0: acts.whole };
    const { row, column } = this.cell || { row: 0, column: 0 };
    const within = (value, count) => Math.max(0, Math.min(value, count - 1));
    if (event.key in zooms) {
      zooms[event.key]();
      this.view.show(row, column);
      this.draw();
    } else if (event.key in steps || event.key in ends) {
      const [down, right] = steps[event.key] || [0, ends[event.key] - column];
      const cell = { row: within(row + down, rows), column: within(column + right, columns) };
      this.view.show(cell.row, cell.column);
      this.choose(cell);
    } else return;
    event.preventDefault();
  }
}

(() => {
  const data = JSON.parse(document.getElementById("parameters").textContent);
  for (const element of document.querySelectorAll(".viewer")) new Pattern(element, data[element.dataset.parameter]);
})();
