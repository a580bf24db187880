// The agent's desk: who waits, the offer, and the chats side by side.

import {el, frame, keyed, lasting, listen, post, said, t} from "./base.js"
import "./desk-words.js"
import {Card} from "./desk-card.js"
import {came, nameOf, put, short} from "./desk-parts.js"

const NAMES = ["Kari", "Nils", "Ingrid", "Olav", "Solveig", "Per", "Astrid", "Ada"]
const NARROW = matchMedia("(max-width: 760px)")
const main = document.querySelector("#main")
const asked = [...(new URLSearchParams(location.search).get("agent") ?? "").trim()].slice(0, 40).join("")

frame("desk")
if (asked) work(asked)
else signIn()

/** Ask who the agent is; the name goes into the address, so that each tab can be another agent. */
async function signIn(note) {
  const as = (name) => { location.search = new URLSearchParams({agent: name}) }
  const name = el("input", {required: true, maxLength: 40, autocomplete: "off", id: "name"})
  const busy = el("p", {className: "quiet"}), free = el("div", {className: "row"})
  const submit = (event) => {
    event.preventDefault()
    if (name.value.trim()) as(name.value.trim())
  }
  main.className = ""
  main.replaceChildren(el("form", {className: "card stack sign-in", on: {submit}},
    el("h1", {}, t("desk")), note ? el("p", {role: "status"}, note) : null,
    el("label", {className: "field"}, t("who"), name), el("button", {className: "main"}, t("begin")), free, busy))
  const agents = (await (await fetch("/desk/agents")).json()).agents
  const left = NAMES.filter((one) => !agents.includes(one)).slice(0, 4)
  if (!name.value) name.value = left[0] ?? ""
  if (left.length) {
    free.append(el("span", {className: "quiet"}, `${t("suggested")}:`),
      ...left.map((one) => el("button", {type: "button", on: {click: () => as(one)}}, one)))
  }
  if (agents.length) busy.append(`${t("atWork")}: `, said(short(agents.join(", "), 300)), `. ${t("sameDesk")}`)
}

