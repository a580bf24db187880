// Small parts of the desk: what came with a chat, lists that touch only what changed, and names that stay short.

import {el, said, t} from "./base.js"

/** The beginning of a text, for places where it must not be long. */
export function short(text, longest = 60) {
  const whole = String(text)
  return whole.length <= longest ? whole : `${whole.slice(0, longest).replace(/[\ud800-\udbff]$/, "")}…`
}

/** What a customer is called. */
export const nameOf = (order) => order?.customer?.name?.trim() || t("someone")

/** Change a text only where it is another one. */
export const put = (element, text) => { if (element.textContent !== text) element.textContent = text }

/** Make a list have these keys, in this order: what is known stays, what is gone is removed. Returns what is gone. */
export function keyed(place, keys, parts, make) {
  const wanted = new Set(keys), gone = [...parts.keys()].filter((key) => !wanted.has(key))
  for (const key of gone) {
    parts.get(key).element.remove()
    parts.delete(key)
  }
  keys.forEach((key, number) => {
    if (!parts.has(key)) parts.set(key, make(key))
    const {element} = parts.get(key)
    if (place.children[number] !== element) place.insertBefore(element, place.children[number] ?? null)
  })
  return gone
}

/** A text that scrolls where it is long; then a keyboard reaches it, too. */
const long = (text, tag) => Object.assign(said(text, tag), String(text).length > 200 ? {tabIndex: 0} : {})

/** What came with a chat: the customer, the subject, the variables, and what was said before. */
export function came({customer, subject, variables, history}) {
  const row = (name, value) => [el("dt", {}, name), el("dd", {}, value)]
  const facts = [
    ...["name", "id", "email", "phone"].filter((key) => customer[key]).map((key) => row(t(key), long(customer[key], "div"))),
    ...(subject ? [row(t("subject"), long(subject, "div"))] : []),
    ...variables.map(({name, value}) =>
      row(said(short(name, 100)), value === null ? el("span", {className: "chip warn"}, t("secret")) : long(value, "div"))),
  ]
  return [
    facts.length ? el("dl", {className: "facts"}, ...facts) : null,
    history ? el("details", {className: "history"}, el("summary", {}, t("history")), long(history, "div")) : null,
    facts.length || history ? null : el("p", {className: "quiet"}, t("nothing")),
  ]
}
