// The control room: everything that it shows comes by one stream, so that all who watch see the same.
import {el, frame, listen, t} from "./base.js"
import "./control-words.js"
import {queues, service} from "./control-centre.js"
import {faults, statuses} from "./control-faults.js"
import {ledger} from "./control-ledger.js"
import {requests} from "./control-requests.js"
import {take} from "./control-state.js"

frame("control")
const live = requests()
const sections = {queues: queues(), service: service(), faults: faults(), statuses: statuses(), requests: live.view, ledger: ledger(choose)}
const section = ([name, view]) => el("section", {id: name, className: "card stack", "aria-labelledby": `${name}-name`, tabIndex: -1},
  el("h2", {id: `${name}-name`}, t(name)), view)
document.querySelector("#main").append(
  el("div", {className: "row"}, el("h1", {}, t("control")),
    el("nav", {className: "jump row", "aria-label": t("sections")}, ...Object.keys(sections).map((name) => el("a", {href: `#${name}`}, t(name))))),
  el("div", {className: "rooms"}, ...Object.entries(sections).map(section)))

let stream
/** Follow the stream, with the ledger of one chat; the address remembers which. */
function watch(chat) {
  stream?.close()
  stream = listen(`/control/stream?chat=${encodeURIComponent(chat)}`, (news, fresh) => {
    take(news, fresh)
    live.take(news.requests ?? [], fresh)
  })
}

function choose(chat) {
  history.replaceState(null, "", `?chat=${encodeURIComponent(chat)}`)
  watch(chat)
}

watch(new URLSearchParams(location.search).get("chat") ?? "")
