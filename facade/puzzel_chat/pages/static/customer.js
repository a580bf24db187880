// A customer's chat: ask for an agent, wait, talk. `customer.py` is the other side; all that happens comes as events.

import {el, follow, frame, lasting, line, locale, log, post, sendOnEnter, t, typing, visible, words} from "./base.js"

words({
  en: {
    lost: "No connection. Trying again …", welcome: "Chat with us", name: "Your name", subject: "What is it about?",
    queue: "Whom do you want to talk to?", start: "Start the chat", open: "Open", openUntil: "Open until {time}",
    closed: "Closed", closedUntil: "Closed until {time}", hoursUnknown: "Opening hours are not known",
    shut: "The queue is closed.", opens: "The queue is closed. It opens {time}.", inLine: "{count} waiting", estimated: "about {time} to wait", full: "Too many are waiting. Please try again later.",
    refused: "The chat could not be started: {why}", unreachable: "We cannot be reached at the moment: {why}",
    waiting: "Looking for an agent", queued: "You are in the queue.", position: "You are number {count} in the queue.",
    wait: "It takes {time} or so.", offered: "An agent is being asked.", offeredTo: "{name} is being asked.",
    declined: "The agent could not take it. Another one is asked.", elapsed: "You have waited", leave: "Leave the queue",
    with: "Chat with {name}", without: "Chat", joined: "{name} has joined", left: "{name} has left; another agent is asked",
    types: "{name} is typing …", text: "Your message", send: "Send", attach: "Attach a file", end: "End the chat",
    sending: "Sending …", sent: "Sent", resend: "Send again", notSent: "Not sent: {why}",
    doubtful: "We do not know whether this has arrived. If you send it again, it may arrive twice.",
    large: "the file is larger than {size} MB", degraded: "The connection to the agent is lost for now: {why}",
    byAgent: "The agent has ended the chat.", byCustomer: "You have ended the chat.", left_queue: "You have left the queue.",
    bySystem: "The contact centre has ended the chat.", ended: "The chat has ended.", reason: "Reason: {why}",
    AgentWaitTimeout: "Nobody could take the chat in time.", QueueClosed: "The queue has closed meanwhile.",
    QueueFull: "The queue is full.", broken: "The chat could not go on: {why}", gone: "This chat is no longer there.",
    again: "New chat",
  },
  nb: {
    lost: "Ingen kontakt. Prøver igjen …", welcome: "Chat med oss", name: "Navnet ditt", subject: "Hva gjelder det?",
    queue: "Hvem vil du snakke med?", start: "Start chatten", open: "Åpent", openUntil: "Åpent til {time}",
    closed: "Stengt", closedUntil: "Stengt til {time}", hoursUnknown: "Åpningstidene er ikke kjent",
    shut: "Køen er stengt.", opens: "Køen er stengt. Den åpner {time}.", inLine: "{count} venter", estimated: "omtrent {time} å vente", full: "For mange venter. Prøv igjen senere.",
    refused: "Chatten kunne ikke startes: {why}", unreachable: "Vi kan ikke nås akkurat nå: {why}",
    waiting: "Ser etter en agent", queued: "Du står i køen.", position: "Du er nummer {count} i køen.",
    wait: "Det tar omtrent {time}.", offered: "En agent blir spurt.", offeredTo: "{name} blir spurt.",
    declined: "Agenten kunne ikke ta den. En annen blir spurt.", elapsed: "Du har ventet", leave: "Forlat køen",
    with: "Chat med {name}", without: "Chat", joined: "{name} er med", left: "{name} har gått; en annen agent blir spurt",
    types: "{name} skriver …", text: "Meldingen din", send: "Send", attach: "Legg ved en fil", end: "Avslutt chatten",
    sending: "Sender …", sent: "Sendt", resend: "Send på nytt", notSent: "Ikke sendt: {why}",
    doubtful: "Vi vet ikke om denne kom fram. Sender du den på nytt, kan den komme to ganger.",
    large: "filen er større enn {size} MB", degraded: "Kontakten med agenten er brutt for øyeblikket: {why}",
    byAgent: "Agenten har avsluttet chatten.", byCustomer: "Du har avsluttet chatten.", left_queue: "Du har forlatt køen.",
    bySystem: "Kontaktsenteret har avsluttet chatten.", ended: "Chatten er avsluttet.", reason: "Årsak: {why}",
    AgentWaitTimeout: "Ingen kunne ta chatten i tide.", QueueClosed: "Køen har stengt i mellomtiden.",
    QueueFull: "Køen er full.", broken: "Chatten kunne ikke fortsette: {why}", gone: "Denne chatten finnes ikke lenger.",
    again: "Ny chat",
  },
})
frame("customer", {simulator: document.body.classList.contains("simulator")})
document.querySelectorAll("[data-t]").forEach((place) => { place.textContent = t(place.dataset.t) })

