"""Fifty customers and five agents with desks in real browsers: `make soak RUN=desks`.

It tells how soon a page is there, how soon what happens is on an agent's screen, whether each message is there once,
and whether the pages grow. The sandbox is a process of its own, as `puzzel-chat sandbox` starts it; the customers are
chats of one polling loop. A robot within each page accepts, answers and closes what is over.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from random import Random
from statistics import median, quantiles
from typing import Any

from attrs import define, field, frozen
from playwright.async_api import Browser, CDPSession, Page, async_playwright

from puzzel_chat import AsyncConversation, AsyncPuzzelChat, ConversationClosed, Event, PollingLoop
from soak.table import table
from soak.usage import used

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
BOUND = 300.0
"""Milliseconds at the median for what happens to be on screen."""
GROWTH = 1.25
"""What a page may have at the end, times what it had after the first tenth."""
LAST = 30.0
"""Seconds for the last messages to be on screen."""
WATCHER = """
window.seen = []
const note = (kind, text) => requestAnimationFrame(() => window.seen.push([kind, text, Date.now()]))
new MutationObserver((records) => {
  for (const {addedNodes, target} of records) for (const node of addedNodes) {
    const place = node.nodeType === 1 ? node : target
    for (const [mark] of (node.textContent ?? "").matchAll(/(?:said|answered) \\d+ at \\d+/g))
      if (place.closest(".log")) note("line", mark)
    const name = place.closest(".offered") && node.textContent?.match(/customer-\\d+/)
    if (name) note("offer", name[0])
  }
}).observe(document, {childList: true, subtree: true})
"""
ROBOT = """
(every) => {
  let answers = 0, turn = 0
  const press = (button) => button && button.offsetParent !== null && button.click()
  setInterval(() => {
    press(document.querySelector(".offer button.main"))
    for (const card of document.querySelectorAll("article.chat")) press([...card.children].at(-1).closest("button"))
  }, 250)
  setInterval(() => {
    const boxes = [...document.querySelectorAll("article.chat form.composer textarea")]
    const box = boxes.filter((one) => one.offsetParent !== null)[turn++ % Math.max(1, boxes.length)]
    if (!box) return
    box.value = `answered ${++answers} at ${Date.now()}`
    box.form.requestSubmit()
  }, every)
}
"""


@frozen
class Plan:
    """How much of it; times in seconds."""

    chats: int
    agents: int
    seconds: float
    every: float
    life: float
    seed: int = 1


@define
class Figures:
    """What was seen; latencies in milliseconds."""

    ready: float = 0.0
    painted: float = 0.0
    lines: list[float] = field(factory=list[float])
    offers: list[float] = field(factory=list[float])
    said: set[str] = field(factory=set[str])
    shown: Counter[str] = field(factory=Counter[str])
    offered: dict[str, float] = field(factory=dict[str, float])
    chats: int = 0
    sizes: list[list[tuple[float, float, float]]] = field(factory=list[list[tuple[float, float, float]]])
    memory: list[float] = field(factory=list[float])

    @property
    def lost(self) -> int:
        """Messages of customers that no desk showed."""
        return len(self.said - self.shown.keys())

    @property
    def doubled(self) -> int:
        """Lines that were shown more than once."""
        return sum(1 for times in self.shown.values() if times > 1)

    def growth(self, part: int) -> float:
        """Return how much the pages have of this at the end, times what they had after the first tenth."""
        start = self.sizes[min(len(self.sizes) // 10 + 1, len(self.sizes) - 1)]
        return sum(one[part] for one in self.sizes[-1]) / sum(one[part] for one in start)


@contextmanager
def sandbox(figures: Figures) -> Iterator[dict[str, Any]]:
    """Start the sandbox as its users do; give what it says of itself, and its process as "process"."""
    began = time.time()
    command = [sys.executable, "-m", "puzzel_chat", "sandbox", "--json", "--script", "silent", "--pace", "0.1"]
    with subprocess.Popen([*command, "--capacity", "1000"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listening = json.loads(process.stdout.readline())
        figures.ready = time.time() - began
        names: dict[str, str] = {}

        def hear() -> None:
            for line in process.stdout or ():
                told = json.loads(line)
                key = told.get("conversation_id")
                if told["event"] == "routed":
                    names[key] = told["order"]["customer"]["name"]
                elif told["event"] == "offered":
                    figures.offered.setdefault(names[key], time.time())

        hearing = threading.Thread(target=hear)
        hearing.start()
        try:
            yield {**listening, "process": process}
        finally:
            process.terminate()
            process.wait(30)
            hearing.join()


@define
class Customers:
    """As many chats at once as planned; whoever has ended is followed by another one."""

    plan: Plan
    figures: Figures
    random: Random
    numbers: count[int] = field(factory=count)
    talks: set[asyncio.Task[None]] = field(factory=set[asyncio.Task[None]])

    async def come(self, chat: AsyncPuzzelChat, loop: PollingLoop) -> None:
        """Hold chats until cancelled."""
        while True:
            await asyncio.sleep(self.random.uniform(0, self.plan.life / 4))
            conversation = await chat.start("support", customer={"name": f"customer-{next(self.numbers)}"}, wait=0)
            over = asyncio.Event()

            async def heard(talk: AsyncConversation, event: Event, over: asyncio.Event = over) -> None:
                if event.type == "agent_joined":
                    task = asyncio.create_task(self.talk(talk))
                    self.talks.add(task)
                    task.add_done_callback(self.talks.discard)
                elif event.type == "conversation_ended":
                    over.set()

            loop.add(conversation, heard, wait=600)
            await over.wait()
            self.figures.chats += 1

    async def talk(self, conversation: AsyncConversation) -> None:
        """Write now and then, and end."""
        until = time.monotonic() + self.random.uniform(0.5, 1.5) * self.plan.life
        with suppress(ConversationClosed):
            while time.monotonic() < until:
                await asyncio.sleep(self.random.uniform(0.5, 1.5) * self.plan.every)
                text = f"said {next(self.numbers)} at {time.time() * 1000:.0f}"
                await conversation.send(text)
                self.figures.said.add(text)
            await asyncio.sleep(1)
            await conversation.end()


async def desk(browser: Browser, address: str, plan: Plan) -> tuple[Page, CDPSession]:
    """Open the desk of one agent."""
    context = await browser.new_context(viewport={"width": 1600, "height": 900})
    page = await context.new_page()
    await page.add_init_script(WATCHER)
    await page.goto(address)
    await page.evaluate(ROBOT, plan.every * 1000)
    tools = await context.new_cdp_session(page)
    await tools.send("Performance.enable")
    return page, tools


async def size(tools: CDPSession) -> tuple[float, float, float]:
    """Return the heap in MiB, the nodes and the listeners of a page, without what is garbage."""
    await tools.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in (await tools.send("Performance.getMetrics"))["metrics"]}
    return metrics["JSHeapUsedSize"] / 2**20, metrics["Nodes"], metrics["JSEventListeners"]


async def collect(pages: Sequence[Page], figures: Figures) -> None:
    """Take what the pages have seen."""
    for page in pages:
        for kind, text, at in await page.evaluate("window.seen.splice(0)"):
            if kind == "line":
                figures.shown[text] += 1
                figures.lines.append(at - float(text.rpartition(" ")[2]))
            elif text in figures.offered:
                figures.offers.append(at - figures.offered.pop(text) * 1000)


async def work(plan: Plan, figures: Figures, told: dict[str, Any]) -> None:
    """Let customers and agents work together, and look at the pages ten times or more."""
    settings = {name: told[name] for name in ("base_url", "identity_url", "solution_id")}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        began = time.time()
        first = await browser.new_page()
        await first.goto(told["pages"]["desk"])
        await first.get_by_role("heading").first.wait_for()
        figures.painted = time.time() - began
        await first.close()
        desks = [await desk(browser, f"{told['pages']['desk']}&agent=Kari%20{n}", plan) for n in range(plan.agents)]
        pages = [page for page, _ in desks]
        customers = Customers(plan, figures, Random(plan.seed))
        async with AsyncPuzzelChat(**settings, poll_interval=1.0) as chat, PollingLoop() as loop:
            coming = [asyncio.create_task(customers.come(chat, loop)) for _ in range(plan.chats)]
            step = min(30.0, plan.seconds / 10)
            for number in range(round(plan.seconds / step)):
                await asyncio.wait(coming, timeout=step, return_when=asyncio.FIRST_COMPLETED)
                await collect(pages, figures)
                figures.sizes.append([await size(tools) for _, tools in desks])
                figures.memory.append(used("sandbox", told["process"].pid).memory / 2**20)
                print(
                    f"{(number + 1) * step:.0f} s: {figures.chats} chats, {len(figures.lines)} lines", file=sys.stderr
                )
                for task in coming:
                    if task.done():
                        task.result()
            for task in [*coming, *customers.talks]:
                task.cancel()
            await asyncio.gather(*coming, *customers.talks, return_exceptions=True)
            until = time.monotonic() + LAST
            await collect(pages, figures)
            while figures.lost and time.monotonic() < until:
                await asyncio.sleep(0.1)
                await collect(pages, figures)
            await loop.aclose(end=True)
        await browser.close()


def run(plan: Plan) -> Figures:
    """Carry out a plan."""
    figures = Figures()
    with sandbox(figures) as told:
        asyncio.run(work(plan, figures, told))
    return figures


def described(figures: Figures) -> str:
    """Give the figures as Markdown."""

    def row(name: str, values: list[float]) -> tuple[str, ...]:
        parts = quantiles(values, n=100) if len(values) > 1 else values * 99 or [0.0] * 99
        return name, str(len(values)), *(f"{one:.0f}" for one in (median(values or [0]), parts[94], parts[98]))

    seen = [row("a line in a chat", figures.lines), row("an offer", figures.offers)]
    middle = figures.sizes[min(len(figures.sizes) // 10 + 1, len(figures.sizes) - 1)], figures.sizes[-1]
    names = ("heap, MiB", "nodes", "listeners")
    grown = [
        (name, *(f"{sum(one[part] for one in at):.0f}" for at in middle), f"{figures.growth(part):.2f}")
        for part, name in enumerate(names)
    ]
    memory = figures.memory[0], figures.memory[-1]
    return "\n\n".join(
        (
            f"The address was there {figures.ready:.2f} s after the start, the page on screen {figures.painted:.2f} s "
            f"after it was opened. {figures.chats} chats ended; {len(figures.said)} messages of customers, "
            f"{figures.lost} not shown, {figures.doubled} lines shown twice.",
            table(("until on screen, ms", "events", "p50", "p95", "p99"), seen),
            table(("all desks together", "after a tenth", "at the end", "times"), grown),
            "The sandbox, which keeps its ledger: {:.0f} MiB at first, {:.0f} at the end.".format(*memory),
        )
    )


def failed(figures: Figures) -> list[str]:
    """Return what is not as it must be."""
    wrong = [f"{figures.lost} messages were not shown"] if figures.lost else []
    wrong += [f"{figures.doubled} lines were shown twice"] if figures.doubled else []
    wrong += ["the median is over the bound"] if median(figures.lines or [BOUND + 1]) > BOUND else []
    names = ("heap", "nodes", "listeners")
    return wrong + [f"the pages' {name} grow" for part, name in enumerate(names) if figures.growth(part) > GROWTH]


def main(arguments: Sequence[str]) -> int:
    """Run it, and say whether everything is as it must be."""
    parser = ArgumentParser(prog="make soak RUN=desks", description=__doc__)
    parser.add_argument("--chats", type=int, default=50, help="chats at once")
    parser.add_argument("--agents", type=int, default=5, help="agents, each with a desk in a browser")
    parser.add_argument("--minutes", type=float, default=10, help="how long")
    parser.add_argument("--every", type=float, default=2, help="seconds between two messages of a customer")
    parser.add_argument("--life", type=float, default=60, help="seconds that a chat lasts")
    asked = parser.parse_args(arguments)
    if CHROMIUM is None:
        print("there is no Chromium on this machine")
        return 2
    figures = run(Plan(asked.chats, asked.agents, asked.minutes * 60, asked.every, asked.life))
    wrong = failed(figures)
    print(described(figures), *wrong, sep="\n\n")
    return 1 if wrong else 0
