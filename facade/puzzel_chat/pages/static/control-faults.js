// Faults: the frequent ones as buttons, a form for every one, those in force, and the statuses of every operation.
import {el, said, t} from "./base.js"
import {act, on, state} from "./control-state.js"

const POLL = "pollConversation"
const FREQUENT = {
  preset_poll: {fault: "status", operation: POLL, parameters: {code: 503}, when: {times: 1}},
  preset_polls: {fault: "status", operation: POLL, parameters: {code: 503}, when: {times: 3}},
  preset_reply: {fault: "drop", operation: POLL, parameters: {after: true}, when: {times: 1}},
  preset_send: {fault: "drop", operation: "sendMessage", parameters: {after: true}, when: {times: 1}},
  preset_429: {fault: "status", operation: "*", parameters: {code: 429, retry_after: 5}, when: {times: 1}},
  preset_end: {fault: "lost_end"},
  preset_slow: {fault: "latency", operation: "*", parameters: {seconds: 2}},
  preset_page: {fault: "status", operation: "*", parameters: {code: 502}, when: {times: 1}},
  preset_html: {fault: "html_page", operation: POLL, when: {times: 1}},
}
const STATUSES = [400, 401, 403, 404, 409, 410, 429, 500, 502, 503, 504]
/** How often a fault strikes: what the number beside it is called, and what is asked for. */
const OFTEN = {
  once: [null, () => ({times: 1})], times: ["n", (n) => ({times: n})], always: [null, () => ({})],
  everyNth: ["n", (n) => ({every: n})], rate: ["share", (n) => ({rate: n})],
}
const field = (name, input) => el("label", {className: "field"}, el("span", {}, name), input)
const named = (name, otherwise) => (t(name) === name ? otherwise : t(name))

/** The field of one parameter, and its value; undefined leaves it to the sandbox. */
function parameter({name, asks, default: usual}) {
  if (asks === "flag") {
    const input = el("input", {type: "checkbox", checked: Boolean(usual)})
    return {name, value: () => input.checked, box: el("label", {className: "row"}, input, el("span", {}, named(name, name)))}
  }
  const limits = asks === "status" ? {min: "200", max: "599", step: "1"} : {min: "0", max: "3600", step: "any"}
  const input = el("input", {type: "number", ...limits, required: asks !== "maybe", value: usual === null ? "" : String(usual)})
  return {name, value: () => (input.value === "" ? undefined : Number(input.value)), box: field(named(name, name), input)}
}

/** The form for every fault of the catalogue. */
function form() {
  let asked = []
  const fault = el("select", {name: "fault"}), operation = el("select", {name: "operation"})
  const about = el("p", {className: "quiet", id: "about-fault"}), parameters = el("div", {className: "fields"})
  const often = el("select", {name: "often"}, ...Object.keys(OFTEN).map((name) => el("option", {value: name}, t(name))))
  const n = el("input", {type: "number", required: true}), nName = el("span"), nField = el("label", {className: "field"}, nName, n)
  const maker = () => state.get("catalogue").find(({name}) => name === fault.value)
  const count = () => {
    const [label] = OFTEN[often.value]
    nField.hidden = !label
    n.disabled = !label
    nName.textContent = label ? t(label) : ""
    Object.assign(n, label === "share" ? {min: "0", max: "1", step: "any", value: "0.2"} : {min: "1", max: "", step: "1", value: "3"})
  }
  const choose = () => {
    const {kind, about: told, operation: usual, parameters: wanted} = maker()
    about.replaceChildren(said(named(`about_${kind}`, told)))
    operation.disabled = usual === null
    operation.value = usual ?? POLL
    asked = wanted.map(parameter)
    parameters.replaceChildren(...asked.map(({box}) => box))
    parameters.hidden = !asked.length
  }
  fault.addEventListener("change", choose)
  often.addEventListener("change", count)
  on("catalogue", () => {
    if (fault.options.length) return
    fault.append(...state.get("catalogue").map(({name, kind}) => el("option", {value: name}, named(`kind_${kind}`, name))))
    operation.append(...["*", ...state.get("operations")].map((name) => el("option", {value: name}, name === "*" ? t("every") : name)))
    choose()
    count()
  })
  const put = (event) => {
    event.preventDefault()
    const given = Object.fromEntries(asked.map(({name, value}) => [name, value()]))
    act("fault", {fault: fault.value, ...(operation.disabled ? {} : {operation: operation.value}), parameters: given,
      when: OFTEN[often.value][1](Number(n.value))})
  }
  return el("form", {className: "stack", id: "any-fault", on: {submit: put}},
    el("div", {className: "fields"}, field(t("fault"), fault), field(t("operation"), operation)), about, parameters,
    el("div", {className: "fields"}, field(t("often"), often), nField),
    el("div", {className: "row"}, el("button", {className: "main"}, t("put"))))
}

