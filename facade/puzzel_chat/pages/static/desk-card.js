// A chat on the desk: its lines, the box to write in, and what an agent does with it.

import {clock, complain, el, line, log, post, said, sendOnEnter, t, typing} from "./base.js"
import {came, nameOf, put, short} from "./desk-parts.js"

const LONGEST = 300
const LARGEST_FILE = 20 * 2 ** 20
let cards = 0

/** The card of a chat. `desk` has `name()`, `myId()`, `queues()`, `queue(key)`, `looksAt(id)` and `seen()`. */
export class Card {
  constructor(id, desk) {
    this.id = id
    this.desk = desk
    this.unread = 0
    this.over = null
    this.lines = new Map() // by key, in order, as many as the log has
    this.sending = Promise.resolve()
    this.build(`chat-${++cards}`)
  }

  build(place) {
    this.number = el("span", {className: "number", "aria-hidden": "true"})
    this.title = el("h3", {id: place})
    this.queue = el("span", {className: "chip"})
    this.fresh = el("span", {className: "chip warn fresh", hidden: true})
    this.subject = el("p", {className: "quiet subject"})
    this.details = el("details", {className: "came"}, el("summary", {}, t("came")))
    this.typist = el("bdi")
    this.typing = el("p", {className: "quiet typing"})
    this.ending = el("p", {className: "over", tabIndex: -1, hidden: true})
    this.closing = el("button", {type: "button", hidden: true, on: {click: () => this.act("close", {})}}, t("close"))
    this.element = el("article", {className: "card chat stack", "aria-labelledby": place, on: {
      focusin: () => this.look(), pointerdown: () => this.look(), keydown: (key) => this.escape(key),
    }},
    el("header", {className: "row"}, this.number, this.title, this.queue, this.fresh),
    this.subject, this.details)
    this.panel = el("div", {className: "panel", id: `${place}-panel`, hidden: true})
    this.log = log("", LONGEST)
    this.element.append(this.log.list, this.typing, this.ending, this.composer(), this.tools(place), this.panel, this.closing)
  }

  composer() {
    this.box = el("textarea", {rows: 2})
    this.sendButton = el("button", {className: "main"}, t("send"))
    this.writing = el("form", {className: "composer", on: {submit: (event) => this.say(event)}}, this.box, this.sendButton)
    sendOnEnter(this.box)
    this.typed = typing(this.box, (on) => { if (!this.over) this.act("typing", {typing: on}, {failed: () => {}}) })
    return this.writing
  }

  tools(place) {
    this.file = el("input", {type: "file", on: {change: () => this.sendFile()}})
    const opens = (name, make, className = "") => el("button", {
      type: "button", className, "aria-expanded": "false", "aria-controls": `${place}-panel`,
      on: {click: ({currentTarget}) => this.toggle(currentTarget, make)},
    }, t(name))
    this.row = el("div", {className: "row tools"},
      el("label", {className: "button"}, t("addFile"), this.file),
      opens("ask", () => this.asking()),
      opens("transfer", () => this.transferring()),
      opens("leave", () => this.sure("leave")),
      opens("end", () => this.sure("end"), "bad"))
    return this.row
  }

  /** Show what came with the chat. */
  order(order) {
    const told = JSON.stringify(order)
    if (told === this.told) return // a stream that began again
    this.told = told
    const name = nameOf(order)
    this.name = short(name)
    this.title.replaceChildren(said(this.name))
    this.subject.replaceChildren(order.subject ? said(short(order.subject, 300)) : "")
    this.subject.hidden = !order.subject
    this.details.replaceChildren(this.details.firstElementChild, ...came(order).filter(Boolean))
    this.typing.replaceChildren(said(this.name), ` ${t("typing")}`)
    this.log.list.setAttribute("aria-label", t("chatWith", {name: this.name}))
    this.box.setAttribute("aria-label", t("messageTo", {name: this.name}))
  }

  /** Show how the chat stands. */
  update({queue, typing: isTyping, over}) {
    put(this.queue, this.desk.queue(queue))
    this.typing.classList.toggle("on", isTyping)
    const changed = Boolean(over) !== Boolean(this.over)
    this.over = over
    if (over) this.ending.replaceChildren(t(`over_${over.how}`, {queue: this.desk.queue(queue)}), " ", el("span", {className: "quiet"}, clock(over.at)))
    if (changed) this.changeSides(Boolean(over))
  }