const $ = (id) => document.getElementById(id)
const [ask, say] = [$("ask"), $("say")]
const chat = log(t("without"))
$("degraded").after(chat.list)
say.text.setAttribute("aria-label", t("text"))
say.text.placeholder = t("text")
let mine = JSON.parse(sessionStorage.getItem("chat"))  // {id, began}: a reload takes the chat up again

/** Show one step: "ask", "wait" or "chat". */
function show(step) {
  for (const one of ["ask", "wait", "chat"]) $(one).hidden = one !== step
}

/** What somebody else called himself, kept apart from our words. */
const called = (name) => `\u2068${visible(name).replace(/[\u202a-\u202e\u2066-\u2069]/g, "").slice(0, 40)}\u2069`
const someone = (who) => who?.name ? called(who.name) : t("agent")

/** Some seconds, in words. */
const span = (seconds) => seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`

/** A time of day; with the day when that is not today. */
function moment(iso) {
  const time = new Date(iso), today = time.toDateString() === new Date().toDateString()
  const day = today ? {} : {weekday: "short", day: "numeric", month: "short"}
  return time.toLocaleString(locale, {...day, hour: "2-digit", minute: "2-digit"})
}

// Before the chat: the queues with their hours, which stay up to date while somebody looks.

let queues = [], largest = Infinity, beginning = false

async function lookAtQueues() {
  const answer = await fetch("/queues").then((one) => one.ok ? one.json() : null, () => null)
  $("lost").hidden = answer !== null
  if (answer === null) return
  ({queues, max_file_bytes: largest} = answer)
  $("start").disabled = beginning
  queues.forEach((queue, place) => {
    const known = ask.queue.options[place] ?? ask.queue.appendChild(el("option", {value: queue.key}))
    known.textContent = visible(queue.name ?? queue.key) + (queue.is_open === false ? ` (${t("closed").toLowerCase()})` : "")
  })
  tellHours()
}

function tellHours() {
  const {is_open, opens_at, closes_at, queue_size, estimated_wait} = queues.find(({key}) => key === ask.queue.value) ?? {}
  const hours = is_open === true ? closes_at ? t("openUntil", {time: moment(closes_at)}) : t("open")
    : is_open === false ? opens_at ? t("closedUntil", {time: moment(opens_at)}) : t("closed")
    : t("hoursUnknown")
  const load = is_open === false ? [] : [
    queue_size ? t("inLine", {count: queue_size}) : null,
    estimated_wait ? t("estimated", {time: span(estimated_wait)}) : null,
  ]
  const text = [hours, ...load].filter(Boolean).join(" · ")
  if ($("hours").textContent !== text) $("hours").textContent = text  // a screen reader says what is new
  $("hours").className = `chip ${{true: "good", false: "bad"}[is_open] ?? "warn"}`
}

ask.queue.addEventListener("change", tellHours)
ask.addEventListener("submit", async (submitted) => {
  submitted.preventDefault()
  const order = Object.fromEntries(new FormData(ask))
  $("refused").hidden = beginning = $("start").disabled = true
  const answer = await post("/chats", {...order, subject: order.subject || null}, {failed: refuse})
  beginning = $("start").disabled = false
  if (!answer) return
  sessionStorage.setItem("name", order.name)
  sessionStorage.setItem("chat", JSON.stringify({id: answer.id, began: Date.now()}))
  takeUp()
  $("leave").focus()
})

function refuse(error) {
  const why = visible(error.reason ?? error.message ?? error)
  $("refused").textContent = error.error === "QueueFull" ? t("full")
    : error.error === "QueueClosed" ? error.opens_at ? t("opens", {time: moment(error.opens_at)}) : t("shut")
    : error.error === "TransportError" ? t("unreachable", {why}) : t("refused", {why})
  $("refused").hidden = false
}

// The chat: what comes, by its type.

let withUs = null, begun = false, typed  // the agent in the chat; whether there ever was one

const heard = {
  allocation_changed({allocation: {stage, queue_position, estimated_wait, agent}}) {
    if (stage === "assigned") return show("chat")
    const told = stage === "offered" ? agent?.name ? t("offeredTo", {name: someone(agent)}) : t("offered")
      : stage === "declined" ? t("declined")
      : queue_position ? t("position", {count: queue_position}) : t("queued")
    const wait = stage === "queued" && estimated_wait ? t("wait", {time: span(estimated_wait)}) : ""
    $("stage").textContent = `${told} ${wait}`
  },
  agent_joined({agent}) {
    show("chat")
    withUs = agent
    begun = true
    $("with").textContent = agent?.name ? t("with", {name: someone(agent)}) : t("without")
    middle(t("joined", {name: someone(agent)}))
    if (document.activeElement === document.body || document.activeElement === $("leave")) say.text.focus()
  },
  agent_left({agent}) {
    withUs = null
    $("with").textContent = t("without")
    $("types").textContent = ""
    middle(t("left", {name: someone(agent)}))
  },
  agent_typing({author, is_typing}) {
    $("types").textContent = is_typing ? t("types", {name: someone(author.role === "agent" ? author : withUs)}) : ""
    clearTimeout(typed)
    typed = setTimeout(() => { $("types").textContent = "" }, 20000)  // should the news of its end be lost
  },
  message_edited: ({message}) => heard[message.type](message),
  text_message: (message) => put(message, {}),
  options_message(message) {
    if (question?.id !== message.id) settle()
    question = message
    put(message, {options: message.options}, choose)
  },
  file_message: (message) => put(message, {file: {
    name: message.file_name, size: message.size, href: `/chats/${mine.id}/files/${encodeURIComponent(message.id)}`,
  }}),
  unknown_message: (message) => put({...message, text: t("unknown")}, {}),
  connection_degraded({problem}) {
    $("degraded").textContent = t("degraded", {why: visible(problem)})
    $("degraded").hidden = false
  },
  connection_recovered() { $("degraded").hidden = true },
  conversation_ended({by, reason}) {
    const known = ["AgentWaitTimeout", "QueueClosed", "QueueFull"].includes(reason)
    finish(known ? t(reason)
      : by === "agent" ? t("byAgent")
      : by === "customer" ? t(begun ? "byCustomer" : "left_queue")
      : by === "system" ? t("bySystem") : t("ended"),
    reason && !known ? t("reason", {why: visible(reason)}) : "")
  },
  error({message}) { finish(t("broken", {why: visible(message)})) },
}

/** Follow a chat from its begin, while somebody looks: a browser has six connections to a host, and this takes one. */
function takeUp() {
  mine = JSON.parse(sessionStorage.getItem("chat"))
  show("wait")
  $("stage").textContent = t("queued")
  let stream = null, place = "", over = false
  const receive = (event, id) => {
    place = id
    heard[event.type]?.(event)
    over = event.type === "conversation_ended" || event.type === "error"
    if (over) stream.close()
  }
  const look = () => {
    stream?.close()
    if (over || document.hidden) return
    stream = follow(`/chats/${mine.id}/events?after=${place}`, receive)
    stream.addEventListener("error", ({target}) => {
      if (target.readyState !== EventSource.CLOSED) return  // the browser tries again
      $("lost").hidden = over = true
      finish(t("gone"))
    })
  }
  document.addEventListener("visibilitychange", look)
  look()
}

function finish(...why) {
  settle()
  $("wait").hidden = say.hidden = $("end").hidden = $("degraded").hidden = true
  $("types").textContent = ""
  $("why").textContent = why.join(" ")
  $("over").hidden = false
  if (document.activeElement === document.body) $("again").focus()
}

/** Put a message into the log; an edited one takes the place of what it was. */
function put(message, more, choose) {
  const {id, version, author, text, sent_at} = message, own = author.role === "customer"
  const name = own ? t("you") : author.name ?? t(author.role)
  show("chat")
  if (author.role === "agent") $("types").textContent = ""
  const item = line({id, side: own ? "mine" : "theirs", name, text, at: sent_at, edited: version > 1, ...more}, {choose})
  if (own) {
    settle(text ?? "")
    item.querySelector(".meta").append(el("span", {role: "img", "aria-label": t("sent"), title: t("sent")}, " ✓"))
    const same = (one) => plain(one.words) === plain(text ?? message.file_name)
    const place = known(id) ? -1 : unconfirmed.findIndex(same)
    if (place >= 0) return unconfirmed.splice(place, 1)[0].item.replaceWith(item)
  }
  chat.put(item)
}

const known = (id) => [...chat.list.children].some((item) => item.dataset.id === id)
const plain = (text) => text.replace(/\s+/g, " ").trim()
const middle = (text) => chat.put(line({side: "middle", text}))

let question = null  // the last one with choices, while it is open

/** Take the buttons off a question: by any means, or when these are the words of one of its choices. */
function settle(words) {
  if (!question || (words !== undefined && !question.options.some(({id, label}) => (label || id) === words))) return
  const answered = question
  question = null
  put(answered, {options: answered.options})
}

// What the customer does.

let count = 0
const unconfirmed = []  // lines of ours that nobody has confirmed yet: {words, item}

/** Show a line of ours at once, send it, and say below it what becomes of it. */
function send(shown, path, body, how) {
  const one = {words: shown.text ?? shown.file.name, id: `own ${++count}`, item: null}
  const tell = (className, ...told) => {
    one.item = line({id: one.id, side: "mine pending", name: t("you"), ...shown})
    one.item.append(el("p", {className: `state ${className}`, role: "status"}, ...told))
    chat.put(one.item)
  }
  const forget = () => unconfirmed.includes(one) && unconfirmed.splice(unconfirmed.indexOf(one), 1)
  const failed = (error) => {
    if (!unconfirmed.includes(one)) return  // it has come back as an event
    // Only an error of the library says for sure that nothing was sent.
    if (!error.error || error.error === "DeliveryUnknown") return tell("bad", t("doubtful"))
    forget()
    tell("bad", t("notSent", {why: visible(error.message)}), " ",
      error.retryable && el("button", {type: "button", on: {click: attempt}}, t("resend")))
  }
  const attempt = async () => {
    unconfirmed.push(one)
    tell("", t("sending"))
    const sent = await post(`/chats/${mine.id}/${path}`, body, {...how, failed})
    if (!sent || !forget()) return
    if (known(sent.id)) one.item.remove()
    one.item.dataset.id = sent.id
    one.item.classList.remove("pending")
    one.item.querySelector(".state").textContent = t("sent")
  }
  if (shown.file?.size > largest) {
    tell("bad", t("notSent", {why: t("large", {size: Math.floor(largest / 2 ** 20)})}))
  } else attempt()
}

function choose({id, label}) {
  settle()
  send({text: label || id}, "choice", {option: id})
}

const typist = typing(say.text, (typing) => post(`/chats/${mine.id}/typing`, {typing}, {failed() {}}))
sendOnEnter(say.text)
say.addEventListener("submit", (submitted) => {
  submitted.preventDefault()
  const text = say.text.value.trim()
  if (!text) return
  say.text.value = ""
  typist.sent()
  send({text}, "message", {text})
})
$("file").addEventListener("change", ({target}) => {
  for (const file of target.files) {
    send({file: {name: file.name, size: file.size}}, `file?name=${encodeURIComponent(file.name)}`, file, {raw: true})
  }
  target.value = ""
})
for (const button of [$("leave"), $("end")]) {
  button.addEventListener("click", async () => {
    button.disabled = true
    await post(`/chats/${mine.id}/end`, {})
    button.disabled = false
  })
}
$("again").addEventListener("click", () => {
  sessionStorage.removeItem("chat")
  location.reload()
})

setInterval(() => { if (!$("wait").hidden) $("elapsed").textContent = lasting((Date.now() - mine.began) / 1000) }, 1000)
setInterval(() => { if (!ask.hidden && !document.hidden) lookAtQueues() }, 5000)
if (mine) takeUp()
else {
  ask.elements.name.value = sessionStorage.getItem("name") ?? ""
  show("ask")
  lookAtQueues()
}
