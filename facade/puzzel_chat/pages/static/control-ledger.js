// A chat's ledger beside what its client received.
import {clock, el, keyed, said, t} from "./base.js"
import {on, state} from "./control-state.js"

const COLOURS = {missing: "bad", extra: "bad", twice: "warn", moved: "warn"}

/** The list of chats and the two columns; `choose(id)` asks for another chat. */
export function ledger(choose) {
  return el("div", {className: "beside"}, chats(choose), comparison())
}

function chats(choose) {
  const list = el("ul", {className: "chats"}), empty = el("p", {className: "quiet"}, t("noChats")), items = new Map()
  const draw = () => {
    const chosen = state.get("beside")?.id
    keyed(list, state.get("chats"), items, chat)
    items.forEach((item, id) => item.draw(state.get(`chat:${id}`), id === chosen))
    empty.hidden = items.size > 0
    list.hidden = !empty.hidden
  }
  const chat = (id) => {
    const button = el("button", {type: "button", on: {click: () => choose(id)}})
    let drawn
    return {element: el("li", {data: {chat: id}}, button), draw(one, chosen) {
      button.setAttribute("aria-pressed", String(chosen))
      if (drawn === one) return
      drawn = one
      button.replaceChildren(
        el("span", {className: "name"}, one.name ? said(one.name) : t("unnamed")),
        el("span", {className: "quiet"}, `${clock(one.at)} · `, said(one.queue), " · ", one.ended ? t("ended") : t(one.status)),
        one.ofThePage ? el("span", {className: "chip"}, t("ofThePage")) : "")
    }}
  }
  on("chats", draw)
  on("chat", draw)
  on("beside", draw)
  return el("div", {className: "stack chooser"}, el("h3", {}, t("chats")), empty, list)
}

function comparison() {
  const body = el("tbody"), rows = new Map()
  const summary = el("div", {className: "row", role: "status", id: "summary"}), older = el("p", {className: "quiet"})
  const choose = el("p", {className: "quiet"}, t("choose")), source = el("p", {className: "quiet", id: "source"})
  const place = el("div", {className: "scroll tall", tabIndex: 0, role: "group", "aria-label": t("ledger")},
    el("table", {className: "two"}, el("thead", {}, el("tr", {}, el("th", {scope: "col"}, t("ledgerSide")), el("th", {scope: "col"}, t("clientSide")))), body))
  const view = el("div", {className: "stack"}, summary, source, older, place)
  on("beside", () => {
    const now = state.get("beside")
    view.hidden = !now
    choose.hidden = Boolean(now)
    if (!now) return
    source.textContent = t(now.ofThePage ? "pageSide" : "otherSide")
    const n = now.differences
    summary.replaceChildren(...[
      el("strong", {className: `chip ${n ? "bad" : "good"}`}, n ? t(n === 1 ? "difference" : "differences", {n}) : t("same")),
      now.waiting ? el("span", {className: "chip"}, t("waitingFor", {n: now.waiting})) : null,
      now.before ? el("span", {className: "chip"}, t("beforeWatch", {n: now.before})) : null,
    ].filter(Boolean))
    older.hidden = !now.hidden
    older.textContent = t("hiddenRows", {n: now.hidden, d: now.hiddenDifferences})
  })
  on("row", (changed) => {
    const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 80
    for (const name of changed) {
      const row = state.has(name) ? both(state.get(name)) : null
      if (rows.has(name) && row) rows.get(name).replaceWith(row)
      else if (rows.has(name)) rows.get(name).remove()
      else if (row) body.append(row)
      if (row) rows.set(name, row)
      else rows.delete(name)
    }
    if (atEnd) place.scrollTop = place.scrollHeight
  })
  return el("div", {className: "stack"}, choose, view)
}

/** A row: what the ledger has, what the client has, and what is different. */
function both({verdict, ledger: stored, client}) {
  const mark = verdict === "same" ? null : el("span", {className: `chip ${COLOURS[verdict] ?? ""}`}, t(`verdict_${verdict}`))
  return el("tr", {className: verdict, data: {verdict}}, cell(stored), cell(client, mark))
}

function cell(one, mark = null) {
  if (!one) return el("td", {}, mark)
  const event = one.event && t(one.event, {who: "\u0000"}).split("\u0000")
  const who = one.who && t(`role_${one.who}`) !== `role_${one.who}` ? t(`role_${one.who}`) : one.who
  const text = one.event ? el("span", {className: "text"}, event[0], said(event.length > 1 ? who || "?" : ""), event[1] ?? "")
    : one.text ? said(one.text) : el("span", {className: "quiet"}, `${t("noWords")} (${one.type})`)
  const author = one.author || t(`role_${one.role || "unknown"}`)
  return el("td", {}, mark,
    el("span", {className: "meta"}, one.event ? "" : [said(author), " · "], said(one.id),
      one.version > 1 ? ` · ${t("version", {n: one.version})}` : "", one.byItself ? ` · ${t("byItself")}` : ""),
    el("div", {className: "clamp"}, text))
}
