// What the stream has told so far, and fields that show it without disturbing who is typing in them.
import {post} from "./base.js"

/** The flat state; `on(prefix, draw)` draws again when a value whose name begins so has changed. */
export const state = new Map()
const drawers = []
export const on = (prefix, draw) => drawers.push({prefix, draw})

/** Take in what is new and what is gone, and draw what shows it. `fresh` is the first of a new stream: all of it. */
export function take(news, fresh) {
  const names = new Set([...(fresh ? state.keys() : []), ...Object.keys(news.set ?? {}), ...(news.gone ?? [])])
  if (fresh) state.clear()
  for (const [name, value] of Object.entries(news.set ?? {})) state.set(name, value)
  for (const name of news.gone ?? []) state.delete(name)
  for (const {prefix, draw} of drawers) {
    const changed = [...names].filter((name) => name === prefix || name.startsWith(`${prefix}:`))
    if (changed.length) draw(changed)
  }
}

/** Ask the sandbox for something; true when it was done. */
export const act = async (name, body) => (await post(`/control/${name}`, body)) !== null

/**
 * Let a field show the state and change it: `show(value)` leaves a field alone while somebody edits it, and `send` is
 * called with the field when it was changed. What was refused is shown as it was.
 */
export function bound(field, send) {
  let told, editing = false
  const draw = () => { if (field.type === "checkbox") field.checked = told; else field.value = told }
  field.addEventListener("input", () => { editing = true })
  field.addEventListener("blur", () => { if (editing) { editing = false; draw() } })
  field.addEventListener("change", async () => {
    if (!field.reportValidity()) return
    const before = told, done = await send(field)
    editing = false
    if (!done || told !== before) draw()
  })
  return {field, show(value) {
    told = value
    if (!editing) draw()
  }}
}
