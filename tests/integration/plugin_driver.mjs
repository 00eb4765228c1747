// Runs the plugin without its host: reads cases from stdin, writes what became of them to the file that it is told.
//
//   <runtime> plugin_driver.mjs PLUGIN RESULT < CASES
//
// A case is { environment, options, steps }, where each step is [verb, ...values]. Nothing waits for real minutes:
// timers from one second on ring when a step advances the clock. Stdout and stderr stay empty but for what the plugin
// itself may print.

import fs from "node:fs"
import path from "node:path"
import { pathToFileURL } from "node:url"

const LONG_MS = 1000
const LONGEST_MS = 2 ** 31 - 1
const POLL_MS = 5
const PATIENCE_MS = 20_000

const [, , plugin, result] = process.argv
const uncaught = []

// ---- a clock that steps advance ---------------------------------------------------------------------------------

const real = { setTimeout, clearTimeout, now: Date.now }
const timers = new Map()
let offset = 0
let count = 0

Date.now = () => real.now() + offset
globalThis.setTimeout = (ring, ms = 0, ...words) => {
  if (!(ms <= LONGEST_MS)) uncaught.push(`a timer of ${ms} ms would ring at once`)
  if (ms < LONG_MS) return real.setTimeout(ring, ms, ...words)
  const timer = { unref: () => timer, ref: () => timer }
  timers.set(timer, { at: Date.now() + ms, order: count++, ring: () => ring(...words) })
  return timer
}
globalThis.clearTimeout = (timer) => timers.delete(timer) || real.clearTimeout(timer)

async function advance(ms) {
  const end = Date.now() + ms
  for (;;) {
    const due = [...timers].filter(([, { at }]) => at <= end)
    const [next] = due.sort(([, one], [, other]) => one.at - other.at || one.order - other.order)
    if (!next) break
    offset += Math.max(next[1].at - Date.now(), 0)
    timers.delete(next[0])
    next[1].ring()
    await settle()
  }
  offset += Math.max(end - Date.now(), 0)
  await settle()
}

const settle = () => new Promise((resolve) => real.setTimeout(resolve, POLL_MS))

async function until(condition) {
  for (const end = real.now() + PATIENCE_MS; !condition(); await settle()) {
    if (real.now() > end) throw new Error(`not within ${PATIENCE_MS} ms: ${condition}`)
  }
}

// ---- values that JSON cannot say: { "$": name, value } --------------------------------------------------------------

const ODD = {
  undefined: () => undefined,
  NaN: () => NaN,
  frozen: (value) => deepFrozen(value),
  cyclic: () => {
    const value = { parts: [], type: "file" }
    value.parts.push(value)
    return value
  },
  throwing: () =>
    new Proxy({}, {
      get() {
        throw new Error("not to be touched")
      },
    }),
  many: (value, { count: times }) => Array.from({ length: times }, () => structuredClone(value)),
  bytes: (value) => Buffer.from(value, "base64"),
}

function deepFrozen(value) {
  if (value !== null && typeof value === "object") Object.values(value).forEach(deepFrozen)
  return Object.freeze(value)
}

function meant(value) {
  if (value === null || typeof value !== "object") return value
  if (typeof value.$ === "string") return ODD[value.$](meant(value.value), value)
  if (Array.isArray(value)) return value.map(meant)
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, meant(item)]))
}

// ---- steps ------------------------------------------------------------------------------------------------------------

async function outcome(task) {
  try {
    return { gave: await task() }
  } catch (error) {
    return { threw: String(error?.stack ?? error) }
  }
}

/** What a step's hook leaves in its output; the input and output are the host's own objects. */
function call(hooks, name, input, output) {
  const given = meant(output)
  return outcome(async () => {
    const returned = await hooks[name](meant(input), given)
    return shown(returned === undefined ? given : { returned })
  })
}

/** Cyclic and untouchable values cannot be written down. */
function shown(value) {
  try {
    return JSON.parse(JSON.stringify(value) ?? "null")
  } catch {
    return "cannot be shown"
  }
}

