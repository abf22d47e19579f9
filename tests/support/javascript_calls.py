"""What the JavaScript SDK can send, found by calling all that it has with options that take down which of their keys are read."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime
from typing import Any

import httpx

from tests.support.javascript import NODE, install
from tests.support.sdk_calls import CHECKPOINT, IDS, TELLING, Request, Seen

CLIENT_ONLY = {"signal", "onRunCreated", "raiseError", "includePagination"}
"""Keys of options that change nothing of what is sent."""

SECONDS_MAX = 100

ARGUMENTS: dict[str, list[Any]] = {
    "threadId": [IDS["thread_id"], None],
    "threadIdOrConfig": [
        IDS["thread_id"],
        {"configurable": {"thread_id": IDS["thread_id"]}},
    ],
    "runId": [IDS["run_id"]],
    "assistantId": [IDS["assistant_id"]],
    "cronId": [IDS["cron_id"]],
    "namespace": [["a"]],
    "namespacePrefix": [["a"]],
    "checkpoint": [None, IDS["checkpoint_id"], CHECKPOINT],
    "metadata": [{"key": "value"}],
    "value": [{"key": "value"}],
    "version": [3],
    "wait": [False, True],
    "action": ["interrupt", "rollback"],
    "payloads": ["list of options"],
}
"""Arguments that are no options: those of any other name are, if nothing else is known of it."""

TEXTS = ["key", "agentName"]

SCRIPT = """
import { Client } from "@langchain/langgraph-sdk";

const { values, arguments: known, texts, extra } = JSON.parse(process.argv[2]);
const requests = [];
const fetch = async (url, init = {}) => {
  const headers = Object.keys(Object.fromEntries(new Headers(init.headers).entries()));
  requests.push({ method: init.method ?? "GET", url: String(url), headers, body: init.body ?? "" });
  return new Response(JSON.stringify({ items: [] }), { status: 200 });
};
const client = new Client({
  apiUrl: "http://server", apiKey: "key", callerOptions: { fetch, maxRetries: 0 },
});
new Function("client", extra)(client);

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const telling = Object.fromEntries(Object.entries(values).map(([name, all]) => [camel(name), all]));
const supersteps = [{ updates: [{ values: {}, command: {}, asNode: "agent" }] }];
const special = { supersteps: [supersteps], _langsmithTracer: [{ projectName: "a", exampleId: "b" }] };
const functions = { onRunCreated: () => {}, signal: undefined };

// Options of which `has(key)` says whether they hold a key, and that take down which are asked for.
function options(has, read, index) {
  return new Proxy({}, {
    get(_, key) {
      if (typeof key !== "string") return undefined;
      if (key === "then" || key === "toJSON") return undefined;
      read.add(key);
      if (!has(key)) return undefined;
      if (key in functions) return functions[key];
      const all = special[key] ?? telling[key] ?? [`told-${key}`];
      return all[Math.min(index, all.length - 1)];
    },
  });
}

async function sent(area, method, args) {
  requests.length = 0;
  let problem = null;
  try {
    const given = client[area][method](...args);
    if (typeof given?.[Symbol.asyncIterator] === "function") for await (const _ of given);
    else await given;
  } catch (error) { problem = String(error); }
  return { requests: requests.slice(), problem };
}

function names(method) {
  const text = Function.prototype.toString.call(method);
  const list = text.slice(text.indexOf("(") + 1, text.search(/\\)\\s*\\{/));
  return list.split(",").map((part) => part.split("=")[0].trim()).filter(Boolean);
}

function* combined(lists) {
  if (!lists.length) { yield []; return; }
  for (const first of lists[0]) for (const rest of combined(lists.slice(1))) yield [first, ...rest];
}

const OPTIONS = Symbol("options"), LISTED = Symbol("options, in a list");

function choices(name) {
  if (name === "payloads") return [LISTED];
  if (name in known) return known[name];
  return texts.includes(name) ? [`told-${name}`] : [OPTIONS];
}

async function explore(area, method) {
  const seen = { area, method, requests: [], told: [], untold: [] };
  const parameters = names(client[area][method]);
  for (const args of combined(parameters.map(choices))) {
    const read = new Set(), checked = new Set();
    const call = async (has, index = 0) => {
      const made = args.map((value) => {
        if (value === OPTIONS) return options(has, read, index);
        return value === LISTED ? [options(has, read, index)] : value;
      });
      const { requests } = await sent(area, method, made);
      seen.requests.push(...requests);
      return JSON.stringify(requests);
    };
    const none = await call(() => false), all = await call(() => true), last = await call(() => true, 99);
    for (let key; (key = [...read].find((key) => !checked.has(key))); ) {
      checked.add(key);
      const alone = await call((other) => other === key), left = await call((other) => other !== key);
      const told = alone !== none || left !== all || last !== all && (await call((other) => other !== key, 99)) !== last;
      seen[told ? "told" : "untold"].push(key);
    }
  }
  return seen;
}

const found = [];
for (const area of Object.keys(client)) {
  if (typeof client[area] !== "object") continue;
  const prototype = Object.getPrototypeOf(client[area]);
  for (const method of Object.getOwnPropertyNames(prototype)) {
    if (method !== "constructor") found.push(await explore(area, method));
  }
}
process.stdout.write(JSON.stringify(found));
"""


def javascript_calls(extra: str = "") -> list[Seen]:
    """Call every method of every part of the client. `extra` is run before, with `client` in reach."""
    folder = install()
    script = folder / "all_calls.mjs"
    script.write_text(SCRIPT)
    values = {
        name: [str(value) if isinstance(value, datetime) else value for value in every]
        for name, every in TELLING.items()
    }
    known = {"values": values, "arguments": ARGUMENTS, "texts": TEXTS, "extra": extra}
    output = subprocess.run(  # noqa: S603 - nothing in it comes from outside
        [NODE, str(script), json.dumps(known)],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=SECONDS_MAX,
    ).stdout
    return [_seen(entry) for entry in json.loads(output)]


def _seen(entry: dict[str, Any]) -> Seen:
    requests = {_request(request) for request in entry["requests"]}
    told = set(entry["told"])
    return Seen(
        "javascript",
        entry["area"],
        entry["method"],
        # Not of a thread that was left out where one is needed.
        {request for request in requests if "null" not in request.path.split("/")},
        told,
        set(entry["untold"]) - told,
    )


def _request(sent: dict[str, Any]) -> Request:
    url = httpx.URL(sent["url"])
    return Request.of(sent["method"], url, sent["headers"], sent["body"].encode())
