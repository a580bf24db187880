// What the three pages share: words in two languages, elements without markup, requests, streams, and a line of a chat.

const WORDS = {
  en: {
    customer: "Customer", desk: "Agent's desk", control: "Control room", language: "Language",
    notice: "Bundled simulator of puzzel-chat, not Puzzel", lost: "No connection to the sandbox. Trying again …",
    you: "You", agent: "Agent", system: "Contact centre", bot: "Bot", edited: "edited", choices: "Choices",
    file: "File", bytes: "bytes", unknown: "A message that this page cannot show", failed: "That did not work: ",
    skip: "Skip to the content",
  },
  nb: {
    customer: "Kunde", desk: "Agentens pult", control: "Kontrollrom", language: "Språk",
    notice: "Medfølgende simulator i puzzel-chat, ikke Puzzel", lost: "Ingen kontakt med sandkassen. Prøver igjen …",
    you: "Du", agent: "Agent", system: "Kontaktsenteret", bot: "Bot", edited: "redigert", choices: "Valg",
    file: "Fil", bytes: "byte", unknown: "En melding som denne siden ikke kan vise", failed: "Det gikk ikke: ",
    skip: "Hopp til innholdet",
  },
}

const asked = localStorage.getItem("language") ?? (/^(nb|nn|no)\b/.test(navigator.language) ? "nb" : "en")
export const language = asked in WORDS ? asked : "en"
document.documentElement.lang = language
/** How times are written: with 24 hours. */
export const locale = {en: "en-GB", nb: "nb-NO"}[language]

/** Add a page's own words: {en: {name: text}, nb: {name: text}}. */
export const words = (more) => Object.entries(more).forEach(([key, texts]) => Object.assign(WORDS[key], texts))

/** A text in the chosen language; {name} in it is replaced. Without a text, the name itself. */
export const t = (name, values = {}) =>
  (WORDS[language][name] ?? WORDS.en[name] ?? name).replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "")

/** An element. Text is always text: strings become text nodes. `on` has handlers by event, `data` data attributes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  const {on = {}, data = {}, ...rest} = properties
  for (const [name, value] of Object.entries(rest)) {
    if (name in element && name !== "list" && typeof value !== "string") element[name] = value
    else if (value !== undefined && value !== null) element.setAttribute(name === "className" ? "class" : name, value)
  }
  Object.entries(on).forEach(([event, handler]) => element.addEventListener(event, handler))
  Object.assign(element.dataset, data)
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

/** Text that somebody wrote: kept apart, so that its direction and its control characters change nothing beside it. */
export const said = (text, tag = "bdi") => el(tag, {dir: "auto", className: "said"}, visible(text))

/** Control characters as their pictures; line breaks and tabs stay. Overrides of direction end with the text. */
export const visible = (text) =>
  String(text ?? "").replace(/[\u0000-\u0008\u000b-\u001f]/g, (one) => String.fromCharCode(0x2400 + one.charCodeAt(0)))
    .replace(/[\u007f-\u009f]/g, "\u2421")

/** Post JSON, or bytes with `raw`; what went wrong is shown to the user, or given to `failed`, and null returned. */
export async function post(path, body, {raw = false, method = "POST", failed = complain} = {}) {
  try {
    const type = raw ? body.type || "application/octet-stream" : "application/json"
    const answer = await fetch(path, {method, headers: {"Content-Type": type}, body: raw ? body : JSON.stringify(body)})
    const told = (answer.headers.get("content-type") ?? "").includes("json") ? await answer.json() : {}
    if (answer.ok) return told
    failed(told.error ?? `${answer.status} ${answer.statusText}`)
  } catch (error) {
    failed(error)
  }
  return null
}

let silence
/** Show what went wrong, a text or an error, for ten seconds; a screen reader says it. */
export function complain(trouble) {
  const place = document.querySelector("#trouble")
  place.replaceChildren(el("span", {}, t("failed")), said(trouble.message ?? trouble))
  place.hidden = false
  clearTimeout(silence)
  silence = setTimeout(() => { place.hidden = true }, 10000)
}

/** Follow a stream of JSON; the browser comes back by itself when it breaks. Returns it, to close it. */
export function follow(path, receive) {
  const stream = new EventSource(path), lost = document.querySelector("#lost")
  stream.onopen = () => { lost.hidden = true }
  stream.onerror = () => { lost.hidden = false }
  stream.onmessage = ({data, lastEventId}) => receive(JSON.parse(data), lastEventId)
  return stream
}

/**
 * The same over a WebSocket, of which a browser opens one for every tab; it is opened again when it breaks. What comes
 * first over each is the whole picture, and then `fresh` is true.
 */
export function listen(path, receive) {
  const lost = document.querySelector("#lost")
  let socket, closed = false, pause = 250
  const open = () => {
    socket = new WebSocket(`ws://${location.host}${path}`)
    let fresh = true
    socket.onmessage = ({data}) => {
      receive(JSON.parse(data), fresh)
      fresh = false
    }
    socket.onopen = () => { lost.hidden = true; pause = 250 }
    socket.onclose = () => {
      if (closed) return
      lost.hidden = false
      setTimeout(open, pause)
      pause = Math.min(2 * pause, 4000)
    }
  }
  open()
  return {close() { closed = true; socket.close() }}
}