  /** A chat has gone, or come back. What is typed stays where it can be copied. */
  changeSides(isOver) {
    const focused = this.element.contains(document.activeElement)
    this.typed.sent()
    this.fold()
    this.element.classList.toggle("gone", isOver)
    this.box.readOnly = isOver
    this.writing.hidden = isOver && !this.box.value
    this.sendButton.hidden = this.row.hidden = isOver
    this.ending.hidden = this.closing.hidden = !isOver
    // What had the focus may be hidden or gone; the next key must not press a button.
    const lost = document.activeElement === document.body || document.activeElement.closest("[hidden]")
    if (focused && lost) (isOver ? this.ending : this.box).focus()
  }

  /** Add what was said; what is known already is left alone. */
  put(entries) {
    const fresh = []
    for (const entry of entries) {
      const known = this.lines.get(entry.key)
      if (known ? known.entry.version >= entry.version : entry.version > 1 && this.lines.size) continue
      if (known) this.change(known, entry)
      else {
        const kept = {entry, element: this.line(entry)}
        this.lines.set(entry.key, kept)
        fresh.push(kept)
        this.count(entry)
      }
    }
    if (fresh.length) this.log.put(...fresh.map(({element}) => element))
    for (const key of this.lines.keys()) {
      if (this.lines.size <= LONGEST) break
      this.lines.delete(key)
    }
    if (this.unread && this.desk.looksAt(this)) this.unread = 0
    this.mark()
  }

  count({type, role}) {
    if (type === "Event") return
    if (role === "customer") this.unread += 1
    else if (role === "agent") this.unread = 0
  }

  /** An edit; where the agent edits the line, it is shown when that is over. */
  change(kept, entry) {
    kept.entry = entry
    if (!kept.editing) this.redraw(kept)
  }

  redraw(kept) {
    const element = this.line(kept.entry)
    kept.element.replaceWith(element)
    kept.element = element
  }

  line(entry) {
    const {key, role, by, type, version, at, file} = entry
    const mine = role === "agent" && by === this.desk.myId()
    const side = type === "Event" || role === "system" ? "middle" : role === "customer" ? "theirs" : "mine"
    const options = Array.isArray(entry.options)
      ? entry.options.map((one) => ({id: String(one?.id ?? ""), label: String(one?.label ?? one?.id ?? "")})) : []
    const known = entry.text || file || options.length || type === "Event"
    return line({
      id: key, side, at, edited: version > 1, options,
      name: type === "Event" ? "" : mine ? t("you") : short(role === "system" ? t(role) : entry.author ?? t(role)),
      text: type === "Event" ? happened(entry.event) : known ? entry.text : t("unknown"),
      file: file && {size: Number.isFinite(file.size) ? file.size : null, name: short(file.name ?? t("file"), 200), href: `${this.path}/file/${encodeURIComponent(entry.id)}`},
    }, mine && type === "Text" ? {edit: () => this.editButton(key)} : {})
  }

  editButton(key) {
    return el("button", {type: "button", className: "edit", on: {click: () => this.edit(key)}}, t("edit"))
  }

  /** Let the agent change a line in its place. */
  edit(key) {
    const kept = this.lines.get(key)
    const box = el("textarea", {rows: 2, "aria-label": t("editLabel")})
    const stop = () => {
      kept.editing = false
      this.redraw(kept)
      kept.element.querySelector("button.edit")?.focus()
    }
    const save = async (event) => {
      event.preventDefault()
      const text = box.value.trim()
      if (!text || text === kept.entry.text || await this.act("edit", {message: kept.entry.id, text})) stop()
    }
    const form = el("form", {className: "stack", on: {
      submit: save, keydown: (pressed) => { if (pressed.key === "Escape") { pressed.stopPropagation(); stop() } },
    }}, box, el("div", {className: "row"},
      el("button", {className: "main"}, t("save")), el("button", {type: "button", on: {click: stop}}, t("cancel"))))
    kept.editing = true
    box.value = kept.entry.text
    sendOnEnter(box)
    kept.element.classList.add("editing")
    kept.element.replaceChildren(form)
    box.focus()
  }

  get path() { return `/desk/chats/${encodeURIComponent(this.id)}` }

  act(act, body, how) { return post(`${this.path}/${act}`, {agent: this.desk.name(), ...body}, how) }

