
"use strict";
(() => {
  const root = document.documentElement;
  const json = (element) => JSON.parse(element.textContent);

  // Light and dark: as the system says, until the button says otherwise.
  const theme = document.getElementById("theme");
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const named = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; named(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", named);
  named();

  // Tables: sorted by a column's numbers, or its words; copied as the run wrote them.
  const number = (text) => {
    const found = text.replace("−", "-").match(/^[^\d+-]*([+-]?\d*\.?\d+(e[+-]?\d+)?)/);
    return found ? Number(found[1]) : NaN;
  };
  const compared = (a, b, numeric) => {
    if (!numeric) return a.localeCompare(b, "en", { numeric: true });
    const [x, y] = [number(a), number(b)];
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
    return x - y;
  };
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const first = [...body.rows];
    heads.forEach((head, column) => {
      head.scope = "col";
      if (!head.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      const numeric = head.classList.contains("number");
      button.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        const next = { ascending: "descending", descending: null }[now] ?? (now ? null : "ascending");
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const text = (row) => row.cells[column].textContent.trim();
        const sign = next === "descending" ? -1 : 1;
        const rows = !next ? first : [...first].sort((a, b) => {
          const missing = numeric && (isNaN(number(text(a))) || isNaN(number(text(b))));
          return (missing ? 1 : sign) * compared(text(a), text(b), numeric);
        });
        body.append(...rows);
      });
    });
  }
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      await copy(json(button.closest(".table").querySelector(".copies"))[button.dataset.copy]);
      const name = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = name; }, 1200);
    });
  }

  // Two pictures, one over the other.
  const place = document.querySelector(".compare");
  if (!place) return;
  const choices = json(document.getElementById("choices"));
  const form = place.querySelector("form");
  const fields = form.elements;
  const stage = place.querySelector(".stage");
  const range = place.querySelector("input[type=range]");
  const said = place.querySelector("[aria-live]");
  const panes = { left: stage.querySelector(".left"), right: stage.querySelector(".right") };
  const kept = new Map(); // parsed when an image is first chosen

  const pictures = (index) => {
    if (!kept.has(index)) kept.set(index, json(document.getElementById(`kept-${index}`)));
    return kept.get(index);
  };
  const fill = (select, options, value) => {
    select.replaceChildren(...options.map(([key, label]) => new Option(label, key)));
    select.value = options.some(([key]) => key === value) ? value : options[0][0];
  };
  // Names of images may be alike once they are shown; then the number tells them apart.
  const images = choices.images.map((name, index) => [
    choices.images.indexOf(name) === index ? name : `${name} (${index + 1})`, name, index]);
  const names = { image: (key) => images.find(([name]) => name === key)[2] };

  // A variant under the noise, or "clean": "bn@clean"; "content" is the photograph itself.
  const source = (side) => {
    const [norm, clean] = fields[side].value.split("@");
    const found = pictures(names.image(fields.picture.value));
    const under = norm === "content" || clean ? "clean|" : `${fields.noise.value}|${fields.severity.value}`;
    return found.data[found.places[`${norm}|${under}`]];
  };
  const label = (side) => fields[side].selectedOptions[0].textContent;
  const show = () => {
    for (const side of ["left", "right"]) {
      const data = source(side);
      const image = panes[side].querySelector("img");
      image.hidden = !data;
      image.alt = data ? `${fields.picture.value}: ${label(side)}` : `${label(side)}: no such picture in this run`;
      if (data) image.src = `data:image/jpeg;base64,${data}`; else image.removeAttribute("src");
      place.querySelector(`.tag-${side}`).textContent = label(side) + (data ? "" : " (not in this run)");
    }
    stage.dataset.view = fields.view.value;
    stage.style.setProperty("--zoom", fields.zoom.value);
    stage.toggleAttribute("data-zoomed", fields.zoom.value !== "1");
    range.closest("label").hidden = fields.view.value !== "slider";
    stage.style.setProperty("--at", `${range.value}%`);
    const noise = fields.noise.value === "clean" ? "clean"
      : `${fields.noise.value} noise, ${fields.severity.selectedOptions[0].textContent}`;
    said.textContent = `${fields.picture.value}, ${noise}.` + {
      slider: " Drag, or use the arrow keys on the slider.",
      side: " Both pictures scroll together.",
      difference: " Where the two are equal it is black; four times as bright as it is.",
    }[fields.view.value];
  };
  const severities = (value) => fill(fields.severity, choices.noises[fields.noise.value], value);
  const write = () => {
    const parts = ["picture", "noise", "severity", "left", "right", "view", "zoom"]
      .filter((name) => fields[name].value !== { view: "slider", zoom: "1" }[name])
      .map((name) => `${name}=${encodeURIComponent(fields[name].value)}`);
    history.replaceState(null, "", `#${parts.join("&")}`);
  };
  const read = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    const from = (name) => given.get(name) ?? choices.start[name];
    fill(fields.picture, images.map(([key]) => [key, key]), from("picture"));
    fill(fields.noise, choices.order.map((noise) => [noise, noise]), from("noise"));
    severities(from("severity"));
    for (const side of ["left", "right"]) fill(fields[side], choices.variants, from(side));
    for (const [name, usual] of [["view", "slider"], ["zoom", "1"]]) {
      fields[name].value = given.get(name) ?? usual;
      if (!fields[name].value) fields[name].value = usual;
    }
    show();
    if (given.has("picture")) place.scrollIntoView({ block: "start" });
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => {
    if (event.target === fields.noise) severities();
    show();
    write();
  });
  range.addEventListener("input", show);
  addEventListener("hashchange", () => {
    if (!location.hash || location.hash.includes("=")) read();
  });

  // The zoomed panes move as one, and by hand. A pane's scroll event comes later than its scroll:
  // one that we caused must not move the other pane back.
  const put = new Map();
  const move = (pane, left, top) => {
    pane.scrollLeft = left;
    pane.scrollTop = top;
    put.set(pane, `${pane.scrollLeft},${pane.scrollTop}`);
  };
  for (const [pane, other] of [[panes.left, panes.right], [panes.right, panes.left]]) {
    pane.addEventListener("scroll", () => {
      if (put.get(pane) !== `${pane.scrollLeft},${pane.scrollTop}`) {
        move(other, pane.scrollLeft, pane.scrollTop);
      }
    });
  }
  let held = null;
  const slide = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = Math.round(100 * (event.clientX - box.left) / box.width);
    show();
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button) return;
    held = { x: event.clientX, y: event.clientY, left: panes.right.scrollLeft, top: panes.right.scrollTop };
    stage.setPointerCapture(event.pointerId);
    if (fields.zoom.value === "1" && fields.view.value === "slider") slide(event);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (!held) return;
    if (fields.zoom.value !== "1") {
      for (const pane of [panes.right, panes.left]) {
        move(pane, held.left + held.x - event.clientX, held.top + held.y - event.clientY);
      }
    } else if (fields.view.value === "slider") slide(event);
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { held = null; });
  read();
})();
