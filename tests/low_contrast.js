// How many elements with text of their own are seen, and those whose contrast with what lies behind them is below that
// of WCAG 2.2, level AA: https://www.w3.org/TR/WCAG22/#contrast-minimum.
const channels = (colour) => {
  const numbers = colour.match(/[\d.]+/g).map(Number);
  return [...numbers.slice(0, 3), numbers[3] ?? 1];
};
const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
const luminance = (colour) => {
  const linear = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
};
const ground = (element) => {
  const layers = [];
  for (let one = element; one; one = one.parentElement) layers.push(channels(getComputedStyle(one).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
};
const low = [];
let seen = 0;
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !element.getClientRects().length || element.closest("canvas")) continue;
  seen += 1;
  const style = getComputedStyle(element);
  const behind = ground(element);
  const colour = over(channels(element.namespaceURI.endsWith("svg") ? style.fill : style.color), behind);
  const [light, dark] = [luminance(colour), luminance(behind)].sort((a, b) => b - a);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  const ratio = (light + 0.05) / (dark + 0.05);
  if (ratio < (large ? 3 : 4.5)) low.push(`${element.tagName} ${element.textContent.slice(0, 40)}: ${ratio}`);
}
return [seen, low];