  say(event) {
    event.preventDefault()
    const text = this.box.value
    if (!text.trim() || this.over) return
    this.box.value = ""
    this.typed.sent()
    // One after the other, so that they arrive in this order.
    this.sending = this.sending.then(async () => {
      if (!await this.act("say", {text}) && !this.box.value) this.box.value = text
    })
  }

  async sendFile() {
    const [file] = this.file.files
    if (!file) return
    if (file.size > LARGEST_FILE) complain(t("tooLarge"))
    else {
      const status = el("p", {className: "quiet", role: "status"}, t("sending", {name: short(file.name)}))
      this.row.after(status)
      const query = new URLSearchParams({agent: this.desk.name(), name: file.name})
      await post(`${this.path}/file?${query}`, file, {raw: true})
      status.remove()
    }
    this.file.value = ""
  }

  /** Open what a button is for below it, or close it. */
  toggle(button, make) {
    const again = this.opener === button
    this.fold()
    if (again) return
    this.opener = button
    button.setAttribute("aria-expanded", "true")
    this.panel.replaceChildren(make())
    this.panel.hidden = false
    this.element.classList.add("open")
    this.panel.querySelector("input, select, textarea, button").focus()
  }

  fold() {
    this.opener?.setAttribute("aria-expanded", "false")
    this.opener = null
    this.panel.hidden = true
    this.element.classList.remove("open")
    this.panel.replaceChildren()
  }

  escape(key) {
    if (key.key !== "Escape" || !this.opener) return
    const {opener} = this
    this.fold()
    opener.focus()
  }

  /** A form of the panel, which is closed when its act is done. */
  form(act, label, className, ...fields) {
    const done = async (event) => {
      event.preventDefault()
      const [name, body] = act()
      if (name && await this.act(name, body)) {
        this.fold()
        if (!this.over) this.box.focus()
      }
    }
    const cancel = () => { const {opener} = this; this.fold(); opener.focus() }
    return el("form", {className: "stack", on: {submit: done}}, ...fields, el("div", {className: "row"},
      el("button", {className}, label), el("button", {type: "button", on: {click: cancel}}, t("cancel"))))
  }

  asking() {
    const question = el("input", {required: true, autocomplete: "off"}), choices = el("textarea", {rows: 2, required: true})
    const act = () => {
      const lines = choices.value.split("\n").map((one) => one.trim()).filter(Boolean)
      return question.value.trim() && lines.length ? ["ask", {text: question.value.trim(), choices: lines}] : []
    }
    return this.form(act, t("askSend"), "main",
      el("label", {className: "field"}, t("question"), question), el("label", {className: "field"}, t("choiceLines"), choices))
  }

  transferring() {
    const here = this.desk.card(this.id).queue
    const choice = el("select", {}, ...this.desk.queues().map(({key, name}) =>
      el("option", {value: key}, key === here ? t("sameQueue", {name}) : name)))
    const act = () => choice.value === here ? ["leave", {}] : ["transfer", {queue: choice.value}]
    return this.form(act, t("transfer"), "main", el("label", {className: "field"}, t("toQueue"), choice))
  }

  sure(name) { return this.form(() => [name, {}], t(`${name}Yes`), "bad", el("p", {}, t(`${name}Sure`))) }

  /** The agent looks at the chat. */
  look() {
    if (this.unread) {
      this.unread = 0
      this.mark()
    }
    this.desk.seen(this)
  }

  mark() {
    this.fresh.hidden = !this.unread
    put(this.fresh, this.unread ? t("fresh", {count: this.unread}) : "")
    this.element.classList.toggle("unread", this.unread > 0)
    this.desk.marked(this)
  }

  /** Put the agent to work here. */
  focus() {
    this.element.scrollIntoView({block: "nearest", inline: "nearest"})
    this.log.list.scrollTop = this.log.list.scrollHeight
    ;(this.over ? this.ending : this.box).focus()
  }

  /** The card is closed: no timer may speak for it. */
  drop() { this.typed.sent() }
}

/** An event of the service, in words. */
function happened({event, agent, endedBy, reason}) {
  if (!["AgentJoined", "AgentLeft", "ConversationEnded"].includes(event)) return short(event ?? t("unknown"))
  const who = short(agent?.displayName ?? t("agent"))
  const by = endedBy === 0 ? "role_customer" : endedBy === 1 ? "role_agent" : "role_system"
  return t(event === "AgentLeft" && reason === "transfer" ? "AgentLeft_transfer" : event, {who, by: t(by)})
}
