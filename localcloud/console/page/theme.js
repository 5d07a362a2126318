// Puts the chosen theme on the page before it is painted. Not a module: those run too late.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("sluiceway.theme");
  } catch {
    // storage may be forbidden: then the system decides
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
