"use strict";
(() => {
  // Small helpers. Text goes in as text, never as HTML: what a model wrote stays what it wrote.
  const make = (name, attributes = {}, ...children) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === false || value === null || value === undefined) continue;
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const remember = (key, value) => {
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch { /* a page opened from a file may have no storage */ }
    return null;
  };

  // Theme: automatic, light, dark.
  const themes = ["automatic", "light", "dark"];
  const themeButton = document.getElementById("theme");
  const setTheme = (name) => {
    if (name === "automatic") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", name);
    themeButton.textContent = `Theme: ${name}`;
    remember("evalkit-theme", name);
  };
  themeButton.hidden = false;
  let theme = themes.includes(remember("evalkit-theme")) ? remember("evalkit-theme") : "automatic";
  setTheme(theme);
  themeButton.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
  });

  // A served page asks for newer ones; it does not reload itself under a reader who has opened or typed something.
  const live = document.getElementById("live");
  if (live) {
    const reading = () => document.querySelector(".sample[open]") || document.activeElement.matches("input, select");
    const reload = make("button", { type: "button", onclick: () => location.reload() }, "Show them");
    const look = async () => {
      try {
        const now = await (await fetch("version", { cache: "no-store" })).json();
        if (now.version !== document.documentElement.dataset.live) {
          if (!reading()) location.reload();
          else if (!reload.isConnected) live.replaceChildren("There are newer results. ", reload);
        } else {
          const text = now.problem ? `The runs have changed, but: ${now.problem}` : "Live: this page follows its runs.";
          if (live.textContent !== text) live.textContent = text;
        }
      } catch {
        live.textContent = "The command that served this page has ended; what it shows stays.";
      }
      setTimeout(look, 1000);
    };
    setTimeout(look, 1000);
  }

  // Tabs: links become tabs; arrows, Home and End move between them; the address keeps the choice.
  const list = document.getElementById("tabs");
  const tabs = [...list.querySelectorAll("a")];
  const panels = tabs.map((tab) => document.getElementById(tab.hash.slice(1)));
  let filters = "";  // of the samples, kept in the address, so that a link leads to what it shows
  const addressOf = (index) => tabs[index].hash + (tabs[index].hash === "#samples" ? filters : "");
  const choose = (index, focus) => {
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(i === index));
      tab.tabIndex = i === index ? 0 : -1;
      panels[i].hidden = i !== index;
    });
    if (focus) tabs[index].focus();
  };
  document.documentElement.classList.add("tabbed");
  list.setAttribute("role", "tablist");
  tabs.forEach((tab, i) => {
    tab.setAttribute("role", "tab");
    tab.id = `tab-${tab.hash.slice(1)}`;
    tab.setAttribute("aria-controls", panels[i].id);
    panels[i].setAttribute("role", "tabpanel");
    panels[i].setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", (event) => {
      event.preventDefault();
      choose(i);
      window.scrollTo(0, 0);
      history.replaceState(null, "", addressOf(i));
    });
    tab.addEventListener("keydown", (event) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1, " ": i, Enter: i }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = (to + tabs.length) % tabs.length;
      choose(next, true);
      window.scrollTo(0, 0);
      history.replaceState(null, "", addressOf(next));
    });
  });
  const openAddress = () => {
    let target = null;
    try {
      target = document.getElementById(decodeURIComponent(location.hash.slice(1).split("?")[0]));
    } catch { /* an address that is not well formed opens the first tab */ }
    const index = panels.findIndex((panel) => panel === target || panel.contains(target));
    choose(Math.max(0, target ? index : 0));
    if (index >= 0 && panels[index] !== target) target.scrollIntoView();
    else window.scrollTo(0, 0);
  };
  window.addEventListener("hashchange", openAddress);
  window.addEventListener("load", openAddress);
  openAddress();

  // Tables: a click on a heading sorts; a field above filters.
  const compare = (a, b) => {
    if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1;
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const sortBy = (table, column, heading) => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [row.cells[column].dataset.key, row]);
    rows.sort(([a], [b]) => {
      const order = compare(a, b);
      return a === undefined || b === undefined ? order : down ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
  };
  for (const section of document.querySelectorAll(".grid")) {
    const table = section.querySelector("table");
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = make("button", { type: "button" }, heading.textContent);
      heading.replaceChildren(button);
      button.addEventListener("click", () => sortBy(table, column, heading));
    });
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 6) continue;
    const count = make("span", { class: "count", role: "status" }, `${rows.length} rows`);
    const field = make("input", { type: "search", placeholder: "words, in any order" });
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
    });
    const tools = make("div", { class: "tools" }, make("label", {}, "Filter", field), count);
    section.querySelector(".scroll").before(tools);
  }

  // Samples.
  const browser = document.getElementById("browser");
  if (!browser) return;
  const data = JSON.parse(document.getElementById("data").textContent);
  // A piece is a list of documents, packed in a script block that only this unpacks; the last few stay unpacked.
  const unpacked = new Map();
  const unpack = async (index) => {
    if (!unpacked.has(index)) {
      const bytes = Uint8Array.from(atob(document.getElementById(`piece-${index}`).textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      unpacked.set(index, await new Response(stream).json());
      if (unpacked.size > 4) unpacked.delete(unpacked.keys().next().value);
    }
    return unpacked.get(index);
  };
  const option = (value, label) => make("option", { value }, label);
  const select = (label, options) => {
    const field = make("select", {}, ...options.map(([value, name]) => option(value, name)));
    return [make("label", {}, label, field), field];
  };
  const tasks = [...new Set(data.groups.map((group) => group.task + (group.variant ? ` · ${group.variant}` : "")))];
  const nameOf = (group) => group.task + (group.variant ? ` · ${group.variant}` : "");
  const [taskLabel, taskField] = select("Task", tasks.map((task) => [task, task]));
  const [shotLabel, shotField] = select("Shots", []);
  const [firstLabel, firstField] = select("Model", data.models.map((model, i) => [String(i), model]));
  const others = [["", "none"], ...data.models.map((model, i) => [String(i), model])];
  const [secondLabel, secondField] = select("beside", others);
  const alone = [["all", "all"], ["wrong", "wrong"], ["right", "right"]];
  const pairwise = [["changed", "scores that differ"], ["better", "better than beside"], ["worse", "worse than beside"],
    ["other", "other answers"]];
  const kinds = [...alone, ...(data.models.length > 1 ? pairwise : []),
    ...(data.tokens ? [["tokens", "with tokens"]] : [])];
  const [kindLabel, kindField] = select("Show", kinds);
  const wordField = make("input", { type: "search", placeholder: "in prompt, gold, answer" });
  const count = make("p", { class: "count", role: "status" });
  const place = make("div");
  const more = make("button", { type: "button", hidden: true }, "Show more");
  firstField.value = String(data.models.length - 1);
  if (data.models.length > 1) secondField.value = "0";

  const prompt = (answer) => {
    const box = make("pre", { tabindex: "0", role: "group", "aria-label": "prompt; what was scored or generated is marked" });
    const gold = answer.gold >= 0 ? answer.gold : 0;
    const context = answer.contexts.length > 1 ? answer.contexts[gold] : answer.contexts[0];
    if (context !== undefined) box.append(context);
    const unclear = answer.gold < 0 && answer.continuations.length > 1 && answer.contexts.length < 2;
    const said = unclear ? "" : answer.continuations.length  // of several options the gold one
      ? answer.continuations[answer.continuations.length > 1 ? gold : 0]
      : answer.responses.length ? answer.responses[0].text : "";
    box.append(make("mark", {}, said));
    return box;
  };
  const describe = (answer) => {
    const rows = [];
    const say = (name, value) => rows.push(make("dt", {}, name), make("dd", {}, value));
    if (answer.error) say("failed", answer.error);
    const response = answer.responses.length === 1 && !answer.continuations.length ? answer.responses[0].text : null;
    if (response !== null) say("response", response || "(nothing)");
    if (answer.prediction && answer.prediction !== response) say("answer", answer.prediction);
    for (const [name, value] of Object.entries(answer.scores)) say(name, String(Math.round(value * 100) / 100));
    if (answer.short) say("prompt", "shortened to fit the model");
    return make("dl", {}, ...rows);
  };
  // Each token with its log-probability: the bar is longer, the less likely it was; full at 8 nats, or once in 3,000.
  const FULL = 8;
  const visible = (text) => text.replace(/ /g, "·").replace(/\n/g, "⏎").replace(/\t/g, "⇥") || "…";
  const picture = (tokens, label) => make("ol", { class: "tokens", "aria-label": `${label}: log-probability of each token` },
    ...tokens.map(([text, logprob, greedy]) => {
      const fill = make("i", {});
      fill.style.setProperty("--share", `${Math.min(100, -100 * logprob / FULL)}%`);
      return make("li", { class: greedy ? "greedy" : null, title: greedy ? "the likeliest token" : null },
        make("span", { class: "piece" }, visible(text)),
        make("span", { class: "bar", "aria-hidden": "true" }, fill),
        make("span", { class: "value" }, (Math.abs(logprob) < 0.005 ? 0 : logprob).toFixed(2).replace("-", "−"), 
          make("span", { class: "spoken" }, greedy ? ", the likeliest" : "")));
    }));
  const tokensOf = (answer, i) =>
    Array.isArray(answer.tokens) && answer.tokens[i] && answer.tokens[i].length ? answer.tokens[i] : null;
  const unknownTokens = (answer) => typeof answer.tokens === "string"
    ? make("p", { class: "caption" }, `No log-probabilities of tokens: ${answer.tokens}.`) : null;
  const options = (answer) => {
    if (answer.continuations.length < 2) {
      const only = answer.responses[0];
      if (!only) return null;
      const said = answer.continuations.length ? "text" : "answer";
      const total = answer.continuations.length || answer.tokens
        ? make("p", { class: "caption" }, `log-likelihood ${only.ll.toFixed(3).replace("-", "−")} over ${only.tokens} tokens`) : null;
      return make("div", {}, total, tokensOf(answer, 0) ? picture(tokensOf(answer, 0), said) : null);
    }
    const head = ["option", "log-likelihood", "tokens"].map((name, i) =>
      make("th", { scope: "col", class: i ? "number" : null }, name));
    const varied = answer.contexts.length > 1;
    const rows = answer.responses.map((response, i) =>
      make("tr", {},
        make("td", { class: "text" },
          varied || !tokensOf(answer, i) ? varied ? `option ${i + 1}` : answer.continuations[i] : null,
          tokensOf(answer, i) ? picture(tokensOf(answer, i), `option ${i + 1}`) : null,
          i === answer.gold ? make("small", {}, "  (gold)") : null),
        make("td", { class: "number" }, response.ll.toFixed(3).replace("-", "−")),
        make("td", { class: "number" }, String(response.tokens))));
    return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "options" },
      make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
  };
  const badge = (answer, name, metric) => {
    if (!answer) return make("span", { class: "badge open" }, `${name}: not run`);
    if (answer.error) return make("span", { class: "badge wrong" }, `! ${name}: failed`);
    const score = answer.scores[metric];
    const rounded = score === undefined ? "" : ` ${Math.round(score * 10) / 10}`;
    if (answer.right === null) return make("span", { class: "badge open" }, name + rounded);
    return make("span", { class: `badge ${answer.right ? "right" : "wrong"}` }, `${answer.right ? "✓" : "✗"} ${name}`);
  };
  const card = (item, chosen, metric) => {
    const answers = chosen.map((model) => item.answers[model]);
    const heading = make("summary", {}, ...chosen.map((model, i) => badge(answers[i], data.models[model], metric)),
      make("span", { class: "question" }, item.question || item.id),
      item.gold ? make("span", { class: "gold" }, ` → ${item.gold}`) : null,
      item.level ? make("small", { class: "count" }, `  ${item.level}`) : null,
      item.seen ? make("small", { class: "count" }, "  in the training text") : null,
      item.passage ? make("div", { class: "passage" }, item.passage) : null);
    const body = make("div", { class: "body" });
    const box = make("details", { class: "sample" }, heading, body);
    box.addEventListener("toggle", () => {  // filled when first opened: thousands of prompts are heavy
      if (body.childElementCount) return;
      const same = answers.every((answer) => answer && answers[0] &&
        JSON.stringify([answer.contexts, answer.continuations]) === JSON.stringify([answers[0].contexts, answers[0].continuations]));
      const facts = [make("dt", {}, "id"), make("dd", {}, item.id)];
      if (item.gold) facts.push(make("dt", {}, "gold"), make("dd", {}, item.gold));
      if (item.seen) facts.push(make("dt", {}, "in the training text"), make("dd", {}, item.seen));
      body.append(make("dl", {}, ...facts));
      const shared = same && answers[0].continuations.length > 0;
      if (shared) body.append(prompt(answers[0]));
      const columns = make("div", { class: "answers" });
      chosen.forEach((model, i) => {
        if (!answers[i]) return;
        columns.append(make("div", {}, make("h3", {}, data.models[model]), shared ? null : prompt(answers[i]),
          describe(answers[i]), options(answers[i]), unknownTokens(answers[i])));
      });
      body.append(columns);
    });
    return box;
  };

  const found = () => data.groups.find((group) => nameOf(group) === taskField.value && String(group.shots) === shotField.value);
  const fillShots = () => {
    const before = shotField.value;
    const counts = data.groups.filter((group) => nameOf(group) === taskField.value).map((group) => String(group.shots));
    shotField.replaceChildren(...counts.map((value) => option(value, value)));
    if (counts.includes(before)) shotField.value = before;
  };
  const chosenModels = () => {
    const first = firstField.value, second = secondField.value === firstField.value ? "" : secondField.value;
    return second === "" ? [first] : [first, second];
  };
  // By how much the first model's score is better; not a number where either has none.
  const gain = (a, b, group) =>
    a && b ? (a.scores[group.metric] - b.scores[group.metric]) * (group.falling ? -1 : 1) : NaN;
  const matches = (kind, a, b, group) => ({
    all: true,
    wrong: a && a.right === false,
    right: a && a.right === true,
    changed: Math.abs(gain(a, b, group)) > 0,
    better: gain(a, b, group) > 0,
    worse: gain(a, b, group) < 0,
    other: a && b && a.prediction !== b.prediction,
    tokens: [a, b].some((answer) => answer && Array.isArray(answer.tokens)),
  })[kind];
  const fits = (item, group, chosen, words) => {
    const [a, b] = chosen.map((model) => item.answers[model]);
    if (!matches(kindField.value, a, b, group)) return false;
    if (!words.length) return true;
    const texts = [a, b].flatMap((answer) => answer ? [...answer.contexts, ...answer.continuations, answer.prediction] : []);
    const whole = [item.id, item.gold, item.level, item.question, item.passage, item.seen, ...texts].join("\n").toLowerCase();
    return words.every((word) => whole.includes(word));
  };
  let page = 20, turn = 0;
  const show = async (longer = false) => {  // piece by piece; a later call ends an earlier one
    const mine = ++turn, group = found(), chosen = chosenModels();
    const words = wordField.value.toLowerCase().split(/\s+/).filter(Boolean);
    const filtered = words.length > 0 || kindField.value !== "all";
    const part = group && group.held < group.documents ? ` (${group.held} of them are in this page)` : "";
    const shown = [];
    let fitting = 0;
    for (const [index] of group ? group.pieces : []) {
      if (!filtered && shown.length >= page) break;
      const documents = await unpack(index);
      if (mine !== turn) return;
      for (const item of documents.filter((document) => fits(document, group, chosen, words))) {
        fitting += 1;
        if (shown.length < page) shown.push(item);
      }
      if (filtered) count.textContent = `${fitting} so far …`;
    }
    const total = group ? group.documents : 0;
    if (!filtered) fitting = group ? group.held : 0;
    count.textContent = `${filtered || !part ? fitting : total} of ${total} documents${part}`;
    const before = longer ? place.childElementCount : 0;
    const cards = shown.slice(before).map((item) => card(item, chosen, group.metric));
    if (!longer) place.replaceChildren();
    place.append(...cards);
    if (longer && cards.length) cards[0].firstElementChild.focus();
    more.hidden = fitting <= shown.length;
  };
  const failed = (error) => { place.replaceChildren(make("p", {}, `The samples cannot be unpacked here (${error.message}).`)); };
  const again = () => { page = 20; return show().catch(failed); };
  more.addEventListener("click", () => { page += 20; show(true).catch(failed); });
  const fields = { task: taskField, shots: shotField, model: firstField, beside: secondField, show: kindField, words: wordField };
  const named = new Set([firstField, secondField]);  // the address holds names of models, which other reports share
  const write = () => {
    const words = Object.entries(fields).filter(([, field]) => field.value || field === secondField).map(([name, field]) =>
      [name, named.has(field) ? data.models[field.value] ?? "" : field.value]);
    filters = `?${new URLSearchParams(words)}`;
    history.replaceState(null, "", `#samples${filters}`);
  };
  const read = () => {
    const [part, words] = location.hash.slice(1).split("?");
    if (part !== "samples" || !words) return;
    const given = new URLSearchParams(words);
    for (const [name, field] of Object.entries(fields)) {
      const value = given.get(name);
      const choice = named.has(field) && value ? String(data.models.indexOf(value)) : value;
      if (field === shotField) fillShots();
      const allowed = field === wordField || [...field.options].some((one) => one.value === choice);
      if (choice !== null && allowed) field.value = choice;
    }
    filters = `?${words}`;
  };
  taskField.addEventListener("change", () => { fillShots(); write(); again(); });
  for (const field of [shotField, firstField, secondField, kindField]) {
    field.addEventListener("change", () => { write(); again(); });
  }
  let typing = 0;
  wordField.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { write(); again(); }, 150);
  });
  window.addEventListener("hashchange", () => { read(); again(); });
  browser.append(
    make("div", { class: "tools" }, taskLabel, shotLabel, firstLabel, secondLabel, kindLabel,
      make("label", {}, "Words", wordField)),
    count, data.tokens ? make("p", { class: "caption" },
      "Tokens: each with its log-probability (nats); a longer bar is less likely, full at −8. " +
      "Solid: the model’s likeliest token; striped: another one.") : null,
    place, more);
  fillShots();
  read();
  again();
})();
