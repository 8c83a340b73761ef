// What part of a grid of rows × columns is seen: pixels of the plot = (cell − origin) · size.
class View {
  constructor(rows, columns) {
    Object.assign(this, { rows, columns, zoom: 1, x: 0, y: 0, fit: 1, width: 0, height: 0 });
  }
  // The whole grid in at most width × height; cells are square.
  resize(width, height, largest) {
    this.fit = Math.min(largest, width / this.columns, height / this.rows);
    this.width = this.fit * this.columns;
    this.height = this.fit * this.rows;
    this.clamp();
  }
  get size() {
    return this.fit * this.zoom;
  }
  clamp() {
    const inside = (value, cells, pixels) => Math.max(0, Math.min(value, cells - pixels / this.size));
    this.x = inside(this.x, this.columns, this.width);
    this.y = inside(this.y, this.rows, this.height);
  }
  // The point (px, py) of the plot stays where it is.
  zoomBy(factor, px = this.width / 2, py = this.height / 2) {
    const column = this.x + px / this.size;
    const row = this.y + py / this.size;
    this.zoom = Math.max(1, Math.min(this.zoom * factor, Math.max(1, 96 / this.fit)));
    this.x = column - px / this.size;
    this.y = row - py / this.size;
    this.clamp();
  }
  panBy(px, py) {
    this.x -= px / this.size;
    this.y -= py / this.size;
    this.clamp();
  }
  whole() {
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
  }
  show(row, column) {
    const near = (origin, cell, pixels) => Math.max(cell + 1 - pixels / this.size, Math.min(origin, cell));
    this.x = near(this.x, column, this.width);
    this.y = near(this.y, row, this.height);
    this.clamp();
  }
  cellAt(px, py) {
    const column = Math.floor(this.x + px / this.size);
    const row = Math.floor(this.y + py / this.size);
    const inside = px >= 0 && py >= 0 && px < this.width && py < this.height;
    return inside && row < this.rows && column < this.columns ? { row, column } : null;
  }
}
