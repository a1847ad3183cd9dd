"use strict";
// Searches all pages. The pages themselves work without it. The data is in scripts, because a page of
// file:// may not fetch anything; it is loaded when it is needed for the first time.
(() => {
  const PER_PAGE = 200;
  const [LINE, KEY, STATUS, PROMPT, TASK, REASON, OWN, FILES, DATA, COMMAND] = Array(10).keys();
  const { folder } = document.body.dataset;
  const at = (id) => document.getElementById(id);
  const input = at("search");
  const chips = [...document.querySelectorAll(".chips a")];
  const rows = [];
  const texts = [];
  let failures = [];
  let pictures = [];
  let checked = 0; // rows that have been compared with the search
  let page = 0;
  let status = "";
  let words = [];
  let problem = "";
  let loading = null;

  const simple = (text) => text.normalize("NFKC").toLowerCase();

  let isLast = false;
  window.foxapiSheet = (last, more) => {
    isLast = last;
    for (const row of more) {
      rows.push(row);
      const own = row[OWN].map((column) => column.join(":"));
      texts.push(simple([row[KEY], row[PROMPT], row[TASK], row[REASON], row[DATA], ...own].join("\n")));
    }
  };

  const load = async () => {
    for (let number = 1; !isLast; number += 1) {
      const source = `./${folder}/data-${number}.js`;
      const loaded = await new Promise((resolve) => {
        const script = document.createElement("script");
        script.src = source;
        script.onload = () => resolve(true);
        script.onerror = () => resolve(false);
        document.head.append(script);
      });
      if (!loaded) {
        problem = ` ${source} cannot be loaded, so not everything can be found.`;
        break;
      }
      show(false);
    }
    loading = false;
    show(true);
  };

  const element = (name, fields, ...children) => {
    const made = Object.assign(document.createElement(name), fields);
    made.append(...children.filter(Boolean));
    return made;
  };

  const text = (name, className, content, direction) =>
    content && element(name, { className, textContent: content, dir: direction || "" });

  const own = (row) =>
    row[OWN].length > 0 &&
    element("ul", { className: "own" }, ...row[OWN].map(([name, value]) =>
      element("li", { dir: "auto" }, `${name} `, element("b", { textContent: value }))));

  const ids = (row, before) =>
    [before, row[LINE] && `line ${row[LINE]}`, row[KEY]].filter(Boolean).join("  ·  ");

  const media = (row, link, kind, small) => {
    const label = row[PROMPT] || row[KEY];
    if (kind === "image") {
      const source = small ? `./${folder}/${small}` : link;
      return element("img", { loading: "lazy", decoding: "async", alt: label.slice(0, 100), src: source });
    }
    if (kind === "video" || kind === "audio") {
      return element(kind, { controls: true, preload: "none", src: link, ariaLabel: label.slice(0, 100) });
    }
    return text("span", "other", link ? link.split(".").pop() : row[DATA] || "no file", "auto");
  };

  const card = ([row, number]) => {
    const [link, kind, small, ratio] = row[FILES][number] || ["", "other", "", 1];
    const plays = kind === "video" || kind === "audio";
    const open = { href: link, target: "_blank", rel: "noopener" };
    const shown = media(row, link, kind, small);
    const count = row[FILES].length;
    const details = ids(row, count > 1 && `${number + 1} of ${count}`);
    const figure = element("figure", {},
      element("div", { className: "media" }, link && !plays ? element("a", open, shown) : shown),
      element("figcaption", { title: row[PROMPT] },
        text("b", "", row[PROMPT] || row[KEY], "auto"),
        element("span", { className: "ids" }, link && plays ? element("a", open, details) : details),
        own(row)));
    figure.style.setProperty("--r", Math.min(Math.max(ratio, 0.4), 3));
    return figure;
  };

  const failure = (row) =>
    element("li", {},
      text("b", "", row[PROMPT], "auto"),
      text("span", "ids", [ids(row), row[TASK]].filter(Boolean).join("  ·  ")),
      own(row),
      text("p", "", row[REASON], "auto"),
      text("code", "", row[COMMAND]));

  const group = (name, members) => {
    const hint = document.querySelector(`#hints [data-status="${name}"]`);
    const made = element("section", { className: `group ${name}` },
      element("h3", {}, text("span", "badge", name.replace("_", " "))),
      hint && hint.cloneNode(true),
      element("ol", {}, ...members.map(failure)));
    return made;
  };

  const listed = (row) =>
    document.querySelector(`#hints [data-status="${CSS.escape(row[STATUS])}"]`) ? row[STATUS] : "other";

  const compare = () => {
    for (; checked < rows.length; checked += 1) {
      const row = rows[checked];
      const found = words.every((word) => texts[checked].includes(word));
      const name = row[STATUS] === "completed" ? "completed" : listed(row);
      if (!found || (status && status !== name)) {
        continue;
      }
      if (name !== "completed") {
        failures.push(row);
      }
      const count = row[FILES].length || Number(name === "completed");
      for (let number = 0; number < count; number += 1) {
        pictures.push([row, number]);
      }
    }
  };

  const number = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  const draw = () => {
    const total = failures.length + pictures.length;
    const pages = Math.max(1, Math.ceil(total / PER_PAGE));
    const from = page * PER_PAGE;
    const groups = Map.groupBy
      ? Map.groupBy(failures.slice(from, from + PER_PAGE), listed)
      : failures.slice(from, from + PER_PAGE).reduce((made, row) =>
          made.set(listed(row), [...(made.get(listed(row)) || []), row]), new Map());
    const first = Math.max(0, from - failures.length);
    const cards = pictures.slice(first, Math.max(0, from + PER_PAGE - failures.length)).map(card);
    const ends = Array.from({ length: 8 }, () => element("i", { className: "end" }));
    const listedGroups = [...groups].map(([name, members]) => group(name, members));
    at("matches").replaceChildren(
      ...listedGroups,
      ...(cards.length ? [element("div", { className: "sheet" }, ...cards, ...ends)] : []));
    prepare(at("matches"));
    at("place").textContent = `Page ${(page + 1).toLocaleString("en")} of ${pages.toLocaleString("en")}`;
    at("previous").disabled = page === 0;
    at("next").disabled = page + 1 >= pages;
    at("found").querySelector(".pages").hidden = pages === 1;
  };

  const show = (always) => {
    const active = words.length > 0 || status;
    at("found").hidden = !active;
    at("all").hidden = Boolean(active);
    for (const chip of chips) {
      chip.setAttribute("aria-pressed", String(chip.dataset.status === status));
    }
    if (!active) {
      return;
    }
    if (loading === null) {
      loading = true;
      load();
    }
    const before = failures.length + pictures.length;
    compare();
    // While data comes in, what the page shows changes only until the page is full.
    if (always || before < (page + 1) * PER_PAGE) {
      draw();
    }
    const found = [failures.length && number(failures.length, "failure"),
      (pictures.length || !failures.length) && number(pictures.length, "picture")];
    at("state").textContent =
      `${found.filter(Boolean).join(" and ")} found${loading ? " so far …" : "."}${problem}`;
  };

  const begin = () => {
    const asked = new URLSearchParams();
    if (input.value) {
      asked.set("q", input.value);
    }
    if (status) {
      asked.set("status", status);
    }
    history.replaceState(null, "", asked.size ? `#${asked}` : location.pathname + location.search);
    words = simple(input.value).split(/\s+/).filter(Boolean);
    failures = [];
    pictures = [];
    checked = page = 0;
    show(true);
  };

  const turn = (step) => {
    page += step;
    draw();
    at("found").scrollIntoView();
  };

  // A video shows its first frame when it comes near; 200 at once would read too much.
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((each) => each.isIntersecting)) {
      entry.target.preload = "metadata";
      near.unobserve(entry.target);
    }
  }, { rootMargin: "300px" });
  const prepare = (root) => root.querySelectorAll("video").forEach((each) => near.observe(each));

  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(begin, 120);
  });
  for (const chip of chips) {
    chip.setAttribute("role", "button");
    chip.addEventListener("click", (event) => {
      event.preventDefault();
      status = status === chip.dataset.status ? "" : chip.dataset.status;
      begin();
    });
    chip.addEventListener("keydown", (event) => {
      if (event.key === " ") {
        event.preventDefault();
        chip.click();
      }
    });
  }
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== input && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      input.focus();
    }
  });
  document.querySelector(".search").hidden = false;
  prepare(document);
  // A search can be bookmarked: index.html#q=fox&status=completed
  const restore = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    if (asked.has("q") || asked.has("status")) {
      input.value = asked.get("q") || "";
      status = asked.get("status") || "";
      begin();
    }
  };
  window.addEventListener("hashchange", restore);
  restore();
})();