const VERBS = {
  hook: (context, name, input, output) => call(context.hooks, name, input, output),
  together: (context, ...calls) => Promise.all(calls.map((words) => call(context.hooks, ...words))),
  begin: (context, name, input, output) => {
    context.begun = call(context.hooks, name, input, output)
  },
  end: (context) => context.begun,
  advance: (_context, ms) => advance(ms),
  until: (_context, file) => until(() => fs.existsSync(file)),
  /** The process whose id is in a file is gone. */
  ended: (_context, file) => until(() => !isAlive(Number(fs.readFileSync(file, "utf8")))),
  told: (context, text) => until(() => context.logs.some((log) => log.message.includes(text))),
  write: (_context, file, text) => fs.writeFileSync(file, text),
  chmod: (_context, file, mode) => fs.chmodSync(file, mode),
  rename: (_context, from, to) => fs.renameSync(from, to),
  remove: (_context, file) => fs.rmSync(file, { recursive: true }),
  open: (context, file) => void (context.files ??= []).push(fs.openSync(file)),
  /** Another plugin of the same case: a second host. */
  host: async (context, options) => {
    context.hooks = await context.load(meant(options))
  },
  names: (context) => Object.keys(context.hooks).sort(),
  ask: (context, name, lists) =>
    outcome(() => Promise.all(lists.map((words) => context.inner[name](...words.map(meant))))),
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function run({ environment = {}, options, host = "usual", steps }, outer, inner) {
  const before = { ...process.env }
  Object.assign(process.env, environment)
  const logs = []
  const clients = {
    usual: { client: { app: { log: async ({ body }) => void logs.push(body) } } },
    "no log": { client: {} },
    "log throws": { client: { app: { log: () => { throw new Error("no log") } } } },
    "log rejects": { client: { app: { log: async () => { throw new Error("no log") } } } },
    none: undefined,
    null: null,
  }
  const context = { logs, inner, load: (given) => outer.default(clients[host], given) }
  const done = []
  const loaded = await outcome(async () => {
    context.hooks = await context.load(meant(options))
  })
  if (loaded.threw) return { loaded, done, logs }
  for (const [verb, ...values] of steps) done.push((await VERBS[verb](context, ...values)) ?? null)
  await outcome(() => context.hooks.dispose())
  timers.clear()
  context.files?.forEach((file) => fs.closeSync(file))
  for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name]
  Object.assign(process.env, before)
  return { done, logs }
}

/** The plugin twice: as OpenCode loads it, and with its insides named. Node wants `.mjs`. */
async function load() {
  const source = fs.readFileSync(plugin, "utf8")
  const directory = path.dirname(result)
  const [outer, inner] = ["outer", "inner"].map((name) => path.join(directory, `${name}.mjs`))
  fs.writeFileSync(outer, source)
  fs.writeFileSync(inner, `${source}\nexport { imageSize, objectsDirectory, ownDatabases, parseRef, readVerdict }\n`
    + "const readVerdict = async (file, ref) => {\n"
    + "  const payload = await readPayload(file, ref).catch(() => null)\n"
    + "  return payload === null ? null : createHash('sha256').update(Buffer.from(payload, 'base64')).digest('hex')\n}\n")
  return [await import(pathToFileURL(outer)), await import(pathToFileURL(inner))]
}

process.exitCode = 1 // unless all is well
process.on("uncaughtException", (error) => uncaught.push(String(error?.stack ?? error)))
process.on("unhandledRejection", (error) => uncaught.push(String(error?.stack ?? error)))

const [outer, inner] = await load()
const cases = []
for (const item of JSON.parse(fs.readFileSync(0, "utf8"))) cases.push(await run(item, outer, inner))
await settle()
fs.writeFileSync(result, JSON.stringify({ exports: Object.keys(outer), cases, uncaught }))
process.exit(0)
