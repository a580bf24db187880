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
