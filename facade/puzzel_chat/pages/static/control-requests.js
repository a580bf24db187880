// The newest requests, as they come.
import {clock, el, t} from "./base.js"
import {on, state} from "./control-state.js"

const NEWEST = 200

export function requests() {
  let kept = [], paused = false
  const body = el("tbody"), empty = el("p", {className: "quiet"}, t("none"))
  const filter = el("select", {on: {change: () => draw()}}, el("option", {value: ""}, t("all")))
  const pause = el("button", {type: "button", "aria-pressed": "false", on: {click: () => {
    paused = !paused
    pause.setAttribute("aria-pressed", String(paused))
    pause.textContent = t(paused ? "paused" : "pause")
    if (!paused) draw()
  }}}, t("pause"))
  const wanted = ({operation}) => !filter.value || filter.value === operation
  const draw = () => body.replaceChildren(...kept.filter(wanted).map(row).reverse())

  on("operations", () => {
    const known = new Set([...filter.options].map(({value}) => value))
    filter.append(...state.get("operations").filter((name) => !known.has(name)).map((name) => el("option", {value: name}, name)))
  })
  on("operation", () => [...filter.options].slice(1).forEach((option) => {
    const asked = state.get(`operation:${option.value}`)?.requests
    option.textContent = asked ? `${option.value} (${asked})` : option.value
  }))
  const table = el("table", {className: "requests"}, el("thead", {}, el("tr", {},
    ...["time", "operation", "status", "ms", "token", "struckBy"].map((name) => el("th", {scope: "col"}, t(name))))), body)
  const view = el("div", {className: "stack grow"},
    el("div", {className: "row between"},
      el("label", {className: "row"}, el("span", {}, t("filter")), filter),
      el("span", {className: "quiet"}, t("newest", {n: NEWEST})), pause),
    empty, el("div", {className: "scroll tall", tabIndex: 0, role: "group", "aria-label": t("requests")}, table))
  return {view, take(news, fresh) {
    kept = (fresh ? news : [...kept, ...news]).slice(-NEWEST)
    empty.hidden = kept.length > 0
    if (paused) return
    if (fresh) return draw()
    body.prepend(...news.filter(wanted).map(row).reverse())
    while (body.children.length > NEWEST) body.lastElementChild.remove()
  }}
}

function row({at, operation, status, milliseconds, faults, token}) {
  const good = status !== null && status < 300
  const mark = el("span", {className: "mark", "aria-hidden": "true"})
  mark.style.backgroundColor = `hsl(${[...token].reduce((sum, one) => (sum * 31 + one.charCodeAt(0)) % 360, 7)} 65% 50%)`
  return el("tr", {className: good ? "" : "bad"},
    el("td", {className: "time"}, clock(at)),
    el("td", {className: "what"}, el("code", {}, operation)),
    el("td", {className: "status"}, el("span", {className: `chip ${good ? "good" : "bad"}`}, status === null ? t("noReply") : String(status))),
    el("td", {className: "number"}, milliseconds.toFixed(1)),
    el("td", {className: "token"}, token ? [mark, `…${token}`] : ""),
    el("td", {className: "struck"},
      faults.length ? el("div", {className: "row"}, ...faults.map((kind) => el("span", {className: "chip warn"}, kind))) : ""))
}
