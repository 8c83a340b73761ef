"use strict";
// The button asks for the scheme that is not shown; without a choice the reader's system decides.
(() => {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => document.documentElement.dataset.theme;
  const isDark = () => (chosen() ? chosen() === "dark" : system.matches);
  const label = () => {
    button.textContent = isDark() ? "Light colours" : "Dark colours";
    document.dispatchEvent(new Event("scheme"));
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  system.addEventListener("change", label);
  button.hidden = false;
  label();
})();
