// The queues, and how the contact centre behaves: agents, tokens, polls.
import {el, said, t} from "./base.js"
import {act, bound, on, state} from "./control-state.js"

const field = (name, input) => el("label", {className: "field"}, el("span", {}, name), input)
const choice = (options) => el("select", {}, ...options.map(([value, name]) => el("option", {value}, name)))
const local = (iso) => {
  if (!iso) return ""
  const at = new Date(iso)
  return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16)
}
const HOURS = {open: true, closed: false, unknownHours: null}

/** A queue: its hours, its capacity, who waits, who works there. */
function queue(key) {
  const hours = bound(choice(Object.keys(HOURS).map((name) => [name, t(name)])), ({value}) =>
    act("open", {queue: key, open: HOURS[value], opensAt: null}))
  const opens = bound(el("input", {type: "datetime-local", max: "2099-12-31T23:59"}), ({value}) =>
    act("open", {queue: key, open: false, opensAt: value ? new Date(value) / 1000 : null}))
  const capacity = bound(el("input", {type: "number", min: "0", max: "1000000", step: "1", required: true}), ({value}) =>
    act("capacity", {queue: key, capacity: Number(value)}))
  const name = el("h3"), size = el("span", {className: "chip"}), staff = el("span", {className: "quiet"})
  const opensField = field(t("opensAt"), opens.field)
  const box = el("div", {className: "queue stack", role: "group", data: {queue: key}},
    el("div", {className: "row"}, name, size),
    el("div", {className: "fields"}, field(t("hours"), hours.field), field(t("capacity"), capacity.field), opensField), staff)
  return {box, draw(one) {
    name.replaceChildren(said(one.name), el("code", {className: "quiet"}, one.key))
    box.setAttribute("aria-label", one.name)
    hours.show(Object.keys(HOURS).find((each) => HOURS[each] === one.open))
    opens.show(local(one.opensAt))
    opensField.hidden = one.open !== false
    capacity.show(one.capacity)
    size.textContent = t("size", one)
    size.className = `chip ${one.size >= one.capacity ? "bad" : ""}`
    staff.textContent = t("staff", {names: one.staff.join(", ") || t("nobody")})
  }}
}

export function queues() {
  const grid = el("div", {className: "tiles"}), boxes = new Map()
  on("queues", () => {
    for (const key of state.get("queues")) if (!boxes.has(key)) boxes.set(key, queue(key))
    grid.replaceChildren(...state.get("queues").map((key) => boxes.get(key).box))
  })
  on("queue", (changed) => changed.forEach((name) => {
    if (state.has(name)) boxes.get(state.get(name).key).draw(state.get(name))
  }))
  return grid
}

/** Agents, tokens and polls; a choice that this page does not know is shown by its own name. */
export function service() {
  const scripted = bound(el("input", {type: "checkbox"}), ({checked}) => act("scripted", {on: checked}))
  const script = bound(choice([]), ({value}) => act("script", {script: value}))
  const about = el("span", {className: "quiet"}), meaning = el("span", {className: "quiet"})
  const life = bound(el("input", {type: "number", min: "0", step: "any", required: true}), ({value}) =>
    act("token-life", {seconds: Number(value)}))
  const told = el("span", {className: "quiet", role: "status"})
  const expire = el("button", {type: "button", on: {click: async () => {
    if (await act("expire", {})) told.textContent = t("expired")
  }}}, t("expire"))
  const semantics = bound(choice([]), ({value}) => act("semantics", {semantics: value}))
  const ends = () => act("after-end", {afterEnd: after.field.value, linger: Number(linger.field.value)})
  const after = bound(choice([]), ends)
  const linger = bound(el("input", {type: "number", min: "0", step: "any", required: true}), ends)
  const figures = el("div", {className: "row", id: "figures"})

  const fill = (name, {field: select}, label) => on(name, () =>
    select.replaceChildren(...Object.values(state.get(name)).map((each) => el("option", {value: each}, label(each)))))
  fill("semantics", semantics, (name) => name)
  fill("afterEnd", after, (name) => t(`after_${name}`))
  on("scripts", () => script.field.replaceChildren(
    ...Object.keys(state.get("scripts")).map((name) => el("option", {value: name}, name))))
  on("conduct", () => {
    const now = state.get("conduct"), known = [...script.field.options].some(({value}) => value === now.script)
    if (!known) script.field.append(el("option", {value: now.script}, said(now.script)))
    scripted.show(now.scripted)
    script.show(now.script)
    const words = t(`script_${now.script}`)
    about.replaceChildren(said(words === `script_${now.script}` ? now.about : words))
    life.show(now.tokenLife)
    semantics.show(now.semantics)
    meaning.textContent = t(`semantics_${now.semantics}`)
    after.show(now.afterEnd)
    linger.show(now.linger)
  })
  on("stats", () => figures.replaceChildren(...shown(state.get("stats"))))
  return el("div", {className: "stack"},
    el("label", {className: "row"}, scripted.field, el("span", {}, t("scripted"))),
    el("div", {className: "fields"},
      el("div", {className: "stack"}, field(t("script"), script.field), about),
      el("div", {className: "stack"}, field(t("tokenLife"), life.field), expire, told),
      el("div", {className: "stack"}, field(t("semantics"), semantics.field), meaning),
      el("div", {className: "stack"}, field(t("afterEnd"), after.field), field(t("linger"), linger.field))),
    figures)
}

const shown = ({requests, tokens, refreshes, reused, faults}) => [
  ["total", requests], ["tokens", tokens], ["refreshes", refreshes], ["reused", reused, "bad"], ["struckAll", faults, "warn"],
].map(([name, n, colour]) => el("span", {className: `chip ${n && colour ? colour : ""}`}, t(name, {n})))