/** What a fault in force does, in words. */
function told({kind, operation, after, status, seconds, retryAfter, page, rate, times, every, skip}) {
  const what = [named(`kind_${kind}`, kind)]
  if (kind === "status") what[0] = `${t("status")} ${status}`
  if (seconds) what[0] += ` ${seconds} s`
  if (retryAfter !== null) what.push(t("retryTold", {n: retryAfter}))
  if (kind === "status" && page) what.push(t("pageTold"))
  if (after && ["status", "html", "drop", "reset", "hang", "latency"].includes(kind)) what.push(t("afterTold"))
  what.push(operation === "*" ? t("every") : operation)
  if (rate < 1) what.push(t("of_share", {n: Math.round(rate * 1000) / 10}))
  if (every > 1) what.push(t("each_nth", {n: every}))
  if (skip) what.push(t("skips", {n: skip}))
  what.push(times === 1 ? t("once") : times ? t("at_most", {n: times}) : rate < 1 || every > 1 ? null : t("always"))
  return what.filter(Boolean).join(" · ")
}

function rules() {
  const list = el("ul", {className: "rules", "aria-label": t("inForce")}), empty = el("p", {className: "quiet"}, t("noFaults"))
  const clear = el("button", {type: "button", className: "bad", on: {click: () => act("clear-faults", {})}}, t("removeAll"))
  const name = el("h3", {tabIndex: -1}, t("inForce"))
  on("rules", () => {
    const held = document.activeElement.closest(".rule")?.dataset.number, all = document.activeElement === clear
    list.replaceChildren(...state.get("rules").map((rule) => {
      const words = told(rule)
      return el("li", {className: `rule ${rule.spent ? "spent" : ""}`, data: {number: String(rule.number)}},
        el("span", {className: "words"}, words),
        el("span", {className: `chip ${rule.struck ? "warn" : ""}`}, t("struck", {n: rule.struck})),
        rule.spent ? el("span", {className: "chip"}, t("spent")) : null,
        el("button", {type: "button", "aria-label": `${t("remove")}: ${words}`,
          on: {click: () => act("remove-fault", {number: rule.number})}}, t("remove")))
    }))
    empty.hidden = state.get("rules").length > 0
    list.hidden = clear.hidden = !empty.hidden
    // Whoever came here by keyboard stays here.
    if (held) (list.querySelector(`[data-number="${held}"] button`) ?? name).focus()
    if (all && clear.hidden) name.focus()
  })
  return el("div", {className: "stack"}, el("div", {className: "row between"}, name, clear), empty, list,
    el("p", {className: "quiet"}, t("firstWins")))
}

export function faults() {
  const frequent = Object.entries(FREQUENT).map(([name, body]) =>
    el("button", {type: "button", on: {click: () => act("fault", body)}}, t(name)))
  return el("div", {className: "stack"},
    el("h3", {}, t("frequent")), el("div", {className: "row"}, ...frequent),
    el("details", {}, el("summary", {}, t("anyFault")), form()), rules())
}

/** A row per operation: its requests so far, and the status that it answers with. */
export function statuses() {
  const body = el("tbody"), rows = new Map()
  const row = (name) => {
    const send = () => act("status", {operation: name, status: status.value ? Number(status.value) : null, once: often.value === "once"})
    const status = el("select", {"aria-label": t("answersOf", {operation: name}), on: {change: async () => { if (!await send()) draw() }}},
      el("option", {value: ""}, t("usual")), ...STATUSES.map((code) => el("option", {value: String(code)}, String(code))))
    const often = el("select", {"aria-label": t("oftenOf", {operation: name}), on: {change: () => status.value && send()}},
      el("option", {value: "once"}, t("once")), el("option", {value: "until"}, t("untilChanged")))
    const asked = el("td", {className: "number"})
    const tr = el("tr", {}, el("th", {scope: "row"}, el("code", {}, name)), asked, el("td", {}, el("div", {className: "row"}, status, often)))
    const draw = () => {
      const now = state.get(`operation:${name}`), code = now.status === null ? "" : String(now.status)
      if (![...status.options].some(({value}) => value === code)) status.append(el("option", {value: code}, code))
      asked.textContent = now.requests
      status.value = code
      if (code) often.value = now.once ? "once" : "until"
      tr.classList.toggle("changed", Boolean(code))
    }
    return {tr, draw}
  }
  on("operations", () => {
    for (const name of state.get("operations")) if (!rows.has(name)) rows.set(name, row(name))
    body.replaceChildren(...[...rows.values()].map(({tr}) => tr))
  })
  on("operation", (changed) => changed.forEach((key) => { if (state.has(key)) rows.get(state.get(key).name).draw() }))
  return el("table", {className: "statuses"}, el("thead", {}, el("tr", {},
    ...["operation", "asked", "answers"].map((name) => el("th", {scope: "col"}, t(name))))), body)
}
