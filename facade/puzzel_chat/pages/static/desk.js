import {el, follow, frame, t} from "./base.js"

frame("desk")
document.querySelector("#main").append(el("pre", {id: "raw"}))
follow("/desk/stream?agent=Kari", (news) => { document.querySelector("#raw").append(JSON.stringify(news) + "\n") })