/**
 * The frame of a page: the language and places for trouble; in the simulator also links to the other two, and the notice.
 */
export function frame(current, {simulator = true} = {}) {
  document.title = `${t(current)} · puzzel-chat`
  const link = (name, path) =>
    el("a", {href: path, ...(name === current ? {"aria-current": "page"} : {})}, t(name))
  const choice = el("select", {id: "language", on: {change: ({target}) => {
    localStorage.setItem("language", target.value)
    location.reload()
  }}}, ...[["en", "English"], ["nb", "Norsk"]].map(([key, name]) =>
    el("option", {value: key, selected: key === language, lang: key}, name)))
  document.body.prepend(
    el("a", {className: "skip", href: "#main"}, t("skip")),
    el("header", {className: "top"},
      simulator && el("nav", {"aria-label": "puzzel-chat"},
        link("customer", "/"), link("desk", "/desk"), link("control", "/control")),
      el("span", {className: "notice"}, simulator && t("notice")),
      el("label", {className: "language"}, el("span", {className: "quiet"}, t("language")), choice)),
    el("p", {id: "lost", role: "status", hidden: true, className: "banner"}, t("lost")),
    el("p", {id: "trouble", role: "alert", hidden: true, className: "banner bad"}))
}

/** Make a list have these keys, in this order: what is known stays, what is gone is removed. */
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
}

/** A time of day. */
export const clock = (iso) => new Date(iso).toLocaleTimeString(locale, {hour: "2-digit", minute: "2-digit", second: "2-digit"})

/** Seconds as 0:07 or 12:30. */
export const lasting = (seconds) =>
  `${Math.floor(Math.max(0, seconds) / 60)}:${String(Math.floor(Math.max(0, seconds) % 60)).padStart(2, "0")}`

/**
 * A line of a chat: {id, side: "mine" | "theirs" | "middle", name, text, at, edited, options: [{id, label}], file:
 * {name, size, href}}. `choose(option)` makes buttons of the choices; `edit()` makes a button of the line's own.
 */
export function line({id, side, name, text, at, edited, options, file}, {choose, edit} = {}) {
  const meta = el("span", {className: "meta"}, said(name ?? ""), at ? ` ${clock(at)}` : "", edited ? ` · ${t("edited")}` : "")
  // A long text scrolls, and a keyboard must reach it.
  const parts = [text ? Object.assign(said(text, "p"), text.length > 300 || text.split("\n").length > 8 ? {tabIndex: 0} : {}) : null]
  if (file) {
    const size = file.size === null || file.size === undefined ? "" : ` (${file.size} ${t("bytes")})`
    parts.push(el("p", {}, `${t("file")}: `, el("a", {href: file.href, download: ""}, said(file.name ?? t("file"))), size))
  }
  if (options?.length) {
    const one = (option) => choose
      ? el("button", {type: "button", on: {click: () => choose(option)}}, said(option.label ?? option.id))
      : el("span", {className: "chip"}, said(option.label ?? option.id))
    parts.push(el("div", {className: "row", role: "group", "aria-label": t("choices")}, ...options.map(one)))
  }
  return el("div", {className: `line ${side}`, data: {id: id ?? ""}}, meta, ...parts, edit ? edit() : null)
}

/** A log that stays at its end while the reader is there, and keeps `longest` lines. */
export function log(label, longest = 500) {
  const list = el("div", {className: "log", role: "log", "aria-label": label, tabIndex: 0})
  let atEnd = true
  list.addEventListener("scroll", () => { atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80 })
  new ResizeObserver(() => { if (atEnd) list.scrollTop = list.scrollHeight }).observe(list)
  return {
    list,
    put(...items) {
      for (const item of items) {
        const known = item.dataset.id && [...list.children].findLast((one) => one.dataset.id === item.dataset.id)
        if (known) known.replaceWith(item)
        else list.append(item)
      }
      while (list.children.length > longest) list.firstElementChild.remove()
      if (atEnd) list.scrollTop = list.scrollHeight
    },
  }
}

/** Tells the other side that somebody types: at once, again every four seconds, and when it is over. */
export function typing(box, tell) {
  let told = 0, over
  const stop = () => { if (told) tell(false); told = 0; clearTimeout(over) }
  box.addEventListener("input", () => {
    if (!box.value.trim()) return stop()
    if (Date.now() - told > 4000) { told = Date.now(); tell(true) }
    clearTimeout(over)
    over = setTimeout(stop, 5000)
  })
  return {sent() { told = 0; clearTimeout(over) }}
}

/** Enter sends, Shift+Enter makes a new line. */
export const sendOnEnter = (box) => box.addEventListener("keydown", (key) => {
  if (key.key === "Enter" && !key.shiftKey && !key.isComposing) {
    key.preventDefault()
    box.form.requestSubmit()
  }
})