function work(name) {
  const state = new Map(), rows = new Map(), cards = new Map(), tabs = new Map()
  let view = "waiting", expected = null, announced = null, answered = null

  const me = () => state.get("me")
  const queueName = (key) => state.get("queues")?.find((one) => one.key === key)?.name ?? key
  const order = (id) => state.get(`order:${id}`)
  // Which offer it is: a chat may be offered again. One that was answered is gone before the answer's news comes.
  const offerKey = () => me()?.offer && `${me().offer} ${state.get(`wait:${me().offer}`)?.offers}`
  const offered = () => offerKey() !== answered ? me()?.offer : null
  const desk = {
    name: () => me().name,
    myId: () => me().id,
    queues: () => state.get("queues"),
    queue: queueName,
    card: (id) => state.get(`card:${id}`),
    seen: (card) => show(card.id),
    marked: (card) => { tabs.get(card.id)?.update(); title() },
    looksAt: (card) => document.hasFocus() &&
      (NARROW.matches ? view === card.id : card.element.contains(document.activeElement)),
  }
  const page = build()
  main.className = "desk"
  main.replaceChildren(...page.parts)
  const stream = listen(`/desk/stream?${new URLSearchParams({agent: name})}`, receive)
  const ticking = setInterval(tick, 1000)
  document.addEventListener("keydown", keys)
  window.addEventListener("focus", () => cards.get(view)?.element.contains(document.activeElement) && cards.get(view).look())
  show("waiting")

  /** Take news of the stream. */
  function receive({set = {}, gone = [], entries = {}}, fresh) {
    if (fresh) state.clear()
    for (const [key, value] of Object.entries(set)) state.set(key, value)
    for (const key of gone) state.delete(key)
    if (!me()) return away()
    const touched = (key) => key in set || gone.includes(key)
    const ids = (kind) => Object.keys(set).filter((key) => key.startsWith(kind)).map((key) => key.slice(kind.length))
    if (touched("me") || touched("agents")) drawMe()
    if (touched("scripted")) page.scripted(state.get("scripted"))
    if (touched("queues")) drawQueues()
    if (touched("waiting")) drawWaiting()
    for (const id of new Set([...ids("wait:"), ...ids("order:")])) rows.get(id)?.update()
    if (["me", `order:${me().offer}`, `wait:${me().offer}`].some(touched)) drawOffer()
    if (touched("cards")) drawCards()
    for (const id of ids("order:")) cards.get(id)?.order(order(id))
    for (const id of ids("card:")) cards.get(id)?.update(desk.card(id))
    if (ids("card:").length || touched("cards")) drawOver()
    for (const [id, list] of Object.entries(entries)) cards.get(id)?.put(list)
    for (const id of ids("card:")) tabs.get(id)?.update()
    if (expected && cards.has(expected)) arrive(expected)
    title()
  }

  function build() {
    const post_ = (path, body) => post(`/desk/${path}`, {agent: me()?.name ?? name, ...body})
    const toggle = (word, send) => {
      const box = el("input", {type: "checkbox", role: "switch", on: {change: async () => {
        if (!await send(box.checked)) box.checked = !box.checked
      }}})
      let known // a switch that was just turned is not turned back by what is not new
      const tell = (on) => { if (on !== known) known = box.checked = on }
      return [tell, el("label", {className: "row switch"}, box, t(word))]
    }
    const [ready, readyLabel] = toggle("ready", (on) => post_("ready", {ready: on}))
    const [scripted, scriptedLabel] = toggle("scripted", (on) => post_("scripted", {on}))
    const signOut = async () => { stream.close(); await post_("leave", {}); location.assign("/desk") }
    const part = (word, ...children) => {
      const heading = el("h2", {id: `head-${word}`, tabIndex: -1}, t(word))
      return [heading, el("section", {className: `card stack ${word}`, "aria-labelledby": heading.id}, heading, ...children)]
    }
    const list = (tag = "ul", className = "plain") => el(tag, {className})
    const waiting = list(), queues = list(), agents = list(), grid = el("div", {className: "grid"}), strip = list("ul", "plain row strip")
    const none = el("p", {className: "quiet"}, t("nobodyWaits")), noChats = el("p", {className: "quiet"}, t("noChats"))
    const offered = el("div", {className: "stack offered"})
    const answer = (act, className) => el("button", {type: "button", className, on: {click: ({detail}) => {
      if (detail < 2) reply(act) // the second of a double click would answer the next offer
    }}}, t(act))
    const [waitingHead, waitingPart] = part("waiting", none, waiting)
    const [, offer] = part("offer", offered, el("div", {className: "row"}, answer("accept", "main"), answer("decline", "")))
    const [, queuesPart] = part("queues", queues)
    const [, agentsPart] = part("agents", agents)
    const head = el("h1", {}, t("desk"))
    const closeAll = el("button", {type: "button", hidden: true, on: {click: () => overCards().forEach((one) => one.act("close", {}))}})
    const alert = el("p", {className: "unseen", role: "alert"})
    offer.hidden = true
    return {
      waiting, waitingHead, none, queues, agents, grid, strip, noChats, offer, offered, head, ready, scripted, alert, closeAll,
      parts: [
        el("div", {className: "row bar"}, head, readyLabel, scriptedLabel, el("button", {type: "button", on: {click: signOut}}, t("leaveDesk"))),
        el("div", {className: "head"}, alert, offer, el("nav", {className: "row", "aria-label": t("go")}, strip, closeAll)),
        el("div", {className: "side stack"}, waitingPart, queuesPart, agentsPart),
        el("section", {className: "chats", "aria-label": t("chats")}, noChats, grid),
        el("p", {className: "quiet help"}, t("help")),
      ],
    }
  }

  function drawMe() {
    const sentence = t("deskOf", {name: "\0"}).split("\0")
    page.head.replaceChildren(sentence[0], said(short(me().name)), sentence[1])
    page.ready(me().ready)
    page.agents.replaceChildren(...state.get("agents").map((one) => el("li", {className: "row"}, said(short(one.name)),
      one.name === me().name ? el("span", {className: "quiet"}, `(${t("you")})`) : null,
      el("span", {className: "quiet"}, one.chats === 1 ? t("chatOf") : t("chatsOf", {count: one.chats})),
      one.ready ? null : el("span", {className: "chip"}, t("paused")))))
  }

  function drawQueues() {
    const hours = (open) => open === null ? [t("unknownHours"), "warn"] : open ? [t("open"), "good"] : [t("closed"), "bad"]
    page.queues.replaceChildren(...state.get("queues").map(({name: called, open, size}) => {
      const [word, kind] = hours(open)
      return el("li", {className: "row"}, el("span", {className: "grow"}, called),
        el("span", {className: "quiet"}, t("waitIn", {size})), el("span", {className: `chip ${kind}`}, word))
    }))
  }

  function drawWaiting() {
    keyed(page.waiting, state.get("waiting"), rows, row)
    const count = state.get("waiting").length
    put(page.waitingHead, count ? `${t("waiting")} (${count})` : t("waiting"))
    page.none.hidden = count > 0
    tabs.get("waiting")?.update()
  }

  /** One who waits. The details are filled when they are opened. */
  function row(id) {
    const called = el("strong"), subject = el("span", {className: "quiet subject"}), queue = el("span", {className: "chip"})
    const place = el("span", {className: "quiet"}), time = el("span", {className: "quiet clock"})
    const summary = el("summary", {}, t("came"))
    const details = el("details", {on: {toggle: () => fill()}}, summary)
    const fill = () => details.replaceChildren(summary, ...(details.open ? came(order(id)).filter(Boolean) : []))
    let shown
    return {
      element: el("li", {className: "stack"},
        el("div", {className: "row"}, called, el("span", {className: "grow"}), place, time),
        el("div", {className: "row"}, queue, subject), details),
      update() {
        const {queue: key, position} = state.get(`wait:${id}`)
        put(queue, queueName(key))
        put(place, position === null ? t("isOffered") : t("place", {place: position}))
        if (shown !== order(id)) {
          shown = order(id)
          called.replaceChildren(said(short(nameOf(shown))))
          subject.replaceChildren(shown.subject ? said(short(shown.subject, 200)) : "")
          summary.setAttribute("aria-label", t("cameOf", {name: short(nameOf(shown))}))
          if (details.open) fill()
        }
        this.tick()
      },
      tick() { put(time, lasting((Date.now() - Date.parse(shown.since)) / 1000)) },
    }
  }

  function drawOffer() {
    const id = offered(), what = id && order(id)
    if (!what) {
      const focused = page.offer.contains(document.activeElement)
      page.offer.hidden = true
      page.offered.replaceChildren()
      put(page.alert, "")
      announced = null
      if (focused) page.waitingHead.focus()
      return
    }
    if (announced === offerKey() && page.what === what) return
    page.what = what
    const queue = queueName(state.get(`wait:${id}`)?.queue)
    page.waited = el("span", {className: "clock"})
    page.offered.replaceChildren(
      el("div", {className: "row"}, el("strong", {}, said(short(nameOf(what)))), el("span", {className: "chip"}, queue),
        el("span", {className: "quiet"}, `${t("waited")} `, page.waited)),
      el("details", {open: !NARROW.matches}, el("summary", {}, t("came")),
        ...came({...what, customer: {...what.customer, name: undefined}}).filter(Boolean)))
    page.offer.hidden = false
    if (announced !== offerKey()) put(page.alert, t("offered", {name: short(nameOf(what)), queue}))
    announced = offerKey()
    tick()
  }

  async function reply(act) {
    const id = offered()
    if (!id) return
    answered = offerKey()
    if (act === "accept") expected = id
    drawOffer()
    title()
    if (await post(`/desk/chats/${encodeURIComponent(id)}/${act}`, {agent: me().name})) return
    answered = expected = null
    drawOffer()
  }

  /** The chat that was accepted is there. Whoever is writing elsewhere goes on writing. */
  function arrive(id) {
    expected = null
    if (!document.activeElement?.value || document.activeElement.closest(".offer")) goTo(id)
  }

  function drawCards() {
    const ids = state.get("cards")
    const lost = [...cards.keys()].filter((id) => !ids.includes(id))
    const focused = lost.find((id) => cards.get(id).element.contains(document.activeElement))
    const place = [...cards.keys()].indexOf(focused ?? view)
    lost.forEach((id) => cards.get(id).drop())
    keyed(page.grid, ids, cards, (id) => new Card(id, desk))
    ids.forEach((id) => cards.get(id).order(order(id)))
    keyed(page.strip, ["waiting", ...ids], tabs, tab)
    ids.forEach((id, number) => put(cards.get(id).number, String(number + 1)))
    tabs.forEach((one) => one.update())
    page.noChats.hidden = ids.length > 0
    if (focused || lost.includes(view)) {
      const next = ids[Math.min(place, ids.length - 1)] ?? "waiting"
      if (focused) goTo(next)
      else show(next)
    }
  }

  /** A button for a chat, or for those who wait. */
  function tab(id) {
    const text = el("span", {className: "label"}), fresh = el("span", {className: "chip warn", hidden: true})
    const button = el("button", {type: "button", on: {click: () => goTo(id)}}, text, fresh)
    return {
      element: el("li", {className: id === "waiting" ? "tab-waiting" : ""}, button),
      update() {
        button.toggleAttribute("aria-current", view === id)
        if (view === id) button.setAttribute("aria-current", "true")
        if (id === "waiting") return put(text, `${t("waiting")} (${(state.get("waiting") ?? []).length})`)
        const card = cards.get(id), number = state.get("cards").indexOf(id) + 1
        if (order(id)) text.replaceChildren(`${number} `, said(short(nameOf(order(id)), 20)))
        fresh.hidden = !card?.unread
        put(fresh, card?.unread ? t("fresh", {count: card.unread}) : "")
        button.classList.toggle("gone", Boolean(desk.card(id)?.over))
      },
    }
  }

  function overCards() { return [...cards.values()].filter((one) => one.over) }

  function drawOver() {
    const count = overCards().length
    page.closeAll.hidden = count < 2
    put(page.closeAll, t("closeAll", {count}))
  }

  /** What the agent looks at; a narrow screen shows nothing else. */
  function show(id) {
    const before = view
    view = id
    main.dataset.view = id === "waiting" ? id : "chat"
    cards.get(before)?.element.classList.remove("shown")
    cards.get(id)?.element.classList.add("shown")
    tabs.get(before)?.update()
    tabs.get(id)?.update()
    if (tabs.has(id)) page.strip.scrollLeft = tabs.get(id).element.offsetLeft - page.strip.offsetLeft - 40
  }

  function goTo(id) {
    show(id)
    if (cards.has(id)) cards.get(id).focus()
    else page.waitingHead.focus()
  }

  function keys(key) {
    if (!key.altKey || key.ctrlKey || key.metaKey || key.getModifierState("AltGraph")) return
    const digit = /^Digit(\d)$/.exec(key.code)?.[1]
    const id = digit === "0" ? "waiting" : state.get("cards")?.[digit - 1]
    const act = {KeyA: "accept", KeyD: "decline"}[key.code]
    if (digit && id) goTo(id)
    else if (act && offered() && !key.repeat) reply(act)
    else return
    key.preventDefault()
  }

  function tick() {
    rows.forEach((one) => one.tick())
    const what = offered() && order(offered())
    if (what && page.waited) put(page.waited, lasting((Date.now() - Date.parse(what.since)) / 1000))
  }

  function title() {
    const count = (offered() ? 1 : 0) + [...cards.values()].reduce((sum, one) => sum + one.unread, 0)
    const text = `${count ? `(${count}) ` : ""}${short(me().name)} · ${t("desk")} · puzzel-chat`
    if (document.title !== text) document.title = text
  }

  /** Somebody has signed this agent out in another tab. */
  function away() {
    stream.close()
    clearInterval(ticking)
    document.removeEventListener("keydown", keys)
    cards.forEach((one) => one.drop())
    signIn(t("gone"))
  }
}
